"""The items of a task that a run uses: those that are there, cut down to ``--limit``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.precomputed.encoder import Precomputed, refuse
from benchmark.errors import UserError
from benchmark.jobs.job import TaskItems
from benchmark.jobs.left_out import tell
from benchmark.jobs.options import Options
from benchmark.jobs.protocols import protocol_of
from benchmark.jobs.scoring import refuse_undefined
from benchmark.system.long_lists import shown
from benchmark.system.progress import Advance, Reporter
from results.markdown import folded
from tasks.audit import thin_splits
from tasks.items import Items
from tasks.registry import Task

if TYPE_CHECKING:
    from tasks.sources.locations import CollectionLocation


def select_items(task: Task, items: Items, options: Options, *, audio: bool = True) -> TaskItems:
    """Return the task with its items, cut down to what is there and to ``--limit``, and its probes' protocol.

    Args:
        task: The task.
        items: What its annotations give.
        options: For ``--allow-missing`` and ``--limit``.
        audio: Whether audio is needed; without, no item is left out for the lack of it.

    Raises:
        UserError: More is missing than ``--allow-missing`` says, a split is empty, or a metric could not be computed.
    """
    present = items
    missing: tuple[str, ...] = ()
    if audio and (task.has_reader or task.card.manifest is not None):  # what is rendered is rendered after this
        present, missing = present_items(
            task, items, allow_missing=options.allow_missing, home=options.home_folder, data_roots=options.data_roots
        )
        if missing:
            _refuse_empty(present, f"{task.card.id} has no item of", f"whose audio is there (see {_where(task)})")
    return _limited(task, items, present, missing, limit=options.limit, seed=options.seed, protocol=options.protocol)


def _limited(
    task: Task, whole: Items, items: Items, missing: tuple[str, ...], *, limit: int | None, seed: int, protocol: str
) -> TaskItems:
    if limit is not None:
        items = items.take(limited_rows(items, limit, seed))
    refuse_undefined(task.card, items)
    return TaskItems(task, items, task.fingerprint(items), protocol_of(protocol, task.card), missing, whole)


def precomputed_items(data: TaskItems, encoder: Precomputed, options: Options, report: Reporter) -> TaskItems:
    """Return the items of a task that have an embedding in a file, with audio or without.

    Raises:
        UserError: More have none than ``--allow-missing`` says, a split is empty, or a metric could not be computed.
    """
    task, whole = data.task, data.whole or data.items
    differences = task.size_differences(whole)
    rows, missing = _rows_with_embedding(encoder, whole, task.card.id, differences, options.allow_missing, report)
    items = whole.take(rows)
    tell(task.card, whole, missing, (), report)
    _refuse_empty(items, f"{encoder.path} has no track of", f"of {task.card.id}")
    return _limited(task, whole, items, missing, limit=options.limit, seed=options.seed, protocol=options.protocol)


def _refuse_empty(items: Items, before: str, after: str) -> None:
    empty = [split for split, n in items.counts().items() if n == 0]
    if empty:
        raise UserError(f"{before} {' and '.join(empty)} {after}", "give every split an item at least")


def present_items(
    task: Task, items: Items, *, allow_missing: int, home: Path, data_roots: Sequence[str]
) -> tuple[Items, tuple[str, ...]]:
    """Return the items whose audio is there, and what is missing: ids, and counts that differ from the card's.

    Raises:
        UserError: More is missing than ``--allow-missing`` says.
    """
    from tasks.sources.locations import as_named, empty_audio, folder_meant, missing_audio, unreadable

    absent = missing_audio(items)
    shut = unreadable(items, absent)
    if shut:
        folders = [f"  {folded(str(folder))}: {count} audio file(s)" for folder, count in shut.items()]
        raise UserError(
            f"{task.card.id} has audio in folders that may not be read",
            "give yourself the right to read them (chmod u+rx FOLDER), or see who owns them (ls -ld FOLDER)",
            folders,
        )
    place = _place(task, home, data_roots) if absent else None
    differences = task.size_differences(items)
    total = len(absent) + sum(map(abs, differences.values()))
    missing = [items.track_ids[row] for row in absent]
    missing += format_differences(differences)
    if total > allow_missing:
        paths = [items.audio[row] for row in absent]
        paths = paths if place is None else as_named(paths, place)
        lines = [f"{items.track_ids[row]}: {path}" for row, path in zip(absent, paths, strict=True)]
        lines = shown(lines, home / f"missing-{task.card.id}.txt", [str(path) for path in paths])
        lines += [f"  the annotations give {text[1:-1]}" for text in missing[len(absent) :]]
        elsewhere = "" if place is None else folder_meant(items, absent, place)
        empty = empty_audio(items)
        lines += [f"  (and with 0 bytes, which counts as damaged: {items.audio[row]})" for row in empty[:SHOWN_EMPTY]]
        lines += [f"  (and {len(empty) - SHOWN_EMPTY} more of 0 bytes)"] if len(empty) > SHOWN_EMPTY else []
        raise UserError(
            f"{task.card.id} lacks {len(absent)} of {len(items)} audio files"
            + (" and has other counts than its card" if differences else "")
            + f", and --allow-missing is {allow_missing}",
            f"see {_where(task)}, or leave them out with --allow-missing {total} (the record will name them, and the "
            "leaderboard will keep it apart)",
            [*lines, *([elsewhere] if elsewhere else [])],
        )
    there = np.setdiff1d(np.arange(len(items)), absent)
    return items.take(there), tuple(missing)


SHOWN_EMPTY = 5


def _where(task: Task) -> str:
    """Return where a user reads what belongs where; the data commands know no tasks of mirdata."""
    if task.loaded is not None:
        return f"what mirdata's loader expects in {task.source}"
    if task.card.manifest is not None:
        return f"'bench data verify {task.source}'"
    return f"'bench data where {task.card.id}'"


def _place(task: Task, home: Path, data_roots: Sequence[str]) -> CollectionLocation | None:
    """Return where the collection of a built-in task lies; other data lie where they were found, or are rendered."""
    from tasks.sources.card import read_collection
    from tasks.sources.locations import known_collections, location_of

    if task.loaded is not None or task.collection not in known_collections() or task.card.manifest is not None:
        return None
    return location_of(read_collection(task.collection), home, data_roots)


def limited_rows(items: Items, limit: int, seed: int) -> np.ndarray:
    """Return the rows of a seeded sample of about ``limit`` items, each split (or fold) in proportion, none empty."""
    if limit >= len(items):
        return np.arange(len(items))
    rng = np.random.default_rng([seed, 4])
    chosen = []
    for part in items.parts:
        rows = items.rows(part)
        chosen.append(rng.permutation(rows)[: max(1, round(limit * len(rows) / len(items)))])
    return np.sort(np.concatenate(chosen))


EXAMPLES = 3


def _rows_with_embedding(
    encoder: Precomputed, items: Items, task: str, differences: Mapping[str, int], allowed: int, report: Reporter
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the indices of the items that have an embedding, and in words what is missing.

    What the file has beyond the task is told and left aside.

    Args:
        encoder: The embeddings.
        items: All items of the task.
        task: The task's id.
        differences: By how many items each split differs from the task's card.
        allowed: How many embeddings, and items of the card, may be missing.
        report: Is told of surplus ids.

    Raises:
        UserError: More are missing, or all are.
    """
    has = np.array([track_id in encoder.rows for track_id in items.track_ids])
    if not has.any():
        theirs, ours = ", ".join(encoder.ids[:EXAMPLES]), ", ".join(items.track_ids[:EXAMPLES])
        raise UserError(
            f"no id of {encoder.path} is a track of {task}: it has ids such as {theirs}, and the task {ours}",
            "Write the task's ids into the file: they must be equal as texts",
        )
    absent = [track_id for track_id, there in zip(items.track_ids, has, strict=True) if not there]
    missing = [*absent, *format_differences(differences)]
    total = len(absent) + sum(map(abs, differences.values()))
    if total > allowed:
        refuse(
            f"{encoder.path} has no embedding of {len(absent)} of the {len(items)} tracks of {task}"
            + (", whose annotations give other counts than its card" if differences else "")
            + f", and --allow-missing is {allowed}",
            missing,
            encoder.listing(f"missing-{task}"),
            f"add them, or leave them out with --allow-missing {total} (the record will name them, and the "
            "leaderboard will keep it apart)",
        )
    surplus = len(encoder.ids) - int(has.sum())
    if surplus:
        wanted = set(items.track_ids)
        examples = [track_id for track_id in encoder.ids if track_id not in wanted][:EXAMPLES]
        report.say(
            f"{encoder.path}: {surplus} of its {len(encoder.ids)} ids are no tracks of {task} and are left aside "
            f"({', '.join(examples)}{', …' if surplus > EXAMPLES else ''})"
        )
    return np.flatnonzero(has), tuple(missing)


def format_differences(differences: Mapping[str, int]) -> list[str]:
    """Return how the items of each split differ from the card's, as a record names it."""
    return [
        f"({abs(n)} {'more' if n > 0 else 'fewer'} items of {split} than the card)" for split, n in differences.items()
    ]


def needs_audio(encoders: Iterable[Encoder]) -> bool:
    """Say whether any of ``encoders`` hears audio: embeddings that are given do not."""
    return any(not isinstance(encoder, Precomputed) for encoder in encoders)


def prepare(tasks: Sequence[Task], options: Options, report: Reporter, *, audio: bool = True) -> list[TaskItems]:
    """Return the tasks with their items; a built-in collection is rendered at its first use.

    Args:
        tasks: The tasks.
        options: What the user chose.
        report: Is told of the rendering, and of what is missing.
        audio: Whether audio is needed; without, annotations are all that must be there.
    """
    data = []
    for task in tasks:
        few = options.limit is not None
        with report.stage(f"Preparing {task.collection}", 1, "clips") as advance:

            def progress(done: int, total: int, advance: Advance = advance) -> None:
                advance(done, total=total)

            items = task.items(
                options.home_folder, progress, data_roots=options.data_roots, audio=audio, rendered=not few
            )
            data.append(select_items(task, items, options, audio=audio))
            if few and audio:
                task.render(options.home_folder, data[-1].items, progress)
        tell(task.card, items, data[-1].missing, (), report)
        if task.card.manifest is not None and options.limit is None:
            for text in thin_splits(data[-1].items, task.card.kind):
                report.say(f"Warning, {task.card.id}: {text}")
    return data
