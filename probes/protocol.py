"""Protocols: the probes that a task allows, and the ranges of settings that its search samples.

The figures are in protocol.toml (one section a task, after Table 2 and the published settings of McCallum et al. 2022)
and in published.csv (the 90 published probe settings).
"""

from __future__ import annotations

import csv
import difflib
import itertools
import math
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any, Literal

from probes.errors import ProbeError
from probes.kinds import KINDS, Kind, Loss

#: Changes whenever training would give other numbers for the same arrays, settings and seed.
TRAINING_VERSION = 4

DropoutPlace = Literal["hidden", "logits", "input_and_hidden"]
Schedule = Literal["cosine", "constant"]

PROTOCOLS = ("paper", "quick", "open", "jukemir")
PUBLISHED = "published:"


class ProtocolError(ProbeError):
    """No such protocol, or it has nothing for this task. The message is written for the user."""


@dataclass(frozen=True)
class ProbeSpec:
    """What all trials of a search have in common.

    Attributes:
        kind: The task's kind.
        outputs: Number of classes, labels or targets.
        loss: Cross-entropy, binary cross-entropy (on one-hot targets for a multiclass task), or squared error on
            targets z-scored on train.
        dropout_place: After each hidden layer, on the logits, or on the input and after each hidden layer.
        schedule: Cosine to zero after the warm-up, or constant from the first step on.
        warmup: Warm-up steps of trainings that are at least ten times as long; shorter ones warm up for a tenth.
        patience: Steps without a better validation score after which a training ends; ``None`` never ends it early.
        look_every: Steps between looks at valid; ``None`` follows :func:`probes.training.schedule.validation_steps`.
        layers: Number of encoder layers L that the probe mixes, from inputs [n, L * D]; ``None`` mixes none.
    """

    kind: Kind
    outputs: int
    loss: Loss
    dropout_place: DropoutPlace = "hidden"
    schedule: Schedule = "cosine"
    warmup: int = 1000
    patience: int | None = None
    look_every: int | None = None
    layers: int | None = None


@dataclass(frozen=True)
class Settings:
    """One trial's choice.

    Attributes:
        learning_rate: Peak of the schedule that follows the warm-up.
        l2: Weight of the sum of squared kernel entries in the loss; biases are free.
        steps: Minibatches, warm-up included.
        standardise: Whether inputs are z-scored with train statistics.
        hidden: Widths of the hidden layers; empty for a linear probe.
        dropout: Probability of dropping, wherever the protocol places it.
        batch_size: Items of a minibatch.
        warm_rate: Where the warm-up ends, if not at ``learning_rate`` (the published MuMu probes jump there).
    """

    learning_rate: float
    l2: float
    steps: int
    standardise: bool
    hidden: tuple[int, ...] = (512,)
    dropout: float = 0.5
    batch_size: int = 256
    warm_rate: float | None = None


@dataclass(frozen=True)
class Protocol:
    """What a search may try, and how; a range is inclusive, and one value alone is no choice.

    Attributes:
        name: ``paper``, ``quick``, ``open``, ``jukemir`` or ``published:MODEL``.
        section: The section of protocol.toml that it comes from.
        version: Of protocol.toml.
        learning_rate: Log-uniform, or ``None`` where ``grid`` says which.
        l2: Log-uniform, or 0, which is always among the choices.
        steps: Log-uniform, whole.
        standardise: Choices.
        hidden: Choices of widths.
        dropout: Choices.
        batch_size: Choices.
        loss: ``None`` means the usual one of the task's kind.
        trials: How many, unless the user says otherwise.
        seeds: How often the selected probe is retrained, unless the user says otherwise.
        round: Trials that are asked for together. It decides what the sampler knows, so it is part of the protocol.
        first: Settings that are tried before the sampler chooses.
        grid: Values of learning rate and l2 for ``--sampler grid``, where there is one.
    """

    name: str
    section: str
    version: int
    learning_rate: tuple[float, float]
    l2: tuple[float, float]
    steps: tuple[int, int]
    standardise: tuple[bool, ...]
    hidden: tuple[tuple[int, ...], ...]
    dropout: tuple[float, ...]
    batch_size: tuple[int, ...]
    trials: int
    seeds: int
    round: int
    loss: Loss | None = None
    dropout_place: DropoutPlace = "hidden"
    schedule: Schedule = "cosine"
    warmup: int = 1000
    patience: int | None = None
    look_every: int | None = None
    first: tuple[Settings, ...] = ()
    grid: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def spec(self, kind: Kind, outputs: int, layers: int | None = None) -> ProbeSpec:
        """Return what all trials on a task have in common."""
        return ProbeSpec(
            kind=kind,
            outputs=outputs,
            loss=self.loss or KINDS[kind].loss,
            dropout_place=self.dropout_place,
            schedule=self.schedule,
            warmup=self.warmup,
            patience=self.patience,
            look_every=self.look_every,
            layers=layers,
        )

    @property
    def exact(self) -> bool:
        """Whether there is one configuration and nothing to search."""
        return self.name.startswith(PUBLISHED)

    def middle(self) -> Settings:
        """Return a sane probe to begin with: learning rate 1e-3 or the nearest in range, no L2, the first choices."""
        low, high = self.learning_rate
        return Settings(
            learning_rate=min(max(1e-3, low), high),
            l2=0.0,
            steps=round(math.sqrt(self.steps[0] * self.steps[1])),
            standardise=self.standardise[0],
            hidden=self.hidden[0],
            dropout=self.dropout[0],
            batch_size=self.batch_size[0],
        )

    def starts(self) -> tuple[Settings, ...]:
        """Return what a search begins with where nothing was published: the middle, without L2 and with some."""
        middle = self.middle()
        low, high = self.learning_rate
        regularised = replace(
            middle, learning_rate=min(max(2e-3, low), high), l2=min(max(5e-4, self.l2[0]), self.l2[1])
        )
        return middle, regularised

    def grid_settings(self) -> list[Settings]:
        """Return every point of the grid, in a fixed order.

        Raises:
            ProtocolError: The protocol has no grid.
        """
        if self.grid is None:
            raise ProtocolError(
                f"the protocol {self.name!r} has no grid for this task",
                "give --sampler grid with --protocol jukemir",
            )
        rates, decays = self.grid
        axes = (self.standardise, self.hidden, self.batch_size, rates, self.dropout, decays)
        return [
            Settings(rate, l2, self.steps[1], standardise, hidden, dropout, batch_size)
            for standardise, hidden, batch_size, rate, dropout, l2 in itertools.product(*axes)
        ]


def protocol_for(
    name: str,
    task: str,
    groups: tuple[str, ...] = (),
    *,
    hidden: tuple[int, ...] | None = None,
    dropout: float | None = None,
    batch_size: int | None = None,
) -> Protocol:
    """Return the protocol ``name`` for a task.

    Args:
        name: ``paper``, ``quick``, ``open``, ``jukemir``, or ``published:MODEL``.
        task: The task's id.
        groups: Its groups; the first section that its id or a group has is taken, else ``default``.
        hidden: The probe that the task's card asks for, where it does.
        dropout: Likewise.
        batch_size: Likewise.

    Raises:
        ProtocolError: There is no such protocol, or no published setting for this task.
    """
    if name.startswith(PUBLISHED):
        return _published_protocol(name, task)
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"name one of {', '.join(PROTOCOLS)} and published:MODEL"
        raise ProtocolError(f"no protocol is called {name!r}", hint)
    data = _data()
    section = next((section for section in (task, *groups) if section in data["paper"]), "default")
    merged = {**data["paper"]["default"], **data["paper"][section]}
    card = {"hidden": None if hidden is None else list(hidden), "dropout": dropout, "batch_size": batch_size}
    merged.update({key: [value] for key, value in card.items() if value is not None})
    if name != "paper":
        overlay = {**data[name].get("default", {}), **data[name].get(section, {})}
        if name == "quick":  # a budget that is shorter still (the demo's) stays
            overlay["steps"] = [min(pair) for pair in zip(merged["steps"], overlay["steps"], strict=True)]
            overlay["trials"] = min(merged["trials"], overlay["trials"])
        if name == "open":  # the paper's choices come first and are never lost
            for key in ("hidden", "dropout", "batch_size"):
                overlay[key] = merged[key] + [value for value in overlay[key] if value not in merged[key]]
        merged.update(overlay)
    protocol = _parse(name, section, data["version"], merged)
    if name in ("paper", "open"):
        first = tuple(dict.fromkeys(s for s in _published_settings(task).values() if _contains(protocol, s)))
        protocol = replace(protocol, first=first)
    return protocol if protocol.first or name == "jukemir" else replace(protocol, first=protocol.starts())


def published_models(task: str) -> list[str]:
    """Return the models whose probe settings for ``task`` were published."""
    return list(_published_settings(task))


def _contains(protocol: Protocol, settings: Settings) -> bool:
    """Say whether ``settings`` lie in the protocol's ranges and among its choices."""
    return (
        protocol.learning_rate[0] <= settings.learning_rate <= protocol.learning_rate[1]
        and (settings.l2 == 0 or protocol.l2[0] <= settings.l2 <= protocol.l2[1])
        and protocol.steps[0] <= settings.steps <= protocol.steps[1]
        and settings.standardise in protocol.standardise
        and settings.hidden in protocol.hidden
        and settings.dropout in protocol.dropout
        and settings.batch_size in protocol.batch_size
    )


def _published_protocol(name: str, task: str) -> Protocol:
    model = name.removeprefix(PUBLISHED)
    rows = _published_rows()
    models = list(dict.fromkeys(row["model"] for row in rows))
    if model not in models:
        near = difflib.get_close_matches(model, models, n=1)
        hint = f"did you mean {PUBLISHED}{near[0]}?" if near else f"name one of {', '.join(models)}"
        raise ProtocolError(f"no probe settings of a model {model!r} were published", hint)
    row = next((row for row in rows if (row["task"], row["model"]) == (task, model)), None)
    if row is None:
        tasks = ", ".join(dict.fromkeys(row["task"] for row in rows))
        raise ProtocolError(
            f"{name} has no settings for the task {task!r}",
            f"leave --protocol out here, or run it on {tasks}",
        )
    settings = _settings_of(row)
    return Protocol(
        name=name,
        section=task,
        version=_data()["version"],
        learning_rate=(settings.learning_rate, settings.learning_rate),
        l2=(settings.l2, settings.l2),
        steps=(settings.steps, settings.steps),
        standardise=(settings.standardise,),
        hidden=(settings.hidden,),
        dropout=(settings.dropout,),
        batch_size=(settings.batch_size,),
        trials=1,
        seeds=_data()["paper"]["default"]["seeds"],
        round=1,
        loss=_loss_of(row),
        dropout_place="logits" if row["dropout_place"] == "logits" else "hidden",
        warmup=int(row["warmup"]),
        first=(settings,),
    )


def _published_settings(task: str) -> dict[str, Settings]:
    return {row["model"]: _settings_of(row) for row in _published_rows() if row["task"] == task}


def _settings_of(row: dict[str, str]) -> Settings:
    rate, warm = float(row["learning_rate"]), float(row["warm_rate"])
    return Settings(
        learning_rate=rate,
        l2=float(row["l2"]),
        steps=int(row["steps"]),
        standardise=False,
        hidden=tuple(int(width) for width in row["hidden"].split("x") if width),
        dropout=float(row["dropout"]),
        batch_size=int(row["batch_size"]),
        warm_rate=None if warm == rate else warm,
    )


def _loss_of(row: dict[str, str]) -> Loss:
    loss = row["loss"]
    assert loss in ("cross_entropy", "binary_cross_entropy", "squared_error")
    return loss  # type: ignore[return-value]


@cache
def _published_rows() -> list[dict[str, str]]:
    text = resources.files("probes").joinpath("published.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(resources.files("probes").joinpath("protocol.toml").read_text(encoding="utf-8"))


def _parse(name: str, section: str, version: int, section_data: dict[str, Any]) -> Protocol:
    grid = section_data.get("grid")
    return Protocol(
        name=name,
        section=section,
        version=version,
        learning_rate=(section_data["learning_rate"][0], section_data["learning_rate"][1]),
        l2=(section_data["l2"][0], section_data["l2"][1]),
        steps=(section_data["steps"][0], section_data["steps"][1]),
        standardise=tuple(section_data["standardise"]),
        hidden=tuple(tuple(widths) for widths in section_data["hidden"]),
        dropout=tuple(float(rate) for rate in section_data["dropout"]),
        batch_size=tuple(section_data["batch_size"]),
        trials=section_data["trials"],
        seeds=section_data["seeds"],
        round=section_data["round"],
        loss=section_data.get("loss"),
        dropout_place=section_data.get("dropout_place", "hidden"),
        schedule=section_data.get("schedule", "cosine"),
        warmup=section_data["warmup"],
        patience=section_data.get("patience"),
        look_every=section_data.get("look_every"),
        grid=None if grid is None else (tuple(grid["learning_rate"]), tuple(grid["l2"])),
    )
