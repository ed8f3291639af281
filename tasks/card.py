"""The task card: a declarative, validated description of one task, read from TOML.

A built-in card names a ``collection``; a user's own card names a ``manifest`` (a CSV beside it) instead. Both have the
same ``columns``, so that every collection that ends in a manifest is read by the same code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tasks.errors import TaskError
from tasks.files import SETTINGS, parse_toml, read_text
from tasks.items import SPLITS as SPLITS
from tasks.kinds import KINDS, Kind
from tasks.metrics.table import metrics_of
from tasks.spelling import clashes, composed, did_you_mean

SHOWN = 20
Filled = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
Name = Annotated[str, Field(min_length=1), AfterValidator(composed)]
Count = Annotated[int, Field(ge=0, le=10**9)]
#: Of a window or between two: a thousandth is no window, and what is above an hour was meant in milliseconds.
Seconds = Annotated[float, Field(ge=0.001, le=3600)]
#: The distance between two windows, in windows, at least and at most.
HOPS = (1 / 1000, 20.0)


class Part(BaseModel):
    """A part of a card: immutable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Columns(Part):
    """Which manifest columns hold what. ``target`` is one column, or for regression one per target.

    ``split`` says train, valid or test of each item; or ``fold`` names its fold, and each fold is test once.
    """

    id: Name
    audio: Name
    split: Name | None = None
    fold: Name | None = None
    target: Name | Annotated[tuple[Name, ...], Field(min_length=1)]
    group: Name | None = None


class ProbeSettings(Part):
    """What a card may ask of its probe: hidden layer widths, dropout after each of them, minibatch size in items."""

    hidden: Annotated[tuple[Annotated[int, Field(gt=0, le=65_536)], ...], Field(max_length=16)] = (512,)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    batch_size: Annotated[int, Field(gt=0, le=1_000_000)] = 256


class Table1(Part):
    """The task's row in Table 1 of McCallum et al. 2022, as printed."""

    tracks: str
    hours: str
    labels: str


class TaskCard(Part):
    """One task. ``metrics[0]`` is the primary metric; ``sizes`` are the items per split that the data must have.

    A built-in card whose collection has a reader of its own has no ``columns``; it names its regression targets (or
    just what is predicted) in ``outputs``. ``documented`` holds the leaks that are known, as :mod:`tasks.audit` counts
    them: any other is an error there. Labels that differ only in case, white space or enharmonic spelling are refused
    unless ``distinct_labels`` says that they are meant so; ``distinct_groups`` says it of groups.
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
    title: Name
    kind: Kind
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    columns: Columns | None = None
    manifest: Filled | None = None
    collection: Filled | None = None
    labels: tuple[Name, ...] | None = None
    distinct_labels: bool = False
    distinct_groups: bool = False
    window_seconds: Seconds | None = None
    hop_seconds: Seconds | None = None
    probe: ProbeSettings | None = None

    version: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    description: str = ""
    outputs: tuple[Name, ...] = ()
    table1: Table1 | None = None
    split_rule: str = ""
    label_source: str = ""
    counts_verified: bool = True
    documented: dict[str, Count] = {}
    aliases: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    sizes: dict[Literal["train", "valid", "test"], Count] | None = None
    licence: str = ""
    audio: str = ""
    citation: str = ""
    deviations: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of what is predicted: the manifest's target columns, or a built-in card's ``outputs``."""
        if self.columns is None:
            return self.outputs
        return (self.columns.target,) if isinstance(self.columns.target, str) else self.columns.target

    @model_validator(mode="after")
    def _is_coherent(self) -> TaskCard:
        if (self.manifest is None) == (self.collection is None):
            raise ValueError("a card names either a manifest or a built-in collection")
        if self.manifest is not None and self.columns is None:
            raise ValueError("a card with a manifest needs columns")
        if self.columns is not None and (self.columns.split is None) == (self.columns.fold is None):
            raise ValueError(
                "columns names either split (train, valid, test) or fold: without any, 'bench data split' writes one"
            )
        if self.columns is not None and self.columns.fold is not None and self.sizes is not None:
            raise ValueError("sizes are those of splits, and the card has folds: leave them out")
        if self.columns is not None and self.outputs:
            raise ValueError("outputs are for cards without columns")
        allowed = metrics_of(self.kind, self.targets)
        for metric in self.metrics:
            if metric not in allowed:
                raise ValueError(
                    f"metric {metric!r} does not suit kind {self.kind!r}: choose from {', '.join(allowed)}"
                )
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError("a metric is named twice")
        kind = KINDS[self.kind]
        if kind.has_labels and len(self.targets) != 1:
            raise ValueError(f"kind {self.kind!r} has one target column, not {len(self.targets)}")
        if len(set(self.targets)) < len(self.targets):
            raise ValueError("a target column is named twice")
        if self.labels is not None and not kind.has_labels:
            raise ValueError(f"a {self.kind} task has no labels")
        if self.labels == ():
            raise ValueError("labels is empty: leave it out, or name them all")
        if self.labels is not None and len(set(self.labels)) < len(self.labels):
            raise ValueError("a label stands twice in labels")
        for label in self.labels or ():
            if label != label.strip() or (kind.several and "|" in label):
                raise ValueError(f"no manifest can have the label {label!r}: its cells are stripped and split at '|'")
        if not self.distinct_labels:
            for clash in clashes(self.labels or (), notes=True):
                raise ValueError(
                    f"the labels {clash.first!r} and {clash.second!r} {clash.why}: leave one out, or write "
                    "distinct_labels = true if they are two"
                )
        if self.hop_seconds is not None and self.window_seconds is None:
            raise ValueError("hop_seconds needs window_seconds")
        if self.hop_seconds is not None and self.window_seconds is not None:
            least, most = (self.window_seconds * windows for windows in HOPS)
            if not least <= self.hop_seconds <= most:
                raise ValueError(
                    f"hop_seconds is {self.hop_seconds:g}: for windows of {self.window_seconds:g} s it is from "
                    f"{least:g} to {most:g} seconds"
                )
        return self


def read_card(path: Path) -> TaskCard:
    """Read and validate a card.

    Raises:
        TaskError: The file cannot be read, is not TOML, or has a key or value that the schema refuses; each problem
            is named with its key.
    """
    try:
        text = read_text(path, SETTINGS)
    except FileNotFoundError:
        raise TaskError(
            f"no task card at {path}", "check the path, or list the built-in ones with 'bench tasks'"
        ) from None
    except OSError as error:
        raise TaskError(f"cannot read the task card {path}: {error}", "let it be read, or name another card") from None
    data = parse_toml(text, path)
    try:
        # JSON mode takes lists for tuples and refuses to turn a number into a string or back.
        return TaskCard.model_validate_json(json.dumps(data, default=str), strict=True)
    except RecursionError:
        raise TaskError(
            f"the task card {path} is not valid: it is nested too deep",
            "write it with fewer tables within tables",
        ) from None
    except ValidationError as error:
        errors = error.errors()
        problems = list(dict.fromkeys(f"  {_explain(problem)}" for problem in errors[:SHOWN]))
        problems += [f"  … and {len(errors) - SHOWN} more"] if len(errors) > SHOWN else []
        raise TaskError(
            f"the task card {path} is not valid",
            "mend these keys, which docs/tasks.md explains",
            problems,
        ) from None


def _explain(problem: object) -> str:
    assert isinstance(problem, dict)
    location, message = problem["loc"], str(problem["msg"]).removeprefix("Value error, ")
    key = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        parts: dict[str, type[Part]] = {"columns": Columns, "probe": ProbeSettings}
        part = parts[str(location[0])] if len(location) > 1 else TaskCard
        of_card = len(location) > 1 and location[-1] in TaskCard.model_fields
        otherwise = f"it belongs to the card itself, above [{location[0]}]" if of_card else ""
        hint = did_you_mean(str(location[-1]), part.model_fields, otherwise)
        message = f"unknown key; {hint}" if hint else "unknown key"
    elif problem["type"] == "missing":
        message = "is missing"
    elif location[:2] == ("columns", "target"):  # pydantic tells of both members of the union
        key, message = "columns.target", "should be the name of a column or, for regression, a list of names"
    return f"{key}: {message}" if key else message
