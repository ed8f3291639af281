"""The result record: one JSON a run, versioned, with everything needed to read, compare and repeat its numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from results import html
from results.files import is_plain_name
from results.sections import Section
from results.sections.configuration import ConfigurationSection
from results.sections.inputs import (
    CurvePoint,
    DataSection,
    EncoderSection,
    HardwareSection,
    SecondsSection,
    TaskSection,
)
from results.sections.provenance import ProvenanceSection
from results.sections.scores import Floors, Robustness, Scores
from results.sections.selection import ProbeSection, SearchSection, SeedsSection

SCHEMA_VERSION: Final = 3
#: Versions that are read: fields that the older ones lack have defaults, which say that it is not known.
READ_VERSIONS: Final = (2, 3)


class FoldSection(Section):
    """What came of one fold of a task with folds: it was test, ``valid`` was the validation fold, all others train.

    The probe was searched and trained for this fold alone; ``scores`` are those of its own items, and of the items of
    the validation fold. The record's own scores are over the items of all folds, each scored by the probe of its fold.
    """

    name: str
    valid: str
    counts: dict[str, int]
    scores: Scores
    probe: ProbeSection
    search: SearchSection
    seeds: SeedsSection


class Record(Section):
    """The result of one encoder on one task. ``run_key`` is equal for runs that must give equal numbers.

    ``variant`` names the choices, other than the default ones, that change what is measured, joined by ``+``; it is
    part of the record's file name. ``folds`` holds every fold of a task that has folds, in order; ``probe`` and
    ``search`` are then those of the first one, and ``data`` counts each item once as train, valid and test.
    ``predictions_sha256`` is of the file that ``predictions`` names; ``None`` in records of schema 2. ``provenance`` is
    ``None`` in records that do not say how they were asked for, and ``configuration`` in those that do not hold every
    choice. The digest of a record's own content stands in its file beside these fields
    (:func:`results.digests.content_digests`).
    """

    schema_version: Literal[2, 3] = SCHEMA_VERSION
    run_key: Annotated[str, Field(pattern=r"^[0-9a-f]{12,}$")]
    created: str
    limit: Annotated[int, Field(gt=0)] | None
    protocol: str
    task: TaskSection
    encoder: EncoderSection
    scores: Scores
    floors: Floors
    probe: ProbeSection
    search: SearchSection
    data: DataSection
    seeds: SeedsSection
    versions: dict[str, str]
    hardware: HardwareSection
    seconds: SecondsSection
    predictions: str
    curve: CurvePoint | None = None
    robustness: list[Robustness] = Field(default_factory=list)
    variant: Annotated[str, Field(pattern=r"^([a-z0-9_.~-]+(\+[a-z0-9_.~-]+)*)?$")] = ""
    folds: list[FoldSection] = Field(default_factory=list)
    predictions_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    provenance: ProvenanceSection | None = None
    configuration: ConfigurationSection | None = None

    def __repr__(self) -> str:
        """Return the record in a line: its encoder, task and scores on test."""
        scores = ", ".join(
            f"{metric} {score.value:.3f}" + ("" if score.low is None else f" ({score.low:.3f}–{score.high:.3f})")
            for metric, score in self.scores.test.items()
        )
        return f"<Record {self.name} on {self.task.id}: {scores}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Return the scores as a table, for notebooks, with what sets the run apart."""
        ridge = self.floors.ridge or {}
        rows = [
            (
                metric,
                f"{score.value:.3f}",
                "-" if score.low is None or score.high is None else f"{score.low:.3f}–{score.high:.3f}",
                "-" if score.std is None else f"{score.std:.3f}",
                f"{self.scores.valid[metric].value:.3f}",
                f"{ridge[metric].value:.3f}" if metric in ridge else "-",
            )
            for metric, score in self.scores.test.items()
        ]
        headers = ("metric", "test", "95 % interval", "std", "valid", "ridge")
        return html.table(headers, rows, f"{self.name} on {self.task.title} ({self.task.id})", self._apart())

    def _apart(self) -> list[str]:
        """Return in words how many probes and items its scores are of, and of which part of the task, if not all."""
        probes = len(self.seeds.probes)
        said = [f"Means over {probes} probe{'s' * (probes != 1)}, {self.data.counts.get('test', 0):,} test items."]
        if self.limit is not None:
            said.append(f"A part of the task: --limit {self.limit}.")
        if self.curve is not None:
            said.append(f"A point of a learning curve: {self.curve.fraction:g} of train, repeat {self.curve.repeat}.")
        if self.data.partial:
            said.append("Partial: items of the task are missing or damaged.")
        if self.floors.loses_to_ridge:
            said.append(f"Below a ridge on the same embeddings in {', '.join(self.floors.loses_to_ridge)}.")
        return said

    @property
    def name(self) -> str:
        """What names the record's row: the encoder's id, and the variant where there is one."""
        return f"{self.encoder.id}+{self.variant}" if self.variant else self.encoder.id

    @property
    def checked(self) -> bool:
        """Whether digests vouch for it and for its predictions: records of schema 2 have none."""
        return self.schema_version >= 3 and self.predictions_sha256 is not None

    @property
    def format_unchecked(self) -> str:
        """What to know of a record of an older schema, which has no digests; else nothing."""
        if self.schema_version >= SCHEMA_VERSION:
            return ""
        what = f"{self.name} on {self.task.id}"
        return f"the record of {what} is of schema {self.schema_version}, without digests: not checked for damage"

    @field_validator("predictions")
    @classmethod
    def _lie_beside_it(cls, name: str) -> str:
        if not is_plain_name(name):
            raise ValueError(f"{name!r} is not the name of a file in the record's own folder")
        return name

    @model_validator(mode="after")
    def _has_its_metrics(self) -> Record:
        for split in (self.scores.valid, self.scores.test):
            if list(split) != self.task.metrics or not split:
                raise ValueError(f"scores of {list(split)} for a task with the metrics {self.task.metrics}")
        for fold in self.folds:
            for split in (fold.scores.valid, fold.scores.test):
                if list(split) != self.task.metrics:
                    raise ValueError(f"scores of {list(split)} in fold {fold.name!r}")
        for each in self.robustness:
            if list(each.metrics) != self.task.metrics:
                raise ValueError(f"drops of {list(each.metrics)} for a task with the metrics {self.task.metrics}")
        return self


class RecordError(ValueError):
    """A record or a results folder that cannot be read or written as it is. The message is written for the user.

    Attributes:
        what: What happened, to which file or item.
        do: What to do next. Behind a capital it is a sentence of its own, else it follows a colon.
        rows: What the two are about, a line each, where that is more than one thing.
    """

    for_user = True  # the command line prints the message alone

    def __init__(self, what: str, do: str, rows: Iterable[str] = ()) -> None:
        self.what, self.do, self.rows = what, do, tuple(rows)
        super().__init__(what, do, self.rows)

    def __str__(self) -> str:
        stop = "" if self.what.endswith((".", "?", "!", ":", "…")) else "." if self.do[:1].isupper() else ":"
        text = f"{self.what}{stop} {self.do}"
        if not self.rows:
            return text
        return "\n".join([text if text.endswith((".", ":", "?")) else f"{text}:", *self.rows])
