"""The three kinds of tasks, and what differs between them: everything else asks :data:`KINDS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["multiclass", "multilabel", "regression"]


@dataclass(frozen=True)
class TaskKind:
    """What differs between kinds of tasks.

    Attributes:
        has_labels: Whether targets are labels; else they are numbers, and each target column has metrics of its own.
        several: Whether an item has any number of labels; else it has exactly one.
        shown: How many labels are shown of a prediction, the most probable ones; ``None`` shows all targets.
    """

    has_labels: bool
    several: bool
    shown: int | None

    def encode(self, names: Sequence[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
        """Return the targets of n items, given the labels of each: int64 [n], or with ``several`` 0/1 float32 [n, L].

        Raises:
            KeyError: A name that is not among ``labels``.
        """
        index = {label: i for i, label in enumerate(labels)}
        if not self.several:
            return np.array([index[name] for (name,) in names], np.int64)
        targets = np.zeros((len(names), len(labels)), np.float32)
        for row, of_item in zip(targets, names, strict=True):
            row[[index[name] for name in of_item]] = 1
        return targets

    def labels_of(self, target: np.ndarray) -> list[int]:
        """Return the indices of the labels that an item has, given its row of the targets; of numbers none."""
        if not self.has_labels:
            return []
        return np.flatnonzero(target > 0).tolist() if self.several else [int(target)]

    def membership(self, targets: np.ndarray, labels: int) -> np.ndarray:
        """Return bool [n, labels]: which item has which label; of numbers [n, 0]."""
        if not self.has_labels:
            return np.zeros((len(targets), 0), bool)
        return np.asarray(targets > 0 if self.several else targets[:, None] == np.arange(labels))

    def objective(self, metrics: tuple[str, ...]) -> tuple[str, ...]:
        """Return the metrics whose mean a search maximises: the first, or all where one probe answers all targets."""
        return metrics[:1] if self.has_labels else metrics


KINDS: Mapping[Kind, TaskKind] = {
    "multiclass": TaskKind(has_labels=True, several=False, shown=5),
    "multilabel": TaskKind(has_labels=True, several=True, shown=10),
    "regression": TaskKind(has_labels=False, several=True, shown=None),
}
