"""The result record: one JSON a run, versioned, with everything needed to read, compare and repeat its numbers."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from results.files import is_plain_name

SCHEMA_VERSION: Final = 3
#: Versions that are read: fields that the older ones lack have defaults, which say that it is not known.
READ_VERSIONS: Final = (2, 3)


class Section(BaseModel):
    """A part of a record: immutable, and closed to keys that the schema does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Score(Section):
    """One metric on one split.

    ``value`` is the mean over the retrained probes (``seeds`` lists each), ``std`` their sample deviation (``None``
    for one probe, of whose deviation nothing is known). ``low`` and ``high`` bound the 95 % interval of the expected
    score; ``question`` says over what: ``items and seeds`` (items or groups of this kind, and probe seeds), or
    ``items`` for these very probes, as with a single probe and in records before schema 3. ``items_low`` and
    ``items_high`` bound that narrower interval of these probes. All four are ``None`` where the metric is undefined
    without some one item or group. ``clusters`` is the number of groups drawn (of items, unless ``clustered``).
    ``labels`` holds the per-label values where the metric has them, ``left_out`` the labels without a positive (or
    without a negative, for ROC AUC) in this split, which the macro average therefore leaves out.
    """

    value: float
    low: float | None
    high: float | None
    std: float | None
    seeds: list[float]
    question: Literal["items", "items and seeds"] = "items"
    items_low: float | None = None
    items_high: float | None = None
    clusters: int | None = None
    clustered: bool | None = None
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

    @property
    def has_classes(self) -> bool:
        """Whether every item is of exactly one class."""
        return self.kind == "multiclass"


class EncoderSection(Section):
    """Which encoder answered, and how it was fed. ``space`` is the key of its embeddings in the store.

    ``own_windows``: it could not take the windows of the task and, as the user asked, was given its own.
    ``sample_rate`` and ``channels`` are ``None`` where embeddings were given: how they were made is not known.
    ``fitted_on``: it took statistics of the training split; the sha256 of the task's id, the split's ids and its audio.
    ``precision``: what it computed in, where it has a choice (``None`` in records of schema 2, which do not say).
    """

    id: str
    version: str
    fingerprint: str
    dim: int
    sample_rate: int | None
    channels: int | None
    window_seconds: float | None
    hop_seconds: float | None
    space: str
    own_windows: bool = False
    fitted_on: str | None = None
    precision: Literal["fp32", "bf16"] | None = None


class ProbeSection(Section):
    """The selected probe.

    ``best_steps`` holds the restored step of each retrained probe, ``steps_run`` the steps that each was trained for.
    ``layer`` names the encoder's layer that the probe takes, or ``mix`` or ``all``; ``mixing`` the weight that each
    probe gives each layer. ``dropout_place`` is ``hidden``, ``logits`` or ``input_and_hidden``.
    """

    hidden: list[int]
    dropout: float
    dropout_place: str
    batch_size: int
    loss: str
    learning_rate: float
    warm_rate: float | None
    l2: float
    steps: int
    standardise: bool
    parameters: int
    best_steps: list[int]
    steps_run: list[int]
    precision: Literal["fp32", "bf16"]
    layer: str | None = None
    mixing: list[list[float]] | None = None


class Trial(Section):
    """One probe configuration tried: its settings, its best validation score and the step that reached it.

    ``state`` is ``complete``, ``pruned`` or ``diverged``; ``score`` is ``None`` for a trial that diverged before its
    first look at valid. ``steps_run`` of its ``steps`` were trained.
    """

    number: int
    state: Literal["complete", "pruned", "diverged"]
    hidden: list[int]
    dropout: float
    batch_size: int
    learning_rate: float
    l2: float
    steps: int
    standardise: bool
    score: float | None
    best_step: int
    steps_run: int
    seconds: float


class RunnerUp(Section):
    """The trial that would have been selected without the selected one.

    ``lead`` is the selected one's score less this one's; it is below zero where the selected one came first among
    scores that count as equal.
    """

    number: int
    score: float
    lead: float


class SearchSection(Section):
    """The search on train and valid: its sampler, objective, every trial, and the index of the selected one.

    The budget spent is ``steps_run`` of the ``steps_asked`` of all trials; ``operations`` are those of the matrix
    products in these steps, and ``floor_seconds`` what they would take at the rate that was measured on this machine.
    ``section`` is the part of the protocol that served the task; ``layers`` the validation score of a ridge on each of
    the encoder's layers, where the layer was chosen by it. ``protocol_version`` is that of the protocols'
    file. Trials whose scores are at most ``tolerance`` below the best count as equal to it: of these the one of the
    smallest number is selected. ``runner_up`` is the next in that order; ``None`` where no other trial was completed.
    """

    section: str
    protocol_version: int
    sampler: str
    pruner: str
    objective: str
    selected: int
    trials: list[Trial]
    steps_run: int
    steps_asked: int
    operations: float
    floor_seconds: float
    layers: dict[str, float] | None = None
    tolerance: float | None = None
    runner_up: RunnerUp | None = None


class FloorScore(Section):
    """A metric on test of something simpler than the probe, with its 95 % interval over items (or groups) alone.

    A constant and a ridge have no seeds; the probe of permuted labels has one, whose part is not known.
    """

    value: float
    low: float | None
    high: float | None


class Floors(Section):
    """What the probe is to be held against, on test, by metric.

    ``constant`` knows how often each label occurs in train; ``permuted`` is the selected probe trained on permuted
    labels (``None`` where that diverged); ``ridge`` a ridge regression on the same embeddings, of the best of four
    penalties on valid. ``permuted`` or ``ridge`` is ``None`` too where its outputs on test are not finite.
    ``loses_to_ridge`` names the metrics in which the probe is worse than the ridge by more than the 95 % interval of
    their difference, in which the seeds of the probe count as well as the items.
    """

    constant: dict[str, FloorScore]
    permuted: dict[str, FloorScore] | None
    ridge: dict[str, FloorScore] | None
    ridge_penalty: float | None
    loses_to_ridge: list[str]


class Drop(Section):
    """A metric on deformed test audio, with its interval, and how far that is from the score on clean audio.

    ``drop`` is deformed minus clean, below zero where the score fell; ``drop_low`` and ``drop_high`` bound its 95 %
    interval: of the same items and the same probes, clean and deformed. ``question`` is that of both intervals, as in
    :class:`Score`; their ends are ``None`` where the metric is undefined without some one item or group.
    """

    value: float
    low: float | None
    high: float | None
    drop: float
    drop_low: float | None
    drop_high: float | None
    question: Literal["items", "items and seeds"] = "items"


class Robustness(Section):
    """What one deformation of the test audio does to the scores of the probes that were trained on clean audio.

    ``spec`` and ``version`` say which, ``space`` is the key of the deformed audio's embeddings, and ``clipped`` counts
    the test tracks that it drove beyond full scale.
    """

    spec: str
    version: int
    space: str
    clipped: int
    metrics: dict[str, Drop]


class CurvePoint(Section):
    """The part of train that a record of a learning curve is about.

    ``fraction`` of train was asked for and ``items`` were drawn, with the seed ``seed``; ``lost`` names labels without
    an item in the sample.
    """

    fraction: float
    repeat: int
    seed: int
    items: int
    lost: list[str]


class Damaged(Section):
    """A track that was left out because its audio is damaged: allowed explicitly, counted and named."""

    track_id: str
    file: str
    problem: str
    seconds_recovered: float


class LeftOut(Section):
    """Items of the task that were not scored, counted by split and class.

    ``of`` are the items that each split should have; ``missing`` are those without audio or embedding (and those that
    the annotations lack), ``damaged`` those whose audio is. An item of several classes counts for each of them;
    ``emptied`` names by split the classes of which nothing is left. A regression has no classes.
    """

    of: dict[str, int]
    missing_by_split: dict[str, int]
    missing_by_class: dict[str, dict[str, int]]
    damaged_by_split: dict[str, int]
    damaged_by_class: dict[str, dict[str, int]]
    emptied: dict[str, list[str]]


class DataSection(Section):
    """What was scored: tracks per split, labels, groups, and what was left out or looks wrong.

    ``fingerprint`` is the sha256 over the content hashes of the audio that was scored, in the order of the items.
    ``missing`` and ``damaged`` name the tracks that were left out, as the user allowed up to the numbers beside them;
    an entry of ``missing`` in round brackets says how the counts differ from the card instead. ``left_out`` counts
    them by split and class; it is ``None`` where nothing was left out, and in records of schema 2.
    ``shared_groups`` and ``shared_audio`` (test tracks) are in test and also in train or valid.
    ``short`` names the tracks that are under a tenth of the median length, and ``cut_inside_frame`` those whose file
    ends inside an MPEG frame: they were scored.
    ``near_duplicates`` counts the items of test whose embedding is suspiciously near to one of train; ``None`` where to
    look would have taken too long, and in older records.
    Where embeddings were given, ``fingerprint`` is over the hashes of ids and rows instead, and ``shared_audio``,
    ``audio_seconds`` and ``clipped`` are ``None``: no audio was looked at.
    """

    fingerprint: str
    counts: dict[str, int]
    labels: list[str]
    groups: int | None
    shared_groups: list[str]
    shared_audio: list[str] | None
    audio_seconds: float | None
    clipped: list[str] | None
    missing: list[str]
    allow_missing: int
    damaged: list[Damaged]
    allow_damaged: int
    short: list[str] = Field(default_factory=list)
    cut_inside_frame: list[str] = Field(default_factory=list)
    left_out: LeftOut | None = None
    near_duplicates: int | None = None

    @property
    def partial(self) -> bool:
        """Whether any item of the task was left out, be it missing or damaged."""
        absent = any(not name.startswith("(") or " fewer items " in name for name in self.missing)
        return absent or bool(self.damaged)


class SeedsSection(Section):
    """Seeds of the search and of each retrained probe; blocks of items are dealt by the search's seed.

    With the seeds in ``diverged`` the selected probe reached no finite validation score: they are left out.
    """

    search: int
    probes: list[int]
    diverged: list[int] = Field(default_factory=list)


class HardwareSection(Section):
    """The machine in words, without its name.

    What decides how products are rounded: ``instructions`` is the instruction set that torch's kernels use, ``flags``
    those of the processor that matter, ``onednn`` the version of oneDNN and the set that it may use, ``blas`` each
    library of linear algebra that is loaded, with its version and kernel, ``threads`` torch's threads, and ``limits``
    the variables of the environment that lower any of it. They are not known (``None`` or empty) in records of schema
    2.
    """

    cpu: str
    cores: int
    memory_gb: float
    accelerator: str | None
    device: str
    instructions: str | None = None
    flags: list[str] = Field(default_factory=list)
    onednn: str | None = None
    blas: list[str] = Field(default_factory=list)
    threads: int | None = None
    limits: dict[str, str] = Field(default_factory=dict)


class SecondsSection(Section):
    """Wall-clock seconds of the parts of the run. ``embed`` is 0 when everything was in the store."""

    embed: float
    search: float
    probes: float
    total: float


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
    ``predictions_sha256`` is of the file that ``predictions`` names; ``None`` in
    records of schema 2. The digest of a record's own content stands in its file beside these fields
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
    """A record or a results folder that cannot be read or written as it is. The message is written for the user."""

    for_user = True  # the command line prints the message alone
