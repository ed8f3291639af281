"""Layers of two transformers that read each other: BERT's, from the package transformers, and co-attention.

Co-attention is that of ViLBERT (Lu et al. 2019): the queries of one stream meet the keys and values of the other, and
behind it each stream has a feed-forward block. Manco et al. 2022 count 2 x 1,049,600 weights more, of linear layers
that ViLBERT's code builds and never calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.errors import UserError
from benchmark.system.extras import install_command

#: Epsilon of BERT's layer normalisation.
NORM_EPS = 1e-12


@dataclass(frozen=True)
class Width:
    """Sizes of one stream's layers.

    Attributes:
        layers: How many.
        width: Of a token.
        heads: Of attention.
        hidden: Width of the feed-forward block; co-attention has those of the streams.
    """

    layers: int
    width: int
    heads: int
    hidden: int = 0


def bert_layers(sizes: Width, dropout: float) -> nn.ModuleList:
    """Return so many of BERT's layers, each called with tokens [N, L, width] and a mask, as :func:`mask_of` makes it.

    Raises:
        UserError: The package transformers is not installed.
    """
    bert = bert_of_transformers()
    config = bert.BertConfig(
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.hidden,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        layer_norm_eps=NORM_EPS,
        attn_implementation="sdpa",
    )
    return nn.ModuleList(bert.BertLayer(config) for _ in range(sizes.layers))


def bert_of_transformers() -> Any:
    """Return the module of BERT.

    Raises:
        UserError: The package transformers is not installed.
    """
    try:
        from transformers.models.bert import modeling_bert
    except ImportError:
        raise UserError(
            "the transformers of MuLaP are built by the package transformers, which is not installed",
            f"Install it:\n  {install_command('hf')}",
        ) from None
    return modeling_bert


def mask_of(real: Tensor) -> Tensor:
    """Return from which tokens are there, bool [N, L], what attention takes: [N, 1, 1, L]."""
    return real[:, None, None, :]


class Asking(nn.Module):
    """One direction of co-attention: a stream asks the other, then its own feed-forward block."""

    def __init__(self, stream: Width, dropout: float, joint: int) -> None:
        super().__init__()
        width = stream.width
        self.query, self.key, self.value = (nn.Linear(width, joint) for _ in range(3))
        self.out, self.out_norm = nn.Linear(joint, width), nn.LayerNorm(width, NORM_EPS)
        self.wide, self.narrow = nn.Linear(width, stream.hidden), nn.Linear(stream.hidden, width)
        self.norm = nn.LayerNorm(width, NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def closed(self, rows: Tensor, found: Tensor) -> Tensor:
        """Return the stream [N, L, width] after what it has found [N, L, joint]."""
        rows = self.out_norm(rows + self.dropout(self.out(found)))
        more: Tensor = self.dropout(self.narrow(functional.gelu(self.wide(rows))))
        return self.norm(rows + more)


class CoAttention(nn.Module):
    """Audio asks text and text asks audio, both of the tokens before the layer."""

    def __init__(self, audio: Width, text: Width, joint: Width, dropout: float) -> None:
        super().__init__()
        self.audio, self.text = (Asking(stream, dropout, joint.width) for stream in (audio, text))
        self.heads, self.dropout = joint.heads, dropout

    def forward(self, audio: Tensor, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Map audio [N, A, width] and text [N, L, width] to the same shapes; ``mask`` is of the text's tokens."""
        found_in_text = self._attention(self.audio.query(audio), self.text.key(text), self.text.value(text), mask)
        found_in_audio = self._attention(self.text.query(text), self.audio.key(audio), self.audio.value(audio), None)
        return self.audio.closed(audio, found_in_text), self.text.closed(text, found_in_audio)

    def _attention(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        rate = self.dropout if self.training else 0.0
        found = functional.scaled_dot_product_attention(
            self._by_head(query), self._by_head(key), self._by_head(value), mask, rate
        )
        return found.transpose(1, 2).flatten(2)

    def _by_head(self, rows: Tensor) -> Tensor:
        found: Tensor = rows.unflatten(2, (self.heads, -1))  # type: ignore[no-untyped-call]
        return found.transpose(1, 2)


@torch.no_grad()
def draw_as_bert(module: nn.Module, deviation: float = 0.02) -> None:
    """Draw weights as BERT does: normal, biases 0; those of normalisation stay."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            part.weight.normal_(0, deviation)
        if isinstance(part, nn.Linear) and part.bias is not None:
            part.bias.zero_()
