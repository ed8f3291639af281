"""The view of a comparison of pre-training strategies: its tables, dots and curves. Only where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.pretraining.comparison.grids import Entry, Grid, grids_of
from benchmark.pretraining.comparison.markdown import about, limits
from benchmark.pretraining.comparison.summary import Summary
from benchmark.reports.page.charts import Chart, Charts
from benchmark.reports.page.tables import Cell, Column, Table, interval
from benchmark.reports.page.views import View, ViewPart

if TYPE_CHECKING:
    from benchmark.reports.figures.figure import Figure

LEAD = "Ways of pre-training under an equal budget, probed alike, beside networks of random weights."
#: The table above the charts of each kind.
BESIDE = {"strategies": "Resampled test items, as in Figure 1 of the paper", "limited": "Limited data"}


def strategies_view(
    comparisons: Sequence[Summary], figures: Sequence[Figure], charts: Charts, notes: Sequence[str] = ()
) -> View | None:
    """Return the view of comparisons; ``None`` where there is none.

    Args:
        comparisons: What was found of each.
        figures: Of the kinds ``strategies`` and ``limited``, of all of them.
        charts: Takes what is drawn.
        notes: What could not be read.
    """
    if not comparisons and not notes:
        return None
    parts: list[ViewPart] = []
    for place, found in enumerate(comparisons):
        own = [figure for figure in figures if _place(figure, len(comparisons)) == place]
        drawn = {kind: [figure for figure in own if figure.kind == kind] for kind in BESIDE}
        parts += _parts(found, place, drawn, charts)
    if notes:
        parts.append(ViewPart("", "strategies-notes", notes=tuple(notes)))
    return View("strategies", "Pre-training", LEAD, parts)


def _place(figure: Figure, count: int) -> int:
    """Return which of several comparisons a figure is of: the number at the end of its name, from the second on."""
    number = figure.name.rpartition(".")[2]
    return int(number) - 1 if number.isdecimal() and 2 <= int(number) <= count else 0


def _parts(found: Summary, place: int, drawn: dict[str, list[Figure]], charts: Charts) -> list[ViewPart]:
    """Return the parts of one comparison; charts stand above the table of their kind."""
    parts = []
    end = f"-{place + 1}" if place else ""
    for number, grid in enumerate(grids_of(found)):
        kind = next((kind for kind, caption in BESIDE.items() if caption == grid.caption), "")
        shown: tuple[tuple[Chart, Table | None], ...] = tuple(
            (charts.add(figure), None)
            for figure in drawn.get(kind, ())  # the table below has their numbers
        )
        words = (about(found),) if number == 0 else ()
        parts.append(
            ViewPart(
                grid.caption, f"strategies-{number + 1}{end}", words=words, charts=shown,
                tables=(table_of(grid, f"{grid.caption}{end}"),),
            )
        )  # fmt: skip
    parts.append(ViewPart("What this can and cannot say", f"strategies-limits{end}", words=tuple(limits(found))))
    if found.notes:
        parts.append(ViewPart("Notes", f"strategies-remarks{end}", words=tuple(found.notes)))
    return parts


def table_of(grid: Grid, caption: str) -> Table:
    """Return a table of a comparison as one of the page."""
    columns = tuple(Column(name, numeric) for name, numeric in zip(grid.columns, grid.numeric, strict=True))
    rows = tuple(tuple(_cell(entry) for entry in row) for row in grid.rows)
    return Table(caption, columns, rows, grid.notes)


def _cell(entry: Entry) -> Cell:
    if entry.value is None or entry.low is None or entry.high is None:
        return Cell(entry.text, entry.value, rank=entry.rank)
    detail = interval(entry.low, entry.high)
    return Cell(f"{entry.value:z.3f}", entry.value, entry.low, entry.high, detail, rank=entry.rank)
