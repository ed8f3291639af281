"""The compact leaderboard as text for a terminal of any width: our runs, and the paper's rows of the same tasks."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tabulate import tabulate

from results.leaderboard.board import BoardRow, Cell, Section, Table
from results.leaderboard.compact import interval, metrics_line, parts_of, short_names
from results.markdown import folded
from results.paper_tables import Column
from results.status import Status, sentence

LEAST = 40
"""A terminal is taken for no narrower than this."""

LEGEND = (
    "#1: rank among our runs of the column; runs of one rank are not separated by the paired test, and in no order. "
    "*: within 0.01 of the best. Below a score: its 95 % interval. [37]: a reference of the paper."
)


def render(sections: Sequence[Section], found: Sequence[Status], width: int, page: str) -> str:
    """Return the sections that hold runs of ours, no line wider than ``width``.

    Args:
        sections: What the leaderboard holds.
        found: Our scores beside what was published of the same encoders.
        width: Columns of the terminal.
        page: The file that has the other sections.
    """
    width = max(LEAST, width)
    shown = [section for section in sections if section.has_runs]
    parts = [_wrapped(LEGEND, width)] if shown else ["There is no run of yours: bench run makes one."]
    for section in shown:
        for table, before in ((section.whole, ""), (section.partial, "Partial runs: ")):
            if table is not None:
                parts += [_wrapped(before + folded(section.title), width), *_table(table, width)]
    if found:
        parts += ["Beside what was published", *(_wrapped(folded(sentence(status)), width) for status in found)]
    rest = len(sections) - len(shown)
    if rest:
        which = "1 table of the paper is" if rest == 1 else f"{rest} tables of the paper are"
        parts.append(_wrapped(f"{which} without a run of yours: see {page}.", width))
    return "\n\n".join(parts) + "\n"


def _table(table: Table, width: int) -> list[str]:
    """Return a table, in as many parts as it takes, its metrics, and its notes."""
    columns = table.primary
    names = short_names([task for task, _ in columns])
    parts = [
        _part(table.rows, part, names, width) for part in parts_of(columns, _fitting(table.rows, columns, names, width))
    ]
    notes = [f"{sign} {folded(text)}" for sign, text in table.notes] + [folded(remark) for remark in table.remarks]
    return [*parts, "\n".join(_wrapped(text, width) for text in (folded(metrics_line(columns, names)), *notes))]


def _fitting(rows: Sequence[BoardRow], columns: Sequence[Column], names: dict[str, str], width: int) -> int:
    """Return how many columns a part may have, so that none is wider than ``width``; at least one."""
    label = max((len(line) for row in rows for line in _label(row, width)), default=0)
    wide = {
        column: max(
            # tabulate leaves two columns beside a header
            *(len(line) + 2 for line in _broken(folded(names[column[0]]), _room(width))),
            *(len(line) for row in rows for line in _cell(row, column).splitlines()),
        )
        for column in columns
    }

    def fits(widest: int) -> bool:
        parts = parts_of(columns, widest)
        return all(max(label, len("encoder  ")) + sum(2 + wide[column] for column in part) <= width for part in parts)

    return next((widest for widest in range(len(columns), 1, -1) if fits(widest)), 1)


def _part(rows: Sequence[BoardRow], columns: Sequence[Column], names: dict[str, str], width: int) -> str:
    lines = [
        ["\n".join(_label(row, width)), *(_cell(row, column) for column in columns)]
        for row in rows
        if any(column in row.cells for column in columns)
    ]
    headers = ["encoder", *("\n".join(_broken(folded(names[task]), _room(width))) for task, _ in columns)]
    return tabulate(lines, headers, tablefmt="simple", disable_numparse=True, stralign="left")


def _label(row: BoardRow, width: int) -> list[str]:
    return _broken(f"{row.mark} {folded(row.name)}{row.sign}".strip(), _room(width))


def _room(width: int) -> int:
    """Return the columns that a name may take in one line."""
    return max(12, width // 3)


def _cell(row: BoardRow, column: Column) -> str:
    if column not in row.cells:
        return "-"
    cell = row.cells[column]
    return f"{_score(cell)}\n{interval(cell.low, cell.high)}" if cell.ours else _score(cell)


def _score(cell: Cell) -> str:
    reference = f" [{cell.reference}]" if cell.reference else ""
    rank = "" if cell.rank is None else f" #{cell.rank}"
    return f"{cell.value:z.3f}{'*' if cell.bold else ''}{cell.sign}{reference}{rank}"


def _broken(text: str, width: int) -> list[str]:
    """Return a name in lines of at most ``width``; nothing is cut."""
    return textwrap.wrap(text, width, break_on_hyphens=True) or [""]


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False))
