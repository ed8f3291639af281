"""What a picture of records consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.reports.figures.outputs import Outputs
    from benchmark.system.progress import Reporter


@dataclass(frozen=True)
class Figure:
    """A picture, and what it shows in words and in numbers.

    Attributes:
        kind: Which of :data:`benchmark.reports.figures.KINDS` made it: ``forest``, ``layers``, ``curve``, ...
        name: Tells it from the others of its kind, and names its file: ``forest-gs_key``.
        title: What it shows, in a line.
        description: What is to be seen, in one or two sentences, for those who do not see it.
        rows: The numbers that are drawn, a column each, with names that a reader understands: the table beside it.
        spec: Its Vega-Lite specification, with these numbers (to five digits) as data, without a width, which the page
            or the file decides (:func:`benchmark.reports.figures.specs.sized`), and without colours, which the theme
            decides (:func:`benchmark.reports.figures.theme.config`). All text in it is inert.
    """

    kind: str
    name: str
    title: str
    description: str
    rows: pd.DataFrame
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class Drawn:
    """Pictures of one kind, and what could not be drawn.

    Attributes:
        figures: The pictures; none where there is nothing to draw.
        notes: A sentence for each thing that is not drawn and why; there is at least one where ``figures`` is empty.
    """

    figures: tuple[Figure, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """What a picture is asked of, beside the records.

    Attributes:
        metric: ``None`` for the primary metric of each task, ``all`` for every one, else a metric's name.
        home: The data home, where published scores by label and the audio of hardest tracks may lie.
        items: How many of the hardest tracks are shown.
        report: Where progress goes; nowhere without it.
        outputs: Where predictions are kept for the next kind of picture.
    """

    metric: str | None = None
    home: Path | None = None
    items: int = 20
    report: Reporter | None = None
    outputs: Outputs | None = None
