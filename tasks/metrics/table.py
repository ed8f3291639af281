"""The metrics: :data:`METRICS` says of each which kind of task it suits and which function computes it.

A new metric is one entry and one function; cards, scores, intervals, comparisons and tables of labels ask this table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.keys import key_weights, parse_key, symmetric_key_weights
from tasks.kinds import Kind
from tasks.metrics.functions import class_means, correct, item_mean, r2_in_blocks
from tasks.metrics.ranking import ranking_scores

#: Computes a metric of targets and outputs (see :mod:`tasks.metrics.scores`), labels and weights [R, n] or ``None``: a
#: scalar array (by label [L]), or with weights [R] (by label [R, L]). NaN is undefined.
Function = Callable[[np.ndarray, np.ndarray, Sequence[str], np.ndarray | None], np.ndarray]


@dataclass(frozen=True)
class Metric:
    """How a metric is computed, and what cards and reports must know of it.

    Attributes:
        kind: The kind of task that may have it.
        value: Its value. Without it, the value is the mean over the labels for which ``by_label`` is defined.
        by_label: Its value for each label, if it has such values.
        shared: In place of ``by_label``: computes the values by label of several metrics at once, given their names,
            targets, outputs and weights. Metrics with the same function are asked for in one call.
        of_target: Whether it is that of one target of a regression, named by ``METRIC_TARGET``; ``value`` then gets
            that target's column [n] of targets and outputs.
        bounds: The least and the largest value that it can have.
        undefined: Returns why it has no value on these targets, whatever the outputs are; an empty text where it has.
        label_problem: Returns why it cannot be computed for a label; an empty text where it can.
        usual: Whether a card that is made from data has it.
    """

    kind: Kind
    value: Function | None = None
    by_label: Function | None = None
    shared: Callable[..., dict[str, np.ndarray]] | None = None
    of_target: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)
    undefined: Callable[[np.ndarray], str] | None = None
    label_problem: Callable[[str], str] | None = None
    usual: bool = False

    @property
    def has_labels(self) -> bool:
        """Whether it has a value for each label."""
        return self.by_label is not None or self.shared is not None

    @property
    def is_macro(self) -> bool:
        """Whether its value is the mean over labels."""
        return self.value is None


def _of_items(items: Callable[[np.ndarray, np.ndarray, Sequence[str]], np.ndarray], **rest: Any) -> Metric:
    """Return a metric that is a mean over ``items`` [n], and for a class over the items of that class."""

    def value(
        targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray | None
    ) -> np.ndarray:
        return item_mean(items(targets, outputs, labels), weights)

    def by_label(
        targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str], weights: np.ndarray | None
    ) -> np.ndarray:
        return class_means(items(targets, outputs, labels), targets, len(labels), weights)

    return Metric("multiclass", value, by_label, **rest)


def _no_positive(targets: np.ndarray) -> str:
    return "" if (targets != 0).any() else "no label has a positive there"


def _no_contrast(targets: np.ndarray) -> str:
    defined = (targets != 0).any(0) & (targets == 0).any(0)
    return "" if defined.any() else "no label has both positives and negatives there"


def _constant(targets: np.ndarray) -> str:
    return "all its targets are equal" if targets.min() == targets.max() else ""


def _not_a_key(label: str) -> str:
    known = parse_key(label) is not None
    return "" if known else f"label {label!r} is not a key that mir_eval knows, such as 'Db major' or 'F# minor'"


#: By name; in the order in which a card that is made from data has them.
METRICS: dict[str, Metric] = {
    "weighted_accuracy": _of_items(key_weights, label_problem=_not_a_key, usual=True),
    "accuracy": _of_items(correct, usual=True),
    "weighted_accuracy_symmetric": _of_items(symmetric_key_weights, label_problem=_not_a_key),
    "map": Metric("multilabel", shared=ranking_scores, undefined=_no_positive, usual=True),
    "roc_auc": Metric("multilabel", shared=ranking_scores, undefined=_no_contrast, usual=True),
    "r2": Metric(
        "regression", r2_in_blocks, of_target=True, bounds=(-float("inf"), 1.0), undefined=_constant, usual=True
    ),
}


def find_metric(name: str) -> tuple[Metric, str | None]:
    """Return the metric of this name and, for a metric of one target such as ``r2_valence``, the target's name.

    Raises:
        ValueError: There is no such metric.
    """
    metric = METRICS.get(name)
    if metric is not None and not metric.of_target:
        return metric, None
    for prefix, metric in METRICS.items():
        if metric.of_target and name.startswith(f"{prefix}_"):
            return metric, name.removeprefix(f"{prefix}_")
    raise ValueError(f"unknown metric {name!r}")


def metrics_of(kind: Kind, targets: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the metrics that a task may have, of each of its ``targets`` where they are of one target."""
    names = []
    for name, metric in METRICS.items():
        if metric.kind == kind:
            names += [f"{name}_{target}" for target in targets] if metric.of_target else [name]
    return tuple(names)


def label_problems(metrics: Sequence[str], label: str) -> list[str]:
    """Return why some of ``metrics`` cannot be computed for a label, each reason once."""
    checks = [find_metric(name)[0].label_problem for name in metrics]
    return list(dict.fromkeys(text for check in checks if check is not None and (text := check(label))))


def usual_metrics(kind: Kind, targets: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics of a card that is made from data: the usual ones that can be computed for its labels."""
    usual = [name for name in metrics_of(kind, targets) if find_metric(name)[0].usual]
    return tuple(name for name in usual if not any(label_problems((name,), label) for label in labels))


def bounds(name: str) -> tuple[float, float]:
    """Return the least and the largest value that a metric can have."""
    return find_metric(name)[0].bounds


def why_undefined(name: str, targets: np.ndarray, labels: Sequence[str]) -> str:
    """Return why a metric has no value on ``targets``, whatever the outputs are; nothing where it has one."""
    metric, target = find_metric(name)
    if len(targets) == 0:
        return "it has no items"
    if metric.undefined is None:
        return ""
    return metric.undefined(targets if target is None else targets[:, list(labels).index(target)])
