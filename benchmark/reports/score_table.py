"""The scores of records as a table for a paper: which columns and rows it has, what is bold, what must be said.

Runs of a part of their task (partial, limited, points of a learning curve) have rows of their own, whose names say so.
"""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmark.errors import UserError
from benchmark.reports.compare import refuse_unknown, task_ids
from benchmark.reports.seen import seen_of
from benchmark.reports.table_look import DIGITS, Bold, Intervals
from results.intervals import meaning
from results.leaderboard.board import NEAR_BEST, is_near
from results.notes import column_notes, encoder_notes, run_of
from results.partial import is_partial
from results.record import Record
from results.sources import sources
from results.together import Together, place_of
from tasks.spelling import did_you_mean

Column = tuple[str, str]
"""A task's id and a metric."""

RowKind = Literal["published", "run", "example", "other protocol", "partial", "limited", "curve"]
WHOLE: tuple[RowKind, ...] = ("published", "run", "example")  # those that are measured against each other
ORDER: tuple[RowKind, ...] = (*WHOLE, "other protocol", "partial", "limited", "curve")


@dataclass(frozen=True)
class Cell:
    """A score, and what is to be known of it.

    Attributes:
        value: The mean over the retrained probes, or the published number.
        low: Lower end of the 95 % interval; ``None`` where there is none.
        high: Its upper end.
        record: The run; ``None`` for a published number.
        reference: Where the paper has a published number from: a number of its bibliography, or nothing.
        notes: What must be said beside it, in plain words.
    """

    value: float
    low: float | None = None
    high: float | None = None
    record: Record | None = None
    reference: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoreRow:
    """The scores of one encoder. ``part`` says in words of which part of their tasks they are, if they are."""

    encoder: str
    kind: RowKind
    cells: Mapping[Column, Cell]
    part: str = ""
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The encoder's name, with what sets its row apart."""
        return f"{self.encoder} ({self.part})" if self.part else self.encoder


@dataclass(frozen=True)
class ScoreTable:
    """A table of scores on test. ``said`` holds the sentences that stand above or below it, without those of a form."""

    columns: tuple[Column, ...]
    rows: tuple[ScoreRow, ...]
    said: tuple[str, ...]
    bold: Bold = "paper"
    best: Mapping[Column, float] = field(default_factory=dict)

    def is_bold(self, row: ScoreRow, column: Column, digits: int = DIGITS) -> bool:
        """Say whether a cell is bold: those of a part of a task never are.

        Args:
            row: Its row.
            column: Its column.
            digits: Decimals that are printed: what is printed alike is bold alike.
        """
        if self.bold == "none" or row.kind not in WHOLE:
            return False
        value, best = row.cells[column].value, self.best[column]
        if self.bold == "best":
            return f"{value:.{digits}f}" == f"{best:.{digits}f}"
        return is_near(value, best)


def score_table(
    together: Together,
    *,
    encoders: Sequence[str] = (),
    tasks: Sequence[str] = (),
    metric: str | None = None,
    all_metrics: bool = False,
    bold: Bold = "paper",
    published: bool = False,
) -> ScoreTable:
    """Return the table of the records that are asked for.

    Args:
        together: The records; points of learning curves among them have rows of their own.
        encoders: Names of rows, or globs of them; none for all.
        tasks: Ids, aliases, globs or groups; none for all.
        metric: The metric of every column; by default the primary one of each task.
        all_metrics: All metrics of each task.
        bold: ``best`` of each column, ``paper`` (within 0.01 of it), or ``none``.
        published: Rows of the paper too, where it has the column.

    Raises:
        UserError: There is nothing to show, a name fits nothing, or ``metric`` and ``all_metrics`` were both given.
    """
    if metric is not None and all_metrics:
        raise UserError("--metric names one, --all-metrics takes every one", "give one of them")
    records = [*together.records, *together.curves]
    if not records:
        raise UserError(
            f"there are no records in {together.where}",
            "give --results, or run bench run -e ENCODER -t TASK",
        )
    chosen, absent = chosen_records(records, encoders, tasks, together.where)
    columns, lacking = _columns(chosen, metric, all_metrics=all_metrics)
    chosen = [record for record in chosen if record.task.id in {task for task, _ in columns}]
    rows = [*(_published(columns) if published else ()), *_rows(chosen, columns, together)]
    rows.sort(key=lambda row: ORDER.index(row.kind))  # a stable sort: published rows keep their order
    best = {
        column: max((row.cells[column].value for row in rows if row.kind in WHOLE and column in row.cells), default=0.0)
        for column in columns
    }
    said = _said(chosen, rows, columns, bold, published=published)
    if absent:
        said.append(f"Tasks without a record: {', '.join(absent)}.")
    if lacking:
        said.append(f"Tasks without {metric}: {', '.join(lacking)}.")
    return ScoreTable(columns, tuple(rows), tuple(said), bold, best)


def chosen_records(
    records: Sequence[Record], encoders: Sequence[str], tasks: Sequence[str], where: str
) -> tuple[list[Record], list[str]]:
    """Return the records of the encoders and tasks that are named, all where none is, and the tasks that have none.

    Args:
        records: All records.
        encoders: Names of rows (an id, with a variant ``id+variant``), or globs of them; a text may hold several.
        tasks: Ids, aliases, globs or groups; a text may hold several.
        where: The folders of the records, in words.

    Raises:
        UserError: A name that fits no encoder with a record or no task, or nothing is left.
    """
    names: dict[str, None] = {}
    known = {record.name for record in records}
    for name in (part.strip() for text in encoders for part in text.split(",") if part.strip()):
        found = [name] if name in known else sorted(fnmatch.filter(known, name))
        if not found:
            refuse_unknown(name, records, where)
        names.update(dict.fromkeys(found))
    ids = task_ids(tasks, records) if tasks else sorted({record.task.id for record in records})
    of_tasks = {record.task.id for record in records}
    absent = [task for task in ids if task not in of_tasks]
    if len(absent) == len(ids):
        there = f", but of {', '.join(sorted(of_tasks))}" if of_tasks else ""
        raise UserError(
            f"there is no record of {', '.join(absent)} in {where}{there}",
            f"Make one: bench run -e ENCODER -t {absent[0]}",
        )
    place = {task: i for i, task in enumerate(ids)}
    chosen = [record for record in records if record.task.id in place and (not names or record.name in names)]
    if not chosen:
        raise UserError(
            f"there is no record of {', '.join(names)} on {', '.join(ids)} in {where}",
            "name those that there are: "
            f"{', '.join(sorted({record.name for record in records if record.task.id in place}))}",
        )
    return sorted(chosen, key=lambda record: (place[record.task.id], record.name, record.limit or 0)), absent


def _columns(
    records: Sequence[Record], metric: str | None, *, all_metrics: bool
) -> tuple[tuple[Column, ...], list[str]]:
    """Return the columns, and the tasks that have none since they lack the metric.

    Raises:
        UserError: No task has the metric.
    """
    found: dict[Column, None] = {}
    for record in records:
        metrics = record.task.metrics
        wanted = metrics if all_metrics else metrics[:1] if metric is None else [metric] if metric in metrics else []
        found.update(dict.fromkeys((record.task.id, name) for name in wanted))
    if not found:
        known = dict.fromkeys(name for record in records for name in record.task.metrics)
        assert metric is not None
        raise UserError(
            f"no task here has the metric {metric!r}",
            did_you_mean(metric, known, f"name one of {', '.join(known)}"),
        )
    of_task = {task for task, _ in found}
    return tuple(found), [task for task in dict.fromkeys(r.task.id for r in records) if task not in of_task]


def _rows(records: Sequence[Record], columns: Sequence[Column], together: Together) -> list[ScoreRow]:
    """Return a row for each encoder, and for each part of a task that it was run on; whole ones first."""
    cells: defaultdict[tuple[RowKind, str, str], dict[Column, Cell]] = defaultdict(dict)
    runs: defaultdict[tuple[RowKind, str, str], list[Record]] = defaultdict(list)
    notes, seen = {}, seen_of(records)
    for task in dict.fromkeys(record.task.id for record in records):
        column = [record for record in records if record.task.id == task]
        notes.update(column_notes(column, seen))
        if len({len(record.seeds.probes) for record in column}) > 1:
            for record in column:
                notes[run_of(record)].append(f"{len(record.seeds.probes)} probe{'s' * (len(record.seeds.probes) != 1)}")
    for record in records:
        if record.format_unchecked:
            notes[run_of(record)].append("of an older schema, without digests: not checked for damage")
    for record in records:
        kind, part = _part(record, together)
        key = (kind, record.name, part)
        runs[key].append(record)
        for metric, score in record.scores.test.items():
            if (record.task.id, metric) in columns:
                cells[key][record.task.id, metric] = Cell(
                    score.value, score.low, score.high, record, notes=tuple(notes[run_of(record)])
                )
    rows = []
    for key in sorted(runs, key=lambda key: (ORDER.index(key[0]), key[1], runs[key][0].limit or 0, key[2])):
        kind, name, part = key
        rows.append(ScoreRow(name, kind, cells[key], part, tuple(encoder_notes(runs[key]).values())))
    return rows


def _part(record: Record, together: Together) -> tuple[RowKind, str]:
    """Return what kind of row a record belongs to, and in words which part of its task it is of."""
    words = []
    if record.curve is not None:
        words.append(f"{record.curve.fraction:g} of train, repeat {record.curve.repeat}")
    if record.limit is not None:
        words.append(f"--limit {record.limit}")
    if is_partial(record):
        words.append("partial")
    example = record.curve is None and place_of(record) in together.examples
    if example:
        words.append("example")
    kind: RowKind = (
        "curve" if record.curve is not None else "limited" if record.limit is not None
        else "partial" if is_partial(record) else "example" if example else "run"
    )  # fmt: skip
    return kind, ", ".join(words)


def _published(columns: Sequence[Column]) -> list[ScoreRow]:
    """Return the published rows that have one of the columns, by source and in its order."""
    rows = []
    for source in sources():
        found: dict[str, dict[Column, Cell]] = {}
        for table in source.tables.values():
            for (model, task, metric), printed in table.cells.items():
                if (task, metric) in columns:
                    cell = Cell(printed.value, reference=printed.reference)
                    found.setdefault(model, {})[task, metric] = cell
        kind: RowKind = "published" if source.protocol else "other protocol"
        apart = "" if source.protocol else f", other protocol: {source.other}"
        rows += [ScoreRow(model, kind, cells, f"published, {source.title}{apart}") for model, cells in found.items()]
    return rows


def _said(
    records: Sequence[Record], rows: Sequence[ScoreRow], columns: Sequence[Column], bold: Bold, *, published: bool
) -> list[str]:
    """Return the sentences that a reader of the table needs, but for that on the form of its intervals."""
    said = [f"Scores on the test split, higher is better: {_over_probes(records)}.", _chosen(records)]
    kinds = {row.kind for row in rows}
    if any(column not in row.cells for row in rows for column in columns):
        said.append("A dash: there is no such score.")
    if bold != "none":
        rule = "the best of its column" if bold == "best" else f"within {NEAR_BEST:g} of the best of its column"
        said.append(
            f"Bold: {rule}. Rows are in the order of names; whether one encoder is better than another, a paired test "
            "says (bench compare)."
        )
    if kinds & {"published", "other protocol"}:
        said.append(
            "Rows marked (published, ...) are copied from that source, without intervals; a number in square brackets "
            "is a reference of its own."
        )
    elif published:
        said.append("None of these columns was published.")
    if "other protocol" in kinds:
        said.append("Rows of another protocol were not measured as ours are, and are not bold.")
    if "example" in kinds:
        said.append("Rows marked (example) came with the package.")
    if kinds & {"partial", "limited", "curve"}:
        said.append("Rows of a part of a task (partial, --limit, of train) compare with no other row and are not bold.")
    return said


def _over_probes(records: Sequence[Record]) -> str:
    seeds = sorted({tuple(record.seeds.probes) for record in records})
    counts = sorted({len(each) for each in seeds})
    if counts == [1]:
        return f"one retrained probe each (seed {seeds[0][0]})" if len(seeds) == 1 else "one retrained probe each"
    if len(seeds) == 1:
        return f"means over {counts[0]} retrained probes (seeds {', '.join(map(str, seeds[0]))})"
    many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"means over {many} retrained probes"


def _chosen(records: Sequence[Record]) -> str:
    trials = sorted({len(record.search.trials) for record in records})
    many = f"{trials[0]}" if len(trials) == 1 else f"{trials[0]} to {trials[-1]}"
    protocols = ", ".join(sorted({record.protocol for record in records}))
    seeds = sorted({record.seeds.search for record in records})
    seed = f", search seed {seeds[0]}" if len(seeds) == 1 else ""
    of = f"{many} setting{'s' * (trials != [1])}"
    return f"Each probe was chosen on the valid split among {of} (protocol {protocols}{seed})."


def interval_sentence(table: ScoreTable, intervals: Intervals) -> str:
    """Return what the intervals that are shown are of; that there are none, where none are shown."""
    scores = [
        cell.record.scores.test[metric]
        for row in table.rows
        for (_, metric), cell in row.cells.items()
        if cell.record is not None
    ]
    if intervals == "none":
        return "Intervals are not shown."
    if intervals == "range":
        return f"In round brackets the {meaning(scores)}"
    return f"Behind ± half the width of the interval, which may lie unevenly around the value. {meaning(scores)}"
