"""From what a probe says of files to labels: decided, written as they come, continued where they were left."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.errors import UserError
from benchmark.jobs.audio_files import audio_files
from benchmark.jobs.label_files import open_labels
from benchmark.jobs.label_rows import BETWEEN, Columns, LabelledFile
from benchmark.jobs.predict import Prediction, Predictor, open_predictor
from benchmark.system.progress import Reporter, Silent
from results import html
from results.markdown import folded
from tasks.kinds import KINDS

if TYPE_CHECKING:
    from probes.export.card import ProbeCard, ReachedPart
    from probes.function import ProbeFunction


SHOWN = 10  # labels that are named in a message


@dataclass(frozen=True)
class Decision:
    """How outputs become labels.

    Attributes:
        card: Of the probe.
        made_by: What decides the labels of a file: the probe by its digest, and what was chosen.
        raw: Whether the probe's own outputs are given, not calibrated ones.
        thresholds: Of each label, ``None`` where it has none; no thresholds take the most probable label.
        nearest: From which uncertainty is measured where an item has several labels; NaN where there is none.
    """

    card: ProbeCard
    made_by: str
    raw: bool = False
    thresholds: tuple[float | None, ...] | None = None
    nearest: np.ndarray | None = None

    @property
    def columns(self) -> Columns:
        """The columns of a file of labels."""
        return Columns(self.card.labels, KINDS[self.card.kind].has_labels, self.made_by)

    def decide(self, prediction: Prediction) -> Prediction:
        """Return a prediction with its labels and its uncertainty, calibrated unless ``raw``."""
        from probes.export.decisions import calibrated, scores_for_thresholds

        card = self.card
        if prediction.outputs is None or not KINDS[card.kind].has_labels:
            return prediction
        p = calibrated(card.calibration, card.activation, prediction.outputs[None])
        scores = scores_for_thresholds(card.kind, p)[0]
        taken = np.arange(len(scores)) == p[0].argmax()
        if self.thresholds is not None:
            taken = scores >= np.array([np.inf if at is None else at for at in self.thresholds])
        return replace(
            prediction,
            outputs=prediction.outputs if self.raw else p[0].astype(np.float32),
            labels=tuple(label for label, is_taken in zip(card.labels, taken, strict=True) if is_taken),
            uncertainty=_margin(p[0]) if self.nearest is None else _nearness(p[0], self.nearest),
        )

    def explained(self, rule: str) -> str:
        """Return what thresholds of a rule gave on valid, and give on test, as means over the labels that have one."""
        found = None if self.card.thresholds is None else self.card.thresholds.rules.get(rule)
        if found is None:
            return ""
        without = [label for label, at in zip(self.card.labels, found.thresholds, strict=True) if at is None]
        said = (
            f"Thresholds {rule} of {len(self.card.labels) - len(without)} labels, chosen on valid: "
            f"{_means(found.valid)}; on test it gives {_means(found.test)}"
        )
        none = ", ".join(map(folded, without[:SHOWN])) + (f" and {len(without) - SHOWN} more" * (len(without) > SHOWN))
        return said + (f". No threshold on valid reaches it, so never given: {none}" if without else "")


def _means(parts: Sequence[ReachedPart | None]) -> str:
    """Return the means of precision, recall and F1 over labels that have them, in words."""
    words = []
    for name in ("precision", "recall", "f1"):
        values = [getattr(part, name) for part in parts if part is not None and getattr(part, name) is not None]
        words.append(f"{name.upper() if name == 'f1' else name} {np.mean(values):.2f}" if values else f"{name} -")
    return ", ".join(words)


def _margin(p: np.ndarray) -> float:
    """Return 1 less the distance of the two most probable classes."""
    first = np.sort(p)[::-1]
    return float(np.clip(1 - (first[0] - first[1]), 0, 1)) if len(p) > 1 else 0.0


def _nearness(p: np.ndarray, thresholds: np.ndarray) -> float:
    """Return 1 less the distance of the label that is nearest to its threshold, as a share of the way to 0 or 1."""
    way = np.where(p >= thresholds, 1 - thresholds, thresholds)
    distance = np.abs(p - thresholds) / np.maximum(way, 1e-12)
    return 0.0 if np.isnan(distance).all() else float(np.clip(1 - np.nanmin(distance), 0, 1))


def decision_of(
    card: ProbeCard, probe: ProbeFunction, *, threshold: str | None = None, raw: bool = False, uncertain: bool = False
) -> Decision:
    """Return how the outputs of a probe become labels.

    Args:
        card: Of the probe.
        probe: Its function.
        threshold: A rule whose thresholds the probe holds (``f1``, ``precision>=0.9``), or a number from 0 to 1.
        raw: Give the probe's own outputs. Thresholds are of calibrated ones all the same.
        uncertain: Whether files are to be ranked by uncertainty.

    Raises:
        UserError: The task has no labels, or the probe no such thresholds.
    """
    kind = KINDS[card.kind]
    if not kind.has_labels and (threshold is not None or uncertain):
        option = "--uncertain" if threshold is None else "--threshold"
        raise UserError(
            f"{option}: {card.task.id!r} is a regression, whose values have no probabilities",
            "leave it out",
        )
    rule = None if threshold is None else threshold.replace(" ", "")
    thresholds = None if rule is None else _thresholds(card, rule)
    nearest = None
    if kind.has_labels and kind.several:
        wanted = thresholds
        if wanted is None:
            wanted = _thresholds(card, "f1" if card.thresholds is not None and "f1" in card.thresholds.rules else "0.5")
        nearest = np.array([np.nan if at is None else at for at in wanted])
    choices = [probe_digest(card, probe)[:12], *([rule] if rule else []), *(["raw"] if raw else [])]
    return Decision(card, " ".join(choices), raw, thresholds, nearest)


def _thresholds(card: ProbeCard, rule: str) -> tuple[float | None, ...]:
    """Return the threshold of each label by a rule, or a number.

    Raises:
        UserError: The probe holds no such thresholds.
    """
    try:
        number = float(rule)
    except ValueError:
        number = None
    if number is not None:
        if not 0 <= number <= 1:
            raise UserError(f"--threshold {rule}: a probability is from 0 to 1", "Give such a number, or 'f1'")
        return (number,) * len(card.labels)
    if card.thresholds is None:
        raise UserError(
            f"--threshold {rule}: the probe holds no thresholds, for it was exported before there were any, or from "
            "folds",
            "Export it again with 'bench run --export', or give a number such as 0.5",
        )
    found = card.thresholds.rules.get(rule)
    if found is None:
        names = ", ".join(card.thresholds.rules)
        raise UserError(
            f"--threshold {rule}: the probe holds no such thresholds",
            f"give one of {names}, or a number from 0 to 1",
        )
    return found.thresholds


def probe_digest(card: ProbeCard, probe: ProbeFunction) -> str:
    """Return a sha256 of what decides a probe's labels: its encoder, its arrays, its labels and how it decides."""
    said = card.model_dump_json(include={"kind", "activation", "labels", "encoder", "calibration", "thresholds"})
    found = hashlib.sha256(said.encode("utf-8", "surrogatepass"))
    for name, array in sorted(probe.tensors().items()):
        found.update(f"{name} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class FilePrediction:
    """What an exported probe says of one file.

    Attributes:
        path: The file.
        seconds: Its length, or what could be decoded of it.
        outputs: Calibrated probabilities by label, or values by target; ``None`` where the file cannot be used.
        labels: The most probable label, or those above their thresholds; of a regression none.
        uncertainty: From 0 to 1; ``None`` of a regression, and where there is a problem.
        clipped: Whether its samples were beyond full scale.
        problem: Why it cannot be used.
    """

    path: Path
    seconds: float
    outputs: dict[str, float] | None
    labels: tuple[str, ...] = ()
    uncertainty: float | None = None
    clipped: bool = False
    problem: str = ""

    def _repr_html_(self) -> str:
        """Return the outputs as a table, for notebooks, the largest first."""
        if self.outputs is None:
            return html.table(("file", "problem"), [(self.path.name, self.problem)])
        largest = sorted(self.outputs.items(), key=lambda item: -item[1])
        rows = [(name, f"{value:.3f}", "yes" if name in self.labels else "") for name, value in largest[:SHOWN]]
        rest = [f"{len(largest) - SHOWN} more."] if len(largest) > SHOWN else []
        return html.table(("label", "output", "given"), rows, f"{self.path.name}, {self.seconds:.1f} s", rest)


def predict(
    probe: Path | str,
    files: Sequence[Path | str] | Path | str,
    *,
    threshold: str | float | None = None,
    raw: bool = False,
    encoder: str | Encoder | None = None,
    home: Path | str | None = None,
    device: str = "auto",
    batch_size: int = 32,
    workers: int | None = None,
) -> list[FilePrediction]:
    """Return what an exported probe says of audio files, in order.

    Args:
        probe: The folder that ``bench run --export`` wrote, or one above it that holds no other.
        files: Audio files, folders, manifests (CSV with a column ``path``), ``@FILE`` with a path a line; or one.
        threshold: ``f1``, ``precision>=0.9``, ..., or a number from 0 to 1: labels are those above their threshold,
            not the most probable one.
        raw: Give the probe's own outputs, not those calibrated on valid.
        encoder: What names the encoder, or the encoder; as the probe says by default.
        home: Data home, where fetched weights are.
        device: ``cpu``, ``cuda``, ..., or ``auto``.
        batch_size: Windows in a batch of the encoder.
        workers: Decoding processes; by default none for one file, else as many as there are files or cores.

    Raises:
        UserError: No probe, an encoder that is not the one it was trained on, no file, or thresholds that the probe
            does not have. What is wrong with a single file is in its record.
    """
    report = Silent()
    named = audio_files([files] if isinstance(files, str | Path) else files, report)
    if not named:
        raise UserError("no audio file was named", "name files, folders, or a CSV with a column 'path'")
    predictor = open_predictor(
        Path(probe), encoder=encoder, home=home, device=device, batch_size=batch_size, workers=workers, report=report
    )
    rule = None if threshold is None else str(threshold)
    decision = decision_of(predictor.card, predictor.probe, threshold=rule, raw=raw)
    return [_record(predictor.card, decision.decide(found)) for found in predictor.each(named)]


def _record(card: ProbeCard, found: Prediction) -> FilePrediction:
    outputs = None if found.outputs is None else dict(zip(card.labels, map(float, found.outputs), strict=True))
    return FilePrediction(
        found.path, found.seconds, outputs, found.labels, found.uncertainty, found.clipped, found.problem
    )


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

        def rows() -> Generator[LabelledFile, None, None]:
            for prediction in map(decision.decide, predictor.each(missing)):
                done.append(prediction)
                yield row_of(prediction)

        title = f"Predicting {decision.card.task.id}"
        with report.stage(title, total, "files") as advance:
            for count, (glance, was_there) in enumerate(opened.filled(rows() if missing else ()), start=1):
                advance(count)
                found = None if was_there else done.pop()
                yield Told(glance.key[0], glance.problem, glance.labels, glance.uncertainty, found)


def row_of(prediction: Prediction) -> LabelledFile:
    """Return what is written of a file."""
    values = None if prediction.outputs is None else tuple(map(float, prediction.outputs.astype(np.float32)))
    return LabelledFile(
        str(prediction.path), round(prediction.seconds, 3), prediction.problem, prediction.labels,
        prediction.uncertainty, values, prediction.size, prediction.mtime_ns,
    )  # fmt: skip
