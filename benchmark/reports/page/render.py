"""From the views of a page to its HTML."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.reports.figures.specs import sized
from benchmark.reports.figures.theme import config
from benchmark.reports.page import inline
from benchmark.reports.page.cells import row_html
from benchmark.reports.page.charts import Chart, Charts
from benchmark.reports.page.tables import Cell, Column
from benchmark.reports.page.views import View
from results.markdown import inert
from results.record import Record

if TYPE_CHECKING:
    from jinja2 import Environment

LICENCE = (
    "The next script is {versions}, copyright University of Washington Interactive Data Lab and contributors, under "
    "the BSD 3-Clause licence (github.com/vega), with parts of d3 (ISC), fast-json-patch (MIT), json-stringify-pretty-"
    "compact (MIT), semver (ISC) and tslib (0BSD)"
)

WIDTH = 720
"""Pixels of a chart that is a picture."""


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: Its title.
        lead: What it is made of, in a sentence.
        problems: A sentence for each file that was left out.
        views: Its tabs.
        footer: What made it.
    """

    title: str
    lead: str
    problems: tuple[str, ...]
    views: tuple[View, ...]
    footer: str


def render(page: Page, records: Sequence[Record], charts: Charts, home: Path) -> str:
    """Return the page as HTML with its script, its records and its charts; nothing is asked of any other file.

    Args:
        page: What it shows.
        records: What it holds as data, whole.
        charts: The charts of its parts.
        home: The data home, in which Vega is kept.

    Raises:
        UserError: The extra ``report`` is not installed.
    """
    markup = _markup()
    scripts = inline.vega(home), inline.own_file("page.js")
    held = [record.model_dump(mode="json") for record in records]
    return (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            svg=None,
            style=markup(inline.own_file("page.css")),
            allowed=markup(" ".join(f"'{inline.digest(script)}'" for script in scripts)),
            records=markup(inline.as_json(held)),
            charts=markup(inline.as_json(charts.as_data())),
            licence=LICENCE.format(versions=inline.vega_versions()),
            vega=markup(scripts[0]),
            script=markup(scripts[1]),
        )
    )


def render_still(page: Page) -> str:
    """Return the page as HTML without any script: its charts are pictures, and all views stand below each other.

    Raises:
        UserError: The extra ``report`` is not installed.
    """
    style = inline.own_file("page.css")
    template = _environment().get_template("page.html")
    return template.render(page=page, svg=picture, style=_markup()(style), allowed=_markup()("'none'"))


def picture(chart: Chart) -> str:
    """Return a chart as SVG in a data address: as an image, none of its texts can do anything.

    Raises:
        UserError: The extra is not installed.
    """
    try:
        import vl_convert
    except ImportError:
        raise inline.needs_extra() from None
    spec = {**sized(chart.figure.spec, WIDTH), "config": config(ground=True)}
    drawn = vl_convert.vegalite_to_svg(spec)
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.encode("utf-8")).decode("ascii")


def _markup() -> Callable[[str], Any]:
    """Return what marks a text of our own as HTML; no text of a record is ever given to it but as escaped JSON."""
    try:
        from markupsafe import Markup
    except ImportError:
        raise inline.needs_extra() from None
    return Markup


def _environment() -> Environment:
    """Return the environment of the template: all texts are escaped, and inert."""
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise inline.needs_extra() from None

    def shown(value: Any) -> Any:
        return inert(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    def cells(row: Sequence[Cell], columns: Sequence[Column]) -> Any:
        return Markup(row_html(row, columns))  # every text in it is escaped

    environment = Environment(
        loader=FunctionLoader(inline.own_file), autoescape=True, finalize=shown, undefined=StrictUndefined,
        trim_blocks=True,
    )  # fmt: skip
    environment.globals["cells"] = cells
    return environment
