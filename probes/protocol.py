"""The probe's protocol: which probe a task may have, and what its search may try. The figures are in protocol.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Literal

#: Changes whenever training would give other numbers for the same arrays, settings and seed.
TRAINING_VERSION = 1

Kind = Literal["multiclass", "multilabel", "regression"]


@dataclass(frozen=True)
class ProbeSpec:
    """The fixed part of a probe.

    Attributes:
        kind: Decides the loss: cross-entropy, binary cross-entropy, or squared error on targets z-scored on train.
        outputs: Number of classes, labels or targets.
        hidden: Widths of the hidden layers; empty for a linear probe.
        dropout: Probability after each hidden layer.
        batch_size: Items of a minibatch.
    """

    kind: Kind
    outputs: int
    hidden: tuple[int, ...] = (512,)
    dropout: float = 0.5
    batch_size: int = 256


@dataclass(frozen=True)
class Settings:
    """The searched part of a probe: one trial's choice.

    Attributes:
        learning_rate: Peak, after warm-up.
        l2: Weight of the sum of squared kernel entries in the loss; biases are free.
        steps: Minibatches, warm-up included.
        standardise: Whether inputs are z-scored with train statistics.
    """

    learning_rate: float
    l2: float
    steps: int
    standardise: bool


@dataclass(frozen=True)
class Protocol:
    """Search ranges (inclusive), and how many trials and retrained probes there are unless the user says otherwise."""

    name: str
    version: int
    learning_rate: tuple[float, float]
    l2: tuple[float, float]
    steps: tuple[int, int]
    standardise: tuple[bool, ...]
    trials: int
    seeds: int


def protocol_for(*names: str) -> Protocol:
    """Return the first section of protocol.toml that one of ``names`` (task id, group) has, else ``default``."""
    data = tomllib.loads(resources.files("probes").joinpath("protocol.toml").read_text(encoding="utf-8"))
    name = next((name for name in names if isinstance(data.get(name), dict)), "default")
    section = data[name]
    return Protocol(
        name=name,
        version=data["version"],
        learning_rate=(section["learning_rate"][0], section["learning_rate"][1]),
        l2=(section["l2"][0], section["l2"][1]),
        steps=(section["steps"][0], section["steps"][1]),
        standardise=tuple(section["standardise"]),
        trials=section["trials"],
        seeds=section["seeds"],
    )
