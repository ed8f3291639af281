"""Tables of the page: cells that know what they are sorted by, with every digit that the record has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

NONE = "–"
"""What stands in a cell without a value."""

SIGNIFICANT = 6
"""Digits of what a chart draws; the tables of scores have all that the record has."""


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: What is shown.
        value: The number that it shows, with all its digits: what it is sorted by. ``None`` for words.
        low: The lower end of the interval that is shown below, with all its digits.
        high: Its upper end.
        detail: Words shown below, smaller.
        rank: The rank group of the value; 0 for none.
        best: Whether it is shown in bold.
        word: A status, shown as a badge.
        link: The id of a place in the page that the text leads to.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    detail: str = ""
    rank: int = 0
    best: bool = False
    word: str = ""
    link: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its name, whether it holds numbers, and what it means where the name does not say."""

    name: str
    numeric: bool = False
    meaning: str = ""


@dataclass(frozen=True)
class Table:
    """A table. The first cell of a row names it; ``notes`` stand below, a sentence each."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def score(value: float | None, low: float | None = None, high: float | None = None, **more: Any) -> Cell:
    """Return the cell of a score with its interval."""
    if value is None:
        return Cell(NONE)
    detail = interval(low, high) if low is not None and high is not None else ""
    return Cell(f"{value:z.3f}", value, low, high, detail, **more)


def interval(low: float, high: float) -> str:
    """Return both ends of an interval, with a word between them where a dash would be read as a minus.

    >>> interval(0.25, 0.4), interval(-0.4, -0.25)
    ('0.250–0.400', '-0.400 to -0.250')
    """
    return f"{low:z.3f}{'–' if min(low, high) >= 0 else ' to '}{high:z.3f}"


def number(value: float | None, text: str | None = None) -> Cell:
    """Return the cell of a number, written as ``text`` or as :func:`digits` does."""
    if value is None or math.isnan(value):
        return Cell(NONE)
    return Cell(digits(value) if text is None else text, value)


def digits(value: float) -> str:
    """Return a number as a table shows it: whole ones whole, others with three decimals or two digits.

    >>> [digits(value) for value in (1234, 0.32551, 2.0018e-05, 12345.6, 0.0)]
    ['1,234', '0.326', '2e-05', '12,346', '0.000']
    """
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return NONE if math.isnan(value) else str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:z.3f}" if abs(value) >= 0.001 or value == 0 else f"{value:.2g}"


def of_frame(frame: pd.DataFrame, caption: str, most: int | None = None) -> Table:
    """Return the rows of a frame as a table, without columns that are empty.

    Args:
        frame: The rows.
        caption: What the table is called.
        most: Rows that are shown; a note says so where there are more.
    """
    names, cells = [], []
    shown = len(frame) if most is None else min(most, len(frame))
    for place, name in enumerate(frame.columns):
        values = frame.iloc[:, place].tolist()
        if all(map(_is_missing, values)) and values:
            continue
        numeric = str(frame.dtypes.iloc[place]).lower().startswith(("float", "int", "uint"))
        names.append(Column(str(name), numeric))
        cells.append([_cell(value) for value in values[:shown]])
    notes = (f"The first {shown:,} of {len(frame):,} rows.",) if shown < len(frame) else ()
    return Table(caption, tuple(names), tuple(zip(*cells, strict=True)), notes)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in ("nan", "<NA>", "NaT")


def _cell(value: Any) -> Cell:
    if _is_missing(value):
        return Cell(NONE)
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, float):
        return number(float(f"{value:.{SIGNIFICANT}g}"))
    if isinstance(value, int):
        return number(value)
    return Cell(
        ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    )
