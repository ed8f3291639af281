"""What an exported probe decides by: its calibration and thresholds, chosen on valid, and measured on test too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from probes.export.card import CalibrationPart, ErrorPart, ReachedPart, RulePart, ThresholdsPart
from probes.function import Activation
from probes.kinds import KINDS, Kind
from probes.statistics import calibration as statistics
from probes.statistics.thresholds import choose, reached, rules

#: Targets and a probe's outputs, by split: ``valid`` and ``test``.
Splits = Mapping[str, tuple[np.ndarray, np.ndarray]]


def calibration_of(kind: Kind, activation: Activation, labels: Sequence[str], splits: Splits) -> CalibrationPart | None:
    """Return the calibration of a probe, fitted on valid alone; a regression has none.

    Args:
        kind: Of the task.
        activation: Of the probe.
        labels: L names.
        splits: Targets, int64 [n] or float32 [n, L], and outputs [n, L].
    """
    if KINDS[kind].numeric:
        return None
    targets, outputs = splits["valid"]
    unchanged: dict[str, str] = {}
    temperature: float | None = None
    slopes: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    if KINDS[kind].one_class:
        logits = statistics.class_logits(outputs, one_by_one=activation == "sigmoid")
        temperature, why = statistics.fit_temperature(logits, targets)
        unchanged = {"": why} if why else {}
    else:
        logits = statistics.logits_of(outputs)
        fits = [statistics.fit_platt(logits[:, i], targets[:, i]) for i in range(len(labels))]
        slopes, offsets = tuple(fit[0] for fit in fits), tuple(fit[1] for fit in fits)
        unchanged = {label: fit[2] for label, fit in zip(labels, fits, strict=True) if fit[2]}
    part = CalibrationPart(
        method="temperature" if KINDS[kind].one_class else "platt",
        temperature=temperature, slopes=slopes, offsets=offsets, unchanged=unchanged, before={}, after={},
    )  # fmt: skip
    found = {split: (calibrated(part, activation, of_split), wanted) for split, (wanted, of_split) in splits.items()}
    before = {split: _errors(kind, of_split, wanted) for split, (wanted, of_split) in splits.items()}
    after = {split: _errors(kind, of_split, wanted) for split, (of_split, wanted) in found.items()}
    return part.model_copy(update={"before": before, "after": after})


def calibrated(part: CalibrationPart | None, activation: Activation, outputs: np.ndarray) -> np.ndarray:
    """Return calibrated probabilities, float64 [n, L], of a probe's outputs [n, L]; without a calibration these."""
    if part is None:
        return np.asarray(outputs, np.float64)
    if part.temperature is not None:
        if "" in part.unchanged:  # whatever the outputs are, they stay
            return np.asarray(outputs, np.float64)
        logits = statistics.class_logits(outputs, one_by_one=activation == "sigmoid")
        return statistics.softmax(logits / part.temperature)
    logits = statistics.logits_of(outputs)
    found = statistics.sigmoid(logits * np.array(part.slopes) + np.array(part.offsets))
    same = (np.array(part.slopes) == 1) & (np.array(part.offsets) == 0)
    return np.where(same, outputs, found)


def scores_for_thresholds(kind: Kind, probabilities: np.ndarray) -> np.ndarray:
    """Return what thresholds are compared with, [n, L]: of classes the most probable one; all others are below 0."""
    if not KINDS[kind].one_class:
        return probabilities
    first = np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]
    return np.where(first, probabilities, -1.0)


def thresholds_of(
    kind: Kind, activation: Activation, labels: Sequence[str], part: CalibrationPart | None, splits: Splits
) -> ThresholdsPart | None:
    """Return the thresholds of every rule, chosen on valid alone; a regression has none. See :func:`calibration_of`."""
    if KINDS[kind].numeric:
        return None
    scores, positive = {}, {}
    for split, (targets, outputs) in splits.items():
        scores[split] = scores_for_thresholds(kind, calibrated(part, activation, outputs))
        positive[split] = KINDS[kind].matrix(targets, len(labels)) > 0
    found: dict[str, RulePart] = {}
    for name, precision in rules().items():
        chosen = [choose(scores["valid"][:, i], positive["valid"][:, i], precision) for i in range(len(labels))]
        given = {
            split: tuple(
                None if at is None else ReachedPart(**asdict(reached(scores[split][:, i], positive[split][:, i], at)))
                for i, at in enumerate(chosen)
            )
            for split in ("valid", "test")
        }
        found[name] = RulePart(thresholds=tuple(chosen), valid=given["valid"], test=given["test"])
    counts = {split: tuple(int(count) for count in each.sum(axis=0)) for split, each in positive.items()}
    return ThresholdsPart(rules=found, positives=counts)


def _errors(kind: Kind, probabilities: np.ndarray, targets: np.ndarray) -> ErrorPart:
    p = np.asarray(probabilities, np.float64)
    if KINDS[kind].one_class:  # of classes that were learned one by one, probabilities need not sum to 1
        p = p / np.maximum(p.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return ErrorPart(ece=statistics.class_ece(p, targets), nll=statistics.class_nll(p, targets))
    return ErrorPart(ece=statistics.label_ece(p, targets), nll=statistics.label_nll(p, targets))
