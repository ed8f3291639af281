"""The leaderboard with every metric, as wide as it is, with the conditions of our runs: ``leaderboard-full.md``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from tabulate import tabulate

from results.intervals import span
from results.leaderboard.board import BoardRow, Cell, Section, Table
from results.markdown import escaped
from results.paper_tables import Column
from results.record import Record

INTRODUCTION = """\
# Leaderboard: all metrics

Every metric of every record, with the conditions of the runs. [leaderboard.md](leaderboard.md) has one column a task,
and says what marks, ranks and bold mean. This file is generated from the records by `bench leaderboard`; never edit it.

- `◆` marks a run of this project: the mean over its retrained probes, then in round brackets the 95 % interval of the
  score to be expected over test items (groups, where the task has them) and over seeds of the probe,
  `0.712 (0.650–0.760)`. A note says where seeds are not in it.
- `map` is that of its test items: of few it lies above what many would give. Compare it on the same items only.
- `[37]` is a reference in the paper's bibliography, its mark (`*`, `†`) as printed in the paper."""


def render(sections: Sequence[Section], compact: str) -> str:
    """Return the page.

    Args:
        sections: What it holds.
        compact: Name of the file of the compact leaderboard beside it.
    """
    introduction = INTRODUCTION.replace("leaderboard.md", compact)
    return "\n\n".join([introduction, *(section_text(section, _parts) for section in sections)]) + "\n"


def section_text(section: Section, texts_of: Callable[[Table], list[str]]) -> str:
    """Return a section: the table of the whole runs below its heading, and below it that of the partial ones.

    Args:
        section: The section.
        texts_of: Writes a table, and what belongs below it.
    """
    title = escaped(section.title)
    parts = [f"## {title}"]
    if section.whole is not None:
        parts += texts_of(section.whole)
    if section.partial is not None:
        parts += [f"### Partial runs: {title}", *texts_of(section.partial)]
    return "\n\n".join(parts)


def _parts(table: Table) -> list[str]:
    """Return a table, its notes and the conditions of our runs."""
    headers = ["encoder", *(escaped(f"{task} {metric}") for task, metric in table.columns)]
    lines = [[label(row), *(_cell(row, column) for column in table.columns)] for row in table.rows]
    parts = [markdown(headers, lines)]
    if table.notes:
        parts.append("\n".join(f"- {sign} {escaped(text)}" for sign, text in table.notes))
    if table.ours:
        parts += ["Items, labels, trials and seeds of our runs:", _conditions(table.columns, table.ours)]
    return parts


def label(row: BoardRow) -> str:
    """Return what names a row: its mark, its name, the sign of a note."""
    return f"{row.mark} {escaped(row.name)}{row.sign}".strip()


def _cell(row: BoardRow, column: Column) -> str:
    if column not in row.cells:
        return "-"
    cell = row.cells[column]
    mark = "**" if cell.bold else ""
    return f"{mark}{cell.value:z.3f}{mark}{_detail(cell)}"


def _detail(cell: Cell) -> str:
    if cell.ours:
        return f" ({span(cell.low, cell.high)}){cell.sign}"
    return f" [{escaped(cell.reference)}]" if cell.reference else ""


def _conditions(columns: Sequence[Column], ours: Sequence[Record]) -> str:
    """Return a table of the conditions of our runs: one line a task, or more where its runs differ."""
    lines = []
    by_task: defaultdict[str, list[Record]] = defaultdict(list)
    for record in ours:
        by_task[record.task.id].append(record)
    for task in dict.fromkeys(task for task, _ in columns):
        alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for record in by_task[task]:
            counts = (str(record.data.counts.get(split, "-")) for split in ("train", "valid", "test"))
            seeds = " ".join(str(seed) for seed in record.seeds.probes)
            conditions = len(record.data.labels), len(record.search.trials), record.seeds.search, seeds
            alike[*counts, *map(str, conditions)].append(escaped(record.name))
        for found, encoders in sorted(alike.items()):
            lines.append([escaped(task), *found, "all" if len(alike) == 1 else ", ".join(encoders)])
    return markdown(
        ["task", "train", "valid", "test", "labels", "trials", "search seed", "probe seeds", "encoders"], lines
    )


def markdown(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a pipe table of cells that are ready to print. They stay as they are: 0.710 must not become 0.71."""
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True, stralign="left")
