"""The leaderboard that can be read: one column a task, its primary metric, the interval below the score.

Tables have at most :data:`WIDEST` tasks, so that a page as wide as a phone shows a good part of one. Short names of
tasks lack what all of their table begin with (``demo_``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

from results.leaderboard.board import BoardRow, Cell, Section, Table, paper_rows
from results.leaderboard.full import label, markdown, section_text
from results.markdown import escaped
from results.paper_tables import Column
from results.sources import PublishedSource
from results.status import Status

WIDEST = 3
"""Tasks of one table."""

INTRODUCTION = """\
# Leaderboard

What a small probe reads from frozen embeddings: the primary metric of each task on test, higher is better.
[leaderboard-full.md](leaderboard-full.md) has all metrics.

`◆` our run, below its score the 95 % interval · `#1` its rank: runs of one rank are not separated by the paired test,
and in no order · **bold** within 0.01 of the best · [how to read it](#how-to-read-it)"""

LEGEND = """\
## How to read it

Rows of McCallum et al. 2022 are copied from its Tables 3 and 4. Both pages are generated from the records by
`bench leaderboard`; never edit them.

- `◆` marks a run of this project: the mean over its retrained probes, and below it the 95 % interval of the score to be
  expected over test items (groups, where the task has them) and over seeds of the probe. A note says where seeds are
  not in it. `+bf16`, `+quick` and the like behind an encoder's id name choices other than the default ones.
- `#1` is a rank among our runs of a column: one more than the number of runs above. Runs that the paired test does not
  separate (Holm over all pairs of the column) share a rank, so runs of one rank are in no order: `bench compare A B C`
  says who is separated from whom. Rows are in order of their mean rank where no rank is missing, else of their names.
- **Bold** is within 0.01 of the best of its column, whether a test separates it or not. `-` was not measured.
- Partial runs left out items of their task that are missing or damaged. They stand apart: they compare with no row.
- `[37]` is a reference in the paper's bibliography, its mark (`*`, `†`) as printed in the paper.
- `¹` and the like point to the notes below their table."""

EXAMPLES = "- `◇` marks an example that came with the package: not a run of yours. Your own rows stand above."


def render(
    sections: Sequence[Section],
    found: Sequence[Status],
    others: Iterable[PublishedSource],
    *,
    has_examples: bool,
    full: str,
    last: str = "",
) -> str:
    """Return the page: sections with runs of ours first.

    Args:
        sections: What it holds.
        found: Our scores beside what was published of the same encoders.
        others: Sources of another protocol, whose scores are shown by themselves.
        has_examples: Whether any run is an example.
        full: Name of the file of the full leaderboard beside it.
        last: A sentence for the end.
    """
    introduction = INTRODUCTION.replace("leaderboard-full.md", full)
    parts = [introduction]
    parts += [section_text(section, _table) for section in sections if section.has_runs]
    parts += [_published(found)] if found else []
    parts += [section_text(section, _table) for section in sections if not section.has_runs]
    parts += [_other(source) for source in others]
    parts.append(LEGEND + (f"\n{EXAMPLES}" if has_examples else ""))
    return "\n\n".join([*parts, *([last] if last else [])]) + "\n"


def short_names(tasks: Sequence[str]) -> dict[str, str]:
    """Return the tasks without what all of them begin with, up to an underscore.

    >>> short_names(["demo_key", "demo_pitch"])
    {'demo_key': 'key', 'demo_pitch': 'pitch'}
    >>> short_names(["gs_key"])
    {'gs_key': 'gs_key'}
    """
    heads = {task.partition("_")[0] if "_" in task.strip("_") else "" for task in tasks}
    head = heads.pop() if len(heads) == 1 and len(tasks) > 1 else ""
    return {task: task[len(head) + 1 :] or task if head else task for task in tasks}


def metrics_line(columns: Sequence[Column], names: dict[str, str]) -> str:
    """Return in a line which metric each task has: ``Metrics: accuracy (gtzan, pitch), map (mtt)``."""
    tasks: dict[str, list[str]] = {}
    for task, metric in columns:
        tasks.setdefault(metric, []).append(names[task])
    if len(tasks) == 1:
        return f"Metric: {next(iter(tasks))}."
    told = [f"{metric} ({', '.join(each)})" for metric, each in tasks.items()]
    return f"Metrics: {', '.join(told)}."


def parts_of(columns: Sequence[Column], widest: int = WIDEST) -> list[tuple[Column, ...]]:
    """Return the columns in as few parts as have at most ``widest`` of them, of about equal size."""
    size, more = divmod(len(columns), count := max(1, math.ceil(len(columns) / widest)))
    ends = list(itertools.accumulate((size + (number < more) for number in range(count)), initial=0))
    return [tuple(columns[begin:end]) for begin, end in itertools.pairwise(ends)]


def score(cell: Cell) -> str:
    """Return a value with the sign of its note, its reference and its rank: ``0.797¹ #1``."""
    mark = "**" if cell.bold else ""
    reference = f" [{escaped(cell.reference)}]" if cell.reference else ""
    rank = "" if cell.rank is None else f" #{cell.rank}"
    return f"{mark}{cell.value:z.3f}{mark}{cell.sign}{reference}{rank}"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval in hundredths; ``-`` where there is none.

    >>> interval(-0.068, 0.371)
    '-.07–.37'
    """
    return "-" if low is None or high is None else f"{_hundredths(low)}–{_hundredths(high)}"


def _hundredths(value: float) -> str:
    sign, number = ("-" if value <= -0.005 else ""), f"{abs(value):.2f}"
    return sign + (number[1:] if number.startswith("0.") else number)


def _table(table: Table) -> list[str]:
    """Return a table in parts, its metrics, and its notes."""
    columns = table.primary
    names = short_names([task for task, _ in columns])
    parts = []
    for part in parts_of(columns):
        rows = [row for row in table.rows if any(column in row.cells for column in part)]
        headers = ["encoder", *(escaped(names[task]) for task, _ in part)]
        parts.append(markdown(headers, [[label(row), *(_cell(row, column) for column in part)] for row in rows]))
    parts.append(escaped(metrics_line(columns, names)))
    notes = [f"- {sign} {escaped(text)}" for sign, text in table.notes] + [
        f"- {escaped(remark)}" for remark in table.remarks
    ]
    return [*parts, "\n".join(notes)] if notes else parts


def _cell(row: BoardRow, column: Column) -> str:
    if column not in row.cells:
        return "-"
    cell = row.cells[column]
    return f"{score(cell)}<br>{interval(cell.low, cell.high)}" if cell.ours else score(cell)


def _published(found: Sequence[Status]) -> str:
    lines = [
        [
            f"{escaped(each.task)}<br>{escaped(each.metric)}",
            escaped(each.encoder),
            f"{each.measured:z.3f}<br>{interval(each.low, each.high)}",
            f"{each.published:.3f}<br>{escaped(each.source)}",
            f"{each.difference:+.3f}<br>{status_words(each)}",
        ]
        for each in found
    ]
    return "\n\n".join(
        [
            "## Beside what was published",
            markdown(["task", "encoder", "ours", "published", "difference"], lines),
            "Reproduced: the published value lies inside our interval or within 0.01 of our score, and the interval is "
            "at most ±0.03. Undecided: it does, but the interval is wider. docs/protocol.md has the rules.",
        ]
    )


def status_words(status: Status) -> str:
    """Return the word of a status with its reason, escaped; that of ``off`` is the difference beside it."""
    return f"**{status.word}**" + (f": {escaped(status.reason)}" if status.reason else "")


def _other(source: PublishedSource) -> str:
    """Return the published scores of another protocol: the primary metrics, no bold."""
    parts = [
        f"## Other protocol: {escaped(source.other)}",
        f"No row here is to be compared with one above. {' '.join(source.note.split())}",
    ]
    for published in source.tables.values():
        table = Table(published.columns, tuple(paper_rows(published)), (), (), ())
        parts += _table(table)
    return "\n\n".join(parts)
