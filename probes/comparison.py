"""Are two encoders different on a task? A paired bootstrap interval of the difference, and a paired permutation test.

Both respect clusters: where items come in groups (an artist's tracks), groups are drawn and groups are exchanged,
because the tracks of a group tell the same thing twice. The test's null hypothesis: of a cluster's outputs, those of
the first encoder's probes and those of the second's are exchangeable. So it exchanges all outputs of a cluster between
the two with probability 1/2 and looks how often the metrics then differ by as much as they do (two-sided).

A metric need not be a sum over items. Exchanging outputs is choosing n of the 2n items of both encoders, so a
permutation is a weighting, 0 or 1, of those 2n items, and any metric that takes weights is computed for all
permutations at once, with one sort a label.

Ranking metrics compare the outputs of items with each other, and two models' outputs have scales of their own: a
mixture would be ranked by scale, and both exchanged sets would score far below either model. So outputs are replaced by
their mid-ranks within the model and label first: this changes no ranking metric of either model, and lets the mixture
depend on nothing but their orders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from probes.statistics import percentile_interval, resample_weights

PERMUTATIONS = 2000
FEWEST_PERMUTATIONS = 200
WORK = 1e11  # items x labels x probes x permutations x 4: about two minutes on one core
TIES = 1e-9  # differences nearer than this are equal: sums in another order end in other digits

Metrics = Callable[[np.ndarray, np.ndarray, "np.ndarray | None"], Mapping[str, np.ndarray]]
"""From targets, outputs and weights [R, n] (or ``None``) to the value of each metric, [R] (or a scalar array)."""


@dataclass(frozen=True)
class Difference:
    """What the first encoder has over the second on one metric.

    Attributes:
        first: Mean over the first's probes.
        second: Mean over the second's.
        low: Lower end of the 95 % percentile interval of ``first - second``.
        high: Its upper end.
        p: Two-sided p value of the permutation test.
        permutations: How many it looked at.
        exact: Whether these were all there are.
        clusters: Number of groups, or of items where there are none.
    """

    first: float
    second: float
    low: float
    high: float
    p: float
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
    ranking: bool,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> dict[str, Difference]:
    """Compare the probes of two encoders on the same items.

    The i-th probe of the first is paired with the i-th of the second; a metric's value is its mean over probes, and a
    cluster is exchanged in all pairs together, since probes of one encoder are not independent of each other.

    Args:
        metrics: The metrics, vectorised over weights.
        targets: [n, ...] in the metrics' convention.
        first: Outputs [n, L] of each probe of the first encoder.
        second: Outputs [n, L] of each probe of the second, as many.
        groups: The group of each item, or ``None``.
        ranking: Whether the metrics depend on the order of a label's outputs alone (see the head of this module).
        permutations: How many to draw; where there are no more than that, all are looked at, once each.
        seed: Seed of resamples and permutations.

    Raises:
        ValueError: Different numbers of probes, outputs or groups that do not fit the targets, or a metric that is
            undefined on these items.
    """
    n = len(targets)
    if not first or len(first) != len(second):
        raise ValueError(f"{len(first)} probes cannot be paired with {len(second)}")
    if any(len(outputs) != n for outputs in (*first, *second)):
        raise ValueError(f"outputs do not fit {n} targets")
    if permutations < 1:
        raise ValueError("a permutation test needs at least one permutation")
    weights = resample_weights(n, groups, seed=seed)
    here, there = ([metrics(targets, outputs, None) for outputs in probes] for probes in (first, second))
    resampled = _mean_difference(
        [metrics(targets, outputs, weights) for outputs in first],
        [metrics(targets, outputs, weights) for outputs in second],
    )
    member = clusters_of(n, groups)
    patterns, exact = swap_patterns(int(member.max()) + 1, permutations, seed=seed)
    swapped = swapped_differences(metrics, targets, first, second, patterns[:, member], ranking=ranking)
    found = {}
    for metric, replicates in resampled.items():
        a, b = (float(np.mean([values[metric] for values in probes])) for probes in (here, there))
        if not np.isfinite(a - b):
            raise ValueError(f"{metric} is undefined on these {n} items")
        low, high = percentile_interval(replicates)
        p = p_value(a - b, swapped[metric], exact=exact)
        found[metric] = Difference(a, b, low, high, p, len(patterns), exact, patterns.shape[1])
    return found


def clusters_of(n: int, groups: Sequence[str] | None) -> np.ndarray:
    """Return int64 [n]: the number of each item's cluster, from 0; every item is its own without ``groups``.

    Raises:
        ValueError: The number of groups is not ``n``.
    """
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} items")
    return np.unique(np.asarray(groups), return_inverse=True)[1]


def swap_patterns(clusters: int, permutations: int, *, seed: int) -> tuple[np.ndarray, bool]:
    """Return uint8 [P, clusters], 1 where a cluster is exchanged, and whether these are all patterns.

    Exchanging the complement only turns the sign, so there are ``2 ** (clusters - 1)`` patterns that differ.
    """
    if clusters <= 62 and 2 ** (clusters - 1) <= permutations:
        numbers = np.arange(2 ** (clusters - 1), dtype=np.int64)
        return (numbers[:, None] >> np.arange(clusters) & 1).astype(np.uint8), True
    rng = np.random.default_rng([seed, 4])
    return rng.integers(0, 2, (permutations, clusters), dtype=np.uint8), False


def swapped_differences(
    metrics: Metrics,
    targets: np.ndarray,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    swaps: np.ndarray,
    *,
    ranking: bool,
) -> dict[str, np.ndarray]:
    """Return by metric float64 [P]: the difference after exchanging the outputs where ``swaps`` [P, n] is 1."""
    both = np.concatenate([targets, targets])
    kept = np.concatenate([1 - swaps, swaps], axis=1)
    given = kept[:, np.r_[swaps.shape[1] : kept.shape[1], 0 : swaps.shape[1]]]
    sides: tuple[list[Mapping[str, np.ndarray]], list[Mapping[str, np.ndarray]]] = ([], [])
    for a, b in zip(first, second, strict=True):
        outputs = np.concatenate([mid_ranks(a), mid_ranks(b)] if ranking else [a, b])
        for side, weights in zip(sides, (kept, given), strict=True):
            side.append(metrics(both, outputs, weights))
    return _mean_difference(*sides)


def mid_ranks(outputs: np.ndarray) -> np.ndarray:
    """Return float32 [n, L] in (0, 1]: each output's rank within its column; equal outputs share their mean rank."""
    from scipy.stats import rankdata

    return (rankdata(outputs, axis=0) / len(outputs)).astype(np.float32)


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


def affordable_permutations(items: int, labels: int, probes: int) -> int:
    """Return :data:`PERMUTATIONS`, or fewer where ranking so many items and labels so often would take too long."""
    return int(min(PERMUTATIONS, max(FEWEST_PERMUTATIONS, WORK // (4 * items * labels * probes))))


def _mean_difference(
    first: Sequence[Mapping[str, np.ndarray]], second: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    return {
        metric: np.mean([values[metric] for values in first], axis=0)
        - np.mean([values[metric] for values in second], axis=0)
        for metric in first[0]
    }
