"""What a leaderboard holds, before it is printed: sections of tables, with rows, cells and notes.

A record enters Table 3 or 4 where the paper has its task; every other task stands in the section of its group. In the
paper's tables our rows follow the paper's, by encoder id. In a group rows are in order of the mean of their ranks over
the columns, where every row has a rank in every column, else by encoder id; no order is made of values that the paired
test does not separate. Limited runs and points of learning curves never enter. Partial runs, which left out items of
their task, stand in a table of their own, by encoder id, and decide no bold.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from results import paper_tables
from results.notes import column_notes, encoder_notes, run_of
from results.paper_tables import Column, PublishedTable
from results.partial import is_partial
from results.record import Record, RecordError
from results.together import Place, place_of

NEAR_BEST = 0.01
"""Values at most this far below the best of their column are printed bold."""

OURS, EXAMPLE = "◆", "◇"

_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class RankGroups(Protocol):
    """The rank groups of a column, as ``benchmark.jobs.ranking.rankings`` gives them."""

    @property
    def task(self) -> str:
        """Id of the task."""

    @property
    def metric(self) -> str:
        """The metric."""

    @property
    def ranks(self) -> Mapping[str, int]:
        """Rank by the record's name, 1 first and equal for those not separated."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What has no rank and why."""


@dataclass(frozen=True)
class Cell:
    """A value as measured. ``reference`` is the paper's, ``sign`` that of a note, ``rank`` among our runs if known."""

    value: float
    low: float | None = None
    high: float | None = None
    reference: str = ""
    sign: str = ""
    rank: int | None = None
    bold: bool = False
    ours: bool = False


@dataclass(frozen=True)
class BoardRow:
    """A line of a table: who it is of, the mark of our runs, the sign of a note, and its cells by column."""

    name: str
    mark: str
    sign: str
    cells: Mapping[Column, Cell]


@dataclass(frozen=True)
class Table:
    """A table. ``notes`` are signs and texts, ``remarks`` are about ranks; ``ours`` are the records in it."""

    columns: tuple[Column, ...]
    rows: tuple[BoardRow, ...]
    notes: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    ours: tuple[Record, ...]

    @property
    def primary(self) -> tuple[Column, ...]:
        """The primary column of each task: its first."""
        first: dict[str, Column] = {}
        for task, metric in self.columns:
            first.setdefault(task, (task, metric))
        return tuple(first.values())


@dataclass(frozen=True)
class Section:
    """The full runs of some tasks, and the partial ones; either may be missing."""

    title: str
    whole: Table | None
    partial: Table | None

    @property
    def has_runs(self) -> bool:
        """Whether any of our runs stands in it."""
        return any(table is not None and table.ours for table in (self.whole, self.partial))


def full_records(records: Iterable[Record]) -> list[Record]:
    """Return the records that enter a leaderboard, by task and encoder.

    Raises:
        RecordError: Two of them are of one encoder on one task.
    """
    full = sorted((record for record in records if record.limit is None and record.curve is None), key=place)
    for before, after in itertools.pairwise(full):
        if place(before) == place(after):
            raise RecordError(f"Two records of {after.name} on {after.task.id}", "Give the leaderboard one.")
    return full


def place(record: Record) -> tuple[str, str]:
    """Return where a full record stands: task and row."""
    return record.task.id, record.name


def sections_of(
    full: Sequence[Record],
    examples: Set[Place] = frozenset(),
    rankings: Iterable[RankGroups] = (),
    seen: Set[tuple[str, str]] = frozenset(),
) -> list[Section]:
    """Return the sections: those of the paper's tables, then those of groups.

    Args:
        full: See :func:`full_records`.
        examples: Which of them are examples: their rows stand below the others and are marked.
        rankings: Rank groups by column.
        seen: Task and row of runs whose encoder has seen the task's collection in its training.
    """
    groups: defaultdict[str, list[Record]] = defaultdict(list)
    by_task: defaultdict[str, list[Record]] = defaultdict(list)
    for record in full:
        by_task[record.task.id].append(record)
    ranked = {(each.task, each.metric): each for each in rankings}
    sections, in_paper = [], set()
    for name in paper_tables.TITLES:
        table = paper_tables.table(name)
        tasks = dict.fromkeys(task for task, _ in table.columns)
        in_paper |= set(tasks)
        ours = [record for task in tasks for record in by_task[task]]
        sections.append(_section(table.title, table.columns, paper_rows(table), ours, examples, ranked, seen))
    for record in full:
        if record.task.id not in in_paper:
            groups[record.task.group].append(record)
    for group, ours in sorted(groups.items()):
        columns = tuple(dict.fromkeys((record.task.id, metric) for record in ours for metric in record.task.metrics))
        sections.append(_section(f"Group {group}", columns, [], ours, examples, ranked, seen))
    return sections


def paper_rows(table: PublishedTable) -> list[BoardRow]:
    """Return the rows of a published table, each number with its reference."""
    rows = []
    for model in table.rows:
        cells = {}
        for task, metric in table.columns:
            if found := table.cells.get((model, task, metric)):
                cells[task, metric] = Cell(found.value, reference=found.reference)
        rows.append(BoardRow(model, "", "", cells))
    return rows


def _section(
    title: str,
    columns: Sequence[Column],
    paper: Sequence[BoardRow],
    ours: Sequence[Record],
    examples: Set[Place],
    ranked: Mapping[Column, RankGroups],
    seen: Set[tuple[str, str]],
) -> Section:
    """Return the tables of the full runs and of the partial ones."""
    whole, partial = ([record for record in ours if is_partial(record) is part] for part in (False, True))
    alone = tuple(column for column in columns if column[0] in {record.task.id for record in partial})
    return Section(
        title,
        _table(columns, paper, whole, examples, ranked, seen) if paper or whole else None,
        _table(alone, [], partial, examples, None, seen) if partial else None,
    )


def _table(
    columns: Sequence[Column],
    paper: Sequence[BoardRow],
    ours: Sequence[Record],
    examples: Set[Place],
    ranked: Mapping[Column, RankGroups] | None,
    seen: Set[tuple[str, str]],
) -> Table:
    """Return a table; where ``ranked`` is ``None`` (partial runs) nothing is ranked and nothing bold."""
    notes = _notes(ours, seen)
    signs, numbered = _numbered(notes, ["", *dict.fromkeys(task for task, _ in columns)], ours)
    own = _our_rows(columns, [record for record in ours if place_of(record) not in examples], signs, ranked or {})
    shown = _our_rows(
        columns, [record for record in ours if place_of(record) in examples], signs, ranked or {}, EXAMPLE
    )
    rows = [*paper, *own, *shown]
    remarks = [f"{column[0]}: {note}" for column in columns if ranked and column in ranked
               for note in ranked[column].notes if ours]  # fmt: skip
    marked = rows if ranked is None else _with_bold(columns, rows)
    return Table(tuple(columns), tuple(marked), tuple(numbered), tuple(remarks), tuple(ours))


def _notes(ours: Sequence[Record], seen: Set[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return what is to be known by task and row, and of a whole row by ``""`` in place of the task."""
    by_task: defaultdict[str, list[Record]] = defaultdict(list)
    for record in ours:
        by_task[record.task.id].append(record)
    notes = {("", name): text for name, text in encoder_notes(ours).items()}
    for column in by_task.values():
        told = column_notes(column, seen)
        notes |= {place(record): "; ".join(told[run_of(record)]) for record in column if told[run_of(record)]}
    return notes


def _numbered(
    notes: Mapping[tuple[str, str], str], order: Sequence[str], ours: Sequence[Record]
) -> tuple[dict[tuple[str, str], str], list[tuple[str, str]]]:
    """Return the sign of each place with a note, and the notes with their signs, in the order of the rows."""
    places = [(task, name) for name in sorted({record.name for record in ours}) for task in order]
    texts = dict.fromkeys(notes[where] for where in places if where in notes)
    signs = {text: str(number).translate(_SUPERSCRIPT) for number, text in enumerate(texts, start=1)}
    return {where: signs[notes[where]] for where in places if where in notes}, [
        (sign, text) for text, sign in signs.items()
    ]


def _our_rows(
    columns: Sequence[Column],
    ours: Sequence[Record],
    signs: Mapping[tuple[str, str], str],
    ranked: Mapping[Column, RankGroups],
    mark: str = OURS,
) -> list[BoardRow]:
    """Return one row an encoder, by the mean of its ranks if there is no gap, else by id."""
    by_name: defaultdict[str, list[Record]] = defaultdict(list)
    for record in ours:
        by_name[record.name].append(record)
    several = {column for column, groups in ranked.items() if len(groups.ranks) > 1}
    rows = []
    for name, records in sorted(by_name.items()):
        cells = {}
        for record in records:
            for metric, score in record.scores.test.items():
                column, sign = (record.task.id, metric), signs.get(place(record), "")
                rank = ranked[column].ranks.get(name) if column in several else None
                cells[column] = Cell(score.value, score.low, score.high, sign=sign, rank=rank, ours=True)
        cells = {column: cells[column] for column in columns if column in cells}
        rows.append(BoardRow(name, mark, signs.get(("", name), ""), cells))
    tasks = {task for task, _ in columns}
    ranks = {row.name: [cell.rank for cell in row.cells.values() if cell.rank is not None] for row in rows}
    if all(len(found) == len(tasks) for found in ranks.values()):
        rows.sort(key=lambda row: sum(ranks[row.name]))
    return rows


def is_near(value: float, best: float) -> bool:
    """Say whether a value is at most :data:`NEAR_BEST` below the best, and so bold.

    >>> is_near(0.41, 0.42), is_near(0.409, 0.42)
    (True, False)
    """
    return best - value <= NEAR_BEST + 1e-9  # 0.42 - 0.41 is a little more than 0.01 in binary


def _with_bold(columns: Sequence[Column], rows: Sequence[BoardRow]) -> list[BoardRow]:
    """Return the rows with the cells marked that are near the best of their column."""
    best = {
        column: max((row.cells[column].value for row in rows if column in row.cells), default=0.0) for column in columns
    }

    return [
        BoardRow(row.name, row.mark, row.sign,
            {column: _bold(cell) if is_near(cell.value, best[column]) else cell for column, cell in row.cells.items()})
        for row in rows
    ]  # fmt: skip


def _bold(cell: Cell) -> Cell:
    return Cell(cell.value, cell.low, cell.high, cell.reference, cell.sign, cell.rank, bold=True, ours=cell.ours)
