"""The kinds of tasks that a probe answers, and what differs between them in training, baselines and sampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["multiclass", "multilabel", "regression"]
Loss = Literal["cross_entropy", "binary_cross_entropy", "squared_error"]


@dataclass(frozen=True)
class TargetKind:
    """What differs between kinds of targets.

    Attributes:
        loss: The usual one.
        one_class: Whether targets are int64 [n], one class an item; else they are float32 [n, outputs].
        numeric: Whether targets are numbers, which are z-scored for training; else they are classes or labels.
    """

    loss: Loss
    one_class: bool
    numeric: bool

    def matrix(self, targets: np.ndarray, outputs: int) -> np.ndarray:
        """Return targets [n, outputs]: classes one-hot in float32, all others as they are."""
        return np.eye(outputs, dtype=np.float32)[targets] if self.one_class else targets


KINDS: Mapping[Kind, TargetKind] = {
    "multiclass": TargetKind("cross_entropy", one_class=True, numeric=False),
    "multilabel": TargetKind("binary_cross_entropy", one_class=False, numeric=False),
    "regression": TargetKind("squared_error", one_class=False, numeric=True),
}
