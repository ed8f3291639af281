"""Which encoders the paired test separates: a field for every two of a task."""

from __future__ import annotations

from typing import Any

from benchmark.jobs.ranking import Ranking, rankings
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.specs import data, rows_axis, spec, tooltip
from results.markdown import folded
from results.store import slug
from results.together import Together

FEW = 7  # encoders of which each field has its number


def significance(together: Together, request: Request) -> Drawn:
    """Draw the rank groups of each task (:mod:`benchmark.jobs.ranking`), on its primary metric."""
    figures, notes = [], []
    for ranking in rankings(together, request.home, report=request.report):
        task = folded(ranking.task)
        notes += [f"{task}: {folded(note)}" for note in ranking.notes]
        if ranking.separations:
            figures.append(_figure(ranking))
        else:
            notes.append(f"{task} has no two encoders that can be compared.")
    limited = sorted({folded(record.task.id) for record in together.records if record.limit is not None})
    if limited:
        notes.append(f"Limited runs have no rank, of {', '.join(limited)}.")
    if request.metric is not None:
        notes.append("Ranks are those of the primary metrics; bench compare --metric looks at others.")
    return Drawn(tuple(figures), tuple(notes))


def _figure(ranking: Ranking) -> Figure:
    import pandas as pd

    rows = [
        (each.first, each.second, each.difference, each.low, each.high, each.p, each.p_holm, each.separated,
         ranking.ranks.get(each.first), ranking.ranks.get(each.second))
        for each in ranking.separations
    ]  # fmt: skip
    names = ["better", "worse", "difference", "low", "high", "p", "p_holm", "separated", "rank_better", "rank_worse"]
    numbers = ["low", "high", "p", "p_holm", "rank_better", "rank_worse"]
    frame: Any = pd.DataFrame(rows, columns=names).astype(dict.fromkeys(numbers, "float64"))
    order = list(dict.fromkeys([*frame.better, *frame.worse]))
    order.sort(key=lambda name: (ranking.ranks.get(name, len(order) + 1), -_lead(frame, name), name))
    metric, task = ranking.metric.replace("_", " "), folded(ranking.task)
    apart = int(frame.separated.sum())
    groups: dict[int, list[str]] = {}
    for name in order:
        if name in ranking.ranks:
            groups.setdefault(ranking.ranks[name], []).append(folded(name))
    told = "; ".join(f"{rank}: {', '.join(members)}" for rank, members in sorted(groups.items()))
    description = (
        f"{apart} of {len(frame)} pairs of encoders on {task} differ in {metric} by more than items and seeds explain "
        f"(paired test, Holm over all pairs, p < .05). Rank groups: {told or 'none'}."
    )
    shown = frame.assign(verdict=["separated" if each else "not separated" for each in frame.separated])
    # A column has no room for a name: it has the number of the row with it.
    number = {name: f"{place}" for place, name in enumerate(order, start=1)}
    named = {name: f"{number[name]}. {folded(name)}" for name in order}
    shown = shown.assign(row=frame.better.map(named), column=frame.worse.map(number))
    y, height = rows_axis(list(named.values()), "row", step=18)
    x, _ = rows_axis(list(number.values()), "column")
    x["axis"] |= {"labelAngle": 0, "orient": "top"}
    hint = tooltip(better="better", worse="worse", difference="#difference", low="#low", high="#high",
                   p_Holm="#p_holm", verdict="verdict")  # fmt: skip
    largest = float(frame.difference.abs().max()) or 1.0
    colour = {
        "field": "difference", "type": "quantitative", "title": "difference, where separated",
        "scale": {"domain": [0, largest]},
        "legend": {"orient": "bottom", "gradientLength": 150, "tickCount": 3, "titleLimit": 280},
    }  # fmt: skip
    layers: list[dict[str, Any]] = [
        {
            "transform": [{"filter": "datum.verdict === 'separated'"}],
            "mark": {"type": "rect"},
            "encoding": {"color": colour, "tooltip": hint},
        },
        {
            "transform": [{"filter": "datum.verdict !== 'separated'"}],
            "mark": {"type": "point", "style": "back", "filled": False, "size": 25},
            "encoding": {"tooltip": hint},
        },
    ]
    if len(order) <= FEW:
        layers.append(
            {
                "transform": [{"filter": "datum.verdict === 'separated'"}],
                "mark": {"type": "text"},
                "encoding": {"text": {"field": "difference", "type": "quantitative", "format": "+.3f"},
                },
            }
        )  # fmt: skip
    values = data(shown, ["row", "column", "better", "worse", "difference", "low", "high", "p_holm", "verdict"])
    title, name = f"{task}: who is separated from whom", f"significance-{slug(ranking.task)}"
    content = {"height": height, "encoding": {"x": x, "y": y}, "layer": layers}
    return Figure("significance", name, title, description, frame, spec(description, content, values))


def _lead(frame: Any, name: str) -> float:
    """Return by how much an encoder is above all others together."""
    above, below = frame.difference[frame.better == name].sum(), frame.difference[frame.worse == name].sum()
    return float(above - below)
