"""Which records and metrics a picture is of."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmark.errors import UserError
from benchmark.reports.compare import refuse_unknown, task_ids
from results.markdown import folded
from results.partial import is_partial
from results.record import Record
from results.store import slug
from results.together import Together


def chosen(together: Together, tasks: Sequence[str], encoders: Sequence[str]) -> Together:
    """Return the records of some tasks and encoders; all where none are named.

    Raises:
        UserError: A name that fits nothing.
    """
    everything = (*together.records, *together.curves)
    known = {record.name for record in everything}
    names: set[str] = set()
    for name in (name.strip() for text in encoders for name in text.split(",")):
        found = {name} & known or set(fnmatch.filter(known, name))
        if name and not found:
            refuse_unknown(name, everything, together.where)
        names |= found
    ids = set(task_ids(tasks, everything)) if tasks else {record.task.id for record in everything}

    def keep(records: Sequence[Record]) -> tuple[Record, ...]:
        return tuple(each for each in records if each.task.id in ids and (not names or each.name in names))

    return replace(together, records=keep(together.records), curves=keep(together.curves))


def refuse_unknown_metric(metric: str | None, together: Together) -> None:
    """Refuse a metric that no record has.

    Raises:
        UserError: The message names those that there are.
    """
    known = sorted({name for record in (*together.records, *together.curves) for name in record.task.metrics})
    if metric in (None, "all", *known):
        return
    near = difflib.get_close_matches(str(metric), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"name one of {', '.join(known)}, or all"
    raise UserError(f"none of these records has a metric {metric!r}", hint)


@dataclass(frozen=True)
class Column:
    """The records that belong side by side: of one task and one metric, all of it or all cut down alike.

    Attributes:
        task: The task's id.
        metric: The metric.
        limit: What ``--limit`` gave to all of them.
        records: One an encoder, in order of their names.
        slug: Tells it from the other columns, in the name of a file.
        words: The task with its limit, for a title; inert.
    """

    task: str
    metric: str
    limit: int | None
    records: tuple[Record, ...]
    slug: str
    words: str


def columns(records: Sequence[Record], metric: str | None) -> Iterator[Column]:
    """Yield the columns of records, by task, limit and metric.

    Records of a task under the same id, but of other items (another fingerprint) or with another list of metrics, stay
    in one column: each picture says so beside it (:func:`remarks`).
    """
    found: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        found.setdefault((record.task.id, record.limit or 0), []).append(record)
    for (task, limit), members in sorted(found.items()):
        known = list(dict.fromkeys(name for record in members for name in record.task.metrics))
        wanted = known if metric == "all" else known[:1] if metric is None else [metric] if metric in known else []
        for name in wanted:
            own = sorted((each for each in members if name in each.task.metrics), key=lambda each: each.name)
            parts = [slug(task), *([f"limit-{limit}"] if limit else []), *([slug(name)] if name != known[0] else [])]
            words = folded(task) + (f" (limited to {limit} items)" if limit else "")
            yield Column(task, name, limit or None, tuple(own), ".".join(parts), words)


def other_metrics(records: Sequence[Record], metric: str | None) -> list[str]:
    """Say which tasks have metrics that are not drawn, or lack the one that is."""
    notes = []
    for task in sorted({record.task.id for record in records}):
        known = next(record.task.metrics for record in records if record.task.id == task)
        if metric is None and len(known) > 1:
            others = ", ".join(known[1:])
            notes.append(f"{folded(task)}: {known[0]} is drawn; for {others} give --metric NAME, or --metric all.")
        elif metric not in (None, "all", *known):
            notes.append(f"{folded(task)} has no {metric}, and is not drawn.")
    return notes


def remarks(column: Column) -> list[str]:
    """Return what to know of the records of a column, a sentence each."""
    notes = []
    for record in column.records:
        if is_partial(record):
            notes.append(f"{label_of(record)} on {column.words} is a partial run: items of the task were left out.")
    if len({(record.task.version, record.task.fingerprint) for record in column.records}) > 1:
        notes.append(f"The records of {column.words} are of different items or versions of the task: do not compare.")
    return notes


def label_of(record: Record) -> str:
    """Return the encoder's name with its variant, inert and in one line."""
    return folded(record.name)


def record_slug(record: Record) -> str:
    """Return what tells a record from others, in the name of a file."""
    variant = f"+{record.variant}" if record.variant else ""
    limit = f".limit-{record.limit}" if record.limit else ""
    return f"{slug(record.task.id)}.{slug(record.encoder.id)}{variant}{limit}"


def record_words(record: Record) -> str:
    """Return encoder and task of a record, for a title; inert."""
    limit = f", limited to {record.limit} items" if record.limit else ""
    return f"{label_of(record)} on {folded(record.task.id)}{limit}"
