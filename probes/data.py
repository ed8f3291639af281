"""What a probe learns from: one split's arrays, and the pair of splits that selection may see.

Test is not among them. :class:`TrainValid` refuses the ids that the caller has sealed, so that no code path can hand a
test item to the search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


class LeakError(ValueError):
    """A sealed (test) item, or one item twice, stands among what selection would see."""


@dataclass(frozen=True)
class SplitArrays:
    """One split: n distinct ids, float32 embeddings [n, D], targets int64 [n] or float32 [n, L]."""

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
        bad = np.flatnonzero(~np.isfinite(self.embeddings).all(axis=1))
        if len(bad):
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
                raise LeakError(f"{len(leaked)} test item(s) in {name}, among them {', '.join(leaked[:5])}")
            if len(set(split.ids)) < len(split.ids):
                raise LeakError(f"an id stands twice in {name}")
        shared = sorted(set(self.train.ids).intersection(self.valid.ids))
        if shared:
            raise LeakError(f"{len(shared)} item(s) in both train and valid, among them {', '.join(shared[:5])}")
