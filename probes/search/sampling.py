"""Sampling of settings: Optuna's samplers, the given first trials, and the parameters of a study."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from probes.protocol import Protocol, Settings

Sampler = Literal["tpe", "random", "grid"]


class StudySampler(optuna.samplers.BaseSampler):
    """Optuna's samplers, made to depend on the seed, the trial's number and what was told alone.

    So a process that takes a study up asks what the one before it would have asked. The first trials are given.

    Args:
        name: Which.
        seed: The search's.
        first: The settings of the first trials.
    """

    def __init__(self, name: Sampler, seed: int, first: Sequence[Settings]) -> None:
        self._name, self._seed, self._first = name, seed, [parameters_of(settings) for settings in first]

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what is sampled jointly: nothing of a trial that is given."""
        if trial.number < len(self._first):
            return {}
        return self._base(trial.number, "").infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample jointly."""
        if trial.number < len(self._first):
            return {}
        return self._base(trial.number, "").sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample one parameter, or return the given one."""
        if trial.number < len(self._first):
            return self._first[trial.number][param_name]
        base = self._base(trial.number, param_name)
        return base.sample_independent(study, trial, param_name, param_distribution)

    def _base(self, number: int, parameter: str) -> optuna.samplers.BaseSampler:
        seed = int(np.random.default_rng([self._seed, 5, number, zlib.crc32(parameter.encode())]).integers(2**31))
        if self._name != "tpe":
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():  # versions before 5 call both options experimental
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def suggest(trial: optuna.Trial, protocol: Protocol, *, grid: bool = False) -> None:
    """Ask ``trial`` for settings within the protocol's ranges; what has one value alone is not asked for."""
    if grid and protocol.grid is not None:
        trial.suggest_categorical("learning_rate", list(protocol.grid[0]))
        trial.suggest_categorical("l2", list(protocol.grid[1]))
    else:
        trial.suggest_float("learning_rate", *protocol.learning_rate, log=True)
        if trial.suggest_categorical("regularise", [False, True]):
            trial.suggest_float("l2", *protocol.l2, log=True)
    if protocol.steps[0] < protocol.steps[1]:
        trial.suggest_int("steps", *protocol.steps, log=True)
    for name, choices in _choices(protocol).items():
        if len(choices) > 1:
            trial.suggest_categorical(name, choices)


def _choices(protocol: Protocol) -> dict[str, list[str | float | int | bool]]:
    return {
        "standardise": list(protocol.standardise),
        "hidden": ["x".join(map(str, widths)) for widths in protocol.hidden],
        "dropout": list(protocol.dropout),
        "batch_size": list(protocol.batch_size),
    }


def settings_of(parameters: Mapping[str, Any], protocol: Protocol) -> Settings:
    """Return the settings that a trial's parameters stand for.

    Raises:
        KeyError: Some are missing.
    """
    values = {
        name: parameters[name] if len(choices) > 1 else choices[0] for name, choices in _choices(protocol).items()
    }
    regularised = parameters.get("regularise", "l2" in parameters)
    steps = parameters["steps"] if protocol.steps[0] < protocol.steps[1] else protocol.steps[0]
    if "regularise" not in parameters and "l2" not in parameters:
        raise KeyError("regularise")
    return Settings(
        learning_rate=float(parameters["learning_rate"]),
        l2=float(parameters["l2"]) if regularised else 0.0,
        steps=int(steps),
        standardise=bool(values["standardise"]),
        hidden=tuple(int(width) for width in str(values["hidden"]).split("x") if width),
        dropout=float(values["dropout"]),
        batch_size=int(values["batch_size"]),
    )


def parameters_of(settings: Settings) -> dict[str, object]:
    """Return the parameters of a trial with ``settings``."""
    parameters: dict[str, object] = {"learning_rate": settings.learning_rate, "steps": settings.steps}
    parameters |= {"regularise": settings.l2 > 0, "l2": settings.l2}
    parameters |= {key: getattr(settings, key) for key in ("standardise", "dropout", "batch_size")}
    parameters["hidden"] = "x".join(map(str, settings.hidden))
    return parameters
