"""What a picture of records consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Figure:
    """A picture, and what it shows in words and in numbers.

    Attributes:
        kind: Which of :data:`benchmark.reports.figures.FIGURES` made it: ``forest``, ``layers``, ``curve``, ...
        name: Tells it from the others of its kind, and names its file: ``forest-gs_key``.
        title: What it shows, in a line.
        description: What is to be seen, in one or two sentences, for those who do not see it.
        rows: The numbers that are drawn, a column each, with names that a reader understands: the table beside it.
        spec: Its Vega-Lite specification, with these numbers as data and without a width, which the page or the file
            decides. All text in it is inert (:func:`results.markdown.inert`).
    """

    kind: str
    name: str
    title: str
    description: str
    rows: pd.DataFrame
    spec: Mapping[str, Any]
