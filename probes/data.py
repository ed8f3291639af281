"""The data of a probe: the arrays of one split, and the pair of splits that selection may use.

Test is not among them. :class:`TrainValid` refuses the ids that the caller has sealed, so that no code path can hand a
test item to the search. Embeddings may be memory-mapped: whoever needs all of them goes through :func:`blocks`.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from probes.errors import ProbeError

BLOCK_ROWS = 8192
CONSTANT, NOISE = 1e-6, 1e-12
SMALLEST = 1 / float(np.finfo(np.float32).max)  # of which float32 has no inverse


class LeakError(ProbeError):
    """A sealed (test) item, or one item twice, stands among what selection would see."""


@dataclass(frozen=True)
class SplitArrays:
    """One split: n distinct ids, float32 embeddings [n, D], targets int64 [n] or float32 [n, L].

    Raises:
        ValueError: Nothing in it, lengths that differ, or embeddings that are not finite.
    """

    ids: tuple[str, ...]
    embeddings: np.ndarray
    targets: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.ids)
        if n == 0:
            raise ValueError("a split needs at least one item")
        if self.embeddings.ndim != 2 or len(self.embeddings) != n or len(self.targets) != n:
            raise ValueError(
                f"{n} ids, embeddings {self.embeddings.shape} and targets {self.targets.shape} do not belong together"
            )
        bad: list[int] = []
        for start, block in blocks(self.embeddings):
            bad.extend(start + np.flatnonzero(~np.isfinite(block).all(axis=1)))
        if bad:
            named = ", ".join(self.ids[i] for i in bad[:5])
            raise ValueError(f"{len(bad)} embeddings are not finite, among them {named}")

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class TrainValid:
    """The two splits that selection sees, and the ids that it must never see.

    Raises:
        LeakError: An id of train or valid is sealed, or stands in both.
    """

    train: SplitArrays
    valid: SplitArrays
    sealed: frozenset[str]

    def __post_init__(self) -> None:
        for name, split in (("train", self.train), ("valid", self.valid)):
            leaked = sorted(self.sealed.intersection(split.ids))
            if leaked:
                raise LeakError(
                    f"{len(leaked)} test item(s) in {name}, among them {', '.join(leaked[:5])}",
                    "give each item one split",
                )
            if len(set(split.ids)) < len(split.ids):
                raise LeakError(f"an id occurs twice in {name}", "give every item an id of its own")
        shared = sorted(set(self.train.ids).intersection(self.valid.ids))
        if shared:
            raise LeakError(
                f"{len(shared)} item(s) in both train and valid, among them {', '.join(shared[:5])}",
                "give each item one split",
            )


def blocks(embeddings: np.ndarray, rows: int = BLOCK_ROWS) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, float32 [<= rows, D]) over all of ``embeddings``; of a memory map, no more stays in memory."""
    for start in range(0, len(embeddings), rows):
        yield start, np.asarray(embeddings[start : start + rows])
        release(embeddings)


def release(embeddings: np.ndarray) -> None:
    """Let go of the pages of a memory map, which would count as this process's memory until it ends."""
    mapped = getattr(embeddings, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def standardisation(embeddings: np.ndarray, *, on: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 mean [D] and scale [D] of the z-score on ``embeddings`` [n, D]; 0 and 1 when it is off.

    A constant dimension has the scale 0, so that it says nothing, also where it is another constant elsewhere. One
    counts as constant when it deviates by at most :data:`CONSTANT` of its mean or :data:`NOISE` of the dimension that
    deviates most: relative to both, so that the unit of the embeddings does not matter.
    """
    n, dim = embeddings.shape
    if not on:
        return np.zeros(dim, np.float32), np.ones(dim, np.float32)
    mean = np.zeros(dim)
    for _, block in blocks(embeddings):
        mean += block.sum(axis=0, dtype=np.float64)
    mean /= n
    square = np.zeros(dim)
    for _, block in blocks(embeddings):
        square += np.square(block - mean).sum(axis=0)
    deviation = np.sqrt(square / n)
    least = np.maximum(CONSTANT * np.abs(mean), NOISE * deviation.max())
    constant = (deviation <= least) | (deviation < SMALLEST)
    return mean.astype(np.float32), np.where(constant, 0, 1 / np.where(constant, 1, deviation)).astype(np.float32)
