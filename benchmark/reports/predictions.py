"""What an exported probe says of files, as text for a person and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from results.markdown import folded
from tasks.kinds import KINDS

SHOWN = 20  # problems that are printed where a file holds them all

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.jobs.labelled import Told
    from benchmark.jobs.predict import Prediction
    from probes.export.files import ProbeCard


class Printed:
    """What is printed of predictions as they come: files as text, or as one JSON, or nothing where rows are written.

    Attributes:
        problems: How many files have no labels.
    """

    def __init__(self, card: ProbeCard, top_k: int | None, *, as_json: bool, rows: bool) -> None:
        """Print nothing yet; ``rows`` says whether a file takes the predictions."""
        self._card, self._top_k, self._as_json, self._rows = card, top_k, as_json, rows
        self._files = self._kept = self._usable = self.problems = 0
        self._before, self._behind = json_around(card)

    def of(self, told: Told) -> tuple[str, str]:
        """Return what is printed of one file, on stdout and on stderr."""
        found, text, line = told.prediction, "", ""
        if told.problem:
            self.problems += 1
        if found is None:
            self._kept += 1
        elif told.problem and not (self._rows and self.problems > SHOWN):
            line = problem_line(found)
        if found is not None and self._as_json:
            text = f"{',' if self._files else self._before}\n{json_item(self._card, found, self._top_k)}"
            self._files += 1
        elif found is not None and found.outputs is not None and not self._rows:
            text = ("\n" if self._usable else "") + format_prediction(self._card, found, self._top_k) + "\n"
            self._usable += 1
        return text, line

    def end(self, out: Path | None, rows: int) -> tuple[str, str]:
        """Return what is printed after the last of ``rows`` files, on stdout and on stderr."""
        text, line = "", ""
        if self._as_json:
            text = f"{self._behind}\n" if self._files else f"{self._before}]\n}}\n"
        if out is not None:
            line = f"{out}: {rows} rows, {self.problems} with a problem (the column 'problem' says which)"
            line = line if self.problems else f"{out}: {rows} rows"
        return text, line


def json_around(card: ProbeCard) -> tuple[str, str]:
    """Return what stands before and behind the files in the JSON of predictions."""
    around = {"task": card.task.id, "kind": card.kind, "encoder": card.encoder.id, "files": ["files"]}
    before, behind = json.dumps(around, indent=2, ensure_ascii=False).rsplit('    "files"', 1)
    return before.rstrip(), behind


def json_item(card: ProbeCard, prediction: Prediction, top_k: int | None) -> str:
    """Return one file of the JSON of predictions: all outputs by label, or the ``top_k`` most probable ones."""
    text = json.dumps(as_item(card, prediction, top_k), indent=2, ensure_ascii=False, allow_nan=False)
    return textwrap.indent(text, "    ")


def problem_line(prediction: Prediction) -> str:
    """Return the line that says why a file has no labels, and how much of it could be decoded."""
    recovered = f" ({prediction.seconds:.2f} s recovered)" if prediction.seconds else ""
    return f"bench: {folded(str(prediction.path))}: {prediction.problem}{recovered}"


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
    files = [as_item(card, prediction, top_k) for prediction in predictions]
    return {"task": card.task.id, "kind": card.kind, "encoder": card.encoder.id, "files": files}


def as_item(card: ProbeCard, prediction: Prediction, top_k: int | None) -> dict[str, object]:
    """Return one prediction as JSON can hold it."""
    data: dict[str, object] = {
        "file": str(prediction.path),
        "seconds": round(prediction.seconds, 3),
        "clipped": prediction.clipped,
    }
    if prediction.outputs is None:
        data["problem"] = prediction.problem
    else:
        data["outputs"] = dict(ranked(card, prediction.outputs, len(card.labels) if top_k is None else top_k))
    return data


def _plain(text: str) -> str:
    """Return ``text`` without what steers a terminal: labels and file names come from strangers."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
