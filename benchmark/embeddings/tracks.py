"""Tracks to embed, and those of which no embedding is in the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmark.audio.index import AudioIndex
from benchmark.embeddings.store import EmbeddingStore


@dataclass(frozen=True)
class Track:
    """A track to embed: its id and collection, for people, and its file."""

    track_id: str
    collection: str
    path: Path


@dataclass(frozen=True)
class Damage:
    """A track whose audio cannot be used."""

    track_id: str
    path: Path
    problem: str
    seconds_recovered: float


def missing_tracks(tracks: Iterable[Track], store: EmbeddingStore, index: AudioIndex) -> list[Track]:
    """Return the tracks whose embedding is not in the store, each file once, in order."""
    places, seen, missing = store.places(), set[Path](), []
    for track in tracks:
        if track.path in seen:
            continue
        seen.add(track.path)
        if index.key(track.path) not in places:
            missing.append(track)
    return missing
