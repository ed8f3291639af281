"""Comparison of two encoders on a task: interval and p value over items and probe seeds, and a permutation test.

The main question is whether one encoder is to be expected to score higher than the other, on items of this kind (or
groups of them) and with any seeds of the probe: see :mod:`probes.statistics.intervals`. Beside it stands the narrower
one, whether these very probes differ: a paired permutation test. Its null hypothesis is that what a cluster adds to the
score of the first and to that of the second are exchangeable; so it exchanges them with probability 1/2, cluster by
cluster, and looks how often the scores then differ by as much as they do (two-sided).

A metric need not be a sum over items: what a cluster adds is what leaving it out takes away. For a mean over items that
is exchanging the outputs themselves. For ranking metrics it is better than that, which makes a mixture of two models'
outputs and needs their ranks in place of them; docs/protocol.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probes.statistics.intervals import Jackknifed, Question, blocks_of, compare, contributions

PERMUTATIONS = 2000
TIES = 1e-9  # differences nearer than this are equal: sums in another order end in other digits

Metrics = Callable[[np.ndarray, np.ndarray, "np.ndarray | None"], Mapping[str, np.ndarray]]
"""From targets, outputs and weights [R, n] (or ``None``) to the value of each metric, [R] (or a scalar array)."""


@dataclass(frozen=True)
class Difference:
    """What the first encoder has over the second on one metric.

    Attributes:
        first: Mean over the first's probes.
        second: Mean over the second's.
        question: What ``low``, ``high`` and ``p`` are over: ``items and seeds``, or ``items`` where an encoder has one
            probe only.
        low: Lower end of the 95 % interval of the expected difference; ``None``, as the other ends and p values are,
            where the metric is undefined without some one item or group.
        high: Its upper end.
        p: Two-sided p value of the same t statistic: at most .05 exactly where 0 is outside the interval.
        items_low: Lower end of the narrower interval, of these very probes over items alone.
        items_high: Its upper end.
        items_p: Two-sided p value of the permutation test of these very probes.
        permutations: How many it looked at.
        exact: Whether these were all there are.
        clusters: Number of groups, or of items where there are none.
    """

    first: float
    second: float
    question: Question
    low: float | None
    high: float | None
    p: float | None
    items_low: float | None
    items_high: float | None
    items_p: float | None
    permutations: int
    exact: bool
    clusters: int

    @property
    def value(self) -> float:
        """First less second."""
        return self.first - self.second


def differences(
    metrics: Metrics,
    targets: np.ndarray,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    groups: Sequence[str] | None,
    *,
    bounds: Mapping[str, tuple[float, float]],
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> dict[str, Difference]:
    """Compare the probes of two encoders on the same items; their numbers of probes may differ.

    Args:
        metrics: The metrics, vectorised over weights.
        targets: [n, ...] in the metrics' convention.
        first: Outputs [n, L] of each probe of the first encoder.
        second: Outputs [n, L] of each probe of the second.
        groups: The group of each item, or ``None``.
        bounds: The range of each metric.
        permutations: How many to draw; where there are no more than that, all are looked at, once each.
        seed: Seed of permutations, and of the blocks where clusters are many.

    Raises:
        ValueError: No probes, fewer than two clusters, outputs or groups that do not fit the targets, or a metric that
            is undefined on these items.
    """
    n = len(targets)
    if not first or not second:
        raise ValueError(f"{len(first)} and {len(second)} probes cannot be compared")
    if any(len(outputs) != n for outputs in (*first, *second)):
        raise ValueError(f"outputs do not fit {n} targets")
    if permutations < 1:
        raise ValueError("a permutation test needs at least one permutation")
    blocks = blocks_of(n, groups, seed=seed)
    weights = blocks.weights()
    here, there = (
        [(metrics(targets, outputs, None), metrics(targets, outputs, weights)) for outputs in probes]
        for probes in (first, second)
    )
    patterns, exact = swap_patterns(len(blocks.sizes), permutations, seed=seed)
    signs = 1.0 - 2.0 * patterns
    differences = {}
    for metric, limits in bounds.items():
        a, b = (
            Jackknifed(
                np.array([float(values[metric]) for values, _ in side]),
                np.stack([resamples[metric] for _, resamples in side]),
            )
            for side in (here, there)
        )
        means = float(np.mean(a.values)), float(np.mean(b.values))
        if not np.isfinite(means[0] - means[1]):
            raise ValueError(f"{metric} is undefined on these {n} items")
        contrast = compare(a, b, blocks, limits)
        if contrast is None:
            none = (None,) * 6
            differences[metric] = Difference(*means, "items", *none, len(patterns), exact, blocks.clusters)
            continue
        permuted = signs @ (contrast.value + contributions(a) - contributions(b)) / len(blocks.sizes)
        interval = contrast.interval
        differences[metric] = Difference(
            *means, interval.question, interval.low, interval.high, contrast.p,
            interval.items_low, interval.items_high, p_value(contrast.value, permuted, exact=exact),
            len(patterns), exact, blocks.clusters,
        )  # fmt: skip
    return differences


def swap_patterns(clusters: int, permutations: int, *, seed: int) -> tuple[np.ndarray, bool]:
    """Return uint8 [P, clusters], 1 where a cluster is exchanged, and whether these are all patterns.

    Exchanging the complement only turns the sign, so there are ``2 ** (clusters - 1)`` patterns that differ.
    """
    if clusters <= 62 and 2 ** (clusters - 1) <= permutations:
        numbers = np.arange(2 ** (clusters - 1), dtype=np.int64)
        return (numbers[:, None] >> np.arange(clusters) & 1).astype(np.uint8), True
    rng = np.random.default_rng([seed, 4])
    return rng.integers(0, 2, (permutations, clusters), dtype=np.uint8), False


def p_value(observed: float, permuted: np.ndarray, *, exact: bool) -> float:
    """Return the two-sided p value: the share of ``permuted`` [P] at least as far from 0 as ``observed``.

    Drawn permutations are joined by the one that was observed, (1 + count) / (1 + P): so p is never 0, and the test
    keeps its level with any P (Phipson and Smyth 2010). All permutations have it among them.
    """
    count = int((np.abs(permuted) >= abs(observed) - TIES).sum())
    return count / len(permuted) if exact else (1 + count) / (1 + len(permuted))


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values of a family of tests, in the order of ``p``."""
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted
