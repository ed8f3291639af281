"""Sections of a record on what was run: task, encoder, data, what was left out, machine and time."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from results.sections import Section


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


class EnvironmentSection(Section):
    """The environment of another interpreter, which ran the encoder.

    ``packages`` counts its packages and ``digest`` is the sha256 of their list (``name==version``, sorted, a line
    each); ``main`` has the versions of those that most encoders are built on.
    """

    name: str
    python: str
    packages: int
    digest: str
    main: dict[str, str]

    def __str__(self) -> str:
        shown = ", ".join([f"Python {self.python}", *(f"{name} {version}" for name, version in self.main.items())])
        return f"{self.name}: {shown}; {self.packages:,} packages, list {self.digest}"


class EncoderSection(Section):
    """Which encoder answered, and how it was fed. ``space`` is the key of its embeddings in the store.

    ``own_windows``: it could not take the windows of the task and, as the user asked, was given its own.
    ``sample_rate`` and ``channels`` are ``None`` where embeddings were given: how they were made is not known.
    ``fitted_on``: it took statistics of the training split; the sha256 of the task's id, the split's ids and its audio.
    ``precision``: what it computed in, where it has a choice (``None`` in records of schema 2, which do not say).
    ``parameters``: of its networks; ``None`` where it has none, they were not opened, as where all embeddings were in
    the store, or another library than torch ran them, and in older records.
    ``environment``: of the interpreter that ran it, where that is not the one of the run.
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
    parameters: int | None = None
    environment: EnvironmentSection | None = None


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
