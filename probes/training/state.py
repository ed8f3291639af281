"""The state of one training, which can be stopped at any step and continued."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from probes.protocol import Settings
from probes.training import adam
from probes.training.mlp import Probes


@dataclass
class Training:
    """A training in progress: its probe, its step, and its best validation so far."""

    settings: Settings
    seed: int
    probe: Probes
    decayed: adam.Moments
    free: adam.Moments
    validations: list[int]
    step: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    best_score: float = -math.inf
    best_step: int = 0
    improved_step: int = 0
    best: Probes | None = None
    over: bool = False
    seconds: float = 0.0

    @property
    def diverged(self) -> bool:
        """Whether it is over without a finite validation score."""
        return self.over and self.best_step == 0


def next_validation(training: Training, of: int | None = None) -> int:
    """Return the step of the next validation after the training's step, or at or after the step ``of``."""
    first = training.step + 1 if of is None else of
    return next(step for step in training.validations if step >= first)
