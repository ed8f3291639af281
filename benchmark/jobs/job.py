"""A job: one encoder on one task, with every choice decided. What runs it reads fields, and asks nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchmark.audio.deformations import Deformation
from benchmark.audio.index import AudioIndex
from benchmark.embeddings.rows import RowSource
from benchmark.embeddings.store import EmbeddingStore
from benchmark.embeddings.tracks import Track
from benchmark.encoders.base import Encoder
from benchmark.errors import UserError
from benchmark.jobs.options import Sampler, TrainSubset
from benchmark.jobs.variants import precision_of, variant_name
from benchmark.system.machine import Precision
from benchmark.tracking.kinds import Tracking
from probes.protocol import Protocol
from results.record import Record
from results.store import history_path, record_path
from tasks.card import TaskCard
from tasks.items import Items
from tasks.registry import Task


@dataclass(frozen=True)
class TaskItems:
    """A task with the items that this run uses.

    Attributes:
        task: The task.
        items: Its items that are used.
        fingerprint: The sha256 of the items and of the card's rules.
        protocol: Which probes may be tried.
        missing: Ids of the items that are missing and left out.
        whole: All items that the annotations give, whether or not their audio is there.
    """

    task: Task
    items: Items
    fingerprint: str
    protocol: Protocol
    missing: tuple[str, ...] = ()
    whole: Items | None = None

    @property
    def tracks(self) -> list[Track]:
        """The items as tracks to embed."""
        pairs = zip(self.items.track_ids, self.items.audio, strict=True)
        return [Track(track_id, self.task.collection, path) for track_id, path in pairs]

    @property
    def train(self) -> tuple[list[str], list[Path]]:
        """The ids and audio files of the items of train."""
        rows = self.items.rows("train")
        return [self.items.track_ids[i] for i in rows], [self.items.audio[i] for i in rows]


@dataclass(frozen=True)
class SearchPlan:
    """How the probe of a job is searched and trained.

    Attributes:
        trials: Settings that are tried.
        seeds: How often the selected probe is retrained, with seeds from ``seed`` upwards.
        seed: Seed of the search, of samples of the items and of the first retrained probe.
        sampler: What chooses the settings of a trial.
        pruner: What ends trials early.
        precision: What the probe's products are computed in.
        layer: ``auto``, ``mix``, ``all`` or the name of a layer; ``None`` where the encoder has none.
        device: The device, as the user named it.
        storage: URL of an Optuna storage; a journal among the results where there is none.
        fresh: Whether earlier searches are left aside.
    """

    trials: int
    seeds: int
    seed: int
    sampler: Sampler
    pruner: str
    precision: Precision
    layer: str | None
    device: str
    storage: str | None
    fresh: bool


@dataclass(frozen=True)
class Existing:
    """What is at a job's record path before the run.

    Attributes:
        kept: The record of the very run, which makes it unnecessary.
        displaced: The record of another run, which goes to the history.
        refusal: Why that one must stay, where it may not go.
    """

    kept: Record | None = None
    displaced: Record | None = None
    refusal: UserError | None = None


@dataclass(frozen=True)
class Job:
    """One encoder on one task.

    Attributes:
        encoder: The encoder, as the task's windows want it.
        data: The task and its items.
        source: Where the embeddings are read from.
        search: How the probe is searched and trained.
        home: The data home.
        results: The folder of records.
        limit: How many items were sampled, where not all are used.
        own_windows: Whether the encoder could not take the task's windows and, as asked, was given its own.
        subset: The part of train that the probe sees, where that is not all.
        deform: Deformations of the audio of test, under which the probes are scored once more.
        allow_missing: How many items may be missing.
        allow_damaged: How many damaged tracks may be left out.
        export: Where the probe goes as files.
        tracking: The trackers that follow it.
        asked: The words of the command beside encoder and task.
        existing: What is at the record's path already.
    """

    encoder: Encoder
    data: TaskItems
    source: RowSource
    search: SearchPlan
    home: Path
    results: Path
    limit: int | None = None
    own_windows: bool = False
    subset: TrainSubset | None = None
    deform: tuple[Deformation, ...] = ()
    allow_missing: int = 0
    allow_damaged: int = 0
    export: Path | None = None
    tracking: Tracking = field(default_factory=Tracking)
    asked: tuple[str, ...] = ()
    existing: Existing = field(default_factory=Existing)

    @property
    def card(self) -> TaskCard:
        """The task's card."""
        return self.data.task.card

    @property
    def name(self) -> str:
        """The job in words."""
        subset = self.subset
        part = "" if subset is None else f" ({subset.fraction:g} of train, repeat {subset.repeat})"
        return f"{self.encoder.name} on {self.card.id}{part}"

    @property
    def kept(self) -> Record | None:
        """The record that makes the run unnecessary, if there is one."""
        return self.existing.kept

    @property
    def store(self) -> EmbeddingStore:
        """The store of the encoder's embeddings; only where these are made here."""
        assert isinstance(self.source, EmbeddingStore)
        return self.source

    @property
    def variant(self) -> str:
        """What the run is called beyond encoder and task; see :mod:`benchmark.jobs.variants`."""
        return variant_name(
            precision=precision_of(self.encoder),
            layer=self.search.layer,
            own_windows=self.own_windows,
            protocol=self.data.protocol.name,
            sampler=self.search.sampler,
            pruner=self.search.pruner,
            probe_precision=self.search.precision,
        )

    @property
    def path(self) -> Path:
        """The file of the record."""
        curve = None if self.subset is None else self.subset.name
        return record_path(self.results, self.card.id, self.encoder.name, self.limit, curve, self.variant)

    @property
    def outcome(self) -> str:
        """What a run does to the file of the record, in words."""
        existing = self.existing
        if existing.kept is not None:
            return "record kept"
        if existing.refusal:
            return "refused: see below"
        if existing.displaced is None:
            return "new record"
        kept = history_path(self.path, existing.displaced.run_key)
        return f"displaces a record, which goes to {kept.parent.name}/{kept.name}"

    def keys(self, index: AudioIndex) -> list[str | None]:
        """Return what each item's embedding is stored under; ``None`` where its audio was not read yet, or changed."""
        return self.source.keys(self.data.tracks, index)
