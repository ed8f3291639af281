"""The result of a search: settings, steps and scores of each trial, and the selected one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from probes.protocol import Settings
from probes.training.probe import TrainedProbe
from probes.training.state import Training

State = Literal["complete", "pruned", "diverged"]


@dataclass(frozen=True)
class TrialResult:
    """One trial.

    Attributes:
        number: Its place in the study.
        settings: What it tried.
        state: Complete, pruned, or diverged.
        score: Its best validation score (``-inf`` when it diverged).
        best_step: The steps after which that was reached.
        steps_run: The steps it was trained for.
        seconds: Its share of wall-clock time.
        rungs: Its validation scores where it was compared with others.
    """

    number: int
    settings: Settings
    state: State
    score: float
    best_step: int
    steps_run: int
    seconds: float
    rungs: tuple[float, ...] = ()


@dataclass(frozen=True)
class SearchResult:
    """All trials in order, and what came of them.

    Attributes:
        trials: In the order of their numbers.
        selected: Index of the best complete one, the earliest of those that count as equal.
        operations: Operations of all products of all steps that were trained, for the arithmetic floor of the search.
        probe: The selected trial's probe, where this process trained it.
        tolerance: How far below the best a score counts as equal; see :func:`probes.search.ties.tolerance`.
        runner_up: What would have been selected without the selected one.
    """

    trials: tuple[TrialResult, ...]
    selected: int
    operations: float
    probe: TrainedProbe | None = None
    tolerance: float = 0.0
    runner_up: TrialResult | None = None

    @property
    def settings(self) -> Settings:
        """The selected settings."""
        return self.trials[self.selected].settings

    @property
    def steps_run(self) -> int:
        """The budget spent: steps of all trials."""
        return sum(trial.steps_run for trial in self.trials)


@dataclass(frozen=True)
class Snapshot:
    """Where a training stands, kept when the training itself is not."""

    best_score: float
    best_step: int
    step: int
    seconds: float
    over: bool
    diverged: bool

    @classmethod
    def of(cls, training: Training) -> Snapshot:
        """Return where ``training`` stands now."""
        return cls(
            training.best_score, training.best_step, training.step, training.seconds, training.over, training.diverged
        )
