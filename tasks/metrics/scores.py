"""Metrics: pure functions on arrays, equal to scikit-learn and mir_eval to 1e-12, ties included.

Conventions. Multilabel targets are 0/1 [n, L] and outputs are scores [n, L]; multiclass targets are label indices [n]
and outputs are scores [n, C], of which the largest is the prediction (the first of equals); regression targets and
outputs are values [n, T]. Every metric takes ``weights`` [R, n] (how often each item counts in each of R resamples),
which makes a jackknife one vectorised call; several metrics asked for together share what they have in common.

``map`` and ``roc_auc`` are macro averages over labels; a label that has no positive (for ``roc_auc`` also: no negative)
is left out, and :func:`evaluate` names it. ``weighted_accuracy`` is the mean of :func:`tasks.keys.weighted_score`,
which gives 0.5 to an estimate a fifth *above* the reference only; MIREX since 2017 counts both ways, and so does
``weighted_accuracy_symmetric``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from tasks.keys import FIFTH, score_table
from tasks.metrics.ranking import METRICS as RANKING
from tasks.metrics.ranking import ranking_resamples, ranking_values

MULTICLASS = ("accuracy", "weighted_accuracy", "weighted_accuracy_symmetric")
RESAMPLES_AT_ONCE = 1_000_000  # weights held at a time, as items x resamples: 8 MB of float64 stay near the cache


def bounds(metric: str) -> tuple[float, float]:
    """Return the least and the largest value that a metric can have."""
    return (-float("inf"), 1.0) if metric.startswith("r2_") else (0.0, 1.0)


def why_undefined(metric: str, targets: np.ndarray, labels: Sequence[str]) -> str:
    """Return why ``metric`` has no value on ``targets``, whatever the outputs are; nothing where it has one."""
    if len(targets) == 0:
        return "it has no items"
    if metric.startswith("r2_"):
        column = targets[:, list(labels).index(metric.removeprefix("r2_"))]
        return "all its targets are equal" if column.min() == column.max() else ""
    if metric in RANKING:
        positive, negative = (targets != 0).any(0), (targets == 0).any(0)
        if not (positive & negative if metric == "roc_auc" else positive).any():
            return f"no label has {'a positive' if metric == 'map' else 'both positives and negatives'} there"
    return ""


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
    return evaluate_all((metric,), targets, outputs, labels)[metric]


def evaluate_all(
    metrics: Sequence[str], targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str]
) -> dict[str, Evaluation]:
    """Return :func:`evaluate` of each of ``metrics``; the ranking ones share their sorting."""
    for metric in metrics:
        _check(metric, targets, outputs, labels)
    ranking = [metric for metric in metrics if metric in RANKING]
    ranked = ranking_values(ranking, targets, outputs) if ranking else {}
    return {metric: _evaluation(metric, ranked.get(metric), targets, outputs, labels) for metric in metrics}


def _evaluation(
    metric: str, ranked: np.ndarray | None, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str]
) -> Evaluation:
    if metric.startswith("r2_"):
        return Evaluation(float(_means(metric, targets, outputs, labels)))
    values = _means_by_label(metric, targets, outputs, labels) if ranked is None else ranked
    defined = np.isfinite(values)
    named = {label: float(value) for label, value in zip(labels, values, strict=True) if np.isfinite(value)}
    if ranked is None:
        return Evaluation(float(_means(metric, targets, outputs, labels)), named)
    value = float(values[defined].mean()) if defined.any() else float("nan")
    return Evaluation(value, named, tuple(label for label, ok in zip(labels, defined, strict=True) if not ok))


def scores(
    metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the metric as a scalar array, or as [R] with ``weights`` [R, n]; undefined resamples are NaN."""
    _check(metric, targets, outputs, labels, weights)
    if metric in RANKING:
        return _macro(per_label(metric, targets, outputs, labels, weights))
    return _means(metric, targets, outputs, labels, weights)


def per_label(
    metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the metric for each label as [L], or [R, L] with ``weights``; NaN where it is undefined.

    For ``accuracy`` and ``weighted_accuracy`` a label's value is the mean over the items whose reference it is.
    """
    if metric not in RANKING:
        return _means_by_label(metric, targets, outputs, labels, weights)
    if weights is None:
        return ranking_values((metric,), targets, outputs)[metric]
    return ranking_resamples((metric,), targets, outputs, weights)[metric]


@dataclass(frozen=True)
class Resampled:
    """One metric in each of R resamples: ``values`` [R], and ``labels`` [R, L] where it has labels; NaN if undefined.

    A label that is undefined in a resample (it drew none of its positives) is left out of that resample's average.
    """

    values: np.ndarray
    labels: np.ndarray | None


def resample_all(
    metrics: Sequence[str], targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray
) -> dict[str, Resampled]:
    """Return each of ``metrics`` in every resample of ``weights`` [R, n]; the ranking ones share sorting and sums.

    Raises:
        ValueError: See :func:`evaluate`; also for weights that do not belong to the items.
    """
    for metric in metrics:
        _check(metric, targets, outputs, labels, weights)
    ranking = [metric for metric in metrics if metric in RANKING]
    ranked = ranking_resamples(ranking, targets, outputs, weights) if ranking else {}
    found = {}
    for metric in metrics:
        if metric in ranked:
            found[metric] = Resampled(_macro(ranked[metric]), ranked[metric])
        else:
            by_label = None
            if not metric.startswith("r2_"):
                by_label = _means_by_label(metric, targets, outputs, labels, weights)
            found[metric] = Resampled(_means(metric, targets, outputs, labels, weights), by_label)
    return found


def _macro(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of what is defined."""
    counted = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(counted, values, 0).sum(-1) / counted.sum(-1))


def _means(
    metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray | None = None
) -> np.ndarray:
    """Return what needs no ranking, as a scalar array or [R]: the mean over items, or the variance explained."""
    if metric.startswith("r2_"):
        column = list(labels).index(metric.removeprefix("r2_"))
        y, p = targets[:, column], outputs[:, column]
        if weights is None:
            return r2(y, p)
        return np.concatenate([r2(y, p, block) for block in _blocks(weights)])
    items = item_scores(metric, targets, outputs, labels)
    if weights is None:
        return np.asarray(items.mean())
    with np.errstate(invalid="ignore"):
        return np.concatenate([block @ items / block.sum(1) for block in _blocks(weights)])


def _means_by_label(
    metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray | None = None
) -> np.ndarray:
    items = item_scores(metric, targets, outputs, labels)
    counted = np.ones((1, len(items))) if weights is None else weights
    membership = np.eye(len(labels))[targets]
    with np.errstate(invalid="ignore"):
        values = [(block * items) @ membership / (block @ membership) for block in _blocks(counted)]
    return values[0][0] if weights is None else np.concatenate(values)


def _blocks(weights: np.ndarray) -> list[np.ndarray]:
    step = max(1, RESAMPLES_AT_ONCE // weights.shape[1])
    return [weights[i : i + step] for i in range(0, max(len(weights), 1), step)]


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
    """Return float64 [C, C]: :func:`tasks.keys.score_table` of the labels, which is not to be written to."""
    table = score_table(labels)
    table.flags.writeable = False
    return table


def r2(targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the coefficient of determination of [n] values as a scalar array, or [R] with ``weights`` [R, n].

    Of a constant reference (a single item is one) nothing is explained and nothing left: the value is NaN, where
    scikit-learn gives 1 or 0.
    """
    y, p = targets.astype(np.float64), outputs.astype(np.float64)
    w = np.ones((1, len(y))) if weights is None else weights.astype(np.float64)
    centred = y - y.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        count = w.sum(1)
        around = w @ centred**2
        total = around - (w @ centred) ** 2 / count
        for row in np.flatnonzero(~(total > 1e-3 * around)):  # the difference has lost digits, or all are equal
            drawn = w[row] > 0
            total[row] = w[row] @ (y - w[row] @ y / count[row]) ** 2
            if not drawn.any() or y[drawn].min() == y[drawn].max():
                total[row] = np.nan
        values = 1 - w @ (y - p) ** 2 / total
    return values if weights is not None else np.asarray(values[0])


def _check(
    metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray | None = None
) -> None:
    multiclass = metric in MULTICLASS
    if not (multiclass or metric in RANKING or metric in [f"r2_{label}" for label in labels]):
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
