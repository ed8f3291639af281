"""What a step of MuLaP hides and swaps: tokens, chunks of audio, and captions. All draws come from the given generator.

Probabilities of Manco et al. 2022: 15 % of the tokens, of which 80 % are read as ``[MASK]``, 10 % as any other piece
and 10 % as they are; 15 % of the chunks; half of the captions.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.pretraining.strategies.language.tokenizer import MASK, SPECIAL

TOKENS, CHUNKS, SWAPPED = 0.15, 0.15, 0.5
#: Of hidden tokens, those that are read as the mask, and those that are read as another piece.
AS_MASK, AS_OTHER = 0.8, 0.1
#: In place of the number of a token that is not to be guessed.
IGNORED = -1


@dataclass(frozen=True)
class Tokens:
    """Tokens of a batch.

    Attributes:
        read: What the network reads, int64 [B, L].
        wanted: The number that stood there where it is to be guessed, and -1 elsewhere, int64 [B, L].
    """

    read: np.ndarray
    wanted: np.ndarray


@dataclass(frozen=True)
class Pairing:
    """Which caption is shown beside which audio.

    Attributes:
        caption: For each row of the batch the row whose caption it gets, int64 [B].
        swapped: Whether that is the caption of something else, bool [B].
        asked: Whether that is a question: the row has a caption, and another row of the batch has a different one.
    """

    caption: np.ndarray
    swapped: np.ndarray
    asked: np.ndarray


def hide_tokens(tokens: np.ndarray, vocabulary: int, rng: np.random.Generator, probability: float = TOKENS) -> Tokens:
    """Hide tokens [B, L]; special ones never.

    Args:
        tokens: Numbers of a vocabulary, int64.
        vocabulary: How many there are.
        rng: What draws.
        probability: Of each.
    """
    chosen = (rng.random(tokens.shape) < probability) & (tokens >= len(SPECIAL))
    how, other = rng.random(tokens.shape), rng.integers(len(SPECIAL), vocabulary, tokens.shape)
    read = np.where(chosen & (how < AS_MASK), MASK, tokens)
    read = np.where(chosen & (how >= AS_MASK) & (how < AS_MASK + AS_OTHER), other, read)
    return Tokens(read, np.where(chosen, tokens, IGNORED))


def hide_chunks(rows: int, chunks: int, rng: np.random.Generator, probability: float = CHUNKS) -> np.ndarray:
    """Return which chunks are hidden, bool [rows, chunks]: each by itself, all of a row now and then."""
    return rng.random((rows, chunks)) < probability


def pair(
    captions: Sequence[Hashable | None], tracks: np.ndarray, rng: np.random.Generator, probability: float = SWAPPED
) -> Pairing:
    """Give some rows the caption of another track of the batch, one of another text.

    A row without a caption keeps none. A row whose caption all other tracks share, or that is alone, keeps its own and
    is no question: whatever it is shown with would be a match.

    Args:
        captions: Of each row, as it is read: what is read alike is the same; ``None`` where it has none.
        tracks: The number of each row's track, int64 [B]: another caption of the same track fits it as well.
        rng: What draws.
        probability: Of a swap.
    """
    numbers = {text: number for number, text in enumerate(dict.fromkeys(captions))}
    texts = np.array([numbers[caption] for caption in captions])
    has = np.array([caption is not None for caption in captions], bool)
    draws = rng.random((2, len(texts)))
    caption, asked = np.arange(len(texts)), np.zeros(len(texts), bool)
    swapped = np.zeros(len(texts), bool)
    for row in np.flatnonzero(has):
        others = np.flatnonzero(has & (texts != texts[row]) & (tracks != tracks[row]))
        if len(others):
            asked[row], swapped[row] = True, draws[0, row] < probability
            if swapped[row]:
                caption[row] = others[int(draws[1, row] * len(others))]
    return Pairing(caption, swapped, asked)
