"""Two encoders beside each other: which records can be compared, what the comparison says, and how it is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from tabulate import tabulate

from results import html
from results.intervals import FEW_CLUSTERS
from results.markdown import escaped
from results.partial import format_left_out, is_partial
from results.predictions import Predictions
from results.record import Record
from results.sections import Section

SCHEMA_VERSION: Final = 2
SIGNIFICANT = 0.05
NAMED = 3  # ids shown of a longer list


class MetricDifference(Section):
    """One metric of one task. ``first`` and ``second`` are means over probes, ``difference`` the lead of the first.

    ``low`` and ``high`` bound the 95 % interval of the difference that is to be expected, ``p`` is two-sided and of
    the same t statistic: at most .05 exactly where 0 is outside. ``question`` says over what: ``items and seeds``,
    items (or groups, ``clusters`` in number) of this kind and seeds of both probes, or ``items`` where an encoder has a
    single probe (``probes`` says how many each has). ``p_holm`` is p adjusted over the tasks, and ``None`` outside the
    family.

    ``items_low``, ``items_high`` and ``items_p`` answer the narrower question whether these very probes differ: items
    alone are drawn, and p is of a paired permutation test, of whose ``permutations`` ``exact`` says that these are all.
    Intervals and p values are ``None`` where the metric is undefined without some one item or group.
    """

    task: str
    metric: str
    first: float
    second: float
    difference: float
    question: Literal["items", "items and seeds"]
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    items_low: float | None
    items_high: float | None
    items_p: float | None
    probes: tuple[int, int]
    permutations: int
    exact: bool
    items: int
    clusters: int
    clustered: bool
    limit: int | None


class Comparison(Section):
    """What ``bench compare`` found: a line a metric, what the family of Holm's correction is, and what to know."""

    schema_version: Literal[2] = SCHEMA_VERSION
    first: str
    second: str
    family: str
    seed: int
    rows: list[MetricDifference]
    notes: list[str]

    def __repr__(self) -> str:
        """Return the comparison in lines: what is compared, and a line a metric."""
        lines = [
            f"{row.task} {row.metric}: {row.first:.3f} and {row.second:.3f}, {row.difference:+.3f} "
            f"({_span(row.low, row.high)}), p {_p(row.p)}, p (Holm) {_p(row.p_holm)}"
            for row in self.rows
        ]
        return "\n".join([f"<Comparison {self.first} less {self.second}>", *lines])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Return the differences as a table, for notebooks."""
        rows = [
            (
                row.task, row.metric, f"{row.first:.3f}", f"{row.second:.3f}", f"{row.difference:+.3f}",
                _span(row.low, row.high), _p(row.p), _p(row.p_holm),
            )
            for row in self.rows
        ]  # fmt: skip
        headers = ("task", "metric", self.first, self.second, "difference", "95 % interval", "p", "p (Holm)")
        return html.table(headers, rows, f"{self.first} less {self.second}", [self.family, *self.notes])


@dataclass(frozen=True)
class RecordPair:
    """The records of two encoders on one task, with the same limit."""

    first: Record
    second: Record


def pair_records(
    records: Iterable[Record], first: str, second: str, tasks: Sequence[str] | None
) -> tuple[list[RecordPair], list[str]]:
    """Return the pairs of records to compare, in order of task, and a note for each task that only one encoder has.

    Full records are compared where both have one, else limited ones of the same limit, of several the largest.

    Args:
        records: All records.
        first: Id of an encoder.
        second: Id of another.
        tasks: Ids of the tasks asked for; ``None`` for all.
    """
    by_task: dict[str, tuple[dict[int | None, Record], dict[int | None, Record]]] = {}
    for record in records:
        if record.name in (first, second) and (tasks is None or record.task.id in tasks):
            sides = by_task.setdefault(record.task.id, ({}, {}))
            sides[record.name == second][record.limit] = record
    pairs, notes = [], []
    for task in sorted(by_task):
        here, there = by_task[task]
        shared = set(here) & set(there)
        if shared:
            limit = None if None in shared else max(limit for limit in shared if limit is not None)
            pairs.append(RecordPair(here[limit], there[limit]))
        elif here and there:
            limits = [
                ", ".join(
                    "full" if limit is None else f"--limit {limit}" for limit in sorted(side, key=lambda n: n or 0)
                )
                for side in (here, there)
            ]
            notes.append(
                f"{task} is not compared: {first} has {limits[0]}, {second} has {limits[1]}. Only runs with the same "
                "limit are comparable."
            )
        else:
            has, lacks = (first, second) if here else (second, first)
            notes.append(f"{task} is not compared: {has} has a record, {lacks} has none.")
    for task in sorted(set(tasks or ()) - set(by_task)):
        notes.append(f"{task} is not compared: neither encoder has a record.")
    return pairs, notes


def refusal(pair: RecordPair) -> str:
    """Return why two records must not be compared, or nothing."""
    first, second = pair.first, pair.second
    if first.task.fingerprint != second.task.fingerprint and (is_partial(first) or is_partial(second)):
        told = [
            f"{record.encoder.id}: {format_left_out(record.data) or 'all items were scored'}"
            for record in (first, second)
        ]
        return f"the items are not the same, as a run is partial ({'; '.join(told)})"
    if first.task.fingerprint != second.task.fingerprint:
        versions = (
            f"versions {first.task.version} and {second.task.version} of the task"
            if first.task.version != second.task.version
            else "other items, targets or rules under the same version"
        )
        return f"the task is not the same: its fingerprints differ ({versions})"
    if first.task.metrics != second.task.metrics:
        return f"metrics differ: {', '.join(first.task.metrics)} and {', '.join(second.task.metrics)}"
    return ""


def align(first: Predictions, second: Predictions) -> Predictions | str:
    """Return ``second`` in the order of ``first``, or say how their items or targets differ."""
    if first.labels != second.labels:
        return f"labels differ: {len(first.labels)} and {len(second.labels)}, or in another order"
    only = [sorted(set(a.track_ids) - set(b.track_ids)) for a, b in ((first, second), (second, first))]
    if only[0] or only[1]:
        return "test items differ: " + "; ".join(
            f"{len(ids)} only of the {which} ({_named(ids)})"
            for which, ids in zip(("first", "second"), only, strict=True)
            if ids
        )
    place = {track_id: i for i, track_id in enumerate(second.track_ids)}
    second = second.take(np.array([place[track_id] for track_id in first.track_ids]))
    differ = first.targets != second.targets
    rows = np.flatnonzero(differ.any(axis=1) if differ.ndim > 1 else differ)
    if len(rows):
        return f"targets differ on {len(rows)} test items ({_named([first.track_ids[i] for i in rows])})"
    if first.groups != second.groups:
        return "groups of the test items differ"
    return second


def condition_notes(pair: RecordPair) -> list[str]:
    """Say how the conditions of two comparable records differ, and which of them is partial; else nothing."""
    conditions: dict[str, Callable[[Record], object]] = {
        "protocol": lambda record: record.protocol,
        "trials": lambda record: len(record.search.trials),
        "sampler": lambda record: record.search.sampler,
        "pruner": lambda record: record.search.pruner,
        "variant": lambda record: record.variant or "none",
        "search seed": lambda record: record.seeds.search,
        "probe seeds": lambda record: " ".join(map(str, record.seeds.probes)),
        "hidden layers": lambda record: " ".join(map(str, record.probe.hidden)) or "none",
        "train items": lambda record: record.data.counts.get("train"),
        "valid items": lambda record: record.data.counts.get("valid"),
        "audio": lambda record: "none" if record.data.audio_seconds is None else record.data.fingerprint[:12],
        "own windows": lambda record: "yes" if record.encoder.own_windows else "no",
    }
    notes = [
        f"{record.task.id}: the run of {record.encoder.id} is partial, {format_left_out(record.data)}."
        for record in (pair.first, pair.second)
        if is_partial(record)
    ]
    told = []
    for name, of in conditions.items():
        first, second = of(pair.first), of(pair.second)
        if first != second:
            told.append(f"{name} {first} and {second}")
    if told:
        notes.append(f"{pair.first.task.id}: the records differ in {', '.join(told)}.")
    unchecked = [text for record in (pair.first, pair.second) if (text := record.format_unchecked)]
    return [*notes, *(f"{text[0].upper()}{text[1:]}." for text in unchecked)]


def row_notes(rows: Sequence[MetricDifference]) -> list[str]:
    """Say what to know of the differences on one task; nothing where there is nothing."""
    notes, row = [], rows[0]
    if row.question == "items" and row.p is not None:
        notes.append(
            f"{row.task}: an encoder has one probe, so that what other seeds would give is not known: interval and p "
            "are of these very probes. Run it again with more --seeds."
        )
    if row.clusters < FEW_CLUSTERS:
        notes.append(
            f"{row.task}: {row.clusters} {'groups' if row.clustered else 'items'} of test are few: intervals and p "
            f"values of fewer than {FEW_CLUSTERS} are rough."
        )
    if row.exact:
        notes.append(
            f"{row.task}: with {row.clusters} groups or items there are {row.permutations:,} ways to exchange them, "
            f"all of which were looked at; no p of these probes is smaller than {1 / row.permutations:.2g}."
        )
    without = [each.metric for each in rows if each.p is None]
    if without:
        notes.append(
            f"{row.task}: no interval of {', '.join(without)}, undefined without some one item or group of test; it is "
            "outside the family of tests."
        )
    return notes


def _markdown(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def render(
    comparison: Comparison, table_of: Callable[[Sequence[Sequence[object]], Sequence[str]], str] = _markdown
) -> str:
    """Return the comparison as a table, of Markdown unless ``table_of`` makes another, with what to know below it."""
    first, second = escaped(comparison.first), escaped(comparison.second)
    lines = [
        [
            escaped(row.task),
            escaped(row.metric),
            f"{row.first:.3f}",
            f"{row.second:.3f}",
            f"{row.difference:+.3f}",
            _span(row.low, row.high),
            _p(row.p),
            _p(row.p_holm) + " *" * (row.p_holm is not None and row.p_holm < SIGNIFICANT),
            _span(row.items_low, row.items_high),
            _p(row.items_p),
        ]
        for row in comparison.rows
    ]
    headers = [
        "task", "metric", first, second, "difference", "95 % interval", "p", "p (Holm)",
        "these probes", "p (these probes)",
    ]  # fmt: skip
    table = table_of(lines, headers)
    family = [row for row in comparison.rows if row.p_holm is not None]
    significant = [row for row in family if row.p_holm is not None and row.p_holm < SIGNIFICANT]
    ahead = [sum(row.difference > 0 for row in significant), sum(row.difference < 0 for row in significant)]
    verdict = (
        f"On {len(significant)} of {len(family)} task{'s' * (len(family) != 1)} the difference is significant "
        f"(p (Holm) under {SIGNIFICANT}, marked *): {first} is ahead on {ahead[0]}, {second} on {ahead[1]}."
    )
    notes = [
        f"Difference: {first} less {second}, means over retrained probes. Interval and p: of the difference that is to "
        "be expected over items of this kind (groups, where the task has them) and seeds of both probes; two-sided.",
        "These probes: whether these very probes differ, over items or groups alone; p by a paired permutation test. "
        "Other seeds may turn such a difference round.",
        comparison.family,
        *comparison.notes,
    ]
    return "\n".join([table, "", verdict, "", *(f"- {note}" for note in notes)])


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")


def _span(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if value >= 0.0001 else "<0.0001"
