"""The network of MuLaP: an audio backbone, two transformers with co-attention between them, and three heads.

A crop is chunks, each with an embedding of the backbone; in front of them stands a token of the whole crop, the mean of
the chunks that are not hidden. (Of all chunks, as the published code has it, it would give away what is hidden.) Hidden
chunks are zeros. What is to be guessed of them is their embedding as it is, without gradient: the published code
compares with the zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.pretraining.strategies.language.layers import (
    NORM_EPS,
    CoAttention,
    Width,
    bert_layers,
    draw_as_bert,
    mask_of,
)
from benchmark.pretraining.strategies.language.tokenizer import PAD


@dataclass(frozen=True)
class Sizes:
    """Sizes of the two transformers.

    Attributes:
        vocabulary: Entries of the vocabulary.
        tokens: The most tokens of a caption.
        chunks: Chunks of a crop.
        text: Layers of the text.
        audio: Layers of the audio.
        joint: Layers of co-attention: how many, their width and heads, and that of the product behind them.
        dropout: Rate everywhere.
    """

    vocabulary: int
    tokens: int
    chunks: int
    text: Width
    audio: Width
    joint: Width
    dropout: float


class Found(NamedTuple):
    """What the network makes of a batch.

    Attributes:
        chunks: Embeddings of all chunks, as they are, [B, C, dim].
        words: Logits at the places that were asked for, [K, vocabulary].
        guessed: What it takes each chunk for, [B, C, dim].
        matches: Logits of match and mismatch, [B, 2].
    """

    chunks: Tensor
    words: Tensor
    guessed: Tensor
    matches: Tensor


class TextInput(nn.Module):
    """Tokens int64 [B, L] to [B, L, width]: what each is and where it stands."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.text.width
        self.words = nn.Embedding(sizes.vocabulary, width, padding_idx=PAD)
        self.places = nn.Embedding(sizes.tokens, width)
        self.norm, self.dropout = nn.LayerNorm(width, NORM_EPS), nn.Dropout(sizes.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the embedded tokens."""
        rows: Tensor = self.words(tokens) + self.places.weight[: tokens.shape[1]]
        return self.dropout(self.norm(rows))


class AudioInput(nn.Module):
    """Embeddings of chunks [B, C, dim], some of them hidden, to [B, 1 + C, width]; the first is of the whole crop."""

    def __init__(self, dim: int, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.audio.width
        self.into, self.places = nn.Linear(dim, width), nn.Embedding(1 + sizes.chunks, width)
        self.norm, self.dropout = nn.LayerNorm(width, NORM_EPS), nn.Dropout(sizes.dropout)

    def forward(self, chunks: Tensor, hidden: Tensor) -> Tensor:
        """Return the tokens; where all chunks of a crop are hidden, that of the whole is zeros too."""
        seen = chunks.masked_fill(hidden[:, :, None], 0.0)
        count = (~hidden).sum(1, keepdim=True).clamp_min(1)[:, :, None]
        whole = seen.detach().sum(1, keepdim=True) / count
        rows: Tensor = self.into(torch.cat([whole, seen], dim=1)) + self.places.weight
        return self.dropout(self.norm(rows))


class Guess(nn.Sequential):
    """What stands behind a stream to guess what was hidden: linear, GELU, normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width, NORM_EPS))


class AudioAndText(nn.Module):
    """The network that is trained. Its ``network`` is the backbone."""

    def __init__(self, network: nn.Module, dim: int, sizes: Sizes) -> None:
        super().__init__()
        self.network, self.sizes = network, sizes
        text, audio, joint = sizes.text, sizes.audio, sizes.joint
        self.text_input, self.audio_input = TextInput(sizes), AudioInput(dim, sizes)
        self.text_layers, self.audio_layers = (bert_layers(stream, sizes.dropout) for stream in (text, audio))
        self.co_attention = nn.ModuleList(CoAttention(audio, text, joint, sizes.dropout) for _ in range(joint.layers))
        self.text_pool, self.audio_pool = nn.Linear(text.width, joint.width), nn.Linear(audio.width, joint.width)
        self.match, self.dropout = nn.Linear(joint.width, 2), nn.Dropout(sizes.dropout)
        self.word_guess, self.word_bias = Guess(text.width), nn.Parameter(torch.zeros(sizes.vocabulary))
        self.chunk_guess = nn.Sequential(Guess(audio.width), nn.Linear(audio.width, dim))
        for part in (self.text_input, self.text_layers, self.word_guess):
            draw_as_bert(part)

    def forward(self, signal: Tensor, hidden: Tensor, tokens: Tensor, asked: Tensor) -> Found:
        """Embed chunks, read both streams, and guess.

        Args:
            signal: Chunks of what the backbone takes, [B, C, ...].
            hidden: Which of them are not to be seen, bool [B, C].
            tokens: int64 [B, L]; ``[PAD]`` behind a caption.
            asked: Places in the flattened tokens whose word is to be guessed, int64 [K].
        """
        network: Any = self.network  # see networks.table.Network
        chunks = network.embedded(signal.flatten(0, 1)).unflatten(0, hidden.shape)
        audio, text = self.streams(chunks, hidden, tokens)
        words = functional.linear(
            self.word_guess(text.flatten(0, 1)[asked]), self.text_input.words.weight, self.word_bias
        )
        both = torch.tanh(self.text_pool(text[:, 0])) * torch.tanh(self.audio_pool(audio[:, 0]))
        return Found(chunks, words, self.chunk_guess(audio[:, 1:]), self.match(self.dropout(both)))

    def streams(self, chunks: Tensor, hidden: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return audio [B, 1 + C, width] and text [B, L, width] behind all layers.

        Co-attention stands before the first layers of the audio and before the last ones of the text.
        """
        mask, joint = mask_of(tokens != PAD), len(self.co_attention)
        audio, text = self.audio_input(chunks, hidden), self.text_input(tokens)
        alone = len(self.text_layers) - joint
        for layer in self.text_layers[:alone]:
            text = layer(text, mask)
        for i, meeting in enumerate(self.co_attention):
            audio, text = meeting(audio, text, mask)
            text = self.text_layers[alone + i](text, mask)
            audio = self.audio_layers[i](audio)
        for layer in self.audio_layers[joint:]:
            audio = layer(audio)
        return audio, text
