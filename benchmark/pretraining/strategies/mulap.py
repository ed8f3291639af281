"""MuLaP (Manco et al. 2022): music and its captions, with words and chunks to guess and pairs to tell apart.

Three losses of one forward pass: masked language modelling (weight 0.1; not of swapped captions), masked audio
modelling (4.0) and audio-text matching (2.0). A track without a caption adds to the second alone. The published code
compares hidden chunks with zeros and lets the token of the whole crop see them; here neither is so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from benchmark.errors import UserError
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.data.store import Store
from benchmark.pretraining.networks.table import NETWORKS, build
from benchmark.pretraining.strategies.contract import Context, Data, StepOutcome, Strategy, Views, signal_of
from benchmark.pretraining.strategies.language import masking, pretrained
from benchmark.pretraining.strategies.language.layers import Width, bert_of_transformers
from benchmark.pretraining.strategies.language.network import AudioAndText, Found, Sizes
from benchmark.pretraining.strategies.language.tokenizer import Tokenizer, padded, refuse_small, train
from benchmark.pretraining.strategies.recipe import Recipe

#: Takes the mean of a tensor over processes, without gradient.
Mean = Callable[[Tensor], Tensor]


class MulapRecipe(Recipe):
    """The keys of MuLaP; the defaults are the paper's sizes."""

    objective: Literal["mulap"] = "mulap"
    network: Literal[tuple(NETWORKS)] = "musicnn"  # type: ignore[valid-type]
    #: Frames of a chunk, of 10 ms: a crop is a whole number of them.
    chunk_frames: int = Field(300, ge=16)
    #: The most tokens of a caption, its two ends included; a longer one is cut at its end.
    tokens: int = Field(64, ge=3)
    #: The most entries of the vocabulary, which is trained on the store's captions where there is no text_model.
    vocabulary: int = Field(30_522, ge=16)
    #: A BERT that is at hand, a folder or a name in Hugging Face's cache: its vocabulary and first layers are taken.
    text_model: str | None = None
    text_layers: int = Field(6, ge=1)
    text_width: int = Field(768, ge=1)
    text_heads: int = Field(12, ge=1)
    text_hidden: int = Field(3072, ge=1)
    audio_layers: int = Field(6, ge=1)
    audio_width: int = Field(256, ge=1)
    audio_heads: int = Field(8, ge=1)
    audio_hidden: int = Field(1024, ge=1)
    #: Layers of co-attention, before the first of the audio and before the last of the text.
    joint_layers: int = Field(2, ge=1)
    joint_width: int = Field(1024, ge=1)
    joint_heads: int = Field(8, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    #: Shares of tokens and chunks that are hidden, and of captions that are swapped.
    hidden_tokens: float = Field(masking.TOKENS, gt=0, lt=1)
    hidden_chunks: float = Field(masking.CHUNKS, gt=0, lt=1)
    swapped_captions: float = Field(masking.SWAPPED, gt=0, lt=1)
    word_weight: float = Field(0.1, ge=0)
    chunk_weight: float = Field(4.0, ge=0)
    match_weight: float = Field(2.0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> MulapRecipe:
        if self.frames % self.chunk_frames:
            raise ValueError(f"frames is {self.frames}: it must be a multiple of chunk_frames, {self.chunk_frames}")
        for stream in ("text", "audio", "joint"):
            width, heads = getattr(self, f"{stream}_width"), getattr(self, f"{stream}_heads")
            if width % heads:
                raise ValueError(f"{stream}_width is {width}: it must be a multiple of {stream}_heads, {heads}")
        if self.joint_layers > min(self.text_layers, self.audio_layers):
            raise ValueError(
                f"joint_layers is {self.joint_layers}: there are {self.text_layers} layers of the text and "
                f"{self.audio_layers} of the audio before which they can stand"
            )
        return self

    @property
    def chunks(self) -> int:
        """Chunks of a crop."""
        return self.frames // self.chunk_frames


@dataclass(frozen=True)
class Shown:
    """Tracks of a batch.

    Attributes:
        crops: Waveforms [B, samples] or log-mels [B, 96, frames], on the device.
        captions: Of each; ``None`` where it has none.
        tracks: The number of each one's track, int64 [B].
    """

    crops: Tensor
    captions: Sequence[str | None]
    tracks: np.ndarray


@dataclass(frozen=True)
class Questions:
    """What a step shows and asks, on the device.

    Attributes:
        signal: Chunks of what the backbone takes, [B, C, ...].
        hidden: Those that are not to be seen, bool [B, C].
        tokens: Captions as they are read, int64 [B, L].
        wanted: Words to be guessed, and -1 elsewhere, int64 [B, L].
        swapped: Whether the caption is another's, bool [B].
        asked: Whether that is asked, bool [B].
    """

    signal: Tensor
    hidden: Tensor
    tokens: Tensor
    wanted: Tensor
    swapped: Tensor
    asked: Tensor


class Mulap(Strategy):
    """One crop a track, and its caption. The backbone is exported."""

    recipe_class: ClassVar[type[Recipe]] = MulapRecipe
    model: AudioAndText

    @classmethod
    def views(cls, recipe: MulapRecipe) -> Views:
        """Return one crop of the backbone's signal with captions."""
        return Views(captions=True, signals=frozenset({NETWORKS[recipe.network].signal}))

    @classmethod
    def check(cls, recipe: MulapRecipe, store: Store) -> None:
        """See whether the store's captions do, and whether the text's layers can be built.

        Raises:
            UserError: All captions are the same, or they come to too few pieces of words; or the package transformers
                is not installed.
        """
        captions = store.distinct_captions()
        if len(captions) < 2:
            raise UserError(
                f"the store {store.path} has {len(captions)} different captions: none could be told from another",
                f"give it others: bench pretrain prepare AUDIO --out {store.path} --captions FILE.csv",
            )
        text_of(recipe, captions)
        bert_of_transformers()

    def __init__(self, recipe: MulapRecipe, data: Data) -> None:
        """See :class:`benchmark.pretraining.strategies.contract.Strategy`."""
        self.recipe = recipe
        self.tokenizer, text = text_of(recipe, data.captions)
        network = build(recipe.network, recipe.drop_rate)
        self.model = AudioAndText(network, NETWORKS[recipe.network].dim, sizes_of(recipe, len(self.tokenizer)))
        if text is not None:
            text.fill(self.model)

    def questions(self, batch: Batch, context: Context) -> Questions:
        """Return what a step shows and asks; all draws are of the seed, the step and the process."""
        (crops,) = signal_of(batch, self.recipe.network)
        shown = Shown(
            context.tensor(crops).float(),
            batch.captions or (None,) * len(crops),
            batch.rows if batch.tracks is None else batch.tracks,
        )
        return asked_of(shown, self.tokenizer, self.recipe, context.rng(batch.step))

    def backward(self, batch: Batch, context: Context) -> StepOutcome:
        """Add the gradients of the weighted sum of the three losses."""
        return self.answered(self.questions(batch, context), batch.step, context)

    def answered(self, questions: Questions, step: int, context: Context) -> StepOutcome:
        """Add the gradients of given questions."""
        places = torch.nonzero(questions.wanted.flatten() != masking.IGNORED)[:, 0]
        context.seed(step)
        found: Found = context.module(questions.signal, questions.hidden, questions.tokens, places)
        wanted = questions.wanted.flatten()[places]
        losses = {
            "words": word_loss(found.words, wanted, context.mean),
            "chunks": chunk_loss(found.guessed, found.chunks, questions.hidden, context.mean),
            "matches": match_loss(found.matches, questions.swapped, questions.asked, context.mean),
        }
        recipe = self.recipe
        weights = {"words": recipe.word_weight, "chunks": recipe.chunk_weight, "matches": recipe.match_weight}
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        context.backward(loss)
        values = {f"loss/{name}": value.detach() for name, value in losses.items()}
        return StepOutcome(loss.detach(), found.chunks.detach().mean(1), values)

    def state(self) -> dict[str, Any]:
        """Return the vocabulary."""
        return {"vocabulary": list(self.tokenizer.vocabulary)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the vocabulary that the weights were trained with."""
        self.tokenizer = Tokenizer(state["vocabulary"])


def text_of(recipe: MulapRecipe, captions: Sequence[str]) -> tuple[Tokenizer, pretrained.Text | None]:
    """Return the tokenizer of captions, and the weights of the text that is at hand, where the recipe names one.

    Raises:
        UserError: The captions come to too few pieces, or what is at hand does not do.
    """
    if recipe.text_model is None:
        return Tokenizer(train(captions, recipe.vocabulary)), None
    text = pretrained.read(recipe.text_model, sizes_of(recipe, 0).text, recipe.tokens)
    tokenizer = Tokenizer(text.vocabulary)
    refuse_small(tokenizer, captions)
    return tokenizer, text


def sizes_of(recipe: MulapRecipe, vocabulary: int) -> Sizes:
    """Return the sizes of the transformers."""
    text = Width(recipe.text_layers, recipe.text_width, recipe.text_heads, recipe.text_hidden)
    audio = Width(recipe.audio_layers, recipe.audio_width, recipe.audio_heads, recipe.audio_hidden)
    joint = Width(recipe.joint_layers, recipe.joint_width, recipe.joint_heads)
    return Sizes(vocabulary, recipe.tokens, recipe.chunks, text, audio, joint, recipe.dropout)


def asked_of(shown: Shown, tokenizer: Tokenizer, recipe: MulapRecipe, rng: np.random.Generator) -> Questions:
    """Return what a step shows and asks of tracks."""
    texts = [None if text is None else tuple(tokenizer.row(text, recipe.tokens)) for text in shown.captions]
    pairing = masking.pair(texts, shown.tracks, rng, recipe.swapped_captions)
    captions = padded([texts[row] or tokenizer.row(None, recipe.tokens) for row in pairing.caption])
    tokens = masking.hide_tokens(captions, len(tokenizer), rng, recipe.hidden_tokens)
    wanted = np.where(pairing.swapped[:, None], masking.IGNORED, tokens.wanted)
    hidden = masking.hide_chunks(len(captions), recipe.chunks, rng, recipe.hidden_chunks)
    arrays = (hidden, tokens.read, wanted, pairing.swapped, pairing.asked)
    device = shown.crops.device
    return Questions(in_chunks(shown.crops, recipe.chunks), *(torch.from_numpy(array).to(device) for array in arrays))


def in_chunks(crops: Tensor, chunks: int) -> Tensor:
    """Return waveforms [B, samples] as [B, chunks, samples / chunks], log-mels [B, 96, frames] likewise in time."""
    found: Tensor = crops.unflatten(-1, (chunks, -1))  # type: ignore[no-untyped-call]
    return found if crops.ndim == 2 else found.transpose(1, 2)


def one_process(value: Tensor) -> Tensor:
    """Return the mean over one process."""
    return value


def _over_all(total: Tensor, count: Tensor, mean: Mean) -> Tensor:
    """Return a sum of this process over the mean of the counts of all: the mean over processes is the joint mean.

    Where nothing is counted it is 0.
    """
    return total / mean(count.to(total.dtype)).clamp_min(torch.finfo(total.dtype).tiny)


def word_loss(logits: Tensor, wanted: Tensor, mean: Mean = one_process) -> Tensor:
    """Return the cross-entropy of words, the mean over those that are asked for, and 0 where none is.

    Args:
        logits: [K, V].
        wanted: int64 [K]; -1 where nothing is asked.
        mean: Takes the mean over processes, so that the mean of the values is that of the joint batch.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    total = functional.cross_entropy(logits, wanted, ignore_index=masking.IGNORED, reduction="sum")
    return _over_all(total, (wanted != masking.IGNORED).sum(), mean)


def chunk_loss(guessed: Tensor, chunks: Tensor, hidden: Tensor, mean: Mean = one_process) -> Tensor:
    """Return the squared error at hidden chunks, the mean over them and over dimensions, and 0 where none is hidden.

    Args:
        guessed: [B, C, D].
        chunks: What stands there, [B, C, D]; no gradient flows there.
        hidden: bool [B, C].
        mean: See :func:`word_loss`.
    """
    dtype = torch.promote_types(guessed.dtype, torch.float32)
    errors = (guessed.to(dtype) - chunks.detach().to(dtype)).square().mean(2)
    return _over_all(torch.where(hidden, errors, 0.0).sum(), hidden.sum(), mean)


def match_loss(logits: Tensor, swapped: Tensor, asked: Tensor, mean: Mean = one_process) -> Tensor:
    """Return the cross-entropy of match (0) and mismatch (1), the mean over rows that are asked, and 0 without one.

    Args:
        logits: [B, 2].
        swapped: Whether the caption is another's, bool [B].
        asked: bool [B].
        mean: See :func:`word_loss`.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    errors = functional.cross_entropy(logits, swapped.long(), reduction="none")
    return _over_all(torch.where(asked, errors, 0.0).sum(), asked.sum(), mean)
