"""Scores: the metrics of :data:`tasks.metrics.table.METRICS` on targets and outputs, alone or several at once.

Conventions. Multilabel targets are 0/1 [n, L] and outputs are scores [n, L]; multiclass targets are label indices [n]
and outputs are scores [n, C], of which the largest is the prediction (the first of equals); regression targets and
outputs are values [n, T]. With ``weights`` [R, n] (how often each item counts in each of R resamples) a jackknife is
one vectorised call; several metrics asked for together share what they have in common.

``map`` and ``roc_auc`` are macro averages over labels; a label that has no positive (for ``roc_auc`` also: no negative)
is left out, and :func:`evaluate` names it. ``weighted_accuracy`` is the mean of :func:`tasks.keys.weighted_score`,
which gives 0.5 to an estimate a fifth *above* the reference only; MIREX since 2017 counts both ways, and so does
``weighted_accuracy_symmetric``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tasks.kinds import KINDS
from tasks.metrics.table import find_metric


@dataclass(frozen=True)
class Evaluation:
    """One metric on one split: its value, its per-label values where it has them, and the labels left out."""

    value: float
    labels: dict[str, float] | None = None
    left_out: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Resampled:
    """One metric in each of R resamples: ``values`` [R], and ``labels`` [R, L] where it has labels; NaN if undefined.

    A label that is undefined in a resample (it drew none of its positives) is left out of that resample's average.
    """

    values: np.ndarray
    labels: np.ndarray | None


def evaluate(metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str]) -> Evaluation:
    """Evaluate ``metric`` on all items.

    Args:
        metric: Its name, see :func:`tasks.metrics.table.find_metric`.
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
    """Return :func:`evaluate` of each of ``metrics``."""
    _check(metrics, targets, outputs, labels)
    by_label = _by_label(metrics, targets, outputs, labels)
    return {metric: _evaluation(metric, by_label.get(metric), targets, outputs, labels) for metric in metrics}


def _evaluation(
    metric: str, by_label: np.ndarray | None, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str]
) -> Evaluation:
    if by_label is None:
        return Evaluation(float(_value(metric, None, targets, outputs, labels)))
    defined = np.isfinite(by_label)
    named = {label: float(value) for label, value, ok in zip(labels, by_label, defined, strict=True) if ok}
    if not find_metric(metric)[0].is_macro:
        return Evaluation(float(_value(metric, by_label, targets, outputs, labels)), named)
    value = float(by_label[defined].mean()) if defined.any() else float("nan")
    return Evaluation(value, named, tuple(label for label, ok in zip(labels, defined, strict=True) if not ok))


def scores(
    metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the metric as a scalar array, or as [R] with ``weights`` [R, n]; undefined resamples are NaN."""
    return scores_of((metric,), targets, outputs, labels, weights)[metric]


def scores_of(
    metrics: Sequence[str],
    targets: np.ndarray,
    outputs: np.ndarray,
    labels: Sequence[str],
    weights: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return :func:`scores` of each of ``metrics``."""
    _check(metrics, targets, outputs, labels, weights)
    macro = [metric for metric in metrics if find_metric(metric)[0].is_macro]
    by_label = _by_label(macro, targets, outputs, labels, weights)
    return {metric: _value(metric, by_label.get(metric), targets, outputs, labels, weights) for metric in metrics}


def per_label(
    metric: str, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the metric for each label as [L], or [R, L] with ``weights``; NaN where it is undefined.

    For ``accuracy`` and ``weighted_accuracy`` a label's value is the mean over the items whose reference it is.
    """
    return _by_label((metric,), targets, outputs, labels, weights)[metric]


def resample_all(
    metrics: Sequence[str], targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray
) -> dict[str, Resampled]:
    """Return each of ``metrics`` in every resample of ``weights`` [R, n].

    Raises:
        ValueError: See :func:`evaluate`; also for weights that do not belong to the items.
    """
    _check(metrics, targets, outputs, labels, weights)
    by_label = _by_label(metrics, targets, outputs, labels, weights)
    return {
        metric: Resampled(_value(metric, by_label.get(metric), targets, outputs, labels, weights), by_label.get(metric))
        for metric in metrics
    }


def _by_label(
    metrics: Sequence[str],
    targets: np.ndarray,
    outputs: np.ndarray,
    labels: Sequence[str],
    weights: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the values by label, [L] or [R, L], of those of ``metrics`` that have them."""
    values: dict[str, np.ndarray] = {}
    for name in metrics:
        metric, _ = find_metric(name)
        if metric.by_label is not None:
            values[name] = metric.by_label(targets, outputs, labels, weights)
        elif metric.shared is not None and name not in values:
            same = [other for other in metrics if find_metric(other)[0].shared is metric.shared]
            values |= metric.shared(same, targets, outputs, weights)
    return values


def _value(
    name: str,
    by_label: np.ndarray | None,
    targets: np.ndarray,
    outputs: np.ndarray,
    labels: Sequence[str],
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return the value of a metric as a scalar array or [R], given its values by label if it has them."""
    metric, target = find_metric(name)
    if metric.value is None:
        assert by_label is not None
        return _macro(by_label)
    if target is not None:
        column = list(labels).index(target)
        targets, outputs, labels = targets[:, column], outputs[:, column], (target,)
    return metric.value(targets, outputs, labels, weights)


def _macro(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of what is defined."""
    counted = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(counted, values, 0).sum(-1) / counted.sum(-1))


def _check(
    metrics: Sequence[str],
    targets: np.ndarray,
    outputs: np.ndarray,
    labels: Sequence[str],
    weights: np.ndarray | None = None,
) -> None:
    for name in metrics:
        metric, target = find_metric(name)
        if target is not None and target not in labels:
            raise ValueError(f"unknown metric {name!r}")
        if len(targets) == 0:
            raise ValueError("a metric needs at least one item")
        if outputs.ndim != 2 or outputs.shape != (len(targets), len(labels)):
            raise ValueError(f"outputs are {outputs.shape}, not ({len(targets)}, {len(labels)}): items by labels")
        if targets.shape != (outputs.shape if KINDS[metric.kind].several else outputs.shape[:1]):
            raise ValueError(f"targets are {targets.shape}, outputs {outputs.shape}, which does not suit {name!r}")
    if weights is not None and (weights.ndim != 2 or weights.shape[1] != len(targets)):
        raise ValueError(f"weights are {weights.shape}, not (R, {len(targets)}): resamples by items")
    if not np.isfinite(outputs).all():
        raise ValueError("outputs are not finite")
