"""Tables for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from benchmark.system.terminal import one_line

WIDTH = 120
LEAST = 10  # columns of a name, however wide the numbers are


def table(rows: Iterable[Sequence[object]], headers: Sequence[str], names: int = 0) -> str:
    """Return a table in which every cell stands as it is given: no text is taken for a number.

    Args:
        rows: Its cells.
        headers: One a column.
        names: How many of the first columns hold names, which are wrapped (never cut) where they would make the table
            wider than :data:`WIDTH`; 0 leaves it as wide as it is.
    """
    from tabulate import tabulate

    cells = [[one_line(cell) for cell in row] for row in rows]
    if names:
        cells = _wrapped(cells, headers, names)
    return tabulate(cells, [one_line(header) for header in headers], tablefmt="simple", disable_numparse=True)


def _wrapped(cells: list[list[str]], headers: Sequence[str], names: int) -> list[list[str]]:
    """Return the cells with line breaks; tabulate's ``maxcolwidths`` would break ``musicset-ularge`` inside a word."""
    padded = [header + "  " for header in headers]  # as tabulate pads them
    widths = [max(map(len, column)) for column in zip(padded, *cells, strict=True)]
    room = WIDTH - sum(widths[names:]) - 2 * (len(headers) - 1)
    while sum(widths[:names]) > room and max(widths[:names]) > LEAST:
        widest = max(range(names), key=lambda i: widths[i])
        widths[widest] -= 1
    return [
        ["\n".join(textwrap.wrap(cell, width)) for cell, width in zip(row[:names], widths, strict=False)] + row[names:]
        for row in cells
    ]
