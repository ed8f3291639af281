"""Bring the sources of a collection: fetch what is missing, join split archives, unpack, once."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from tasks.errors import TaskError
from tasks.sources.archives import concatenate, unpack
from tasks.sources.card import CollectionCard, Source, archives_of
from tasks.sources.disk import not_written
from tasks.sources.download import alone, fetch
from tasks.sources.http import Progress
from tasks.sources.locations import CollectionLocation, fetchable, join_folders
from tasks.sources.state import identity_of, is_here, is_sound, is_unpacked, marker_of, problem_of, target_of


def pending(sources: Sequence[Source], root: Path, *, again: bool = False) -> list[list[Source]]:
    """Return what is still to be fetched or unpacked, by archive: a list of its parts, mostly of one.

    A source without an address is left out, unless someone has put its file there: then it is unpacked like the others.

    Args:
        sources: All parts of a split archive (``x.zip.001``, ``x.zip.002``, ...) must be among them; one of them, or
            all, have ``unpack``.
        root: The collection's root.
        again: Return also what was unpacked before.
    """
    found = []
    for parts in archives_of(sources):
        archive = next((part for part in parts if part.unpack is not None), None)
        done = is_sound(parts[0], root) if archive is None else is_unpacked(archive, root) and not again
        if not done and all(part.urls or is_here(part, root) for part in parts):
            found.append(parts)
    return found


def obtain(
    sources: Sequence[Source],
    root: Path,
    *,
    again: bool = False,
    keep_archives: bool = False,
    progress: Callable[[Source, int, int | None], None] | None = None,
) -> list[Source]:
    """Fetch and unpack what of ``sources`` is :func:`pending`, and return it.

    An audio archive is removed once it is unpacked: it would double the room that the collection takes.

    Args:
        sources: See :func:`pending`.
        root: The collection's root.
        again: Unpack also what was unpacked before.
        keep_archives: Keep audio archives.
        progress: Called with a source, the bytes of it that are fetched, then unpacked, and its bytes in all where
            they are known.

    Raises:
        TaskError: See :func:`tasks.sources.download.fetch` and :func:`unpack`.
    """
    done: list[Source] = []
    for parts in pending(sources, root, again=again):
        refuse_other(parts, root)
        files = [fetch(part, root, progress=_of(part, progress)) for part in parts]
        archive = next((part for part in parts if part.unpack is not None), None)
        if archive is not None:
            _unpack_source(archive, files, root, progress)
            if archive.what == "audio" and not keep_archives:
                for file in files:
                    file.unlink(missing_ok=True)
        done += parts
    return done


def refuse_other(sources: Sequence[Source], root: Path) -> None:
    """Refuse large files that are here and not what they should be, as only fetched ones were held to their checksum.

    Raises:
        TaskError: The bytes of one are others.
    """
    for source in sources:
        if is_sound(source, root) and (problem := problem_of(source, root)):
            raise TaskError(f"{target_of(source, root)}: {problem}", "Remove it, then run the same command again")


def _unpack_source(
    source: Source, archives: Sequence[Path], root: Path, progress: Callable[[Source, int, int | None], None] | None
) -> None:
    assert source.unpack is not None
    to = root if source.unpack in ("", ".") else target_of(source.model_copy(update={"file": source.unpack}), root)
    marker = marker_of(source, root)
    with alone(marker):
        whole = concatenate(archives, archives[0].with_suffix("")) if len(archives) > 1 else archives[0]
        try:
            unpack(whole, to, progress=_of(source, progress))
        finally:
            if len(archives) > 1:
                whole.unlink(missing_ok=True)
        try:
            marker.write_text(json.dumps(identity_of(source)), encoding="utf-8")
        except OSError as error:
            raise not_written(error, marker) from None


def _of(source: Source, progress: Callable[[Source, int, int | None], None] | None) -> Progress | None:
    return None if progress is None else lambda done, total: progress(source, done, total)


def fetch_annotations(
    collection: CollectionCard,
    place: CollectionLocation,
    progress: Callable[[Source, int, int | None], None] | None = None,
    *,
    again: bool = False,
    tasks: Collection[str] = (),
) -> list[Source]:
    """Fetch the annotations that have an address and are not there; return those that were fetched.

    Args:
        collection: Its card.
        place: Where it lies.
        progress: See :func:`tasks.sources.fetch.obtain`.
        again: Unpack also what was unpacked before.
        tasks: Ids of the tasks whose annotations are wanted; all of the collection's when none is named.

    Raises:
        TaskError: Some cannot be fetched; all others are.
    """
    sources = fetchable(collection, tasks)
    if place.annotations != place.root:
        join_folders(place, collection)
    elif place.read_only:
        return []  # all are there, or the place would have another folder for them
    done: list[Source] = []
    failures: list[TaskError] = []
    for parts in pending(sources, place.annotations, again=again):
        try:
            done += obtain(parts, place.annotations, again=again, progress=progress)
        except TaskError as error:  # a collection's tasks need different files: one dead link must not stop all
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise TaskError(
            f"{len(failures)} of the annotations of {collection.name} cannot be fetched",
            "the others are here; do what each line says",
            [line for error in failures for line in str(error).splitlines()],
        )
    return done
