"""Scores of each label, beside published ones where these are on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.errors import UserError
from benchmark.reports.figures.choice import Column, columns, label_of, other_metrics, record_slug, record_words
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.outputs import Outputs
from benchmark.reports.figures.specs import Spec, data, number, rows_axis, spec, tooltip
from benchmark.reports.labels import ALL, label_tables
from benchmark.reports.published_labels import MODELS, PublishedLabels, files_of, read_fetched
from benchmark.system.home import home_folder
from results.markdown import folded
from results.record import Record, RecordError
from results.store import slug
from results.together import Together

MEASURED = "measured"
FEW = 10  # records whose intervals are computed: a tenth of a second each, and more with hundreds of labels


def labels(together: Together, request: Request) -> Drawn:
    """Draw the score of each label, for each record and metric that has such scores."""
    figures: list[Figure] = []
    notes = other_metrics(together.records, request.metric)
    home, outputs = home_folder(request.home), request.outputs or Outputs()
    published: dict[str, Mapping[str, PublishedLabels]] = {}
    intervals = len(together.records) <= FEW
    if not intervals:
        notes.append(
            f"Intervals of labels are drawn of at most {FEW} records at once: name encoders or tasks (-e, -t)."
        )
    for column in columns(together.records, request.metric):
        if not any(record.scores.test[column.metric].labels for record in column.records):
            notes.append(f"{column.words}: {column.metric} has no scores of single labels.")
            continue
        if column.task not in published:
            published[column.task], told = _published(column.task, home)
            notes += told
        for record in column.records:
            if not record.scores.test[column.metric].labels:
                notes.append(f"{record_words(record)} has no scores of single labels.")
                continue
            found = _intervals(record, column, together, outputs, notes) if intervals else {}
            figures.append(_figure(record, column, published[column.task].get(column.metric), found))
    return Drawn(tuple(figures), tuple(notes))


def _published(task: str, home: Any) -> tuple[Mapping[str, PublishedLabels], list[str]]:
    """Return by metric what was published of a task, and what to say of it."""
    if not files_of(task):
        return {}, []
    try:
        found = read_fetched(task, home)
    except (UserError, OSError) as error:
        return {}, [folded(str(error))]
    hint = f"Published scores of the labels of {task} are not here: bench labels {task} ENCODER --fetch brings them."
    return found, [] if found else [hint]


def _intervals(
    record: Record, column: Column, together: Together, outputs: Outputs, notes: list[str]
) -> dict[str, tuple[float | None, float | None, int]]:
    """Return the interval of each label, and how many test items have it; none where there are no predictions."""
    try:
        held = outputs.of(together.folder_of(record), record)
        (table,) = label_tables(record, held, {}, column.metric)
    except (RecordError, UserError) as error:
        notes.append(f"{record_words(record)}: no intervals of labels. {folded(str(error))}")
        return {}
    return {row.label: (row.low, row.high, row.items) for row in table.rows if row.label != ALL}


def _figure(
    record: Record,
    column: Column,
    published: PublishedLabels | None,
    intervals: Mapping[str, tuple[float | None, float | None, int]],
) -> Figure:
    import pandas as pd

    score = record.scores.test[column.metric]
    own = score.labels or {}
    rows: list[dict[str, Any]] = []
    for label, value in own.items():
        low, high, items = intervals.get(label, (None, None, None))
        rows.append({"label": label, "what": MEASURED, "score": value, "low": low, "high": high, "items": items})
    for model, theirs in (published.labels if published else {}).items():
        rows += [{"label": label, "what": model, "score": theirs[label]} for label in own if label in theirs]
    names = ["label", "what", "score", "low", "high", "items"]
    frame: Any = pd.DataFrame(rows, columns=names).astype(dict.fromkeys(["low", "high", "items"], "float64"))
    order = sorted(own, key=lambda label: (-own[label], label))
    metric, words = column.metric.replace("_", " "), record_words(record)
    description = f"{metric} on test of each of {len(own)} labels, {words}"
    description += ", with 95 % intervals" if intervals else ", without intervals"
    models = [model for model in MODELS.values() if (frame.what == model).any()]
    description += f", beside the published scores of {', '.join(models)}. " if models else ". "
    if order:
        description += (
            f"Highest {folded(order[0])}, {own[order[0]]:.3f}; lowest {folded(order[-1])}, {own[order[-1]]:.3f}."
        )
    if score.left_out:
        description += f" {len(score.left_out)} label(s) have no score on this test split."
    name = f"labels-{record_slug(record)}"
    name += "" if column.metric == record.task.metrics[0] else f".{slug(column.metric)}"
    content = _content(metric, order, models)
    values = data(frame, names)
    title = f"{label_of(record)} on {column.words}: {metric} by label"
    return Figure("labels", name, title, description, frame, spec(description, content, values))


def _content(metric: str, order: list[str], models: list[str]) -> Spec:
    step = 18 if len(order) <= 30 else 15
    y, height = rows_axis(order, "label", step=step)
    x = number("score", f"{metric} (test)")
    shown = [MEASURED, *models]
    what: Spec = {
        "field": "what", "type": "nominal", "title": None, "scale": {"domain": shown},
        "legend": {"orient": "bottom", "columns": 2} if models else None,
    }  # fmt: skip
    hint = tooltip(label="label", score="#score", low="#low", high="#high", items="#items", what="what")
    layers: list[Spec] = [
        {
            "transform": [{"filter": f"datum.what !== '{MEASURED}'"}],
            "mark": {"type": "point", "filled": False, "size": 25, "strokeWidth": 1.2},
            "encoding": {"shape": what, "color": what, "tooltip": hint},
        },
        {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "style": "interval"},
            "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}},
        },
        {
            "transform": [{"filter": f"datum.what === '{MEASURED}'"}],
            "mark": {"type": "point"},
            "encoding": {"shape": what, "color": what, "tooltip": hint},
        },
    ]
    return {"height": height, "encoding": {"x": x, "y": y}, "layer": layers if models else layers[1:]}
