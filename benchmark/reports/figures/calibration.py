"""Reliability diagrams: how often what a probe says with a probability is so."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import numpy as np

from benchmark.reports.figures.choice import record_slug, record_words
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.outputs import other_kinds, with_outputs
from benchmark.reports.figures.specs import data, spec, tooltip
from probes.statistics.calibration import BINS, class_ece, label_ece
from results.predictions import Predictions
from results.record import Record
from results.together import Together


def calibration(together: Together, request: Request) -> Drawn:
    """Draw share against probability for each record of classes or labels."""
    figures: list[Figure] = []
    notes: list[str] = []
    for record, held in with_outputs(together, request, notes, "multiclass", "multilabel"):
        if not all(((outputs >= 0) & (outputs <= 1)).all() for outputs in held.outputs):
            notes.append(f"{record_words(record)} is not drawn: its outputs are no probabilities.")
            continue
        figures.append(_figure(record, held))
    notes += other_kinds(together, "Only classes and labels have probabilities", "multiclass", "multilabel")
    return Drawn(tuple(figures), tuple(notes))


def reliability(held: Predictions) -> list[tuple[float, float, float, float, float]]:
    """Return bins of equal width: where each begins and ends, mean probability, share that is so, and how many.

    Of classes the most probable one of each item counts, of labels every label of every item. Probabilities of all
    probes are put together; how many is the mean over them. Empty bins are left out.
    """
    parts = []
    for outputs in held.outputs:
        if held.targets.ndim == 1:
            parts.append((outputs.max(axis=1), outputs.argmax(axis=1) == held.targets))
        else:
            parts.append((outputs.ravel(), held.targets.ravel() > 0))
    p = np.concatenate([each for each, _ in parts]).astype(np.float64)
    right = np.concatenate([each for _, each in parts])
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    sums, rights = np.bincount(place, weights=p, minlength=BINS), np.bincount(place, weights=right, minlength=BINS)
    return [
        (i / BINS, (i + 1) / BINS, float(sums[i] / n), float(rights[i] / n), n / len(held.outputs))
        for i, n in enumerate(counts.tolist())
        if n
    ]


def _figure(record: Record, held: Predictions) -> Figure:
    import pandas as pd

    names = ["from", "to", "probability", "share", "count"]
    frame: Any = pd.DataFrame(reliability(held), columns=names)
    of_classes = held.targets.ndim == 1
    error = class_ece if of_classes else label_ece
    ece = fmean(error(outputs, held.targets) for outputs in held.outputs)
    words, what = record_words(record), "the most probable class" if of_classes else "each label"
    mean, share = (float(np.average(frame[name], weights=frame["count"])) for name in ("probability", "share"))
    side = "too sure" if mean > share else "not sure enough"
    description = (
        f"How often {what} is right against the probability that {words} gives it, before any calibration. On average "
        f"{mean:.3f} is given and {share:.3f} is right: {side}. Expected calibration error {ece:.3f} ({BINS} bins)."
    )
    axis = {"tickCount": 5, "labelFlush": False}
    x = {
        "field": "probability", "type": "quantitative", "title": "probability given", "axis": axis,
        "scale": {"domain": [0, 1]},
    }  # fmt: skip
    y = {
        "field": "share", "type": "quantitative", "title": "share that is so", "axis": axis,
        "scale": {"domain": [0, 1]},
    }  # fmt: skip
    size = {
        "field": "count", "type": "quantitative", "title": "items" if of_classes else "labels of items",
        "scale": {"range": [15, 250], "domain": [0, float(frame["count"].max())]},
        "legend": {"orient": "bottom", "tickCount": 3, "symbolFillColor": "gray"},
    }  # fmt: skip
    hint = tooltip(probability="#probability", share="#share", count="#count")
    ends: dict[str, Any] = {"x": {"datum": 0}, "y": {"datum": 0}, "x2": {"datum": 1}, "y2": {"datum": 1}}
    layers = [
        {"mark": {"type": "rule", "style": "back", "strokeDash": [4, 3]}, "encoding": ends},
        {"mark": {"type": "line", "style": "line", "strokeWidth": 1}, "encoding": {"x": x, "y": y}},
        {
            "mark": {"type": "point", "style": "measured"},
            "encoding": {"x": x, "y": y, "size": size, "tooltip": hint},
        },
    ]
    name = f"calibration-{record_slug(record)}"
    values, content = data(frame, names[2:]), {"height": 220, "layer": layers}
    return Figure("calibration", name, f"{words}: calibration", description, frame, spec(description, content, values))
