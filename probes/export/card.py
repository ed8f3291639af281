"""What ``probe.json`` holds: whose probe it is, what it answers and how well, its calibration and its thresholds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from probes.function import Activation
from probes.kinds import Kind

SIGNED_SINCE = 2  # the version of a card whose digests must fit


class Part(BaseModel):
    """A part of a card: immutable, closed to unknown keys, finite numbers only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TaskPart(Part):
    """Which task the probe answers."""

    id: str
    title: str
    version: int
    fingerprint: str


class EncoderPart(Part):
    """Whose embeddings the probe takes.

    Attributes:
        id: The encoder's name.
        text: What names it on the command line.
        fingerprint: Its fingerprint as it was used.
        precision: What it was asked to compute in, if it was.
        window_seconds: The window that the task brought, if the encoder was given it.
        hop_seconds: The hop of that window.
        layer: Index of the layer that the probe takes of embeddings with layers; ``None`` takes rows whole.
        space: Everything that decides its embeddings, its ``key`` among them; the key alone where they were given.
    """

    id: str
    text: str
    version: str
    fingerprint: str
    precision: Literal["fp32", "bf16"] | None = None
    window_seconds: Annotated[float, Field(gt=0)] | None = None
    hop_seconds: Annotated[float, Field(gt=0)] | None = None
    layer: Annotated[int, Field(ge=0)] | None = None
    space: dict[str, Any]


class MeanPart(Part):
    """A score as the record has it: the mean over probe seeds, and its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None
    seeds: int = 1


class ErrorPart(Part):
    """Expected calibration error, and mean negative log-likelihood."""

    ece: float
    nll: float


class CalibrationPart(Part):
    """How probabilities are calibrated, as it was fitted on valid.

    Attributes:
        method: ``temperature`` for classes, ``platt`` for labels one by one.
        temperature: That logits of classes are divided by.
        slopes: Of each label's logits.
        offsets: Added to them.
        unchanged: Labels whose probabilities stay as they are, with the reason; all of them where the name is empty.
        bins: Of the calibration error.
        before: Errors of the probe's own outputs, by split.
        after: Errors of calibrated ones. Those of test are for information: nothing is chosen by them.
    """

    method: Literal["temperature", "platt"]
    temperature: Annotated[float, Field(gt=0)] | None = None
    slopes: tuple[Annotated[float, Field(gt=0)], ...] = ()
    offsets: tuple[float, ...] = ()
    unchanged: dict[str, str] = Field(default_factory=dict)
    bins: int = 15
    before: dict[str, ErrorPart]
    after: dict[str, ErrorPart]


class ReachedPart(Part):
    """Precision, recall and F1 of a label at its threshold."""

    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


class RulePart(Part):
    """The threshold of each label by one rule, ``None`` where it has none, and what these give on valid and test."""

    thresholds: tuple[float | None, ...]
    valid: tuple[ReachedPart | None, ...]
    test: tuple[ReachedPart | None, ...]


class ThresholdsPart(Part):
    """Thresholds by rule, of calibrated probabilities, and how many items of each split have each label."""

    rules: dict[str, RulePart]
    positives: dict[str, tuple[int, ...]]


class ProbeCard(Part):
    """What ``probe.json`` says: whose probe this is, what it answers, and how well.

    ``scores`` are those of this one probe, by split and metric; ``settings`` is what its search chose. ``items`` counts
    those of each split; ``means`` are scores over all seeds, as in the record. ``digests`` holds the sha256 of the
    files beside it, by name; that of its own content stands beside these fields. Version 1 has none. Probes of earlier
    releases have neither calibration nor thresholds.
    """

    format_version: Literal[1, 2] = 2
    kind: Kind
    activation: Activation
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    metrics: tuple[str, ...]
    task: TaskPart
    encoder: EncoderPart
    protocol: str
    seed: int
    settings: dict[str, float | int | bool | str | None]
    scores: dict[str, dict[str, float]]
    versions: dict[str, str]
    licence: str = ""
    items: dict[str, int] = Field(default_factory=dict)
    means: dict[str, dict[str, MeanPart]] = Field(default_factory=dict)
    calibration: CalibrationPart | None = None
    thresholds: ThresholdsPart | None = None
    digests: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_labels(self) -> ProbeCard:
        """Refuse calibrations and thresholds of another number of labels."""
        n = len(self.labels)
        found = self.calibration
        if found is not None:
            wanted = (0, 0) if found.method == "temperature" else (n, n)
            if (len(found.slopes), len(found.offsets)) != wanted or (found.temperature is None) != bool(wanted[0]):
                raise ValueError(f"calibration: it is not one of {n} labels")
        for name, rule in () if self.thresholds is None else self.thresholds.rules.items():
            if {len(rule.thresholds), len(rule.valid), len(rule.test)} != {n}:
                raise ValueError(f"thresholds: {name} is not of {n} labels")
        return self

    @property
    def checked(self) -> bool:
        """Whether digests vouch for it and the files beside it."""
        return self.format_version >= SIGNED_SINCE
