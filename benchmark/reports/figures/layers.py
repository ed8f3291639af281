"""Layers: what a simple probe reads from each layer of an encoder, how sure the choice is, and what mixtures weigh."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from benchmark.reports.figures.choice import Column, columns, label_of, record_slug, record_words
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.specs import data, number, spec, told_apart, tooltip
from results.markdown import folded
from results.record import Record
from results.together import Together


def layers(together: Together, _: Request) -> Drawn:
    """Draw the score on valid of a ridge on each layer, a line an encoder, and the weights of each mixture."""
    records = [record for record in together.records if record.search.layers]
    mixed = [record for record in together.records if record.probe.mixing]
    if not records and not mixed:
        return Drawn((), ("No record is of an encoder with layers among which one was chosen or mixed.",))
    everybody = sorted({label_of(record) for record in records})
    figures = [_profile(column, everybody) for column in columns(records, None)]
    figures += [_mixing(record) for record in mixed]
    return Drawn(tuple(figures), ())


def _profile(column: Column, everybody: list[str]) -> Figure:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    told = []
    for record in column.records:
        scores = record.search.layers or {}
        best = max(scores.values())
        for depth, (layer, score) in enumerate(scores.items()):
            rows.append(
                {"encoder": label_of(record), "layer": folded(layer), "depth": depth, "score": score,
                 "behind": best - score, "chosen": layer == record.probe.layer}
            )  # fmt: skip
        told.append(f"{label_of(record)}: {_choice(record)}.")
    frame: Any = pd.DataFrame(rows, columns=["encoder", "layer", "depth", "score", "behind", "chosen"])
    names = sorted(set(frame.encoder))
    objective = column.records[0].search.objective
    description = (
        f"Score on valid ({objective}) of a ridge on each layer of {len(names)} encoder(s) on {column.words}; the "
        f"chosen layer is ringed. {' '.join(told)}"
    )
    x = number("depth", "layer", format="d", tickMinStep=1)
    y = number("score", f"ridge, {objective} (valid)")
    apart = told_apart("encoder", names, everybody)
    dash = apart["color"]  # its own legend, which is theirs too, or Vega finds two
    hint = tooltip(encoder="encoder", layer="layer", score="#score", behind_the_best="#behind")
    parts = [
        {
            "mark": {"type": "line"},
            "encoding": {"x": x, "y": y, "color": apart["color"], "strokeDash": dash},
        },
        {"mark": {"type": "point", "size": 30}, "encoding": {"x": x, "y": y, **apart, "tooltip": hint}},
        {
            "transform": [{"filter": "datum.chosen"}],
            "mark": {"type": "point", "style": "ink", "filled": False, "size": 170, "strokeWidth": 1.5},
            "encoding": {"x": x, "y": y, "tooltip": hint},
        },
    ]
    values = data(frame, ["encoder", "layer", "depth", "score", "behind", "chosen"])
    title = f"{column.words}: layers"
    content = {"height": 220, "layer": parts}
    return Figure("layers", f"layers-{column.slug}", title, description, frame, spec(description, content, values))


def _choice(record: Record) -> str:
    """Say how sure the choice of a layer is: what the next one is behind, and how many are as good as equal."""
    scores = record.search.layers or {}
    order = sorted(scores, key=lambda layer: -scores[layer])
    chosen = record.probe.layer
    if chosen not in scores:
        return f"{folded(chosen)} was taken, not one layer" if chosen else "no layer was chosen by it"
    if len(order) == 1:
        return f"{folded(chosen)} alone"
    others = [layer for layer in order if layer != chosen]
    lead = scores[chosen] - scores[others[0]]
    words = f"{folded(chosen)} was chosen, {abs(lead):.4f} {'above' if lead >= 0 else 'below'} {folded(others[0])}"
    if record.search.tolerance is not None:
        near = sum(abs(scores[chosen] - scores[layer]) <= record.search.tolerance for layer in others)
        words += f", {near} other(s) within {record.search.tolerance:.3f}, which a search counts as equal"
    return words


def _mixing(record: Record) -> Figure:
    import pandas as pd

    weights = record.probe.mixing or []
    known = list(record.search.layers or ())
    rows = []
    for seed, of_probe in zip(record.seeds.probes, weights, strict=False):
        names = known if len(known) == len(of_probe) else [str(depth) for depth in range(len(of_probe))]
        rows += [(depth, folded(names[depth]), seed, weight) for depth, weight in enumerate(of_probe)]
    frame: Any = pd.DataFrame(rows, columns=["depth", "layer", "seed", "weight"])
    means = {depth: fmean(group.weight) for depth, group in frame.groupby("depth")}
    heaviest = max(means, key=lambda depth: means[depth])
    layer = frame.layer[frame.depth == heaviest].iloc[0]
    description = (
        f"Weights of {len(means)} layers in the mixture that {len(weights)} probe(s) of {record_words(record)} take. "
        f"The heaviest: {layer}, {means[heaviest]:.3f} on average; {1 / len(means):.3f} would be all alike."
    )
    x = number("depth", "layer", format="d", tickMinStep=1)
    y = number("weight", "weight", zero=True)
    hint = tooltip(layer="layer", seed="#seed", weight="#weight")
    parts = [
        {
            "mark": {"type": "line", "style": "measured", "fill": None},
            "encoding": {"x": x, "y": {**y, "aggregate": "mean"}},
        },
        {
            "mark": {"type": "point", "style": "back", "filled": False, "size": 25},
            "encoding": {"x": x, "y": y, "tooltip": hint},
        },
        {"mark": {"type": "rule", "style": "back", "strokeDash": [4, 3]}, "encoding": {"y": {"datum": 1 / len(means)}}},
    ]
    name, title = f"layers-{record_slug(record)}.mixing", f"{record_words(record)}: weights of layers"
    content = {"height": 160, "layer": parts}
    return Figure(
        "layers", name, title, description, frame, spec(description, content, data(frame, list(frame.columns)))
    )
