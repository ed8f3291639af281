"""Tracks to embed, and those that are damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
