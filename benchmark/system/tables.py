"""Tables for the terminal: one rule of what they do without where there is no room.

In a pipe or a file a table is whole, one line a row. In a terminal that is too narrow for it, texts are folded between
words, then columns are left out, those that one needs least first, and a line below the table names them. No word and
no name is ever broken: where even that does not suffice, each row is written as lines of ``column: cell``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from benchmark.system.terminal import fold_line, one_line, page_width, shown_width

GAP = 2  # blanks between columns
LEAST = 10  # columns of a folded text, where its words are shorter


class Column(NamedTuple):
    """One column: its header, its cells in one line each, and whether these are texts that may be folded."""

    header: str
    cells: tuple[str, ...]
    is_text: bool

    @property
    def width(self) -> int:
        """Of the header and all cells in one line each."""
        return max(map(shown_width, (self.header, *self.cells)))

    @property
    def least(self) -> int:
        """Of the column folded between words; a header always may be, a cell where it is a text."""
        words = self.header.split()
        words += [word for cell in self.cells for word in cell.split()] if self.is_text else self.cells
        return max([min(LEAST, self.width) if self.is_text else 1, *map(shown_width, words)])


def table(
    rows: Iterable[Sequence[object]],
    headers: Sequence[str],
    texts: Sequence[str] = (),
    spare: Sequence[str] = (),
    *,
    markdown: bool = False,
    json: bool = True,
) -> str:
    """Return a table in which every cell stands as it is given: no text is taken for a number.

    Args:
        rows: Its cells.
        headers: One a column.
        texts: Headers of the columns that hold several words, which a narrow terminal shows in several lines.
        spare: Headers of the columns that a narrow terminal may do without, the least needed first.
        markdown: In a pipe or a file it is a table of Markdown, whose cells the caller has escaped.
        json: Whether the command that prints it has an option ``--json``, which shows every column too.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    columns = [
        Column(one_line(header), tuple(row[place] for row in cells), header in texts)
        for place, header in enumerate(headers)
    ]
    page = page_width()
    if page is None and markdown:
        from tabulate import tabulate

        return tabulate(cells, [column.header for column in columns], tablefmt="github", disable_numparse=True)
    padded = [max(column.width, shown_width(column.header) + GAP) for column in columns]
    if page is None or _sum(padded) <= page:
        return _laid_out(columns, padded)
    kept = list(columns)
    for name in map(one_line, spare):
        if _sum([column.least for column in kept]) <= page:
            break
        kept = [column for column in kept if column.header != name]
    if _sum([column.least for column in kept]) > page:
        kept = [column._replace(is_text=True) for column in columns if column in kept]
    if _sum([column.least for column in kept]) > page:
        return _row_by_row(columns, page)
    text = _laid_out(kept, _shared(kept, page))
    left_out = [column.header for column in columns if column.header not in [each.header for each in kept]]
    if left_out:
        others = "a wider terminal, --json" if json else "a wider terminal"
        note = f"(no room for {', '.join(left_out)}: {others} or a pipe, | cat, has every column)"
        text += "\n" + "\n".join(fold_line(note, page))
    return text


def _sum(widths: Sequence[int]) -> int:
    """Return the width of a table with columns of these widths."""
    return sum(widths) + GAP * (len(widths) - 1)


def _shared(columns: Sequence[Column], page: int) -> list[int]:
    """Return widths that fill at most a page; the widest columns give way first."""
    widths, least = [column.width for column in columns], [column.least for column in columns]
    while _sum(widths) > page:
        widest = max((place for place in range(len(widths)) if widths[place] > least[place]), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _laid_out(columns: Sequence[Column], widths: Sequence[int]) -> str:
    """Return header, rule and rows; what is wider than its column is folded."""
    rule = _joined(["-" * width for width in widths], widths)
    rows = zip(*(column.cells for column in columns), strict=True)
    body = [line for row in rows for line in _lines_of(row, widths)]
    return "\n".join([*_lines_of([column.header for column in columns], widths), rule, *body])


def _lines_of(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the lines of one row, whose cells are folded to the widths of their columns."""
    folded = [fold_line(cell, width, 0) for cell, width in zip(row, widths, strict=True)]
    return [_joined(parts, widths) for parts in zip_longest(*folded, fillvalue="")]


def _joined(parts: Sequence[str], widths: Sequence[int]) -> str:
    blanks = [part + " " * (width - shown_width(part)) for part, width in zip(parts, widths, strict=True)]
    return (" " * GAP).join(blanks).rstrip()


def _row_by_row(columns: Sequence[Column], page: int) -> str:
    """Return a block of lines for each row, for which no width is too small."""
    rows = zip(*(column.cells for column in columns), strict=True)
    blocks = [
        [
            line
            for column, cell in zip(columns, row, strict=True)
            for line in fold_line(f"{column.header}: {cell}", page)
        ]
        for row in rows
    ]
    return "\n\n".join("\n".join(block) for block in blocks)
