"""A training under way: its probe, its step, and its best validation so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from probes.protocol import Settings
from probes.training import adam
from probes.training.mlp import Probes


@dataclass
class Training:
    """One training under way: where it stands, and the best that it has seen."""

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
    """Return the first look after the training's step, or at ``of`` or after it."""
    at = training.step + 1 if of is None else of
    return next(look for look in training.validations if look >= at)
