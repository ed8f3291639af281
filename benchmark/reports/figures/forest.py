"""Forest plots: the scores of all encoders on a task with their intervals, beside what was published for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.reports.figures.choice import Column, columns, label_of, other_metrics, remarks
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.specs import VERTICAL, Spec, data, number, rows_axis, spec, tooltip
from results import paper_tables
from results.intervals import span
from results.markdown import folded
from results.together import Together

MEASURED, PUBLISHED, RIDGE, CONSTANT = "measured", "published", "ridge", "constant"
SIGNS = {MEASURED: "circle", PUBLISHED: "diamond", RIDGE: VERTICAL, CONSTANT: "triangle-right"}


def forest(together: Together, request: Request) -> Drawn:
    """Draw the scores on test of each task and metric: by encoder, best first, published ones among them."""
    figures, notes = [], other_metrics(together.records, request.metric)
    for column in columns(together.records, request.metric):
        figures.append(_figure(column))
        notes += remarks(column)
        without = [label_of(each) for each in column.records if each.scores.test[column.metric].low is None]
        if without:
            notes.append(f"No interval of {', '.join(without)} on {column.words}: undefined without one item or group.")
    return Drawn(tuple(figures), tuple(notes))


def published_of(task: str, metric: str) -> Mapping[str, paper_tables.PublishedValue]:
    """Return what the paper's tables print for a task and metric, by model."""
    found = {}
    for name in paper_tables.TITLES:
        for (model, of_task, of_metric), value in paper_tables.table(name).cells.items():
            if (of_task, of_metric) == (task, metric):
                found[model] = value
    return found


def _figure(column: Column) -> Figure:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for record in column.records:
        score, name = record.scores.test[column.metric], label_of(record)
        rows.append({"encoder": name, "what": MEASURED, "score": score.value, "low": score.low, "high": score.high})
        for what, floor in ((RIDGE, record.floors.ridge), (CONSTANT, record.floors.constant)):
            if floor is not None:
                found = floor[column.metric]
                rows.append({"encoder": name, "what": what, "score": found.value, "low": found.low, "high": found.high})
    if column.limit is None:
        for model, printed in published_of(column.task, column.metric).items():
            source = f"McCallum et al. 2022{f', from its reference {printed.reference}' if printed.reference else ''}"
            rows.append({"encoder": folded(model), "what": PUBLISHED, "score": printed.value, "source": source})
    frame: Any = pd.DataFrame(rows, columns=["encoder", "what", "score", "low", "high", "source"])
    best = max(column.records, key=lambda record: record.scores.test[column.metric].value)
    score = best.scores.test[column.metric]
    theirs = int((frame.what == PUBLISHED).sum())
    metric = column.metric.replace("_", " ")
    description = (
        f"{metric} on test of {len(column.records)} encoder(s) on {column.words}, with 95 % intervals"
        f"{f', beside {theirs} published values' if theirs else ''}. The highest measured: {label_of(best)}, "
        f"{score.value:.3f} ({span(score.low, score.high)}). Overlapping intervals do not say that two are equal."
    )
    name = f"forest-{column.slug}"
    return Figure("forest", name, f"{column.words}: {metric}", description, frame, _spec(frame, metric, description))


def _spec(frame: Any, metric: str, description: str) -> Spec:
    held = frame[frame.what.isin([MEASURED, PUBLISHED])].groupby("encoder")["score"].max()
    order = sorted(held.index, key=lambda name: (-held[name], name))
    y, height = rows_axis(order, "encoder", step=18)
    shown = [what for what in SIGNS if (frame.what == what).any()]
    x = number("score", f"{metric} (test)")
    signs = {
        "field": "what",
        "type": "nominal",
        "title": None,
        "scale": {"domain": shown, "range": [SIGNS[what] for what in shown]},
        "legend": {"orient": "bottom", "columns": 2},
    }
    hint = tooltip(encoder="encoder", score="#score", low="#low", high="#high", what="what", source="source")
    layers: list[Spec] = [
        {
            "transform": [{"filter": f"datum.what === '{MEASURED}' && isValid(datum.low)"}],
            "mark": {"type": "rule", "style": "interval"},
            "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y},
        }
    ]
    for what in reversed(shown):
        mark: Spec = {"type": "point", "style": {MEASURED: "measured", PUBLISHED: "published"}.get(what, "back")}
        if what != MEASURED:
            mark |= {"filled": False, "strokeWidth": 1.5}
        if what == CONSTANT:
            mark |= {"size": 25}
        layers.append(
            {
                "transform": [{"filter": f"datum.what === '{what}'"}],
                "mark": mark,
                "encoding": {"x": x, "y": y, "shape": signs, "tooltip": hint},
            }
        )
    values = data(frame, ["encoder", "what", "score", "low", "high", "source"])
    return spec(description, {"height": height, "layer": layers}, values)
