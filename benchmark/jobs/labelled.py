"""From what a probe says of files to labels: decided, written as they come, continued where they were left."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.jobs.label_files import open_labels
from benchmark.jobs.label_rows import BETWEEN, Columns, Row
from benchmark.jobs.predict import Prediction, Predictor
from benchmark.system.progress import Reporter
from tasks.kinds import KINDS

if TYPE_CHECKING:
    from probes.export.files import ProbeCard
    from probes.function import ProbeFunction


@dataclass(frozen=True)
class Decision:
    """How outputs become labels.

    Attributes:
        card: Of the probe.
        made_by: What decides the labels of a file: the probe by its digest, and what was chosen.
    """

    card: ProbeCard
    made_by: str

    @property
    def columns(self) -> Columns:
        """The columns of a file of labels."""
        return Columns(self.card.labels, KINDS[self.card.kind].has_labels, self.made_by)

    def decide(self, prediction: Prediction) -> Prediction:
        """Return a prediction with its labels and its uncertainty."""
        if prediction.outputs is None or not KINDS[self.card.kind].has_labels:
            return prediction
        return replace(prediction, labels=(self.card.labels[int(prediction.outputs.argmax())],))


def decision_of(card: ProbeCard, probe: ProbeFunction) -> Decision:
    """Return how the outputs of a probe become labels."""
    return Decision(card, probe_digest(card, probe)[:12])


def probe_digest(card: ProbeCard, probe: ProbeFunction) -> str:
    """Return a sha256 of what decides a probe's labels: its encoder, its arrays and the names of its outputs."""
    said = card.model_dump_json(include={"kind", "activation", "labels", "encoder"})
    found = hashlib.sha256(said.encode("utf-8", "surrogatepass"))
    for name, array in sorted(probe.tensors().items()):
        found.update(f"{name} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class Told:
    """What became of one file.

    Attributes:
        path: The file, as text.
        problem: Why it has no labels.
        labels: Its labels in one text.
        uncertainty: From 0 to 1, where there is one.
        prediction: What the probe says of it; ``None`` where a row that was there is kept.
    """

    path: str
    problem: str
    labels: str
    uncertainty: float | None
    prediction: Prediction | None


def label(
    predictor: Predictor, decision: Decision, files: Sequence[Path], out: Path | None, report: Reporter
) -> Generator[Told, None, None]:
    """Yield what becomes of each file, in order; with ``out`` each is a row there as soon as it is known.

    Args:
        predictor: The probe and its encoder.
        decision: How outputs become labels.
        files: Audio files.
        out: A file of labels, new or as it was left: rows that are there are kept.
        report: Is told of progress, and where it continues.

    Raises:
        UserError: ``out`` cannot be used, or no decoding process can be started.
    """
    if out is None:
        for prediction in map(decision.decide, predictor.each(files)):
            labels = BETWEEN.join(prediction.labels)
            yield Told(str(prediction.path), prediction.problem, labels, prediction.uncertainty, prediction)
        return
    with open_labels(out, decision.columns, files) as opened:
        missing, total = opened.missing, len(files)
        there = total - len(missing)
        if there:
            report.say(f"{out}: continues at {there} of {total}" + ("" if missing else ": every row is there"))
        if opened.unnamed:
            report.say(f"{out}: {opened.unnamed} rows of files that are not named now, or have changed, are left out")
        done: list[Prediction] = []

        def rows() -> Generator[Row, None, None]:
            for prediction in map(decision.decide, predictor.each(missing)):
                done.append(prediction)
                yield row_of(prediction)

        title = f"Predicting {decision.card.task.id}"
        with report.stage(title, total, "files") as advance:
            for count, (glance, was_there) in enumerate(opened.filled(rows() if missing else ()), start=1):
                advance(count)
                found = None if was_there else done.pop()
                yield Told(glance.key[0], glance.problem, glance.labels, glance.uncertainty, found)


def row_of(prediction: Prediction) -> Row:
    """Return what is written of a file."""
    values = None if prediction.outputs is None else tuple(map(float, prediction.outputs.astype(np.float32)))
    return Row(
        str(prediction.path), round(prediction.seconds, 3), prediction.problem, prediction.labels,
        prediction.uncertainty, values, prediction.size, prediction.mtime_ns,
    )  # fmt: skip
