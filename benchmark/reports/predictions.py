"""What an exported probe says of files, as text for a person and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.kinds import KINDS

if TYPE_CHECKING:
    from benchmark.jobs.predict import Prediction
    from probes.export.files import ProbeCard


def format_predictions(card: ProbeCard, predictions: Sequence[Prediction], top_k: int | None, *, as_json: bool) -> str:
    """Return what the probe says of each file that could be used, or as JSON of all.

    Args:
        card: Of the probe.
        predictions: One a file.
        top_k: Labels of each; the most probable few by default, in JSON all.
        as_json: Whether it is JSON.
    """
    if as_json:
        return json.dumps(as_data(card, predictions, top_k), indent=2, ensure_ascii=False, allow_nan=False)
    usable = [prediction for prediction in predictions if prediction.outputs is not None]
    return "\n\n".join(format_prediction(card, prediction, top_k) for prediction in usable)


def ranked(card: ProbeCard, outputs: np.ndarray, top_k: int | None) -> list[tuple[str, float]]:
    """Return labels with their probabilities, the most probable first; targets of a regression in their own order."""
    pairs = [(label, float(value)) for label, value in zip(card.labels, outputs, strict=True)]
    if not KINDS[card.kind].has_labels:
        return pairs
    return sorted(pairs, key=lambda pair: -pair[1])[: KINDS[card.kind].shown if top_k is None else top_k]


def format_prediction(card: ProbeCard, prediction: Prediction, top_k: int | None) -> str:
    """Return the lines that a person reads of one file."""
    assert prediction.outputs is not None
    minutes, seconds = divmod(round(prediction.seconds), 60)
    lines = [f"{_plain(str(prediction.path))} ({minutes}:{seconds:02d}{', clipped' if prediction.clipped else ''})"]
    labels = ranked(card, prediction.outputs, top_k)
    width = max((len(_plain(label)) for label, _ in labels), default=0)
    lines += [
        f"  {value:5.1%}  {_plain(label)}"
        if KINDS[card.kind].has_labels
        else f"  {_plain(label):<{width}}  {value:.3f}"
        for label, value in labels
    ]
    return "\n".join(lines)


def as_data(card: ProbeCard, predictions: Sequence[Prediction], top_k: int | None) -> dict[str, object]:
    """Return predictions as JSON can hold them: all outputs by label, or the ``top_k`` most probable ones."""
    files: list[dict[str, object]] = []
    for prediction in predictions:
        data: dict[str, object] = {
            "file": str(prediction.path),
            "seconds": round(prediction.seconds, 3),
            "clipped": prediction.clipped,
        }
        if prediction.outputs is None:
            data["problem"] = prediction.problem
        else:
            data["outputs"] = dict(ranked(card, prediction.outputs, len(card.labels) if top_k is None else top_k))
        files.append(data)
    return {"task": card.task.id, "kind": card.kind, "encoder": card.encoder.id, "files": files}


def _plain(text: str) -> str:
    """Return ``text`` without what steers a terminal: labels and file names come from strangers."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
