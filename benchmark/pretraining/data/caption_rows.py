"""Captions of tracks as arrays: the distinct texts, one behind the other as UTF-8, and which of them each track has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STARTS, NUMBERS, OFFSETS, TEXTS = (
    "caption_starts.npy",
    "caption_numbers.npy",
    "caption_offsets.npy",
    "caption_texts.npy",
)
#: The arrays of captions, in the order that :class:`CaptionRows` takes them.
CAPTION_ARRAYS = (STARTS, NUMBERS, OFFSETS, TEXTS)


def caption_arrays(captions: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Return the arrays of the captions of each track: none, one or several.

    ``caption_starts.npy`` int64 [tracks + 1] and ``caption_numbers.npy`` int32 say which texts a track has;
    ``caption_offsets.npy`` int64 [texts + 1] and ``caption_texts.npy`` uint8 are the distinct texts, sorted.
    """
    texts = sorted({text for own in captions for text in own})
    numbers = {text: number for number, text in enumerate(texts)}
    encoded = [text.encode() for text in texts]
    return {
        STARTS: np.cumsum([0, *(len(own) for own in captions)], dtype="<i8"),
        NUMBERS: np.array([numbers[text] for own in captions for text in own], "<i4"),
        OFFSETS: np.cumsum([0, *(len(text) for text in encoded)], dtype="<i8"),
        TEXTS: np.frombuffer(b"".join(encoded), "u1"),
    }


class CaptionRows:
    """The captions of a store, from its arrays, which may be memory-mapped."""

    def __init__(self, starts: np.ndarray, numbers: np.ndarray, offsets: np.ndarray, texts: np.ndarray) -> None:
        self._starts, self._numbers, self._offsets, self._texts = starts, numbers, offsets, texts

    def belong(self, tracks: int) -> bool:
        """Say whether the arrays belong together, and to so many tracks."""
        starts, numbers, offsets, texts = self._starts, self._numbers, self._offsets, self._texts
        kinds = [array.dtype.str for array in (starts, numbers, offsets, texts)]
        if kinds != ["<i8", "<i4", "<i8", "|u1"] or any(array.ndim != 1 for array in (starts, numbers, offsets, texts)):
            return False
        ends = (
            len(starts) == tracks + 1 and len(offsets) > 0 and (starts[-1], offsets[-1]) == (len(numbers), len(texts))
        )
        return bool(ends and (not len(numbers) or (numbers.min() >= 0 and numbers.max() < len(offsets) - 1)))

    def of(self, rows: np.ndarray, draws: np.ndarray | None = None) -> tuple[str | None, ...]:
        """Return a caption of each of ``rows`` int64 [n], ``None`` where there is none.

        Args:
            rows: Rows.
            draws: float64 [n] in [0, 1): which of several captions; ``None`` for the first.
        """
        first = self._starts[rows]
        counts = self._starts[rows + 1] - first
        places = first if draws is None else first + (draws * counts).astype(np.int64)
        return tuple(
            self._text(int(self._numbers[place])) if count else None
            for place, count in zip(places, counts, strict=True)
        )

    def distinct(self) -> tuple[str, ...]:
        """Return every caption once, sorted."""
        return tuple(self._text(number) for number in range(len(self._offsets) - 1))

    def _text(self, number: int) -> str:
        return self._texts[self._offsets[number] : self._offsets[number + 1]].tobytes().decode()
