"""Rows of tables as HTML: there may be hundreds of thousands of cells, which a template would write slowly."""

from __future__ import annotations

import html
from collections.abc import Sequence

from benchmark.reports.page.tables import Cell, Column
from results.markdown import inert


def harmless(text: str) -> str:
    r"""Return any text as HTML shows it: as it is, its control characters as numbers.

    >>> harmless("<b>\x1b")
    '&lt;b&gt;\\u001b'
    """
    return html.escape(inert(text))


def row_html(row: Sequence[Cell], columns: Sequence[Column]) -> str:
    """Return the cells of a row; the first of them is its header. HTML needs no ends of cells, which would be many."""
    return "".join(
        _cell(cell, column, "td" if place else "th")
        for place, (cell, column) in enumerate(zip(row, columns, strict=True))
    )


def _cell(cell: Cell, column: Column, tag: str) -> str:
    given = " scope=row" if tag == "th" else ""
    if column.numeric:
        given += " class=n"
    if cell.value is not None and cell.text != f"{cell.value}":  # else what is shown has all of its digits
        given += f" data-v={cell.value!r}"
    if cell.low is not None and cell.high is not None:
        given += f" data-l={cell.low!r} data-h={cell.high!r}"
    text = harmless(cell.text)
    if cell.link:
        text = f'<a href="#{harmless(cell.link)}">{text}</a>'
    if cell.best:
        text = f"<b>{text}</b>"
    if cell.rank:
        text += f"<sup><i> rank </i>{cell.rank}</sup>"
    if cell.word:
        text += f'<span class="badge {harmless(cell.word.replace(" ", "-"))}">{harmless(cell.word)}</span>'
    if cell.detail:
        text += f"<small>{harmless(cell.detail)}</small>"
    return f"<{tag}{given}>{text}"
