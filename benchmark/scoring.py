"""From a probe's outputs to scores: seeds, intervals, labels. Valid and test are scored by the same code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmark.errors import UserError
from probes.statistics import percentile_interval, resample_weights, sample_deviation
from results.record import Score
from tasks import metrics as task_metrics
from tasks.card import TaskCard
from tasks.items import Items
from tasks.metrics import Resampled


def objective_name(card: TaskCard) -> str:
    """Return what the search maximises on valid: the primary metric, or for regression the mean of all metrics."""
    return (
        card.metrics[0] if card.kind != "regression" or len(card.metrics) == 1 else f"mean({', '.join(card.metrics)})"
    )


def refuse_undefined(card: TaskCard, items: Items) -> None:
    """Refuse a task whose scores or intervals could not be computed, before hours are spent.

    Raises:
        UserError: There is one single class; on valid or test, ``map`` finds no label with a positive, ``roc_auc`` none
            with both, or all items are of one group.
    """
    if card.kind == "multiclass" and len(items.labels) < 2:
        raise UserError(f"all items of {card.id!r} are of one class: there is nothing to tell apart")
    for split in ("valid", "test"):
        rows = items.rows(split)
        if items.groups is not None and len({items.groups[row] for row in rows}) < 2:
            raise UserError(
                f"all {len(rows)} items of the {split} split of {card.id!r} are of one group: no "
                "interval can be drawn over groups. Give it more (a larger --limit), or leave the group out of the card"
            )
        if card.kind == "multilabel":
            found = items.targets[rows]
            positive, negative = (found == 1).any(0), (found == 0).any(0)
            for metric in card.metrics:
                if not (positive & negative if metric == "roc_auc" else positive).any():
                    raise UserError(_undefined(metric, card, split, len(found)))


def objective(card: TaskCard, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str]) -> float:
    """Return the value of :func:`objective_name` on valid.

    Raises:
        UserError: It is undefined there, which no probe could change.
    """
    metrics = card.metrics if card.kind == "regression" else card.metrics[:1]
    value = float(np.mean([task_metrics.scores(metric, targets, outputs, labels) for metric in metrics]))
    if not np.isfinite(value):
        raise UserError(_undefined(metrics[0], card, "valid", len(targets)))
    return value


def score_split(
    card: TaskCard,
    targets: np.ndarray,
    outputs: Sequence[np.ndarray],
    labels: Sequence[str],
    groups: Sequence[str] | None,
    *,
    seed: int,
    split: str,
    resampled: Mapping[str, Resampled] | None = None,
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
        resampled: What :func:`bootstrap` gives for the same arguments, where the caller has it.

    Raises:
        UserError: A metric is undefined on this split, or a probe's outputs are not finite.
    """
    if not all(np.isfinite(output).all() for output in outputs):
        raise UserError(
            f"a probe's outputs on the {split} split of {card.id!r} are not finite: the embeddings of some track there "
            "are of an extreme scale"
        )
    evaluations = [task_metrics.evaluate_all(card.metrics, targets, output, labels) for output in outputs]
    for metric in card.metrics:
        if not all(np.isfinite(evaluation[metric].value) for evaluation in evaluations):
            raise UserError(_undefined(metric, card, split, len(targets)))
    if resampled is None:
        resampled = bootstrap(card, targets, outputs, labels, groups, seed=seed)
    scores = {}
    for metric in card.metrics:
        found = [evaluation[metric] for evaluation in evaluations]
        values = [evaluation.value for evaluation in found]
        low, high = percentile_interval(resampled[metric].values)
        scores[metric] = Score(
            value=float(np.mean(values)),
            low=low,
            high=high,
            std=sample_deviation(values),
            seeds=values,
            labels=_mean_labels([evaluation.labels for evaluation in found]),
            left_out=list(found[0].left_out),
        )
    return scores


def bootstrap(
    card: TaskCard,
    targets: np.ndarray,
    outputs: Sequence[np.ndarray],
    labels: Sequence[str],
    groups: Sequence[str] | None,
    *,
    seed: int,
) -> dict[str, Resampled]:
    """Return each metric of the card in each bootstrap resample, averaged over the S probes.

    The resamples are those of :func:`score_split`. They depend on the seed, the number of items and the groups alone:
    the replicates of two probes (or of a probe and a floor) on the same items are pairs, and their differences are the
    replicates of the difference.

    Args:
        card: The task's card.
        targets: [n] or [n, L].
        outputs: S arrays [n, L], finite.
        labels: L names.
        groups: n names, or ``None``.
        seed: Seed of the bootstrap.
    """
    weights = resample_weights(len(targets), groups, seed=seed)
    each = [task_metrics.resample_all(card.metrics, targets, output, labels, weights) for output in outputs]
    averaged = {}
    for metric in card.metrics:
        by_label = [one[metric].labels for one in each]
        averaged[metric] = Resampled(
            np.mean([one[metric].values for one in each], axis=0),
            None if by_label[0] is None else np.mean([array for array in by_label if array is not None], axis=0),
        )
    return averaged


def label_intervals(resampled: Resampled, labels: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the percentile interval of each label's score; a label defined in no resample is left out.

    Raises:
        ValueError: The metric has no labels.
    """
    if resampled.labels is None:
        raise ValueError("a metric without labels has no intervals of labels")
    columns = zip(labels, resampled.labels.T, strict=True)
    return {label: percentile_interval(column) for label, column in columns if np.isfinite(column).any()}


def _undefined(metric: str, card: TaskCard, split: str, items: int) -> str:
    needs = "a positive" if metric == "map" else "both positives and negatives"
    return (
        f"{metric} is undefined on the {split} split of {card.id!r} ({items} items): no label has {needs} there. "
        "Give it more items, or a larger --limit if there was one"
    )


def _mean_labels(found: Sequence[dict[str, float] | None]) -> dict[str, float] | None:
    first = found[0]
    if first is None:
        return None
    return {label: float(np.mean([labels[label] for labels in found if labels is not None])) for label in first}
