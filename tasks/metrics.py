"""Metrics: pure functions on arrays, equal to scikit-learn and mir_eval to 1e-12, ties included.

Conventions. Multilabel targets are 0/1 [n, L] and outputs are scores [n, L]; multiclass targets are label indices [n]
and outputs are scores [n, C], of which the largest is the prediction (the first of equals); regression targets and
outputs are values [n, T]. Every metric takes ``weights`` [R, n] (how often each item counts in each of R resamples),
which makes a bootstrap one vectorised call.

``map`` and ``roc_auc`` are macro averages over labels; a label that has no positive (for ``roc_auc`` also: no negative)
is left out, and :func:`evaluate` names it. ``weighted_accuracy`` is the mean of ``mir_eval.key.weighted_score``
(reference first), which gives 0.5 to an estimate a fifth *above* the reference only; MIREX since 2017 counts both ways,
and so does ``weighted_accuracy_symmetric``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

MULTICLASS = ("accuracy", "weighted_accuracy", "weighted_accuracy_symmetric")
FIFTH = 0.5  # what mir_eval gives to a key a fifth above the reference
RESAMPLES_AT_ONCE = 1_000_000  # weights held at a time, as items x resamples: 8 MB of float64 stay near the cache


@dataclass(frozen=True)
class Evaluation:
    """One metric on one split: its value, its per-label values where it has them, and the labels left out."""

    value: float
    labels: dict[str, float] | None = None
    left_out: tuple[str, ...] = field(default=())


def evaluate(metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str]) -> Evaluation:
    """Evaluate ``metric`` on all items.

    Args:
        metric: one of ``map``, ``roc_auc``, those of ``MULTICLASS``, and ``r2_<target>``.
        targets: [n, L], [n] or [n, T]; see the conventions of this module.
        outputs: [n, L], [n, C] or [n, T].
        labels: Names of the columns or classes, in order.

    Raises:
        ValueError: Shapes that do not fit, no items, outputs that are not finite, or an unknown metric.
    """
    _check(metric, targets, outputs, labels)
    if metric.startswith("r2_"):
        return Evaluation(float(scores(metric, targets, outputs, labels)))
    values = per_label(metric, targets, outputs, labels)
    defined = np.isfinite(values)
    named = {label: float(value) for label, value in zip(labels, values, strict=True) if np.isfinite(value)}
    if metric in ("map", "roc_auc"):
        value = float(values[defined].mean()) if defined.any() else float("nan")
        return Evaluation(value, named, tuple(label for label, ok in zip(labels, defined, strict=True) if not ok))
    return Evaluation(float(scores(metric, targets, outputs, labels)), named)


def scores(
    metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the metric as a scalar array, or as [R] with ``weights`` [R, n]; undefined resamples are NaN."""
    _check(metric, targets, outputs, labels, weights)
    if weights is not None and weights.size > RESAMPLES_AT_ONCE and len(weights) > 1:
        step = max(1, RESAMPLES_AT_ONCE // weights.shape[1])
        blocks = [weights[i : i + step] for i in range(0, len(weights), step)]
        return np.concatenate([scores(metric, targets, outputs, labels, block) for block in blocks])
    if metric in ("map", "roc_auc"):
        values = np.moveaxis(np.atleast_2d(per_label(metric, targets, outputs, labels, weights)), -1, 0)
        counted = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            mean = np.where(counted, values, 0).sum(0) / counted.sum(0)
        return mean if weights is not None else mean[0]
    if metric.startswith("r2_"):
        column = list(labels).index(metric.removeprefix("r2_"))
        return r2(targets[:, column], outputs[:, column], weights)
    items = item_scores(metric, targets, outputs, labels)
    if weights is None:
        return np.asarray(items.mean())
    with np.errstate(invalid="ignore"):
        return weights @ items / weights.sum(1)


def per_label(
    metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the metric for each label as [L], or [R, L] with ``weights``; NaN where it is undefined.

    For ``accuracy`` and ``weighted_accuracy`` a label's value is the mean over the items whose reference it is.
    """
    if metric in ("map", "roc_auc"):
        if weights is None:
            ranking = average_precision if metric == "map" else roc_auc
            return ranking(targets.T, outputs.T)
        ranking = average_precision if metric == "map" else roc_auc
        columns = [ranking(targets[:, j], outputs[:, j], weights) for j in range(len(labels))]
        return np.stack(columns, axis=-1)
    items = item_scores(metric, targets, outputs, labels)
    counted = np.ones((1, len(items))) if weights is None else weights
    membership = np.eye(len(labels))[targets]
    with np.errstate(invalid="ignore"):
        values = (counted * items) @ membership / (counted @ membership)
    return values[0] if weights is None else values


def item_scores(metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Return float64 [n]: what each item of a multiclass task adds to ``accuracy`` or ``weighted_accuracy``."""
    predicted = np.argmax(outputs, axis=1)
    if metric == "accuracy":
        return (predicted == targets).astype(np.float64)
    if metric in ("weighted_accuracy", "weighted_accuracy_symmetric"):
        table = key_scores(tuple(labels))
        if metric == "weighted_accuracy_symmetric":
            table = np.maximum(table, table.T * (table.T == FIFTH))
        return table[targets, predicted]
    raise ValueError(f"unknown metric {metric!r}")


@lru_cache(maxsize=8)
def key_scores(labels: tuple[str, ...]) -> np.ndarray:
    """Return float64 [C, C]: ``mir_eval.key.weighted_score`` of reference row and estimated column."""
    from mir_eval.key import weighted_score

    table = np.array([[weighted_score(reference, estimate) for estimate in labels] for reference in labels])
    table.flags.writeable = False
    return table


def average_precision(relevant: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the average precision along the last axis: the sum over thresholds of recall gained times precision.

    Args:
        relevant: 0/1 [..., n].
        outputs: Scores [..., n]; equal scores share one threshold.
        weights: Counts [R, n], only with one-dimensional ``relevant``.

    Returns:
        [...], or [R] with weights; NaN where nothing is relevant.
    """
    hits, counts, _, last = _ranked(relevant, outputs, weights)
    found = np.cumsum(hits, axis=-1)
    at_threshold, seen = _at(found, last), _at(np.cumsum(counts, axis=-1), last)
    precision = np.divide(at_threshold, seen, out=np.zeros_like(found), where=seen > 0)
    with np.errstate(invalid="ignore"):
        return (hits * precision).sum(-1) / found[..., -1]


def roc_auc(relevant: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the area under the ROC curve along the last axis: P(positive above negative) + P(tie) / 2.

    Arguments as for :func:`average_precision`; NaN where there is no positive or no negative.
    """
    hits, counts, first, last = _ranked(relevant, outputs, weights)
    misses = counts - hits
    passed = np.cumsum(misses, axis=-1)
    above = _at(passed - misses, first)
    tied = _at(passed, last)
    total = passed[..., -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return (hits * (total[..., None] - (above + tied) / 2)).sum(-1) / (hits.sum(-1) * total)


def _ranked(
    relevant: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Sort by falling score; return weighted hits, weights, and each place's first and last place of its tie.

    The last two are ``None`` where no two scores are equal: every place is its own tie.
    """
    order = np.argsort(-outputs, axis=-1, kind="stable")
    ranked = np.take_along_axis(outputs, order, -1)
    hits = np.take_along_axis(relevant, order, -1).astype(np.float64)
    if weights is None:
        counts = np.ones_like(hits)
    else:
        counts = weights[:, order].astype(np.float64)
        hits = counts * hits
    edge = ranked[..., 1:] != ranked[..., :-1]
    if edge.all():
        return hits, counts, None, None
    n = outputs.shape[-1]
    places, yes = np.arange(n), np.ones((*ranked.shape[:-1], 1), bool)
    first = np.maximum.accumulate(np.where(np.concatenate([yes, edge], -1), places, 0), axis=-1)
    ends = np.where(np.concatenate([edge, yes], -1), places, n)
    last = np.flip(np.minimum.accumulate(np.flip(ends, -1), axis=-1), -1)
    return hits, counts, first, last


def _at(values: np.ndarray, places: np.ndarray | None) -> np.ndarray:
    """Return ``values`` [..., n] read at ``places`` ([n] for every row, or of the same shape; ``None`` as they are)."""
    if places is None:
        return values
    return values[..., places] if places.ndim == 1 else np.take_along_axis(values, places, -1)


def r2(targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the coefficient of determination of [n] values as a scalar array, or [R] with ``weights`` [R, n].

    As in scikit-learn, a constant reference gives 1 for a perfect prediction and 0 otherwise.
    """
    y, p = targets.astype(np.float64), outputs.astype(np.float64)
    w = np.ones((1, len(y))) if weights is None else weights.astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean = (w @ y / w.sum(1))[:, None]
    residual = (w * (y - p) ** 2).sum(1)
    total = (w * (y - mean) ** 2).sum(1)
    safe = np.where(total == 0, 1, total)
    values = np.where(total == 0, np.where(residual == 0, 1.0, 0.0), 1 - residual / safe)
    return values if weights is not None else np.asarray(values[0])


def _check(
    metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray | None = None
) -> None:
    multiclass = metric in MULTICLASS
    if not (multiclass or metric in ("map", "roc_auc") or metric in [f"r2_{label}" for label in labels]):
        raise ValueError(f"unknown metric {metric!r}")
    if len(targets) == 0:
        raise ValueError("a metric needs at least one item")
    if outputs.ndim != 2 or outputs.shape != (len(targets), len(labels)):
        raise ValueError(f"outputs are {outputs.shape}, not ({len(targets)}, {len(labels)}): items by labels")
    if targets.shape != (outputs.shape[:1] if multiclass else outputs.shape):
        raise ValueError(f"targets are {targets.shape}, outputs {outputs.shape}, which does not suit {metric!r}")
    if weights is not None and (weights.ndim != 2 or weights.shape[1] != len(targets)):
        raise ValueError(f"weights are {weights.shape}, not (R, {len(targets)}): resamples by items")
    if not np.isfinite(outputs).all():
        raise ValueError("outputs are not finite")
