"""One job of a run: an encoder, the items of a task that it is probed on, and what lies in the place of its record."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmark.audio.index import AudioIndex
from benchmark.embeddings.precomputed import GivenStore
from benchmark.embeddings.space import Space
from benchmark.embeddings.store import EmbeddingStore
from benchmark.embeddings.tracks import Track
from benchmark.encoders.base import Encoder
from benchmark.jobs.existing import Standing
from benchmark.jobs.options import TrainPart
from probes.protocol import Protocol
from results.record import Record
from tasks.items import Items
from tasks.registry import Task


@dataclass(frozen=True)
class Asked:
    """A task with the items that this run uses, and the ids of those that are missing and left out.

    ``whole`` holds all items that the annotations give, whether or not their audio is there.
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


@dataclass
class Pair:
    """One encoder on one task, and what lies in the place of its record.

    ``own_windows`` says that the encoder could not take the task's windows and, as asked, was given its own. ``part``
    is the part of train that its probe sees, where that is not all.
    """

    encoder: Encoder
    asked: Asked
    source: EmbeddingStore | GivenStore
    standing: Standing = field(default_factory=Standing)
    own_windows: bool = False
    part: TrainPart | None = None

    @property
    def kept(self) -> Record | None:
        """The record that makes the run unnecessary, if there is one."""
        return self.standing.kept

    @property
    def given(self) -> GivenStore | None:
        """The embeddings that stand in the encoder's place, if they were computed elsewhere."""
        return self.source if isinstance(self.source, GivenStore) else None

    @property
    def store(self) -> EmbeddingStore:
        """The store of the encoder's embeddings; only for pairs without given ones."""
        assert isinstance(self.source, EmbeddingStore)
        return self.source

    @property
    def space(self) -> Space:
        """The space of the encoder on this task; only for pairs without given embeddings."""
        return self.store.space

    def keys(self, index: AudioIndex) -> list[str | None]:
        """Return what each item's embedding is stored under; ``None`` where its audio was not read yet, or changed."""
        if self.given is not None:
            return list(self.given.keys(self.asked.items.track_ids))
        return [index.key(audio) for audio in self.asked.items.audio]
