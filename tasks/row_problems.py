"""Problems of the rows of a table, as lines of a message: those that many rows have alike are told once."""

from __future__ import annotations

import re
from collections.abc import Sequence

ALIKE = 3  # rows of one problem that are told in full where more have it
ROWS = 5  # numbers of rows in a line
_VARYING = re.compile(r"""(?<=^missing file ).*|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\d+""")


def rows_in_words(rows: Sequence[int]) -> str:
    """Return the numbers of rows, the first few of many.

    >>> rows_in_words([2]), rows_in_words([2, 5]), rows_in_words(list(range(2, 30)))
    ('row 2', 'rows 2, 5', 'rows 2, 3, 4, 5, 6 and 23 more')
    """
    more = f" and {len(rows) - ROWS} more" if len(rows) > ROWS else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:ROWS]))}{more}"


def fold_alike(problems: Sequence[tuple[int, str]]) -> list[str]:
    """Return a line for each problem, in their order; of many that differ only in names and numbers, a few and a sum.

    Args:
        problems: Numbers of rows (0: of none) and what is wrong with them.
    """
    alike: dict[str, list[int]] = {}
    for place, (row, text) in enumerate(problems):
        alike.setdefault(_VARYING.sub("…", text) if row else text, []).append(place)
    lines: list[tuple[int, str]] = []
    for places in alike.values():
        told = places if len(places) <= ALIKE + 1 else places[:ALIKE]
        lines += [(place, _line(*problems[place])) for place in told]
        rest = [problems[place][0] for place in places[len(told) :]]
        if rest:
            shown = ", ".join(map(str, rest[:ROWS])) + (", …" if len(rest) > ROWS else "")
            lines.append((told[-1], f"and {len(rest)} more rows like this: {shown}"))
    return [line for _, line in sorted(lines, key=lambda line: line[0])]


def _line(row: int, text: str) -> str:
    return f"row {row}: {text}" if row else text
