"""The leaderboard: our records beside the published tables, as Markdown that is the same bytes for the same records.

A record enters Table 3 or 4 where the paper has its task; a metric that the paper does not print stays in the record.
Every other task stands in the table of its group. In the paper's tables our rows follow the paper's, by encoder id. In
the tables of groups rows are sorted by their mean over the columns, best first, when every cell is there, else by
encoder id. Limited runs and points of learning curves never enter. Partial runs, which left out items of their task,
stand in a table of their own below that of the full ones, by encoder id, and decide no bold.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from results import generated, paper_tables, store
from results.intervals import interval_notes, span
from results.markdown import escaped
from results.paper_tables import Column, PublishedTable
from results.partial import format_left_out, is_partial
from results.record import SCHEMA_VERSION, Record, RecordError
from results.together import Place, place_of

NEAR_BEST = 0.01
"""Values at most this far below the best of their column are printed bold."""

INTRODUCTION = """\
# Leaderboard

What a small probe reads from frozen embeddings: scores on the test split, higher is better. Rows of McCallum et al.
2022 are copied from its Tables 3 and 4. This file is generated from the records by `bench leaderboard`; never edit it.

- `◆` marks a run of this project: the mean over its retrained probes, then in round brackets the 95 % interval of the
  score to be expected over test items (groups, where the task has them) and over seeds of the probe,
  `0.712 (0.650–0.760)`. A note says where seeds are not in it. `+bf16`, `+quick` and the like behind an encoder's id
  name choices other than the default ones.
- **Bold** is within 0.01 of the best of its column, and rows are ordered by the values alone: whether one encoder is
  better than another, `bench compare` says, over items and seeds. `-` was not measured.
- `map` is that of its test items: of few it lies above what many would give. Compare it on the same items only.
- Partial runs left out items of their task that are missing or damaged. They stand apart: they compare with no row.
- `[37]` is a reference in the paper's bibliography, its mark (`*`, `†`) as printed in the paper.
- `¹` and the like point to the notes below their table."""

EXAMPLES = "- `◇` marks an example that came with the package: not a run of yours. Your own rows stand above."

_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Cell:
    """A value as measured, and what is printed after it: the reference or the interval, and the sign of a note."""

    value: float
    detail: str


@dataclass(frozen=True)
class Row:
    """A line of a table: its label, ready to print, and its cells by column."""

    label: str
    cells: Mapping[Column, Cell]


def render(records: Sequence[Record], examples: Set[Place] = frozenset()) -> str:
    """Return the whole leaderboard. The order of ``records`` does not matter.

    Args:
        records: The records.
        examples: Which of them are examples: their rows stand below the others and are marked.

    Raises:
        RecordError: two full records are of one encoder on one task.
    """
    full = sorted((record for record in records if record.limit is None and record.curve is None), key=_place)
    for before, after in itertools.pairwise(full):
        if _place(before) == _place(after):
            raise RecordError(f"Two records of {after.name} on {after.task.id}. Give the leaderboard one.")
    sections = [INTRODUCTION + (f"\n{EXAMPLES}" if examples else "")]
    in_paper: set[str] = set()
    for name in paper_tables.TITLES:
        table = paper_tables.table(name)
        tasks = {task for task, _ in table.columns}
        in_paper |= tasks
        ours = [record for record in full if record.task.id in tasks]
        sections.append(_section(table.title, table.columns, _paper_rows(table), ours, examples))
    groups: defaultdict[str, list[Record]] = defaultdict(list)
    for record in full:
        if record.task.id not in in_paper:
            groups[record.task.group].append(record)
    for group, ours in sorted(groups.items()):
        columns = tuple(dict.fromkeys((record.task.id, metric) for record in ours for metric in record.task.metrics))
        sections.append(_section(f"Group {escaped(group)}", columns, [], ours, examples))
    older = sum(record.schema_version < SCHEMA_VERSION for record in full)
    if older:
        sections.append(
            f"{older} of {len(full)} records are of an older schema, without digests: they were not checked for damage."
        )
    return "\n\n".join(sections) + "\n"


def write(results: Path, target: Path) -> bool:
    """Write the leaderboard of the records under ``results`` to ``target``, atomically; return whether it changed.

    Raises:
        RecordError: a record cannot be read, or the file not be written.
    """
    return generated.write(target, render(store.read_all(results)))


def check(results: Path, target: Path) -> str:
    """Return a unified diff from ``target`` to what ``write`` would put there; empty when they are equal.

    Raises:
        RecordError: a record cannot be read.
    """
    return generated.difference(target, render(store.read_all(results)), "bench leaderboard")


def _place(record: Record) -> tuple[str, str]:
    return record.task.id, record.name


def _section(
    title: str, columns: Sequence[Column], paper: Sequence[Row], ours: Sequence[Record], examples: Set[Place]
) -> str:
    """Return the table of the full runs with its heading, and below it that of the partial ones."""
    whole, partial = ([record for record in ours if is_partial(record) is part] for part in (False, True))
    parts = [f"## {title}"]
    if paper or whole:
        parts += _tables(columns, paper, whole, examples)
    if partial:
        ours_alone = tuple(column for column in columns if column[0] in {record.task.id for record in partial})
        parts += [f"### Partial runs: {title}", *_tables(ours_alone, [], partial, examples, apart=True)]
    return "\n\n".join(parts)


def _tables(
    columns: Sequence[Column],
    paper: Sequence[Row],
    ours: Sequence[Record],
    examples: Set[Place],
    *,
    apart: bool = False,
) -> list[str]:
    """Return one table, its notes and the conditions of our runs; ``apart`` ranks nothing and prints nothing bold."""
    notes = {**_encoder_notes(ours), **_column_notes(ours)}
    columns_of_notes = ["", *(task for task, _ in columns)]
    order = [(task, encoder) for encoder in _encoders(ours) for task in columns_of_notes]
    texts = dict.fromkeys(notes[place] for place in order if place in notes)
    numbers = {text: str(number).translate(_SUPERSCRIPT) for number, text in enumerate(texts, start=1)}
    signs = {place: numbers[notes[place]] for place in order if place in notes}
    own = [record for record in ours if place_of(record) not in examples]
    others = [record for record in ours if place_of(record) in examples]
    ranked = not paper and not apart
    rows = [*paper, *_our_rows(columns, own, signs, ranked), *_our_rows(columns, others, signs, ranked, "◇")]
    parts = [_table(columns, rows, bold=not apart)]
    if numbers:
        parts.append("\n".join(f"- {number} {text}" for text, number in numbers.items()))
    if ours:
        parts += ["Items, labels, trials and seeds of our runs:", _conditions(columns, ours)]
    return parts


def _encoders(ours: Iterable[Record]) -> list[str]:
    return sorted({record.name for record in ours})


def _paper_rows(table: PublishedTable) -> list[Row]:
    """Return the paper's rows, each number with its reference."""
    rows = []
    for model in table.rows:
        cells = {}
        for task, metric in table.columns:
            if found := table.cells.get((model, task, metric)):
                detail = f" [{escaped(found.reference)}]" if found.reference else ""
                cells[task, metric] = Cell(found.value, detail)
        rows.append(Row(escaped(model), cells))
    return rows


def _our_rows(
    columns: Sequence[Column],
    ours: Sequence[Record],
    signs: Mapping[tuple[str, str], str],
    ranked: bool,
    mark: str = "◆",
) -> list[Row]:
    """Return one row an encoder, by id, or by mean when ``ranked`` and no cell is empty."""
    rows = []
    for encoder in _encoders(ours):
        cells = {}
        for record in (record for record in ours if record.name == encoder):
            for metric, score in record.scores.test.items():
                interval = f" ({span(score.low, score.high)})"
                cells[record.task.id, metric] = Cell(score.value, interval + signs.get(_place(record), ""))
        cells = {column: cells[column] for column in columns if column in cells}
        rows.append(Row(f"{mark} {escaped(encoder)}{signs.get(('', encoder), '')}", cells))
    if ranked and all(len(row.cells) == len(columns) for row in rows):
        rows.sort(key=lambda row: -sum(cell.value for cell in row.cells.values()))
    return rows


def _table(columns: Sequence[Column], rows: Sequence[Row], *, bold: bool = True) -> str:
    best = {
        column: max((row.cells[column].value for row in rows if column in row.cells), default=0.0) for column in columns
    }

    def text(row: Row, column: Column) -> str:
        if column not in row.cells:
            return "-"
        cell = row.cells[column]
        # The tolerance is for values such as 0.42 - 0.41, which is a little more than 0.01 in binary.
        mark = "**" if bold and best[column] - cell.value <= NEAR_BEST + 1e-9 else ""
        return f"{mark}{cell.value:z.3f}{mark}{cell.detail}"

    headers = ["encoder", *(escaped(f"{task} {metric}") for task, metric in columns)]
    return _markdown(headers, [[row.label, *(text(row, column) for column in columns)] for row in rows])


def _column_notes(ours: Sequence[Record]) -> dict[tuple[str, str], str]:
    """Say by (task, encoder) how a record differs from others of its column, and what it left out."""
    by_task: defaultdict[str, list[Record]] = defaultdict(list)
    for record in ours:
        by_task[record.task.id].append(record)
    notes = {}
    for column in by_task.values():
        described = [_described(record) for record in column]
        mixed = [len(set(values) - {""}) > 1 for values in zip(*described, strict=True)]
        for record, values in zip(column, described, strict=True):
            parts = [value for value, differs in zip(values, mixed, strict=True) if differs and value]
            told = [f"not alike in this column, here: {', '.join(parts)}"] if parts else []
            told += _own_notes(record)
            if told:
                notes[_place(record)] = "; ".join(told)
    return notes


def _described(record: Record) -> tuple[str, ...]:
    """Return what must be alike in a column; nothing where it is not known."""
    return (
        f"protocol {escaped(record.protocol)}",
        f"protocol version {record.search.protocol_version}",
        f"sampler {escaped(record.search.sampler)}",
        f"pruner {escaped(record.search.pruner)}",
        f"{len(record.search.trials)} trial{'s' * (len(record.search.trials) != 1)}",
        f"probes in {record.probe.precision}",
        "" if record.probe.layer is None else f"layer {escaped(record.probe.layer)}",
        f"task version {record.task.version}",
        f"task fingerprint {escaped(record.task.fingerprint[:12])}",
        "" if _is_given(record) else f"audio {escaped(record.data.fingerprint[:12])}",
    )


def _is_given(record: Record) -> bool:
    """Say whether the embeddings were given, so that no audio was looked at."""
    return record.data.audio_seconds is None


def _own_notes(record: Record) -> list[str]:
    """Say what a reader must know of a record, whatever stands beside it."""
    notes = []
    if _is_given(record):
        notes.append("embeddings that were given: of which audio is not known")
    if record.encoder.own_windows:
        notes.append("the encoder's own windows in place of the task's")
    if record.folds:
        notes.append(f"{len(record.folds)} folds: each item is scored by the probe of its fold")
    notes += [escaped(note) for note in interval_notes(record)]
    lost = record.floors.loses_to_ridge
    if lost:
        where = "" if list(lost) == record.task.metrics else f" in {escaped(', '.join(lost))}"
        notes.append(f"below a ridge on the same embeddings{where}")
    if any(name.startswith("(") for name in record.data.missing):  # "(413 fewer items of train than the card)"
        notes.append("counts differ from the card's")
    left = escaped(format_left_out(record.data))
    return [*notes, left] if left and left not in notes else notes


def _encoder_notes(ours: Sequence[Record]) -> dict[tuple[str, str], str]:
    """Say by ("", encoder) when the cells of a row were made by different states of the encoder."""
    states: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for record in (record for record in ours if record.encoder.fitted_on is None):  # else one state a task
        state = escaped(f"version {record.encoder.version}, fingerprint {record.encoder.fingerprint[:12]}")
        states[record.name][state].append(escaped(record.task.id))
    return {
        ("", encoder): "more than one state of this encoder in its row: "
        + "; ".join(f"{state} on {', '.join(tasks)}" for state, tasks in sorted(found.items()))
        for encoder, found in states.items()
        if len(found) > 1
    }


def _conditions(columns: Sequence[Column], ours: Sequence[Record]) -> str:
    """Return a table of the conditions of our runs: one line a task, or more where its runs differ."""
    lines = []
    for task in dict.fromkeys(task for task, _ in columns):
        alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for record in (record for record in ours if record.task.id == task):
            counts = (str(record.data.counts.get(split, "-")) for split in ("train", "valid", "test"))
            seeds = " ".join(str(seed) for seed in record.seeds.probes)
            conditions = len(record.data.labels), len(record.search.trials), record.seeds.search, seeds
            alike[*counts, *map(str, conditions)].append(escaped(record.name))
        for found, encoders in sorted(alike.items()):
            lines.append([escaped(task), *found, "all" if len(alike) == 1 else ", ".join(encoders)])
    return _markdown(
        ["task", "train", "valid", "test", "labels", "trials", "search seed", "probe seeds", "encoders"], lines
    )


def _markdown(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a pipe table. Numbers stay the strings that they are: 0.710 must not become 0.71."""
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True, stralign="left")
