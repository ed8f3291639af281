"""The items of a task: track ids, splits, audio paths, groups and targets, in the order of their source.

A task has the splits train, valid and test, or folds: then each item is in one fold, and :meth:`Items.of_fold` gives
the three splits in which that fold is test.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "valid", "test")
FEWEST_FOLDS = 3  # one for test, one for validation, one to train on


@dataclass(frozen=True)
class Items:
    """n items of a task.

    Attributes:
        track_ids: n distinct ids.
        splits: n of ``train``, ``valid``, ``test``; or n names of folds.
        audio: n paths of audio files.
        groups: n group names (artists, songs) for clustered intervals and leak checks, or ``None``.
        targets: float32 [n, labels] for multilabel (0 or 1) and regression, int64 [n] for multiclass (label indices).
        labels: Label names in the order of the columns or indices; for regression the target names.
    """

    track_ids: tuple[str, ...]
    splits: tuple[str, ...]
    audio: tuple[Path, ...]
    groups: tuple[str, ...] | None
    targets: np.ndarray
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.track_ids)

    @property
    def folds(self) -> tuple[str, ...]:
        """The names of the folds in order (``2`` before ``10``); none where there are splits."""
        names = set(self.splits)
        return () if names <= set(SPLITS) else tuple(sorted(names, key=numbers_by_value))

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the folds, or else of the splits."""
        return self.folds or SPLITS

    def of_fold(self, fold: str) -> Items:
        """Return the items with ``fold`` as test, the next one (after the last, the first) as valid, others as train.

        Raises:
            ValueError: There is no such fold.
        """
        place = self.folds.index(fold)
        valid = self.folds[(place + 1) % len(self.folds)]
        named = {fold: "test", valid: "valid"}
        return replace(self, splits=tuple(named.get(name, "train") for name in self.splits))

    def rows(self, split: str) -> np.ndarray:
        """Return the int64 indices of the items of ``split`` (or of a fold), in order."""
        return np.flatnonzero(np.asarray(self.splits) == split)

    def take(self, rows: np.ndarray) -> Items:
        """Return the items at ``rows``."""
        return Items(
            tuple(self.track_ids[i] for i in rows),
            tuple(self.splits[i] for i in rows),
            tuple(self.audio[i] for i in rows),
            None if self.groups is None else tuple(self.groups[i] for i in rows),
            self.targets[rows],
            self.labels,
        )

    def counts(self) -> dict[str, int]:
        """Return the number of items per split, or per fold."""
        return {part: self.splits.count(part) for part in self.parts}

    def digest(self) -> str:
        """Return the sha256 of ids, splits, groups, targets and labels (not of paths: data may move)."""
        names = json.dumps([self.track_ids, self.splits, self.groups, self.labels])
        digest = hashlib.sha256(names.encode())
        digest.update(np.ascontiguousarray(self.targets).tobytes())
        return digest.hexdigest()

    def frame(self) -> pd.DataFrame:
        """Return the items as a table with columns track_id, split, audio, group and target."""
        import pandas as pd

        columns: dict[str, Any] = {
            "track_id": self.track_ids,
            "split": self.splits,
            "audio": [str(p) for p in self.audio],
        }
        columns["group"] = self.groups if self.groups is not None else [None] * len(self)
        columns["target"] = list(self.targets)
        return pd.DataFrame(columns)


def numbers_by_value(name: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts the numbers within names by their value."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]
