"""Labels of tracks as compressed sparse rows: what a track has, and what is not known of it.

A row holds the numbers of the labels that its track has. A label of which nobody knows is its complement (``~number``,
which is below zero), and a track of which no label is known holds :data:`ALL_UNKNOWN` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

ALL_UNKNOWN = -(2**31)
#: Begins the name of a label that is not known of a track.
UNKNOWN_MARK = "?"


def names_of(cells: Iterable[Sequence[str] | None]) -> tuple[str, ...]:
    """Return the sorted names of the labels of tracks."""
    return tuple(sorted({label.removeprefix(UNKNOWN_MARK) for cell in cells for label in cell or ()}))


def codes_of(cell: Sequence[str] | None, numbers: Mapping[str, int]) -> tuple[int, ...]:
    """Return the sorted codes of the labels of a track; ``None`` is a track of which no label is known."""
    if cell is None:
        return (ALL_UNKNOWN,)
    return tuple(sorted(~numbers[label[1:]] if label.startswith(UNKNOWN_MARK) else numbers[label] for label in cell))


def dense(starts: np.ndarray, codes: np.ndarray, rows: np.ndarray, labels: int) -> np.ndarray:
    """Return float32 [n, labels] of ``rows`` int64 [n]: 1 where a track has a label, NaN where it is not known, else 0.

    Args:
        starts: int64 [tracks + 1], where the codes of each track begin.
        codes: int32, see above.
        rows: Tracks.
        labels: How many labels there are.
    """
    rows = np.asarray(rows)
    counts, places = _places(starts, rows)
    here, held = np.repeat(np.arange(len(rows)), counts), codes[places]
    values = np.zeros((len(rows), labels), np.float32)
    whole = held == ALL_UNKNOWN
    values[here[whole]] = np.nan
    has = held >= 0
    values[here[has], held[has]] = 1
    part = ~(has | whole)
    values[here[part], ~held[part]] = np.nan
    return values


def has_unknown(codes: np.ndarray) -> bool:
    """Say whether any label of any track is not known."""
    return bool(len(codes)) and bool((np.asarray(codes) < 0).any())


def pieces_of(starts: np.ndarray, codes: np.ndarray, tracks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and codes of pieces, of which each has the labels of its track, ``tracks`` int64 [pieces]."""
    counts, places = _places(starts, tracks)
    return np.concatenate([[0], np.cumsum(counts)]).astype("<i8"), codes[places]


def _places(starts: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many codes each row has, and where all of these lie, row after row."""
    first = starts[rows]
    counts = starts[rows + 1] - first
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return counts, np.repeat(first, counts) + within
