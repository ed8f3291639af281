"""Forest plots: the scores of all encoders on a task with their intervals, beside what was published for it."""

from __future__ import annotations

from typing import Any

from benchmark.reports.figures.choice import Column, columns, label_of, other_metrics, remarks
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.specs import VERTICAL, Spec, data, number, rows_axis, spec, tooltip
from results.intervals import span
from results.markdown import folded
from results.sources import sources
from results.status import base_id
from results.together import Together

MEASURED, PUBLISHED, OTHER = "measured", "published", "published, other protocol"
RIDGE, CONSTANT = "ridge", "constant"
SIGNS = {MEASURED: "circle", PUBLISHED: "diamond", OTHER: "square", RIDGE: VERTICAL, CONSTANT: "triangle-right"}
STYLES = {MEASURED: "measured", PUBLISHED: "published", OTHER: "published"}


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


def published_of(column: Column) -> list[dict[str, Any]]:
    """Return a row for each score that was published for a task and metric.

    A row has the name of our record where the record is of this model, else the model's. What was measured by another
    protocol than ours (a source's, or that of a work which the source cites) is marked.
    """
    rows = []
    for source in sources():
        ours: dict[str, list[str]] = {}
        for record in column.records:
            if (model := source.model_of(base_id(record.encoder.id))) is not None:
                ours.setdefault(model, []).append(label_of(record))
        for table, content in source.tables.items():
            for (model, task, metric), printed in content.cells.items():
                if (task, metric) != (column.task, column.metric):
                    continue
                what = PUBLISHED if source.protocol and not printed.reference else OTHER
                where = f"{source.title}, {table}" + (f", reference {printed.reference}" if printed.reference else "")
                names = ours.get(model) or [folded(model)]
                rows += [{"encoder": n, "what": what, "score": printed.value, "source": where} for n in names]
    return rows


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
        rows += published_of(column)
    frame: Any = pd.DataFrame(rows, columns=["encoder", "what", "score", "low", "high", "source"])
    best = max(column.records, key=lambda record: record.scores.test[column.metric].value)
    score = best.scores.test[column.metric]
    theirs = int(frame.what.isin([PUBLISHED, OTHER]).sum())
    metric = column.metric.replace("_", " ")
    description = (
        f"{metric} on test of {len(column.records)} encoder(s) on {column.words}, with 95 % intervals"
        f"{f', beside {theirs} published values' if theirs else ''}. The highest measured: {label_of(best)}, "
        f"{score.value:.3f} ({span(score.low, score.high)}). Overlapping intervals do not say that two are equal."
    )
    name = f"forest-{column.slug}"
    return Figure("forest", name, f"{column.words}: {metric}", description, frame, _spec(frame, metric, description))


def _spec(frame: Any, metric: str, description: str) -> Spec:
    held = frame[frame.what.isin([PUBLISHED, OTHER])].groupby("encoder")["score"].max().to_dict()
    held |= frame[frame.what == MEASURED].groupby("encoder")["score"].max().to_dict()
    order = sorted(held, key=lambda name: (-held[name], name))
    y, height = rows_axis(order, "encoder", step=18)
    shown = [what for what in SIGNS if (frame.what == what).any()]
    x = number("score", f"{metric} (test)")
    signs = {
        "field": "what",
        "type": "nominal",
        "title": None,
        "scale": {"domain": shown, "range": [SIGNS[what] for what in shown]},
        "legend": {"orient": "bottom", "columns": 1 if OTHER in shown else 2},
    }
    hint = tooltip(encoder="encoder", score="#score", low="#low", high="#high", what="what", source="source")
    layers: list[Spec] = [
        {
            "transform": [{"filter": f"datum.what === '{MEASURED}' && isValid(datum.low)"}],
            "mark": {"type": "rule", "style": "interval"},
            "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}},
        }
    ]
    for what in reversed(shown):
        mark: Spec = {
            "type": "point",
            "style": {MEASURED: "measured", PUBLISHED: "published", OTHER: "published"}.get(what, "back"),
        }
        if what != MEASURED:
            mark |= {"filled": False, "strokeWidth": 1.5}
        if what in (CONSTANT, OTHER):
            mark |= {"size": 25}
        layers.append(
            {
                "transform": [{"filter": f"datum.what === '{what}'"}],
                "mark": mark,
                "encoding": {"shape": signs, "tooltip": hint},
            }
        )
    values = data(frame, ["encoder", "what", "score", "low", "high", "source"])
    return spec(description, {"height": height, "encoding": {"x": x, "y": y}, "layer": layers}, values)
