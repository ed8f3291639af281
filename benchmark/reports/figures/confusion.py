"""Confusions: which class is taken for which, and for keys how far the two lie apart on the circle of fifths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmark.reports.figures.choice import record_slug, record_words
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.outputs import other_kinds, with_outputs
from benchmark.reports.figures.specs import Spec, data, number, rows_axis, spec, tooltip
from results.markdown import folded
from results.predictions import Predictions
from results.record import Record
from results.together import Together
from tasks.keys import Key, parse_key

FEW = 12  # classes of which each field has its number
MANY = 40  # classes above which names become small
SIGNED = "datum.value ? format(datum.value, '+d') : '0'"
RELATIONS = ("same key", "fifth above", "fifth below", "relative", "parallel", "other")


def confusion(together: Together, request: Request) -> Drawn:
    """Draw the classes of each record: target by output, and the errors of keys by relation and on the circle."""
    figures: list[Figure] = []
    notes: list[str] = []
    for record, held in with_outputs(together, request, notes, "multiclass"):
        counts = confusions(held)
        figures.append(_matrix(record, held.labels, counts))
        if any(metric.startswith("weighted_accuracy") for metric in record.task.metrics):
            keys = [parse_key(label) for label in held.labels]
            if all(key is not None for key in keys):
                figures.append(_relations(record, keys, counts))  # type: ignore[arg-type]
                figures.append(_circle(record, keys, counts))  # type: ignore[arg-type]
    notes += other_kinds(together, "Classes are confused where an item has exactly one", "multiclass")
    return Drawn(tuple(figures), tuple(notes))


def confusions(held: Predictions) -> np.ndarray:
    """Return float64 [C, C]: how many items of each class (row) are named as each (column), the mean over probes."""
    size = len(held.labels)
    counts = np.zeros((size, size))
    for outputs in held.outputs:
        np.add.at(counts, (held.targets, outputs.argmax(axis=1)), 1)
    return counts / len(held.outputs)


def relation_of(target: Key, output: Key) -> str:
    """Return how an estimated key is related to the true one: one of :data:`RELATIONS`."""
    if target == output:
        return RELATIONS[0]
    if target.tonic is None or output.tonic is None:
        return RELATIONS[-1]
    above = (output.tonic - target.tonic) % 12
    if target.mode == output.mode:
        return {7: "fifth above", 5: "fifth below"}.get(above, RELATIONS[-1])
    if {target.mode, output.mode} != {"major", "minor"}:
        return RELATIONS[-1]
    if above == (9 if target.mode == "major" else 3):
        return "relative"
    return "parallel" if above == 0 else RELATIONS[-1]


def steps_of(target: Key, output: Key) -> int | None:
    """Return the steps from the true to the estimated key on the circle of fifths, -5 to 6; ``None`` without a place.

    A minor key stands where its relative major does: they have the same signature.
    """
    places = []
    for key in (target, output):
        if key.tonic is None or key.mode not in ("major", "minor"):
            return None
        places.append((key.tonic + (3 if key.mode == "minor" else 0)) * 7 % 12)
    return (places[1] - places[0] + 5) % 12 - 5


def _matrix(record: Record, names: Sequence[str], counts: np.ndarray) -> Figure:
    import pandas as pd

    labels = [folded(name) for name in names]
    of_target = counts.sum(axis=1)
    rows = [
        (labels[i], labels[j], float(counts[i, j]), float(counts[i, j] / of_target[i]))
        for i, j in np.argwhere(counts > 0).tolist()
    ]
    frame: Any = pd.DataFrame(rows, columns=["target", "output", "items", "share"])
    errors = frame[frame.target != frame.output]
    words = record_words(record)
    description = (
        f"Which of {len(labels)} classes is taken for which by {words}: share of the test items of each class, the "
        f"mean over {len(record.seeds.probes)} probe(s). "
    )
    if len(errors):
        worst = errors.loc[errors["items"].idxmax()]
        description += (
            f"Most often {worst.target} is taken for {worst.output}: {worst['items']:.3g} items, {worst.share:.0%} of "
            "that class."
        )
    else:
        description += "No item is taken for another class."
    small = len(labels) > MANY
    more: dict[str, Any] = {"labelFontSize": 8, "labelOverlap": "greedy"} if small else {}
    y, height = rows_axis(labels, "target", step=8 if small else 16, title="target", **more)
    x, _ = rows_axis(labels, "output", **more)
    y["title"], x["title"] = "target", "output"
    y["axis"].pop("title")
    x["axis"] |= {"labelAngle": -90, "labelBaseline": "middle"}
    if len(labels) > FEW:
        x["axis"] |= {"labelFontSize": 8}
    hint = tooltip(target="target", output="output", items="#items", share="#share")
    share = {
        "field": "share", "type": "quantitative", "title": "share of the class", "scale": {"domain": [0, 1]},
        "legend": {"orient": "bottom", "gradientLength": 150, "tickCount": 3, "format": ".0%"},
    }  # fmt: skip
    layers: list[Spec] = [
        {"mark": {"type": "rect"}, "encoding": {"color": share, "tooltip": hint}},
    ]
    if len(labels) <= FEW:
        text = {"field": "items", "type": "quantitative", "format": ",.1~f"}
        layers.append({"mark": {"type": "text", "fontSize": 9}, "encoding": {"text": text}})
    values = data(frame, ["target", "output", "items", "share"])
    name = f"confusion-{record_slug(record)}"
    content = {"height": height, "encoding": {"x": x, "y": y}, "layer": layers}
    return Figure("confusion", name, f"{words}: confusions", description, frame, spec(description, content, values))


def _relations(record: Record, keys: Sequence[Key], counts: np.ndarray) -> Figure:
    import pandas as pd

    found = dict.fromkeys(RELATIONS, 0.0)
    for i, j in np.argwhere(counts > 0).tolist():
        found[relation_of(keys[i], keys[j])] += float(counts[i, j])
    total = counts.sum()
    frame: Any = pd.DataFrame(
        [(relation, items, items / total) for relation, items in found.items()], columns=["relation", "items", "share"]
    )
    words = record_words(record)
    told = ", ".join(f"{row.relation} {row.share:.1%}" for row in frame.itertuples())
    description = f"Keys that {words} gives, by their relation to the true one, of {total:,.0f} test items: {told}."
    y, height = rows_axis(RELATIONS, "relation")
    x = number("share", "share of test items", format=".0%")
    x["scale"] = {"domain": [0, 1.25 * float(frame.share.max())], "nice": False}  # there is room for the figures
    hint = tooltip(relation="relation", items="#items", share="#share")
    layers = [
        {"mark": {"type": "bar", "height": 11}, "encoding": {"tooltip": hint}},
        {
            "mark": {"type": "text", "align": "left", "dx": 4},
            "encoding": {"text": {"field": "share", "type": "quantitative", "format": ".1%"}},
        },
    ]
    name = f"confusion-{record_slug(record)}.relations"
    values, content = (
        data(frame, list(frame.columns)),
        {"height": height, "encoding": {"x": x, "y": y}, "layer": layers},
    )
    return Figure(
        "confusion", name, f"{words}: relation of keys", description, frame, spec(description, content, values)
    )


def _circle(record: Record, keys: Sequence[Key], counts: np.ndarray) -> Figure:
    import pandas as pd

    found: dict[tuple[str, int], float] = {}
    elsewhere = 0.0
    for i, j in np.argwhere(counts > 0).tolist():
        steps = steps_of(keys[i], keys[j])
        if steps is None:
            elsewhere += float(counts[i, j])
            continue
        mode = "same mode" if keys[i].mode == keys[j].mode else "other mode"
        found[mode, steps] = found.get((mode, steps), 0.0) + float(counts[i, j])
    total = counts.sum()
    rows = [(steps, mode, items, items / total) for (mode, steps), items in sorted(found.items())]
    frame: Any = pd.DataFrame(rows, columns=["steps", "mode", "items", "share"])
    words = record_words(record)
    near = float(frame.share[frame.steps.abs() <= 1].sum())
    description = (
        f"How far the keys that {words} gives lie from the true ones on the circle of fifths, a minor key in the place "
        f"of its relative major: {near:.1%} of {total:,.0f} test items at most one step away."
    )
    if elsewhere:
        description += f" {elsewhere:.3g} items have no place there."
    x = {
        "field": "steps", "type": "ordinal", "title": "steps on the circle of fifths from the true key",
        "scale": {"domain": list(range(-5, 7))}, "axis": {"labelAngle": 0, "labelExpr": SIGNED},
    }  # fmt: skip
    y, height = rows_axis(["same mode", "other mode"], "mode", step=26)
    share = {
        "field": "share", "type": "quantitative", "title": "share of test items",
        "legend": {"orient": "bottom", "gradientLength": 150, "tickCount": 3, "format": ".0%"},
        "scale": {"domain": [0, float(frame.share.max())]},
    }  # fmt: skip
    hint = tooltip(steps="#steps", mode="mode", items="#items", share="#share")
    text = {"field": "items", "type": "quantitative", "format": ",.1~f"}
    layers = [
        {"mark": {"type": "rect"}, "encoding": {"color": share, "tooltip": hint}},
        {"mark": {"type": "text", "fontSize": 9}, "encoding": {"text": text}},
    ]
    name = f"confusion-{record_slug(record)}.circle"
    values, content = (
        data(frame, list(frame.columns)),
        {"height": height, "encoding": {"x": x, "y": y}, "layer": layers},
    )
    title = f"{words}: circle of fifths"
    return Figure("confusion", name, title, description, frame, spec(description, content, values))
