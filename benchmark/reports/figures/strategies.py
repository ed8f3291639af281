"""Pre-training strategies on resampled test items: Figure 1 of Meseguer-Brocal et al. 2024."""

from __future__ import annotations

from typing import Any

from benchmark.pretraining.comparison.grids import ordered
from benchmark.pretraining.comparison.summary import Summary, TaskFacts
from benchmark.reports.figures.comparisons import NONE, comparisons, name_of
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.specs import Spec, data, number, rows_axis, spec, tooltip
from results.markdown import folded
from results.store import slug
from results.together import Together


def strategies(together: Together, request: Request) -> Drawn:
    """Draw for each task a row a strategy: a dot a resample, their mean, and the interval of their percentiles."""
    figures: list[Figure] = []
    notes: list[str] = []
    for number_, found in enumerate(comparisons(together, notes)):
        for task in found.tasks:
            known = task.metrics
            wanted = known if request.metric == "all" else [request.metric or known[0]]
            figures += [
                figure
                for metric in wanted
                if metric in known and (figure := _figure(found, task, metric, number_)) is not None
            ]
    return Drawn(tuple(figures), tuple(notes) or (() if figures else NONE))


def _figure(found: Summary, task: TaskFacts, metric: str, place: int) -> Figure | None:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    dots: list[dict[str, Any]] = []
    for strategy in ordered(found):
        score = found.score(strategy.name, task.id, metric)
        if score is None or score.dots is None:
            continue
        drawn, name = score.dots, name_of(strategy)
        rows.append(
            {
                "strategy": name, "mean": drawn.mean, "low": drawn.low, "high": drawn.high, "score": score.value,
                "low_with_seeds": drawn.seeds_low, "high_with_seeds": drawn.seeds_high, "resamples": len(drawn.values),
            }
        )  # fmt: skip
        dots += [{"strategy": name, "what": "resample", "score": value} for value in drawn.values]
        dots.append({"strategy": name, "what": "mean", "score": drawn.mean, "low": drawn.low, "high": drawn.high})
    if not rows:
        return None
    frame: Any = pd.DataFrame(rows)
    best = frame.loc[frame["mean"].idxmax()]
    words, shown = metric.replace("_", " "), folded(task.id)
    description = (
        f"{words} of {len(frame)} strategies on {found.resamples} resamples of the test items of {shown}, the same "
        "for all: a dot a resample, the mean over pre-training seeds; their mean, and a line between their 2.5 and "
        f"97.5 % percentiles. The highest: {best['strategy']}, {best['mean']:.3f}. Pre-training seeds are in no dot: "
        "the table has intervals with them."
    )
    name = f"strategies-{slug(task.id)}" + (f".{slug(metric)}" if metric != task.metrics[0] else "")
    name += f".{place + 1}" if place else ""
    title = f"{shown}: {words} of strategies on resampled test items"
    names = [row["strategy"] for row in rows]
    return Figure("strategies", name, title, description, frame, _spec(pd.DataFrame(dots), names, words, description))


def _spec(dots: Any, names: list[str], words: str, description: str) -> Spec:
    y, height = rows_axis(names, "strategy", step=24)
    x = number("score", f"{words} (test)")
    hint = tooltip(strategy="strategy", mean="#score", low="#low", high="#high")
    layers: list[Spec] = [
        {
            "transform": [{"filter": "datum.what === 'resample'"}],
            "mark": {"type": "point", "style": "back", "size": 12, "opacity": 0.35},
            "encoding": {"x": x},
        },
        {
            "transform": [{"filter": "datum.what === 'mean'"}],
            "mark": {"type": "rule", "style": "interval"},
            "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}},
        },
        {
            "transform": [{"filter": "datum.what === 'mean'"}],
            "mark": {"type": "point", "style": "measured"},
            "encoding": {"x": x, "tooltip": hint},
        },
    ]
    values = data(dots, ["strategy", "what", "score", "low", "high"])
    return spec(description, {"height": height, "encoding": {"y": y}, "layer": layers}, values)
