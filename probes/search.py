"""Search the probe's settings with Optuna (seeded TPE) on train and valid. Test is out of reach by construction."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import optuna

from probes.data import TrainValid
from probes.protocol import ProbeSpec, Protocol, Settings
from probes.training import ScoreFunction, train

SAMPLER = "tpe"


@dataclass(frozen=True)
class TrialResult:
    """One trial: its settings, best validation score (``-inf`` when it diverged), the step of it, and its seconds."""

    number: int
    settings: Settings
    score: float
    best_step: int
    seconds: float


@dataclass(frozen=True)
class SearchResult:
    """All trials in order, and the index of the selected one: the best, and the earliest of equals."""

    trials: tuple[TrialResult, ...]
    selected: int

    @property
    def settings(self) -> Settings:
        """The selected settings."""
        return self.trials[self.selected].settings


def search(
    spec: ProbeSpec,
    protocol: Protocol,
    data: TrainValid,
    score: ScoreFunction,
    *,
    trials: int,
    seed: int,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> SearchResult:
    """Try ``trials`` settings within the protocol's ranges and select the best on ``data.valid``.

    The first trial is the middle of the protocol (learning rate 1e-3, no L2, standardised), so that a short search
    starts from a sane probe; TPE chooses the rest.

    Args:
        spec: The fixed part of the probe.
        protocol: The ranges.
        data: Train and valid.
        score: Validation score, larger is better.
        trials: How many settings to try, at least 1.
        seed: Seed of the sampler and of every trial's training.
        device: torch's name of the device.
        progress: Called with (trials done, trials).

    Raises:
        ValueError: No trials asked for.
        FloatingPointError: Every trial diverged.
    """
    if trials < 1:
        raise ValueError("a search needs at least one trial")
    optuna.logging.set_verbosity(logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(_middle(protocol))
    done: list[TrialResult] = []
    for number in range(trials):
        asked = study.ask()
        settings = suggest(asked, protocol)
        try:
            probe = train(spec, settings, data, score, seed=seed, device=device)
        except FloatingPointError:
            done.append(TrialResult(number, settings, -math.inf, 0, 0.0))
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
        else:
            done.append(TrialResult(number, settings, probe.valid_score, probe.best_step, probe.seconds))
            study.tell(asked, probe.valid_score)
        if progress is not None:
            progress(number + 1, trials)
    selected = max(range(trials), key=lambda i: (done[i].score, -i))
    if done[selected].score == -math.inf:
        raise FloatingPointError(f"all {trials} trials diverged: the embeddings may be of an extreme scale")
    return SearchResult(tuple(done), selected)


def suggest(trial: optuna.Trial, protocol: Protocol) -> Settings:
    """Ask ``trial`` for settings within the protocol's ranges."""
    learning_rate = trial.suggest_float("learning_rate", *protocol.learning_rate, log=True)
    l2 = (
        trial.suggest_float("l2", *protocol.l2, log=True)
        if trial.suggest_categorical("regularise", [False, True])
        else 0.0
    )
    steps = trial.suggest_int("steps", *protocol.steps, log=True)
    standardise = trial.suggest_categorical("standardise", list(protocol.standardise))
    return Settings(learning_rate, l2, steps, bool(standardise))


def _middle(protocol: Protocol) -> dict[str, object]:
    low, high = protocol.learning_rate
    return {
        "learning_rate": min(max(1e-3, low), high),
        "regularise": False,
        "steps": round(math.sqrt(protocol.steps[0] * protocol.steps[1])),
        "standardise": protocol.standardise[0],
    }
