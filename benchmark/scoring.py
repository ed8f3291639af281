"""From a probe's outputs to scores: seeds, intervals, labels. Valid and test are scored by the same code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.errors import UserError
from probes.statistics import percentile_interval, resample_weights, sample_deviation
from results.record import Score
from tasks import metrics as task_metrics
from tasks.card import TaskCard


def objective_name(card: TaskCard) -> str:
    """Return what the search maximises on valid: the primary metric, or for regression the mean over all targets."""
    return (
        card.metrics[0] if card.kind != "regression" or len(card.metrics) == 1 else f"mean({', '.join(card.metrics)})"
    )


def objective(card: TaskCard, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str]) -> float:
    """Return the value of :func:`objective_name`; NaN where it is undefined."""
    metrics = card.metrics if card.kind == "regression" else card.metrics[:1]
    return float(np.mean([task_metrics.scores(metric, targets, outputs, labels) for metric in metrics]))


def score_split(
    card: TaskCard,
    targets: np.ndarray,
    outputs: Sequence[np.ndarray],
    labels: Sequence[str],
    groups: Sequence[str] | None,
    *,
    seed: int,
    split: str,
) -> dict[str, Score]:
    """Score the outputs of S probes (one a seed) on one split.

    The value is the mean over probes; its interval comes from resamples of items (of groups, where there are any), in
    each of which all probes are scored on the same items and averaged.

    Args:
        card: The task's card.
        targets: [n] or [n, L].
        outputs: S arrays [n, L].
        labels: L names.
        groups: n names, or ``None``.
        seed: Seed of the bootstrap.
        split: Its name, for messages.

    Raises:
        UserError: A metric is undefined on this split.
    """
    weights = resample_weights(len(targets), groups, seed=seed)
    scores = {}
    for metric in card.metrics:
        evaluations = [task_metrics.evaluate(metric, targets, output, labels) for output in outputs]
        values = [evaluation.value for evaluation in evaluations]
        if not np.isfinite(values).all():
            raise UserError(
                f"{metric} is undefined on the {split} split of {card.id!r} ({len(targets)} items): no label has both "
                "positives and negatives there. Give it more items (a larger --limit)"
            )
        replicates = np.mean(
            [task_metrics.scores(metric, targets, output, labels, weights) for output in outputs], axis=0
        )
        low, high = percentile_interval(replicates)
        scores[metric] = Score(
            value=float(np.mean(values)),
            low=low,
            high=high,
            std=sample_deviation(values),
            seeds=values,
            labels=_mean_labels([evaluation.labels for evaluation in evaluations]),
            left_out=list(evaluations[0].left_out),
        )
    return scores


def _mean_labels(found: Sequence[dict[str, float] | None]) -> dict[str, float] | None:
    first = found[0]
    if first is None:
        return None
    return {label: float(np.mean([labels[label] for labels in found if labels is not None])) for label in first}
