"""Robustness: how far scores move where the test audio is deformed."""

from __future__ import annotations

from typing import Any

from benchmark.reports.figures.choice import Column, columns, label_of, other_metrics
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.specs import data, number, rows_axis, spec, told_apart, tooltip
from results.together import Together


def robustness(together: Together, request: Request) -> Drawn:
    """Draw for each task the change of score under each deformation, by encoder."""
    records = [record for record in together.records if record.robustness]
    if not records:
        return Drawn((), ("No record has scores of deformed audio: bench run --deform noise=20dB measures some.",))
    everybody = sorted({label_of(record) for record in records})
    figures = [_figure(column, everybody) for column in columns(records, request.metric)]
    notes = other_metrics(records, request.metric)
    for column in columns(together.records, request.metric):
        without = [label_of(record) for record in column.records if not record.robustness]
        if without and any(record.robustness for record in column.records):
            notes.append(f"{column.words}: no scores of deformed audio of {', '.join(without)}.")
    return Drawn(tuple(figures), tuple(notes))


def _figure(column: Column, everybody: list[str]) -> Figure:
    import pandas as pd

    rows = []
    for record in column.records:
        for view in record.robustness:
            drop = view.metrics[column.metric]
            clean = record.scores.test[column.metric].value
            rows.append(
                (label_of(record), view.spec, clean, drop.value, drop.drop, drop.drop_low, drop.drop_high, view.clipped)
            )
    names = ["encoder", "deformation", "clean", "deformed", "change", "low", "high", "clipped"]
    frame: Any = pd.DataFrame(rows, columns=names).astype({"low": "float64", "high": "float64"})
    metric = column.metric.replace("_", " ")
    worst = frame.loc[frame.change.idxmin()]
    kinds, encoders = list(dict.fromkeys(frame.deformation)), sorted(set(frame.encoder))
    description = (
        f"Change of {metric} on test of {len(encoders)} encoder(s) on {column.words} under {len(kinds)} deformation(s) "
        f"of the audio, with 95 % intervals; below zero it fell. The largest fall: {worst.encoder} under "
        f"{worst.deformation}, {worst.change:+.3f}."
    )
    y, height = rows_axis(kinds, "deformation", step=max(18, 9 * len(encoders) + 8), grid=True)
    offset = {"field": "encoder", "type": "nominal", "sort": encoders}
    x = number("change", f"change of {metric}", zero=True)
    apart = told_apart("encoder", encoders, everybody)
    hint = tooltip(encoder="encoder", deformation="deformation", clean="#clean", deformed="#deformed",
                   change="#change", low="#low", high="#high")  # fmt: skip
    layers = [
        {"mark": {"type": "rule", "style": "back"}, "encoding": {"x": {"datum": 0}}},
        {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule"},
            "encoding": {
                "x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "yOffset": offset,
                "color": apart["color"],
            },
        },
        {
            "mark": {"type": "point", "size": 35},
            "encoding": {"x": x, "y": y, "yOffset": offset, **apart, "tooltip": hint},
        },
    ]  # fmt: skip
    values = data(frame, names)
    title = f"{column.words}: {metric} under deformation"
    content = {"height": {**height, "for": "position"}, "layer": layers}
    return Figure(
        "robustness", f"robustness-{column.slug}", title, description, frame, spec(description, content, values)
    )
