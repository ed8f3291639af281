"""``bench labels``: what a record says of each label, beside published values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmark.errors import UserError
from benchmark.jobs.result_checks import refuse_altered
from benchmark.reports.compare import refuse_unknown, task_ids
from benchmark.reports.published_labels import (
    LICENCE,
    MODELS,
    PublishedLabels,
    fetch_published,
    files_of,
    read_fetched,
    read_table,
)
from benchmark.system.home import examples_folder, home_folder
from benchmark.system.progress import Terminal
from benchmark.system.tables import table as format_table
from probes.statistics.intervals import Blocks, Jackknifed, blocks_of, clusters_of, score_interval
from results import store
from results.intervals import span
from results.markdown import escaped
from results.predictions import Predictions, read_split
from results.record import Record
from results.status import sentence, statuses
from results.together import Together, read_together
from tasks.kinds import KINDS
from tasks.metrics.scores import per_label
from tasks.metrics.table import bounds, find_metric

PRECISION = (
    "precision"  # of the items that were called so, how many are; what the paper's authors published for classes
)
ALL = "(all)"


@dataclass(frozen=True)
class LabelScore:
    """One label on the test split: mean over retrained probes, 95 % interval, and what was published for it.

    ``items`` are the test items that have the label; ``value`` is ``None`` where the score is undefined, and so are
    ``low`` and ``high`` where it is undefined for one of the probes, or without some one item or group.
    """

    label: str
    items: int
    value: float | None
    low: float | None
    high: float | None
    published: Mapping[str, float]


@dataclass(frozen=True)
class LabelTable:
    """One metric: the whole split first, then every label in the order of the record."""

    metric: str
    rows: tuple[LabelScore, ...]
    published: bool


def labels(
    named: str,
    encoder: str | None,
    *,
    results: Path | Together,
    home: Path | None = None,
    metric: str | None = None,
    published: Path | None = None,
    fetch: bool = False,
    as_json: bool = False,
) -> str:
    """Return the per-label scores of a record, beside the published ones where these are here or asked for."""
    record, folder = find_record(named, encoder, results)
    task, where = record.task.id, home_folder(home)
    if fetch and published is None:
        Terminal().say(LICENCE)
        fetch_published(task, where)
    refuse_altered(folder, record)
    known = read_table(published, task) if published is not None else read_fetched(task, where)
    tables = label_tables(record, read_split(folder, record), known, metric)
    if as_json:
        content = {"task": task, "encoder": record.encoder.id, "tables": [asdict(table) for table in tables]}
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    examples = examples_folder()
    example = examples is not None and folder.resolve() == examples.resolve()
    return render(record, tables, hint=not known and bool(files_of(task)), example=example)


def find_record(named: str, encoder: str | None, results: Path | Together) -> tuple[Record, Path]:
    """Return the record that a path, or a task and an encoder, name, and the results folder it lies in.

    Raises:
        UserError: No such task or encoder, more than one task, or no encoder beside a task.
        RecordError: The record is missing or cannot be read.
    """
    path = Path(named)
    if path.suffix == ".json":
        if encoder is not None:
            raise UserError(f"{named} is one record", f"leave {encoder} out, or name a task in its place")
        record = store.read(path)
        folder = path.absolute().parent
        folder = folder.parent if folder.name == "history" else folder
        return record, folder.parent.parent
    together = results if isinstance(results, Together) else read_together([results])
    records = together.records
    ids = task_ids([named], records)
    if len(ids) != 1:
        raise UserError(
            f"{named!r} names {len(ids)} tasks ({', '.join(ids[:5])})",
            "name one: bench labels looks at one",
        )
    of_task = [record for record in records if record.task.id == ids[0]]
    if not of_task:
        raise UserError(
            f"there is no record of {ids[0]} in {together.where}",
            f"Make one: bench run --encoder ENCODER --task {ids[0]}",
        )
    if encoder is None:
        raise UserError(
            f"{ids[0]} has records of {', '.join(dict.fromkeys(record.name for record in of_task))}",
            f"name the encoder too: bench labels {ids[0]} ENCODER",
        )
    refuse_unknown(encoder, of_task, together.where)
    of_encoder = [record for record in of_task if record.name == encoder]
    found = min(of_encoder, key=lambda record: (record.limit is not None, -(record.limit or 0)))
    return found, together.folder_of(found)


def label_tables(
    record: Record, predictions: Predictions, published: Mapping[str, PublishedLabels], metric: str | None = None
) -> list[LabelTable]:
    """Return a table for each metric of the record (or for ``metric`` alone), with the published scores.

    Args:
        record: The record.
        predictions: Its test split.
        published: By metric, what was published.
        metric: One of the task's metrics, or ``precision`` for a task of classes.

    Raises:
        UserError: The task has no such metric.
    """
    known = [*record.task.metrics, *([PRECISION] if record.task.has_classes else [])]
    if metric is not None and metric not in known:
        raise UserError(f"{record.task.id} has no metric {metric!r}", f"name one that it has: {', '.join(known)}")
    wanted = [metric] if metric else [name for name in known if name != PRECISION or PRECISION in published]
    try:
        blocks = blocks_of(len(predictions.track_ids), predictions.groups, seed=record.seeds.search)
    except ValueError as error:
        raise UserError(
            f"no interval can be given for {record.encoder.id} on {record.task.id}: {error}",
            "run it again on more items (a larger --limit, if there was one)",
        ) from error
    return [_table(record, predictions, name, blocks, published.get(name)) for name in wanted]


def _table(
    record: Record, predictions: Predictions, metric: str, blocks: Blocks, published: PublishedLabels | None
) -> LabelTable:
    rows = [_overall(record, metric, len(predictions.track_ids), published)]
    if metric != PRECISION and not find_metric(metric)[0].has_labels:
        return LabelTable(metric, tuple(rows), published is not None)
    each = np.stack([_by_label(metric, predictions, outputs, None) for outputs in predictions.outputs])
    weights = blocks.weights()
    without = np.stack([_by_label(metric, predictions, outputs, weights) for outputs in predictions.outputs])
    values = _mean(each)
    counts = KINDS[record.task.kind].membership(predictions.targets, len(predictions.labels)).sum(0).tolist()
    for i, label in enumerate(predictions.labels):
        scores, clusters = Jackknifed(each[:, i], without[:, :, i]), _clusters(predictions, metric, i)
        interval = score_interval(scores, blocks, (0.0, 1.0) if metric == PRECISION else bounds(metric), clusters)
        low, high = (None, None) if interval is None else (interval.low, interval.high)
        theirs = {model: own[label] for model, own in (published.labels if published else {}).items() if label in own}
        value = float(values[i]) if np.isfinite(values[i]) else None
        rows.append(LabelScore(label, counts[i], value, low, high, theirs))
    return LabelTable(metric, tuple(rows), published is not None)


def _overall(record: Record, metric: str, items: int, published: PublishedLabels | None) -> LabelScore:
    """Return the row of the whole split; where no overall value was published, the mean over the published labels."""
    theirs: dict[str, float] = {}
    if published is not None:
        theirs = {model: float(np.mean(list(own.values()))) for model, own in published.labels.items() if own}
        theirs |= published.overall
    score = record.scores.test.get("accuracy" if metric == PRECISION else metric)
    if score is None:
        return LabelScore(ALL, items, None, None, None, theirs)
    return LabelScore(ALL, items, score.value, score.low, score.high, theirs)


def _by_label(metric: str, predictions: Predictions, outputs: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return [L], or [R, L] with weights."""
    targets, labels = predictions.targets, predictions.labels
    if metric != PRECISION:
        return per_label(metric, targets, outputs, labels, weights)
    predicted = np.argmax(outputs, axis=1)
    called = np.eye(len(labels))[predicted]
    right = called * (predicted == targets)[:, None]
    counted = np.ones((1, len(targets))) if weights is None else weights
    with np.errstate(invalid="ignore"):
        found = (counted @ right) / (counted @ called)
    return found[0] if weights is None else found


def _clusters(predictions: Predictions, metric: str, label: int) -> int:
    """Return of how many groups, or items, a label's score is: those that have it, or (precision) were called so."""
    if metric == PRECISION:
        chosen = np.any([outputs.argmax(1) == label for outputs in predictions.outputs], axis=0)
    else:
        chosen = predictions.targets == label if predictions.targets.ndim == 1 else predictions.targets[:, label] != 0
    member = clusters_of(len(predictions.track_ids), predictions.groups)
    return max(1, len(np.unique(member[chosen])))


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over probes of [k, L], of those where it is defined; NaN where it is in none."""
    counted = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(counted, values, 0).sum(0) / counted.sum(0))


def render(record: Record, tables: Sequence[LabelTable], *, hint: bool, example: bool = False) -> str:
    """Return the tables, Markdown in a pipe.

    Args:
        record: The record that they are of.
        tables: One a metric.
        hint: Say how to get published scores that are not here.
        example: The record is an example, no run of the user's.
    """
    parts = [f"{record.name} on {record.task.id}, test" + (f", --limit {record.limit}" if record.limit else "")]
    for table in tables:
        models = [model for model in MODELS.values() if any(model in row.published for row in table.rows)]
        lines = [
            [
                escaped(row.label),
                str(row.items),
                _number(row.value),
                span(row.low, row.high),
                *(_number(row.published.get(model)) for model in models),
            ]
            for row in table.rows
        ]
        headers = ["label", "items", table.metric, "95 % interval", *models]
        parts.append(format_table(lines, headers, texts=("label",), spare=models, markdown=True))
        parts += _notes(record, table, models)
    if example:
        parts.append(f"The record of {record.name} is an example, no run of yours.")
    shown = {table.metric for table in tables}
    parts += [escaped(sentence(status)) for status in statuses(record) if status.metric in shown]
    if record.format_unchecked:
        parts.append(f"{record.format_unchecked[0].upper()}{record.format_unchecked[1:]}.")
    if hint:
        parts.append(
            f"The paper's per-label scores of six models are not here. {LICENCE} Fetch them: "
            f"bench labels {record.task.id} {record.name} --fetch"
        )
    return "\n\n".join(parts)


def _notes(record: Record, table: LabelTable, models: Sequence[str]) -> list[str]:
    notes = []
    if table.metric == PRECISION:
        notes.append("precision: of the test items that were called so, how many are. (all): the share named rightly.")
    elif record.task.has_classes:
        notes.append(f"{table.metric} of a label: the mean over the test items that are of it.")
    undefined = [row.label for row in table.rows if row.value is None and row.label != ALL]
    if undefined:
        notes.append(f"{len(undefined)} label(s) cannot be scored on this test split: {', '.join(undefined)}.")
    alone = [row.label for row in table.rows if row.value is not None and row.low is None and row.label != ALL]
    if alone:
        notes.append(
            f"No interval for {len(alone)} label(s), whose score hangs on a single item or group, or is undefined for "
            f"one of the probes: {', '.join(alone)}."
        )
    seeds = len(record.seeds.probes) > 1
    over = "and seeds of the probe" if seeds else "alone: of one probe, what other seeds give is not known"
    notes.append(f"95 % interval of a label: over test items of this kind (or groups of them) {over}.")
    if models:
        shown = {label for row in table.rows if row.published for label in (row.label,)} - {ALL}
        if table.metric != PRECISION and find_metric(table.metric)[0].is_macro:
            notes.append(f"(all) of the published models: the mean over their {len(shown)} labels of this task.")
        absent = [row.label for row in table.rows if not row.published and row.label != ALL]
        if shown and absent:
            notes.append(f"Not published for {len(absent)} label(s): {', '.join(absent)}.")
        if "audioset-sup" in models:
            notes.append("The files of audioset-sup are of another run than the paper's tables, up to 0.02 apart.")
        notes.append(LICENCE)
    return ["\n".join(f"- {note}" for note in notes)] if notes else []


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"
