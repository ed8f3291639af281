"""The published numbers: Tables 3 and 4 of McCallum et al. 2022, read from ``paper/*.csv``.

Each line of a file is one printed cell: model, task, metric, value and, where the paper takes the number from another
work, its reference in the paper's bibliography with its mark as printed (``46*``, ``49†``). Rows and columns stand in
the paper's order.
"""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

from results.record import RecordError

Column = tuple[str, str]
"""A task id and a metric."""

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "table3": "Table 3: tags, genre, pitch, instrument, emotion and key",
        "table4": "Table 4: Million Song Dataset, and Jamendo mood and theme",
    }
)
"""The tables by name, with titles in our words."""

_FIELDS = ("model", "task", "metric", "value", "reference")


@dataclass(frozen=True)
class PublishedValue:
    """One printed number. ``reference`` is empty for the paper's own results."""

    value: float
    reference: str


@dataclass(frozen=True)
class PublishedTable:
    """One table of the paper. A cell that the paper leaves empty has no key in ``cells``."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[str, ...]
    cells: Mapping[tuple[str, str, str], PublishedValue]


@functools.cache
def table(name: str) -> PublishedTable:
    """Return a published table by its name, ``"table3"`` or ``"table4"``.

    >>> table("table3").cells["musicset-ularge", "gs_key", "weighted_accuracy"]
    PublishedValue(value=0.667, reference='')

    Raises:
        KeyError: there is no such table.
        RecordError: its file is malformed.
    """
    title = TITLES[name]
    file = files("results") / "paper" / f"{name}.csv"
    return parse(file.read_text(encoding="utf-8"), title, str(file))


def parse(text: str, title: str, source: str) -> PublishedTable:
    """Read a table from CSV text; ``source`` names it in errors.

    Raises:
        RecordError: a wrong header, a line that does not parse, a value above 1, or a cell given twice.
    """
    lines = csv.reader(io.StringIO(text, newline=""))
    header = tuple(next(lines, ()))
    if header != _FIELDS:
        raise RecordError(
            f"{source}, line 1: the columns are {', '.join(header)}, not {', '.join(_FIELDS)}",
            f"write {','.join(_FIELDS)} there",
        )
    cells: dict[tuple[str, str, str], PublishedValue] = {}
    for line in lines:
        where = f"{source}, line {lines.line_num}"
        if len(line) != len(_FIELDS) or not all(line[:4]):
            raise RecordError(
                f"{where}: {line} is not one row of the table",
                "write model, task, metric, value and reference",
            )
        model, task, metric, number, reference = line
        if not re.fullmatch(r"-?[01]\.\d+", number) or float(number) > 1:
            raise RecordError(
                f"{where}: the value {number!r} is not a decimal number up to 1", "write it such as 0.873"
            )
        if not re.fullmatch(r"(\d+[*†]?)?", reference):
            raise RecordError(
                f"{where}: the reference {reference!r} is not a number with a mark as printed",
                "write the number with the mark that is printed, such as 23 or 23*",
            )
        if (model, task, metric) in cells:
            raise RecordError(
                f"{where}: {model}, {task}, {metric} stands in the file twice",
                "leave one of the two lines",
            )
        cells[model, task, metric] = PublishedValue(float(number), reference)
    return PublishedTable(
        title=title,
        columns=tuple(dict.fromkeys((task, metric) for _, task, metric in cells)),
        rows=tuple(dict.fromkeys(model for model, _, _ in cells)),
        cells=MappingProxyType(cells),
    )
