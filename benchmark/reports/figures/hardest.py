"""The tracks that a probe gets most wrong: to be listened to, and their labels to be doubted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmark.reports.figures.choice import record_slug, record_words
from benchmark.reports.figures.figure import Drawn, Figure, Request
from benchmark.reports.figures.outputs import with_outputs
from benchmark.reports.figures.specs import data, number, rows_axis, spec, tooltip
from benchmark.system.home import home_folder
from results.markdown import folded
from results.predictions import Predictions
from results.record import Record
from results.together import Together
from tasks.errors import TaskError
from tasks.kinds import KINDS

SHOWN = 5  # labels of a track that are named
LEAST = 2.0**-24  # the smallest probability that float32 tells from 0 and 1
#: By kind of task: what the tracks are ordered by.
MEASURES = {
    "multiclass": ("probability of the target", "the probability that its own class gets"),
    "multilabel": ("loss", "the mean negative log-likelihood of its labels"),
    "regression": ("error", "the distance of output and target, in deviations of the targets"),
}


def hardest(together: Together, request: Request) -> Drawn:
    """List the tracks of each record that its probes get most wrong, the worst first."""
    figures: list[Figure] = []
    notes: list[str] = []
    files: dict[str, dict[str, Path]] = {}
    for record, held in with_outputs(together, request, notes):
        if record.task.id not in files:
            files[record.task.id] = files_of(record, home_folder(request.home))
        figure = _figure(record, held, files[record.task.id], request.items)
        figures += [] if figure is None else [figure]
        if figure is None:
            notes.append(f"{record_words(record)}: every test item is named rightly.")
    away = sorted(folded(task) for task, found in files.items() if not found)
    if away:
        notes.append(f"No paths of audio: the data of {', '.join(away)} is not on this machine.")
    return Drawn(tuple(figures), tuple(notes))


def files_of(record: Record, home: Path) -> dict[str, Path]:
    """Return the audio files of a task's items that are on this machine, by track id; nothing is made or fetched."""
    from tasks import registry

    named = record.provenance.task if record.provenance is not None else record.task.id
    try:
        task = next((each for each in registry.find(named, home) if each.card.id == record.task.id), None)
        if task is None:
            return {}
        rendered = task.card.collection is not None and not task.has_reader
        if rendered and not any((home / "collections").glob(f"{task.collection}-*/manifest.csv")):
            return {}
        items = task.items(home, audio=False, rendered=False)
    except (TaskError, OSError):
        return {}
    return {track: path for track, path in zip(items.track_ids, items.audio, strict=True) if path.is_file()}


def losses(kind: str, held: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 [n], higher the more wrong, and which items count as wrong at all; both over the mean output."""
    outputs = np.mean([each.astype(np.float64) for each in held.outputs], axis=0)
    every = np.ones(len(held.track_ids), bool)
    if kind == "multiclass":
        return 1 - outputs[np.arange(len(outputs)), held.targets], outputs.argmax(axis=1) != held.targets
    if kind == "multilabel":
        p = np.where(held.targets > 0, outputs, 1 - outputs)
        return -np.log(np.clip(p, LEAST, 1)).mean(axis=1), every
    spread = held.targets.astype(np.float64).std(axis=0)
    error = (outputs - held.targets) / np.where(spread > 0, spread, 1)
    return np.sqrt((error**2).mean(axis=1)), every


def _figure(record: Record, held: Predictions, files: dict[str, Path], most: int) -> Figure | None:
    import pandas as pd

    kind = record.task.kind
    loss, wrong = losses(kind, held)
    order = [i for i in np.argsort(-loss, kind="stable").tolist() if wrong[i]]
    if not order:
        return None
    outputs = np.mean([each.astype(np.float64) for each in held.outputs], axis=0)
    rows = []
    for rank, i in enumerate(order[:most], start=1):
        track = held.track_ids[i]
        value = 1 - loss[i] if kind == "multiclass" else loss[i]
        path = str(files[track]) if track in files else None
        rows.append((rank, track, _target(kind, held, i), _output(kind, held, outputs[i]), float(value), path))
    column, meaning = MEASURES[kind]
    frame: Any = pd.DataFrame(rows, columns=["rank", "track", "target", "output", column, "path"])
    words = record_words(record)
    description = (
        f"The {len(frame)} test tracks that {words} gets most wrong, of {len(held.track_ids):,}"
        f"{f' of which {int(wrong.sum()):,} are named wrongly' if kind == 'multiclass' else ''}, by {meaning} in the "
        f"mean of {len(held.outputs)} probe(s). The first: {folded(held.track_ids[order[0]])}, target "
        f"{folded(str(frame.target[0]))}, output {folded(str(frame.output[0]))}."
    )
    names = [f"{rank}. {folded(track)}" for rank, track in zip(frame["rank"], frame.track, strict=True)]
    y, height = rows_axis(names, "name")
    x = number("value", column, zero=True)
    hint = tooltip(track="name", target="target", output="output", **{column.replace(" ", "_"): "#value"})
    layers = [
        {"mark": {"type": "bar", "height": 3, "style": "back"}, "encoding": {"x2": {"datum": 0}}},
        {"mark": {"type": "point", "style": "measured", "size": 40}, "encoding": {"tooltip": hint}},
    ]
    values = data(frame, ["target", "output"], name=names, value=frame[column].tolist())
    name, content = f"hardest-{record_slug(record)}", {"height": height, "encoding": {"x": x, "y": y}, "layer": layers}
    return Figure("hardest", name, f"{words}: hardest tracks", description, frame, spec(description, content, values))


def _target(kind: str, held: Predictions, item: int) -> str:
    if kind == "regression":
        return _numbers(held.labels, held.targets[item])
    named = [held.labels[i] for i in KINDS[kind].labels_of(held.targets[item])]  # type: ignore[index]
    return _listed(named) or "(none)"


def _output(kind: str, held: Predictions, outputs: np.ndarray) -> str:
    if kind == "regression":
        return _numbers(held.labels, outputs)
    order = np.argsort(-outputs, kind="stable")
    shown = order[:1] if kind == "multiclass" else order[:SHOWN]
    return ", ".join(f"{held.labels[i]} {outputs[i]:.2f}" for i in shown)


def _numbers(names: tuple[str, ...], values: np.ndarray) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in zip(names, values.tolist(), strict=True))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
