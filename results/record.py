"""The result record: one JSON a run, versioned, with everything needed to read, compare and repeat its numbers."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION: Final = 1


class Section(BaseModel):
    """A part of a record: immutable, and closed to keys that the schema does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Score(Section):
    """One metric on one split.

    ``value`` is the mean over the retrained probes (``seeds`` lists each), ``std`` their sample deviation (0 for one
    probe); ``low`` and ``high`` bound the 95 % percentile interval of ``value`` under a bootstrap over test items, or
    over groups. ``labels`` holds the per-label values where the metric has them, ``left_out`` the labels without a
    positive (or without a negative, for ROC AUC) in this split, which the macro average therefore leaves out.
    """

    value: float
    low: float
    high: float
    std: float
    seeds: list[float]
    labels: dict[str, float] | None = None
    left_out: list[str] = Field(default_factory=list)


class Scores(Section):
    """Scores by split and metric. Valid chose the probe, test did not."""

    valid: dict[str, Score]
    test: dict[str, Score]


class TaskSection(Section):
    """Which task was answered. ``group`` names the leaderboard table; ``fingerprint`` covers card, ids and targets."""

    id: str
    title: str
    version: int
    kind: Literal["multiclass", "multilabel", "regression"]
    metrics: list[str]
    collection: str
    group: str
    fingerprint: str


class EncoderSection(Section):
    """Which encoder answered, and how it was fed. ``space`` is the key of its embeddings in the store.

    ``own_windows``: it could not take the windows of the task and, as the user asked, was given its own.
    """

    id: str
    version: str
    fingerprint: str
    dim: int
    sample_rate: int
    channels: int
    window_seconds: float | None
    hop_seconds: float | None
    space: str
    own_windows: bool = False


class ProbeSection(Section):
    """The selected probe. ``best_steps`` holds the restored step of each retrained probe; dimensions are counts."""

    hidden: list[int]
    dropout: float
    batch_size: int
    learning_rate: float
    l2: float
    steps: int
    standardise: bool
    parameters: int
    best_steps: list[int]


class Trial(Section):
    """One probe configuration tried: its settings, its best validation score and the step that reached it.

    ``score`` is ``None`` for a trial that diverged before its first look at valid.
    """

    number: int
    learning_rate: float
    l2: float
    steps: int
    standardise: bool
    score: float | None
    best_step: int
    seconds: float


class SearchSection(Section):
    """The search on train and valid: its sampler, objective, every trial, and the index of the selected one."""

    sampler: str
    objective: str
    selected: int
    trials: list[Trial]


class Damaged(Section):
    """A track that was left out because its audio is damaged: allowed explicitly, counted and named."""

    track_id: str
    file: str
    problem: str
    seconds_recovered: float


class DataSection(Section):
    """What was scored: tracks per split, labels, groups, and what was left out or looks wrong.

    ``fingerprint`` is the sha256 over the content hashes of the audio that was scored, in the order of the items.
    ``missing`` and ``damaged`` name the tracks that were left out, as the user allowed up to the numbers beside them;
    an entry of ``missing`` in round brackets says how the counts differ from the card instead.
    ``shared_groups`` and ``shared_audio`` (test tracks) are in test and also in train or valid.
    """

    fingerprint: str
    counts: dict[str, int]
    labels: list[str]
    groups: int | None
    shared_groups: list[str]
    shared_audio: list[str]
    audio_seconds: float
    clipped: list[str]
    missing: list[str]
    allow_missing: int
    damaged: list[Damaged]
    allow_damaged: int


class SeedsSection(Section):
    """Seeds of the search and of each retrained probe; the bootstrap uses the search's seed."""

    search: int
    probes: list[int]


class HardwareSection(Section):
    """The machine in words, without its name."""

    cpu: str
    cores: int
    memory_gb: float
    accelerator: str | None
    device: str


class SecondsSection(Section):
    """Wall-clock seconds of the parts of the run. ``embed`` is 0 when everything was in the store."""

    embed: float
    search: float
    probes: float
    total: float


class Record(Section):
    """The result of one encoder on one task. ``run_key`` is equal for runs that must give equal numbers."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run_key: Annotated[str, Field(pattern=r"^[0-9a-f]{12,}$")]
    created: str
    limit: Annotated[int, Field(gt=0)] | None
    protocol: str
    task: TaskSection
    encoder: EncoderSection
    scores: Scores
    probe: ProbeSection
    search: SearchSection
    data: DataSection
    seeds: SeedsSection
    versions: dict[str, str]
    hardware: HardwareSection
    seconds: SecondsSection
    predictions: str

    @model_validator(mode="after")
    def _has_its_metrics(self) -> Record:
        for split in (self.scores.valid, self.scores.test):
            if list(split) != self.task.metrics or not split:
                raise ValueError(f"scores of {list(split)} for a task with the metrics {self.task.metrics}")
        return self


class RecordError(ValueError):
    """A record or a results folder that cannot be read or written as it is. The message is written for the user."""
