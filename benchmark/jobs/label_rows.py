"""A row for each file that was labelled, as one line of text: of CSV for people, of JSON on the way to Parquet.

A line holds what says whether it is still true: the file's size and mtime, and by which probe it was made.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from results.markdown import csv_cell

BETWEEN = "|"  # labels of a cell, as in manifests
NAMED = ("path", "seconds", "problem")
DECIDED = ("labels", "uncertainty")  # of tasks that have labels
STAMPS = ("size", "mtime_ns", "probe")

#: The path as the line spells it, the size and the mtime.
Key = tuple[str, int | None, int | None]


@dataclass(frozen=True)
class LabelledFile:
    """What is written of one file.

    Attributes:
        path: The file as it was named.
        seconds: Its length.
        problem: Why it has no labels; empty otherwise.
        labels: Those that it is said to have.
        uncertainty: From 0 to 1; ``None`` where there is none.
        values: One a label, or ``None`` with a problem.
        size: Bytes of the file.
        mtime_ns: When it was last changed, in nanoseconds.
    """

    path: str
    seconds: float
    problem: str = ""
    labels: tuple[str, ...] = ()
    uncertainty: float | None = None
    values: tuple[float, ...] | None = None
    size: int | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True)
class Glance:
    """What is to be known of a line: whose it is, its problem, labels and uncertainty, as it spells them."""

    key: Key
    problem: str
    labels: str
    uncertainty: float | None


@dataclass(frozen=True)
class Columns:
    """The columns of a table of labels.

    Attributes:
        labels: Names of the probe's outputs.
        decided: Whether there are columns for labels and uncertainty; a regression has none.
        made_by: What decides the rows: the probe, and what was asked of it.
    """

    labels: tuple[str, ...]
    decided: bool
    made_by: str

    @property
    def first(self) -> tuple[str, ...]:
        """Names of the columns before those of the outputs."""
        return NAMED + (DECIDED if self.decided else ())

    def names(self, spell: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Return the names of all columns, each once: one that is taken is prefixed by ``label:``."""
        taken = [*self.first]
        for label in self.labels:
            name = label if spell is None else spell[label]
            while name in taken or name in STAMPS:
                name = f"label:{name}"
            taken.append(name)
        return (*taken, *STAMPS)


class Lines(Protocol):
    """How rows become lines of text, and back."""

    @property
    def columns(self) -> Columns:
        """The columns of the table."""

    @property
    def head(self) -> str:
        """The first line, without its end."""

    def spelled(self, path: str) -> str:
        """Return a path as lines spell it."""

    def line(self, row: LabelledFile) -> str:
        """Return a row as one line, without its end."""

    def glance(self, line: str) -> Glance | None:
        """Return what a line says; ``None`` for one that is not whole."""

    def maker(self, line: str) -> str | None:
        """Return what made a line; ``None`` for one that is not whole."""


@dataclass(frozen=True)
class CsvLines:
    """Lines of CSV. Control characters are written as numbers, so that a row is one line and steers no terminal.

    A text that a spreadsheet would take for a formula has a ``'`` before it.
    """

    columns: Columns

    @property
    def head(self) -> str:
        """The names of the columns."""
        return _csv(self.columns.names({label: cell(label) for label in self.columns.labels}))

    def spelled(self, path: str) -> str:
        """Return the cell of a path."""
        return cell(path)

    def line(self, row: LabelledFile) -> str:
        """Return a row as one line, without its end."""
        cells = [cell(row.path), f"{row.seconds:.3f}", cell(row.problem)]
        if self.columns.decided:
            cells += [cell(BETWEEN.join(row.labels)), _number(row.uncertainty)]
        values: Sequence[float | None] = row.values or [None] * len(self.columns.labels)
        cells += map(_number, values)
        cells += ["" if stamp is None else str(stamp) for stamp in (row.size, row.mtime_ns)]
        return _csv([*cells, self.columns.made_by])

    def glance(self, line: str) -> Glance | None:
        """Return what a line says; ``None`` for one that is not whole."""
        cells = self._cells(line)
        if cells is None:
            return None
        try:
            size, mtime_ns = (int(text) if text else None for text in cells[-3:-1])
            uncertainty = float(cells[4]) if self.columns.decided and cells[4] else None
        except ValueError:
            return None
        return Glance((cells[0], size, mtime_ns), cells[2], cells[3] if self.columns.decided else "", uncertainty)

    def maker(self, line: str) -> str | None:
        """Return what made a line; ``None`` for one that is not whole."""
        cells = self._cells(line)
        return None if cells is None else cells[-1]

    def _cells(self, line: str) -> list[str] | None:
        try:
            (cells,) = csv.reader([line], strict=True)
        except (csv.Error, ValueError):
            return None
        return cells if len(cells) == len(self.columns.first) + len(self.columns.labels) + len(STAMPS) else None


@dataclass(frozen=True)
class JsonLines:
    """Lines of JSON, which hold names as they are."""

    columns: Columns

    @property
    def head(self) -> str:
        """The names of the columns."""
        return json.dumps({"columns": self.columns.names()})

    def spelled(self, path: str) -> str:
        """Return a path as it is; bytes that are no text are numbers."""
        return path.encode("utf-8", "backslashreplace").decode()

    def line(self, row: LabelledFile) -> str:
        """Return a row as one line, without its end."""
        return json.dumps({**vars(row), "path": self.spelled(row.path), "probe": self.columns.made_by}, allow_nan=False)

    def row(self, line: str) -> LabelledFile | None:
        """Return the row of a line; ``None`` for one that is not whole."""
        data = self._data(line)
        if data is None:
            return None
        values, labels = data["values"], data["labels"]
        fixed = {name: value for name, value in data.items() if name not in ("probe", "labels", "values")}
        return LabelledFile(**fixed, labels=tuple(labels), values=None if values is None else tuple(values))

    def glance(self, line: str) -> Glance | None:
        """Return what a line says; ``None`` for one that is not whole."""
        row = self.row(line)
        if row is None:
            return None
        return Glance((row.path, row.size, row.mtime_ns), row.problem, BETWEEN.join(row.labels), row.uncertainty)

    def maker(self, line: str) -> str | None:
        """Return what made a line; ``None`` for one that is not whole."""
        data = self._data(line)
        return None if data is None else data["probe"]

    def _data(self, line: str) -> dict[str, Any] | None:
        try:
            data = json.loads(line)
        except ValueError:
            return None
        return data if isinstance(data, dict) and set(data) == {*LabelledFile.__dataclass_fields__, "probe"} else None


def cell(text: str) -> str:
    r"""Return a text as a cell of CSV in one line.

    >>> cell("=a\nb")
    "'=a\\u000ab"
    """
    spelled = csv_cell(text)
    return "".join(letter if letter not in "\n\t" else f"\\u{ord(letter):04x}" for letter in spelled)


def _number(value: float | None) -> str:
    """Return the shortest text that float32 reads as the same number."""
    return "" if value is None else str(np.float32(value))


def _csv(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
