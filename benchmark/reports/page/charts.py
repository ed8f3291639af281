"""Charts as the page holds them: what their specifications share once, and the numbers of each as columns."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.reports.figures.figure import Figure
from benchmark.reports.figures.specs import BESIDE_PANEL
from benchmark.reports.figures.theme import config

DIGITS = 5
"""Significant digits of what is drawn; the tables have more."""


@dataclass(frozen=True)
class Chart:
    """A chart of the page: its number there, and what it shows in words."""

    number: int
    title: str
    description: str
    figure: Figure


class Charts:
    """Collects the charts of a page, so that specifications that differ in their numbers alone are written once."""

    def __init__(self) -> None:
        self._shared: dict[str, int] = {}
        self._charts: list[dict[str, Any]] = []

    def add(self, figure: Figure) -> Chart:
        """Take a figure into the page and return its chart."""
        held: list[Any] = []
        spec = _without_data({name: part for name, part in figure.spec.items() if name != "description"}, held)
        text = json.dumps(spec, sort_keys=True)
        shared = self._shared.setdefault(text, len(self._shared))
        self._charts.append({"s": shared, "d": held})
        return Chart(len(self._charts) - 1, figure.title, figure.description, figure)

    def as_data(self) -> dict[str, Any]:
        """Return what the page's script draws from: ``themes``, ``specs``, and for each chart its ``s`` and ``d``."""
        return {
            "themes": {"light": config(), "dark": config(dark=True)},
            "specs": [json.loads(text) for text in self._shared],
            "charts": self._charts,
            "beside": BESIDE_PANEL,
        }


#: Texts of a specification that name what is drawn in this one chart.
_OWN = ("title", "labelExpr", "text")


def _without_data(part: Any, held: list[Any]) -> Any:
    """Return a part of a specification with a number in place of each list of rows or names, which ``held`` gets."""
    if isinstance(part, Mapping):
        kept: dict[str, Any] = {}
        for key, value in part.items():
            if key == "values" and isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
                kept["rows"] = len(held)
                held.append(_columns(value))
            elif key == "datasets" and isinstance(value, Mapping):
                kept[key] = {name: _without_data({"values": rows}, held) for name, rows in value.items()}
            elif key in _OWN and isinstance(value, str):
                kept[key] = _held(value, held)
            else:
                kept[key] = _without_data(value, held)
        return kept
    if isinstance(part, list | tuple):
        if part and all(isinstance(each, str) for each in part):
            return _held(list(part), held)
        return [_without_data(each, held) for each in part]
    return _plain(part)


def _held(value: Any, held: list[Any]) -> dict[str, int]:
    """Return what stands for a text or a list of names; the same one is held once."""
    if value not in held:
        held.append(value)
    return {"held": held.index(value)}


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return rows as columns; where a row lacks one it has ``None``."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _column([_plain(row.get(name)) for row in rows]) for name in names}


def _column(values: list[Any]) -> Any:
    """Return a column; of texts that repeat, the texts (``names``) and the place of each row's among them (``at``)."""
    known = {value: place for place, value in enumerate(dict.fromkeys(map(str, values)))}
    if len(known) * 2 > len(values) or not all(isinstance(value, str) for value in values):
        return values
    return {"names": list(known), "at": [known[value] for value in values]}


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it, rounded."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
