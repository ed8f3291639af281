"""What an exported probe says of files, as text for a person and as JSON."""

from __future__ import annotations

import heapq
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

    def __init__(
        self,
        card: ProbeCard,
        top_k: int | None,
        *,
        as_json: bool,
        rows: bool,
        above: bool = False,
        uncertain: int | None = None,
    ) -> None:
        """Print nothing yet.

        Args:
            card: Of the probe.
            top_k: Labels of each file.
            as_json: Whether it is JSON.
            rows: Whether a file takes the predictions.
            above: Whether the labels above their thresholds are printed, not the most probable ones.
            uncertain: How many of the least certain files are listed at the end.
        """
        self._card, self._top_k, self._as_json, self._rows, self._above = card, top_k, as_json, rows, above
        self._uncertain, self._least = uncertain or 0, list[tuple[float, int, str]]()
        self._count = 0
        self._files = self._kept = self._usable = self.problems = 0
        self._before, self._behind = json_around(card)

    def of(self, told: Told) -> tuple[str, str]:
        """Return what is printed of one file, on stdout and on stderr."""
        found, text, line = told.prediction, "", ""
        self._count += 1
        if self._uncertain and told.uncertainty is not None:
            said = f"{told.uncertainty:.3f}  {folded(told.path)}  {folded(told.labels)}".rstrip()
            heapq.heappush(self._least, (told.uncertainty, -self._count, said))
            if len(self._least) > self._uncertain:
                heapq.heappop(self._least)
        if told.problem:
            self.problems += 1
        if found is None:
            self._kept += 1
        elif told.problem and not (self._rows and self.problems > SHOWN):
            line = problem_line(found)
        if found is not None and self._as_json:
            item = json_item(self._card, found, self._top_k, above=self._above)
            text = f"{',' if self._files else self._before}\n{item}"
            self._files += 1
        elif found is not None and found.outputs is not None and not self._rows:
            text = ("\n" if self._usable else "") + self._text(found) + "\n"
            self._usable += 1
        return text, line

    def _text(self, found: Prediction) -> str:
        if not self._above:
            return format_prediction(self._card, found, self._top_k)
        values = dict(
            zip(self._card.labels, map(float, found.outputs if found.outputs is not None else ()), strict=True)
        )
        lines = [
            f"  {values[label]:5.1%}  {_plain(label)}" for label in sorted(found.labels, key=lambda one: -values[one])
        ]
        return "\n".join([_first_line(found), *(lines or ["  no label is above its threshold"])])

    def end(self, out: Path | None, rows: int) -> tuple[str, str]:
        """Return what is printed after the last of ``rows`` files, on stdout and on stderr."""
        text, line = "", ""
        if self._as_json:
            text = f"{self._behind}\n" if self._files else f"{self._before}]\n}}\n"
        elif self._uncertain:
            least = sorted(self._least, key=lambda one: (-one[0], -one[1]))
            head = "To be looked at first (uncertainty from 0 to 1, file, labels):"
            text = "\n".join([*([""] if self._usable else []), head, *(f"  {said}" for _, _, said in least)]) + "\n"
        if out is not None:
            line = f"{out}: {rows} rows, {self.problems} with a problem (the column 'problem' says which)"
            line = line if self.problems else f"{out}: {rows} rows"
        return text, line


def json_around(card: ProbeCard) -> tuple[str, str]:
    """Return what stands before and behind the files in the JSON of predictions."""
    around = {"task": card.task.id, "kind": card.kind, "encoder": card.encoder.id, "files": ["files"]}
    before, behind = json.dumps(around, indent=2, ensure_ascii=False).rsplit('    "files"', 1)
    return before.rstrip(), behind


def json_item(card: ProbeCard, prediction: Prediction, top_k: int | None, *, above: bool = False) -> str:
    """Return one file of the JSON of predictions: all outputs by label, or the ``top_k`` most probable ones.

    With ``above`` it has the labels above their thresholds too; where there is an uncertainty, that.
    """
    item = as_item(card, prediction, top_k)
    if prediction.outputs is not None and above:
        item["labels"] = list(prediction.labels)
    if prediction.uncertainty is not None:
        item["uncertainty"] = round(prediction.uncertainty, 6)
    text = json.dumps(item, indent=2, ensure_ascii=False, allow_nan=False)
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
    lines = [_first_line(prediction)]
    labels = ranked(card, prediction.outputs, top_k)
    width = max((len(_plain(label)) for label, _ in labels), default=0)
    lines += [
        f"  {value:5.1%}  {_plain(label)}"
        if KINDS[card.kind].has_labels
        else f"  {_plain(label):<{width}}  {value:.3f}"
        for label, value in labels
    ]
    return "\n".join(lines)


def _first_line(prediction: Prediction) -> str:
    minutes, seconds = divmod(round(prediction.seconds), 60)
    return f"{_plain(str(prediction.path))} ({minutes}:{seconds:02d}{', clipped' if prediction.clipped else ''})"


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
