"""What is here of collections, and where their files belong, as records: for programs, ``bench data ... --json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.datasets.checks import count_audio, has, source_state
from benchmark.datasets.data import by_collection, card_of
from tasks import registry
from tasks.errors import TaskError
from tasks.registry import Task
from tasks.sources.card import CollectionCard
from tasks.sources.locations import location_of, parse_data_roots, read_config

Origin = Literal["published", "rendered", "own"]


@dataclass(frozen=True)
class SourceState:
    """One file of a collection: what it is, whether it is here, where it can be fetched from."""

    file: str
    what: str
    is_here: bool
    state: str
    urls: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class CollectionState:
    """One collection, and what of it is here.

    Attributes:
        collection: Its name; of data of one's own the card.
        title: In words.
        origin: ``published``, ``rendered`` (made at first use), or ``own`` (a card and a manifest).
        tasks: Ids of the tasks that read it.
        folder: Where its files belong; ``None`` where it has no place of its own.
        annotations_folder: Where its annotations belong.
        named_by: What says so: ``data home``, ``--data-root``, or a configuration file.
        read_only: Whether the folder is the user's, and never written.
        audio_here: Audio files that are here; ``None`` where the annotations that name them are not.
        audio_files: Audio files that the tasks need; ``None`` likewise.
        gigabytes: Of the audio, where its card says it.
        licence: Of audio and annotations.
        sources: Its files, as they are published.
        problem: Why nothing is known of it, where that is so.
    """

    collection: str
    title: str
    origin: Origin
    tasks: tuple[str, ...]
    folder: Path | None = None
    annotations_folder: Path | None = None
    named_by: str = ""
    read_only: bool = False
    audio_here: int | None = None
    audio_files: int | None = None
    gigabytes: float | None = None
    licence: str = ""
    sources: tuple[SourceState, ...] = ()
    problem: str = ""


def collection_states(home: Path, data_roots: Sequence[str] = (), task: str | None = None) -> list[CollectionState]:
    """Return the collections of all built-in tasks, or of those that ``task`` names.

    Raises:
        TaskError: There is no such task, or a data root or the configuration file is not as it should be.
    """
    parse_data_roots(data_roots), read_config(home)  # a mistake in these is not the fault of one collection
    tasks = registry.builtin_tasks().values() if task is None else registry.find(task)
    return [_state(name, members, home, data_roots) for name, members in by_collection(tasks).items()]


def _state(name: str, tasks: Sequence[Task], home: Path, data_roots: Sequence[str]) -> CollectionState:
    card, ids = card_of(name), tuple(task.card.id for task in tasks)
    if card is None:
        first = tasks[0]
        own = first.card.manifest is not None
        return CollectionState(
            name,
            first.card.title,
            "own" if own else "rendered",
            ids,
            folder=first.manifest.parent if own else home / "collections",
            licence=first.card.licence.strip(),
        )
    return _published(name, card, tasks, home, data_roots)


def _published(
    name: str, card: CollectionCard, tasks: Sequence[Task], home: Path, data_roots: Sequence[str]
) -> CollectionState:
    ids = tuple(task.card.id for task in tasks)
    try:
        place = location_of(card, home, data_roots)
    except TaskError as error:
        return CollectionState(
            name, card.title, "published", ids, gigabytes=card.gigabytes, licence=card.licence.strip(),
            problem=str(error),
        )  # fmt: skip
    missing, total, unread = count_audio(card, tasks, place)
    known = unread < len(tasks)
    return CollectionState(
        collection=name,
        title=card.title,
        origin="published",
        tasks=ids,
        folder=place.root,
        annotations_folder=place.annotations,
        named_by=place.origin,
        read_only=place.read_only,
        audio_here=total - missing if known else None,
        audio_files=total if known else None,
        gigabytes=card.gigabytes,
        licence=card.licence.strip(),
        sources=tuple(
            SourceState(
                source.file, source.what, has(source, place) or (place.root / source.file).is_dir(),
                source_state(source, place), tuple(source.urls), source.note.strip(),
            )
            for source in card.sources_of(ids)
        ),
    )  # fmt: skip
