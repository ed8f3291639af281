"""How far a run is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Progress:
    """How far a run is; what a checkpoint holds beside the trainer's state.

    Attributes:
        step: Finished steps.
        best: Lowest mean loss between two checkpoints.
        total: Sum of the losses since the last checkpoint.
        count: Their number.
        best_is_new: Whether the checkpoint that is being written is the best.
    """

    step: int = 0
    best: float = math.inf
    total: float = 0.0
    count: int = 0
    loss: float = math.nan
    best_is_new: bool = field(default=False, compare=False)

    def close_interval(self) -> None:
        """Take the losses since the last checkpoint together."""
        mean = self.total / max(self.count, 1)
        self.best_is_new = self.count > 0 and mean < self.best
        self.best = min(self.best, mean) if self.count else self.best
        self.total, self.count = 0.0, 0
