"""From a probe's outputs to scores: seeds, intervals, labels. Valid and test are scored by the same code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmark.errors import UserError
from probes.statistics.intervals import Blocks, Jackknifed, blocks_of, sample_deviation, score_interval
from results.sections.scores import Score
from tasks.card import TaskCard
from tasks.items import Items
from tasks.kinds import KINDS
from tasks.metrics import scores as task_metrics
from tasks.metrics.table import bounds, why_undefined


def objective_name(card: TaskCard) -> str:
    """Return what the search maximises on valid: the primary metric, or for regression the mean of all metrics."""
    metrics = KINDS[card.kind].objective(card.metrics)
    return metrics[0] if len(metrics) == 1 else f"mean({', '.join(metrics)})"


def refuse_undefined(card: TaskCard, items: Items) -> None:
    """Refuse a task whose scores or intervals could not be computed, before hours are spent; of folds, each as test.

    Raises:
        UserError: There is one single class; on valid or test there is one item, all items are of one group, or a
            metric is undefined.
    """
    if items.folds:
        for fold in items.folds:
            refuse_undefined(card, items.of_fold(fold))
        return
    if not KINDS[card.kind].several and len(items.labels) < 2:
        raise UserError(
            f"all items of {card.id!r} are of one class: there is nothing to tell apart",
            "Add items of another class, or take in more with a larger --limit if there was one",
        )
    for split in ("valid", "test"):
        rows = items.rows(split)
        if len(rows) == 0:
            raise UserError(
                f"no item of the {split} split is left for {card.id!r}, so it has no score",
                "bring its audio ('bench data verify' names what is missing), or give a larger --limit if there was "
                "one",
            )
        if items.groups is not None and len({items.groups[row] for row in rows}) < 2:
            raise UserError(
                f"all {len(rows)} items of the {split} split of {card.id!r} are of one group: no interval can be "
                "drawn over groups",
                "Give it more (a larger --limit), or leave the group out of the card",
            )
        for metric in card.metrics:
            if why_undefined(metric, items.targets[rows], items.labels):
                raise _undefined(metric, card, split, items.targets[rows], items.labels)
        if len(rows) == 1:
            raise UserError(
                f"the {split} split of {card.id!r} has one item: how far its score would vary is not known, and no "
                "interval can be given",
                "Give it more items, or a larger --limit if there was one",
            )


def objective(card: TaskCard, targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str]) -> float:
    """Return the value of :func:`objective_name` on valid.

    Raises:
        UserError: It is undefined there, which no probe could change.
    """
    metrics = KINDS[card.kind].objective(card.metrics)
    values = {metric: float(task_metrics.scores(metric, targets, outputs, labels)) for metric in metrics}
    for metric, value in values.items():
        if not np.isfinite(value):
            raise _undefined(metric, card, "valid", targets, labels)
    return float(np.mean(list(values.values())))


@dataclass(frozen=True)
class LeftOut:
    """The scores of S probes, whole and without each block of the items, by metric.

    The blocks depend on the seed, the number of items and the groups alone: the scores of two encoders' probes (or of a
    probe and a floor) on the same items are pairs.
    """

    blocks: Blocks
    scores: Mapping[str, Jackknifed]


def score_split(
    card: TaskCard,
    targets: np.ndarray,
    outputs: Sequence[np.ndarray],
    labels: Sequence[str],
    groups: Sequence[str] | None,
    *,
    seed: int,
    split: str,
    left_out: LeftOut | None = None,
) -> dict[str, Score]:
    """Score the outputs of S probes (one a seed) on one split.

    The value is the mean over probes. Its interval is that of the expected score over items (groups, where there are
    any) and over seeds; see :mod:`probes.statistics.intervals`.

    Args:
        card: The task's card.
        targets: [n] or [n, L].
        outputs: S arrays [n, L].
        labels: L names.
        groups: n names, or ``None``.
        seed: Seed by which items are dealt into blocks, where these are many.
        split: Its name, for messages.
        left_out: What :func:`leave_out` gives for the same arguments, where the caller has it.

    Raises:
        UserError: A metric is undefined on this split, or a probe's outputs are not finite.
    """
    if not all(np.isfinite(output).all() for output in outputs):
        raise UserError(
            f"a probe's outputs on the {split} split of {card.id!r} are not finite: the embeddings of some track "
            "there are of an extreme scale",
            "Bound what the encoder gives ('bench encoders check' looks at its scale)",
        )
    evaluations = [task_metrics.evaluate_all(card.metrics, targets, output, labels) for output in outputs]
    for metric in card.metrics:
        if not all(np.isfinite(evaluation[metric].value) for evaluation in evaluations):
            raise _undefined(metric, card, split, targets, labels)
    if left_out is None:
        left_out = leave_out(card, targets, outputs, labels, groups, seed=seed)
    scores = {}
    for metric in card.metrics:
        found = [evaluation[metric] for evaluation in evaluations]
        values = [evaluation.value for evaluation in found]
        interval = score_interval(left_out.scores[metric], left_out.blocks, bounds(metric))
        scores[metric] = Score(
            value=float(np.mean(values)),
            std=sample_deviation(values),
            seeds=values,
            **(asdict(interval) if interval else {"low": None, "high": None}),
            clusters=left_out.blocks.clusters,
            clustered=groups is not None,
            labels=_mean_labels([evaluation.labels for evaluation in found]),
            left_out=list(found[0].left_out),
        )
    return scores


def leave_out(
    card: TaskCard,
    targets: np.ndarray,
    outputs: Sequence[np.ndarray],
    labels: Sequence[str],
    groups: Sequence[str] | None,
    *,
    seed: int,
    seeded: bool = True,
) -> LeftOut:
    """Return the scores of each probe on all items, and without each block of them.

    Args:
        card: The task's card.
        targets: [n] or [n, L].
        outputs: S arrays [n, L], finite.
        labels: L names.
        groups: n names, or ``None``.
        seed: Seed by which items are dealt into blocks, where these are many.
        seeded: Whether the outputs would differ with another seed; those of a constant or a ridge would not.
    """
    blocks = blocks_of(len(targets), groups, seed=seed)
    weights = blocks.weights()
    whole = [task_metrics.evaluate_all(card.metrics, targets, output, labels) for output in outputs]
    each = [task_metrics.resample_all(card.metrics, targets, output, labels, weights) for output in outputs]
    scores = {
        metric: Jackknifed(
            np.array([one[metric].value for one in whole]), np.stack([one[metric].values for one in each]), seeded
        )
        for metric in card.metrics
    }
    return LeftOut(blocks, scores)


def _undefined(metric: str, card: TaskCard, split: str, targets: np.ndarray, labels: Sequence[str]) -> UserError:
    return UserError(
        f"{metric} is undefined on the {split} split of {card.id!r} ({len(targets)} items): "
        f"{why_undefined(metric, targets, labels)}",
        "Give it more items, or a larger --limit if there was one",
    )


def _mean_labels(by_probe: Sequence[dict[str, float] | None]) -> dict[str, float] | None:
    first = by_probe[0]
    if first is None:
        return None
    return {label: float(np.mean([labels[label] for labels in by_probe if labels is not None])) for label in first}


#: Changes whenever scoring or selection would give other numbers for the same embeddings; training has its own.
SCORING_VERSION = 3
