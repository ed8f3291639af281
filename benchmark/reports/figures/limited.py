"""Limited-data curves of pre-training strategies: Figure 2 of Meseguer-Brocal et al. 2024."""

from __future__ import annotations

from typing import Any

from benchmark.pretraining.comparison.grids import ordered
from benchmark.pretraining.comparison.summary import Summary, TaskFacts
from benchmark.reports.figures.comparisons import NONE, comparisons, name_of
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.specs import data, number, spec, told_apart, tooltip
from results.markdown import folded
from results.store import slug
from results.together import Together


def limited(together: Together, request: Request) -> Drawn:
    """Draw for each task a curve a strategy: the mean on test over samples of train, in a band of all of them."""
    figures: list[Figure] = []
    notes: list[str] = []
    seen = 0
    for seen, found in enumerate(comparisons(together, notes), start=1):
        everybody = [name_of(each) for each in ordered(found)]
        figures += [
            _figure(found, task, everybody, seen)
            for task in found.tasks
            if request.metric in (None, "all", task.metrics[0]) and any(p.task == task.id for p in found.points)
        ]
    if seen and not figures:
        notes.append("The comparison has no limited-data curves of these tasks: --curve-seeds 1 measures some.")
    return Drawn(tuple(figures), tuple(notes) or (() if figures else NONE))


def _figure(found: Summary, task: TaskFacts, everybody: list[str], place: int) -> Figure:
    import pandas as pd

    rows = [
        {
            "strategy": name_of(strategy), "percent": 100 * point.fraction, "items": point.items,
            "samples": len(point.scores), "score": point.mean, "lowest": min(point.scores),
            "highest": max(point.scores),
        }
        for strategy in ordered(found)
        for point in sorted(found.points, key=lambda point: point.fraction)
        if (point.strategy, point.task) == (strategy.name, task.id)
    ]  # fmt: skip
    frame: Any = pd.DataFrame(rows)
    names = list(dict.fromkeys(frame["strategy"]))
    words, shown = task.metrics[0].replace("_", " "), folded(task.id)
    least = frame["percent"].min()
    first = frame[frame["percent"] == least]
    best = first.loc[first["score"].idxmax()]
    description = (
        f"{words} on test of {len(names)} strategies on {shown}, of probes that had a part of train: the mean over "
        f"{found.samples} samples of each part, in a band from the lowest to the highest. With {least:g} % of train "
        f"the highest is {best['strategy']}, {best['score']:.3f}."
    )
    ticks = sorted({float(value) for value in frame["percent"]})
    x = {
        "field": "percent", "type": "quantitative", "title": "% of train",
        "scale": {"type": "log", "nice": False, "padding": 10}, "axis": {"values": ticks, "labelFlush": False},
    }  # fmt: skip
    y = number("score", f"{words} (test)")
    apart = told_apart("strategy", names, everybody)
    legend = {**apart["color"]["legend"], "symbolOpacity": 1}  # else its signs are as pale as the bands
    apart = {channel: {**each, "legend": legend} for channel, each in apart.items()}
    hint = tooltip(strategy="strategy", percent_of_train="#percent", items="#items", samples="#samples", mean="#score",
                   lowest="#lowest", highest="#highest")  # fmt: skip
    layers = [
        {
            "transform": [{"filter": "datum.samples > 1"}],  # all of train is one sample, and no band
            "mark": {"type": "area", "opacity": 0.15},
            "encoding": {"y": {**y, "field": "lowest"}, "y2": {"field": "highest"}, "color": apart["color"]},
        },
        {"mark": {"type": "line"}, "encoding": {"y": y, "color": apart["color"], "strokeDash": apart["color"]}},
        {"mark": {"type": "point", "size": 45}, "encoding": {"y": y, **apart, "tooltip": hint}},
    ]
    values = data(frame, list(frame.columns))
    content = {"height": 220, "encoding": {"x": x}, "layer": layers}
    name = f"limited-{slug(task.id)}" + (f".{place}" if place > 1 else "")
    title = f"{shown}: {words} of strategies by part of train"
    return Figure("limited", name, title, description, frame, spec(description, content, values))
