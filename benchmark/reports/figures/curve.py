"""Learning curves: the score on test against how many items of train the probe had."""

from __future__ import annotations

from typing import Any

from benchmark.reports.figures.choice import Column, columns, label_of, other_metrics
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.specs import data, number, spec, told_apart, tooltip, wide_number
from results.together import Together


def curve(together: Together, request: Request) -> Drawn:
    """Draw a curve for each encoder: the mean over repeats, from the lowest to the highest of them."""
    if not together.curves:
        return Drawn(
            (), ("There are no learning curves: bench run --train-fraction 0.1,0.3,1 --repeats 3 measures some.",)
        )
    everybody = sorted({label_of(record) for record in together.curves})
    figures = [_figure(column, everybody) for column in columns(together.curves, request.metric)]
    return Drawn(tuple(figures), tuple(other_metrics(together.curves, request.metric)))


def _figure(column: Column, everybody: list[str]) -> Figure:
    import pandas as pd

    points = []
    for record in column.records:
        assert record.curve is not None
        score = record.scores.test[column.metric].value
        points.append((label_of(record), record.curve.fraction, record.curve.items, record.curve.repeat, score))
    each: Any = pd.DataFrame(points, columns=["encoder", "fraction", "items", "repeat", "score"])
    groups = each.groupby(["encoder", "fraction"], sort=True)
    frame: Any = groups.agg(
        items=("items", "mean"), repeats=("score", "size"), score=("score", "mean"), lowest=("score", "min"),
        highest=("score", "max"),
    ).reset_index()  # fmt: skip
    metric = column.metric.replace("_", " ")
    names = sorted(set(frame.encoder))
    description = (
        f"{metric} on test of {len(names)} encoder(s) on {column.words} with {each['items'].min():,} to "
        f"{each['items'].max():,} items of train: the mean over repeats, and a bar from the lowest to the highest."
    )
    steepest = frame.sort_values("fraction").groupby("encoder")["score"].agg(lambda scores: scores.iloc[-1])
    if len(steepest):
        description += f" With most items the highest is {steepest.idxmax()}, {steepest.max():.3f}."
    x = wide_number("items", "items of train", frame["items"])
    y = number("score", f"{metric} (test)")
    apart = told_apart("encoder", names, everybody)
    hint = tooltip(encoder="encoder", items="#items", repeats="#repeats", mean="#score", lowest="#lowest",
                   highest="#highest")  # fmt: skip
    dash = apart["color"]  # its own legend, which is theirs too, or Vega finds two
    layers = [
        {
            "mark": {"type": "rule"},
            "encoding": {
                "y": {**y, "field": "lowest"},
                "y2": {"field": "highest"},
                "color": apart["color"],
            },
        },
        {
            "mark": {"type": "line"},
            "encoding": {"y": y, "color": apart["color"], "strokeDash": dash},
        },
        {"mark": {"type": "point", "size": 45}, "encoding": {"y": y, **apart, "tooltip": hint}},
    ]
    values = data(frame, list(frame.columns))
    content = {"height": 220, "encoding": {"x": x}, "layer": layers}
    title = f"{column.words}: {metric} by items of train"
    return Figure("curve", f"curve-{column.slug}", title, description, frame, spec(description, content, values))
