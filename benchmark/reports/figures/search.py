"""Searches: each trial's score on valid against its learning rate, L2 penalty and steps, and when it was ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.reports.figures.choice import record_slug, record_words
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.specs import POWERS, VERTICAL, Spec, data, number, spec, wide_number
from results.markdown import folded
from results.record import Record
from results.sections.selection import SearchSection
from results.store import slug
from results.together import Together

if TYPE_CHECKING:
    import pandas as pd

SELECTED = "selected"
SIGNS = {"complete": "circle", SELECTED: "diamond", "pruned": "triangle-down", "diverged": "cross"}
COLUMNS = ("trial", "ended", "score", "learning_rate", "l2", "steps", "steps_run", "best_step")
PANEL = 110  # pixels of height


def search(together: Together, _: Request) -> Drawn:
    """Draw the search of each record, with one for each fold of a task with folds."""
    figures, notes = [], []
    for record in together.records:
        folds = [(fold.name, fold.search) for fold in record.folds] or [("", record.search)]
        for fold, found in folds:
            words = f", fold {folded(fold)}" if fold else ""
            drawn = _figure(record, found, words, f".{slug(fold)}" if fold else "")
            figures += [] if drawn is None else [drawn]
            if drawn is None:
                notes.append(f"{record_words(record)}{words}: no trial has a score.")
    return Drawn(tuple(figures), tuple(notes))


def _figure(record: Record, found: SearchSection, fold: str, ending: str) -> Figure | None:
    import pandas as pd

    if all(trial.score is None for trial in found.trials):
        return None
    rows = []
    for place, trial in enumerate(found.trials):
        ended = SELECTED if place == found.selected else trial.state
        rows.append(
            (trial.number, ended, trial.score, trial.learning_rate, trial.l2, trial.steps, trial.steps_run,
             trial.best_step)
        )  # fmt: skip
    frame: Any = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"score": "float64"})
    best = found.trials[found.selected]
    counts = {state: sum(trial.state == state for trial in found.trials) for state in ("pruned", "diverged")}
    ended = "".join(f", {count} {state}" for state, count in counts.items() if count)
    lead = "" if found.runner_up is None else f", {found.runner_up.lead:.4f} above the next"
    description = (
        f"{len(found.trials)} trials of the search for a probe of {record_words(record)}{fold}{ended}. Selected: trial "
        f"{best.number}, learning rate {best.learning_rate:.2g}, L2 {best.l2:.2g}, {best.steps} steps"
        f"{'' if best.score is None else f', {found.objective} {best.score:.3f} on valid'}{lead}."
    )
    unscored = sum(trial.score is None for trial in found.trials)
    if unscored:
        description += f" {unscored} that diverged before they had a score are in the table alone."
    name = f"search-{record_slug(record)}{ending}"
    title = f"{record_words(record)}{fold}: search"
    return Figure("search", name, title, description, frame, _spec(frame, description))


def _spec(frame: pd.DataFrame, description: str) -> Spec:
    shown = [ended for ended in SIGNS if (frame.ended == ended).any()]
    legend = {"orient": "bottom", "columns": 2, "values": shown}
    colour = {
        "field": "ended", "type": "nominal", "title": None, "legend": legend, "scale": {"domain": list(SIGNS)},
    }  # fmt: skip
    sign = {**colour, "scale": {"domain": list(SIGNS), "range": list(SIGNS.values())}}
    scores = number("score", "score (valid)", tickCount=4)
    mark = {"type": "point", "tooltip": {"content": "data"}}  # short, where one board has hundreds of searches
    point: Spec = {"mark": mark, "encoding": {"shape": sign, "color": colour}}
    panels: list[Spec] = []
    for field, title in (("learning_rate", "learning rate"), ("l2", "L2 penalty")):
        x = wide_number(field, title, frame[field], labelExpr=POWERS)
        panels.append({"height": PANEL, **point, "encoding": {"x": x, "y": scores, **point["encoding"]}})
    steps = number("steps", "steps: a sign where asked, a stroke where ended", zero=True, format="~s")
    panels.append(
        {
            "height": PANEL,
            "encoding": {"y": scores},
            "layer": [
                {"mark": {"type": "rule", "style": "back"}, "encoding": {"x": steps, "x2": {"field": "steps_run"}}},
                {
                    "mark": {"type": "point", "style": "ink", "shape": VERTICAL, "size": 60, "strokeWidth": 1.5},
                    "encoding": {"x": {**steps, "field": "steps_run"}},
                },
                {**point, "encoding": {"x": steps, **point["encoding"]}},
            ],
        }
    )
    values = data(frame, COLUMNS[:-1])
    return spec(description, {"transform": [{"filter": "isValid(datum.score)"}], "vconcat": panels}, values)
