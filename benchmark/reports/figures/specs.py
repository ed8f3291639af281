"""Pieces of Vega-Lite specifications, as plain dicts.

Altair would build them too, at some 50 ms a picture; the pages of large boards have thousands. The tests hold each to
Altair's copy of the schema.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from results.markdown import folded

if TYPE_CHECKING:
    import pandas as pd

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
DIGITS = 5  # significant ones in the data of a picture
VERTICAL = "M0,-1V1"  # a sign, as a path in a square of two by two
WIDTH = 22  # letters of a name in one line beside a row
IN_LEGEND = 17  # letters of each half of a name in a legend
LINE = 13  # pixels that a line of such a name needs


def rounded(value: object) -> object:
    """Return a value of a table as a picture's data have it: a float of five digits, an inert text, or ``None``.

    >>> rounded(0.123456789), rounded(float("nan"))
    (0.12346, None)
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return folded(value)
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 1e15 else float(f"{number:.{DIGITS}g}")


def data(rows: pd.DataFrame, columns: Sequence[str], **more: Sequence[object]) -> Spec:
    """Return some columns of a table as the data of a picture; what is not known is left out of its row."""
    taken = [rows[name].tolist() for name in columns] + [list(each) for each in more.values()]
    names = [*columns, *more]
    values = []
    for row in zip(*taken, strict=True):
        found = {name: rounded(value) for name, value in zip(names, row, strict=True)}
        values.append({name: value for name, value in found.items() if value is not None})
    return {"values": values}


def broken(name: str, width: int = WIDTH) -> list[str]:
    """Return a name in lines of at most ``width`` letters, broken behind a sign where there is one.

    >>> broken("hf:m-a-p/MERT-v1-330M?layer=7")
    ['hf:m-a-p/MERT-v1-330M?', 'layer=7']
    """
    lines = []
    rest = folded(name)
    while len(rest) > width:
        signs = [found.end() for found in re.finditer(r"[^\w.]", rest[:width])]
        cut = signs[-1] if signs and signs[-1] > width // 3 else width
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*lines, rest]


def beside_rows(names: Sequence[str], width: int = WIDTH) -> dict[str, list[str]]:
    """Return the lines that stand beside a row, by name: at most two, the middle left out of a longer name.

    Names that would then be alike are given whole. The table beside a picture has all of them whole.
    """
    whole = {name: broken(name, width) for name in names}
    short = {name: lines if len(lines) <= 2 else _shortened(name, width) for name, lines in whole.items()}
    seen = Counter("\n".join(lines) for lines in short.values())
    return {name: lines if seen["\n".join(lines)] == 1 else whole[name] for name, lines in short.items()}


def _shortened(name: str, width: int) -> list[str]:
    """Return two lines of a longer name, with three dots for its middle."""
    return [f"{name[: width - 1].rstrip()}…", name[-width:].lstrip()]


def rows_axis(names: Sequence[str], field: str, *, step: int = 18, **axis: Any) -> tuple[Spec, Spec]:
    """Return the channel ``y`` of a picture with a row a name, in their order, and the height that it needs.

    Long names are broken into lines (:func:`beside_rows`), which stand in the axis and not in the data.
    """
    names = [folded(name) for name in names]
    lines = beside_rows(names)
    tallest = max(map(len, lines.values()), default=1)
    channel: Spec = {
        "field": field,
        "type": "nominal",
        "scale": {"domain": names},
        "title": None,
        "axis": {"labelLimit": 0, "ticks": False, **axis},
    }
    if tallest > 1:
        # A name has no line feed, so that one can say where it is broken.
        wrapped = {name: "\n".join(parts) for name, parts in lines.items() if len(parts) > 1}
        channel["axis"]["labelExpr"] = f"split({_lookup(wrapped)}[datum.value] || datum.value, '\\n')"
        channel["axis"]["labelLineHeight"] = LINE - 2
    return channel, {"step": step if tallest == 1 else max(step, LINE * tallest + 4)}


def _lookup(texts: Mapping[str, str]) -> str:
    """Return an expression of Vega's that is an object of texts, which may be anything."""
    return "{" + ", ".join(f"{_quoted(key)}: {_quoted(value)}" for key, value in texts.items()) + "}"


def _quoted(text: str) -> str:
    """Return a text as a string of Vega's expressions, in plain ASCII letters: others are written as numbers."""
    return "'" + "".join(_unit(sign) for sign in text) + "'"


def _unit(sign: str) -> str:
    if sign.isascii() and (sign.isalnum() or sign in " .,:;/?=+-_()"):
        return sign
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def number(field: str, title: str | None, *, zero: bool = False, **axis: Any) -> Spec:
    """Return a channel of numbers."""
    scale = {"zero": zero, "nice": False, "padding": 8}
    axis = {"tickCount": 5, "labelFlush": False, **axis}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def wide_number(field: str, title: str | None, values: Iterable[float], **axis: Any) -> Spec:
    """Return a channel of numbers above zero, on a logarithmic scale with few ticks.

    Args:
        field: The field.
        title: Of the axis.
        values: The values that are drawn. Where one is zero, the scale is linear about zero.
        axis: More of the axis.
    """
    known = [value for value in values if math.isfinite(value)]
    positive = [value for value in known if value > 0]
    scale: Spec = {"type": "log", "nice": False, "padding": 10}
    ticks = decades(min(positive), max(positive)) if positive else [0.0]
    if len(positive) < len(known):
        scale = {"type": "symlog", "constant": min(positive, default=1.0), "nice": False, "padding": 10}
        ticks = [0.0, *ticks]
    axis = {"values": ticks, "format": "~s", "labelFlush": False, "labelOverlap": "greedy", **axis}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def decades(low: float, high: float) -> list[float]:
    """Return the ticks of a logarithmic axis: powers of ten, or between these too where there are few.

    >>> decades(3.0, 700.0), decades(0.5, 2.0)
    ([10.0, 100.0], [0.5, 1.0, 2.0])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), tuple(np.arange(1.0, 10.0, 0.5).tolist())):
        ticks = [float(f"{step * 10.0**power:.3g}") for power in range(first, last + 1) for step in steps]
        within = [tick for tick in ticks if low <= tick <= high]
        if len(within) >= 2:
            return within
    return [float(f"{low:.3g}")]


def tooltip(**fields: str) -> list[Spec]:
    """Return what a pointer shows: by title the field; numbers to four digits."""
    shown = []
    for title, field in fields.items():
        numeric = field.startswith("#")
        each: Spec = {"field": field.lstrip("#"), "title": title.replace("_", " ")}
        shown.append(each | ({"type": "quantitative", "format": ".4~g"} if numeric else {"type": "nominal"}))
    return shown


def told_apart(field: str, names: Sequence[str], everybody: Sequence[str] | None = None) -> dict[str, Spec]:
    """Return the channels ``color`` and ``shape`` that tell encoders apart, in grey too, and their one legend.

    Args:
        field: The field with the name.
        names: Those that are drawn, which the legend lists.
        everybody: All that there are: each has the same colour in every picture.
    """
    names = [folded(name) for name in names]
    domain = [folded(name) for name in everybody or ()]
    domain = domain if set(names) <= set(domain) else names
    short = {name: "".join(lines) for name, lines in beside_rows(names, IN_LEGEND).items()}
    widest = max(map(len, short.values()), default=0)
    legend: Spec = {
        "orient": "bottom",
        "columns": 3 if widest <= 12 else 2 if widest <= WIDTH else 1,
        "labelLimit": 0,
        "title": None,
        "values": names,
        "symbolDash": [1, 0],
        "symbolStrokeWidth": 0,
    }
    if any("…" in text for text in short.values()):
        legend["labelExpr"] = f"{_lookup(short)}[datum.value]"
    channel = {"field": field, "type": "nominal", "scale": {"domain": domain}, "legend": legend}
    return {"color": channel, "shape": channel}


#: Powers of ten as ``1e-5``, and zero as ``0``.
POWERS = "datum.value === 0 ? '0' : format(datum.value, '~e')"


def spec(description: str, content: Mapping[str, Any], values: Spec) -> Spec:
    """Return a whole specification."""
    return {"$schema": SCHEMA, "description": folded(description), "data": values, **content}


#: Pixels beside the view of one of several panels, which are sized without the axis on their left.
BESIDE_PANEL = 70


def sized(content: Mapping[str, Any], width: float) -> Spec:
    """Return a specification for a width in pixels, all axes and legends within it."""
    if "vconcat" in content:
        inner = max(width - BESIDE_PANEL, 40)
        return {**content, "vconcat": [{**panel, "width": inner} for panel in content["vconcat"]]}
    return {**content, "width": width, "autosize": {"type": "fit-x", "contains": "padding"}}
