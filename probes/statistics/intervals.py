"""Confidence intervals of a score, or of a difference of two, over items (or groups of them) and over probe seeds.

Any metric is taken apart by a jackknife: it is computed once without each block of items, and what leaving a block out
changes is that block's contribution. The contributions of J blocks to k probes are a table, whose rows and columns say
what a mean over probes owes to the items and what to the seeds:

- the part of the items is the variance of the blocks' mean contributions, over J;
- the part of the seeds is the variance of the probes' whole scores, less what probes differ by only because they err on
  different items (the table's residual: it is in the items' part already), over k.

Their sum has Satterthwaite's degrees of freedom, so that few seeds and few groups make an interval wider (Student's t).
A block is an item, or a group where items are not independent; where there are more than :data:`BLOCKS`, they are dealt
into as many. docs/protocol.md has how often such intervals cover and such tests err, by simulation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

BLOCKS = 400
LEVEL = 0.95

Question = Literal["items", "items and seeds"]
"""What an interval or a p value takes for drawn: items (or groups), for these very probes, or seeds as well."""


@dataclass(frozen=True)
class Blocks:
    """Items in J blocks, none of which parts a cluster.

    Attributes:
        member: int64 [n], the block of each item, from 0.
        sizes: int64 [J], how many items each has.
        clusters: How many groups there are, or items where there are no groups.
    """

    member: np.ndarray
    sizes: np.ndarray
    clusters: int

    def weights(self) -> np.ndarray:
        """Return uint8 [J, n]: row j counts every item once but those of block j."""
        weights = np.ones((len(self.sizes), len(self.member)), np.uint8)
        weights[self.member, np.arange(len(self.member))] = 0
        return weights


@dataclass(frozen=True)
class Jackknifed:
    """The scores of one encoder's k probes, whole and without each block.

    Attributes:
        values: float64 [k].
        without: float64 [k, J]; NaN where the score is undefined without the block.
        seeded: Whether the probes differ by their seed; a floor that is computed, not trained, has none.
    """

    values: np.ndarray
    without: np.ndarray
    seeded: bool = True

    @property
    def defined(self) -> bool:
        """Whether every score is defined, and stays so without any one block: else there is no interval."""
        return bool(np.isfinite(self.values).all() and np.isfinite(self.without).all())

    def less(self, other: Jackknifed) -> Jackknifed:
        """Return the differences from ``other``, probe by probe: the same seed in both."""
        return Jackknifed(self.values - other.values, self.without - other.without, self.seeded)


@dataclass(frozen=True)
class Interval:
    """The 95 % interval that answers ``question``, and the narrower one of these very probes over items alone.

    With one probe the seeds' part is not known: the question is ``items``, and both intervals are the same.
    """

    low: float
    high: float
    items_low: float
    items_high: float
    question: Question


@dataclass(frozen=True)
class Contrast:
    """A difference of two means over probes, its intervals, and its two-sided p value with its degrees of freedom.

    ``p`` and the interval come of one t statistic: p is at most .05 exactly where 0 is outside.
    """

    value: float
    interval: Interval
    p: float
    degrees: float


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


def blocks_of(n: int, groups: Sequence[str] | None, *, seed: int, most: int = BLOCKS) -> Blocks:
    """Return ``n`` items in blocks: a cluster each, or clusters dealt at random into ``most`` where there are more.

    Args:
        n: Number of items.
        groups: The group of each item, which stays whole; ``None`` where items are independent.
        seed: Seed of the dealing.
        most: The largest number of blocks.

    Raises:
        ValueError: The number of groups is not ``n``, or there are fewer than two clusters.
    """
    member = clusters_of(n, groups)
    clusters = int(member.max(initial=-1)) + 1
    if clusters < 2:
        raise ValueError(f"{clusters} item or group is too few: what would vary is not known")
    if clusters > most:
        dealt = np.random.default_rng([seed, 3]).permutation(clusters) % most
        member = dealt[member]
    return Blocks(member, np.bincount(member), clusters)


def score_interval(
    scores: Jackknifed, blocks: Blocks, bounds: tuple[float, float], clusters: int | None = None
) -> Interval | None:
    """Return the interval of the expected score; ``None`` where it is undefined once some block is left out.

    Args:
        scores: The probes of one encoder.
        blocks: What was left out.
        bounds: The metric's range: two finite ends, or ``(-inf, 1)``. The interval stays inside.
        clusters: How many groups (or items) the score is of, where it is not of all.
    """
    if not scores.defined:
        return None
    items, freedom = _items(_contributions(scores).mean(0), blocks)
    total, degrees = items, freedom
    seeded = scores.seeded and len(scores.values) > 1
    if seeded:
        k, square, noise = len(scores.values), *_seeds(scores)
        total = items + max(0.0, square - noise) / k
        degrees = _satterthwaite(total, (items, freedom), (square / k, k - 1))
    value = float(np.mean(scores.values))
    clusters = blocks.clusters if clusters is None else clusters
    narrow = _within(value, items, freedom, clusters, bounds)
    wide = _within(value, total, degrees, clusters, bounds)
    return Interval(*wide, *narrow, "items and seeds" if seeded else "items")


def compare(first: Jackknifed, second: Jackknifed, blocks: Blocks, bounds: tuple[float, float]) -> Contrast | None:
    """Compare the means over probes of two encoders on the same items; their numbers of probes may differ.

    Args:
        first: The probes of one encoder.
        second: Those of another, without the same blocks.
        blocks: What was left out.
        bounds: The metric's range.

    Returns:
        ``None`` where a score is undefined once some block is left out.
    """
    if not (first.defined and second.defined):
        return None
    value = float(np.mean(first.values) - np.mean(second.values))
    items, freedom = _items(_contributions(first).mean(0) - _contributions(second).mean(0), blocks)
    # Blocks that all differ alike do not mean that the next one would: one more may show no difference.
    items = max(items, (value / len(blocks.sizes)) ** 2)
    total, degrees = items, freedom
    seeded = [side for side in (first, second) if side.seeded]
    with_seeds = bool(seeded) and all(len(side.values) > 1 for side in seeded)
    if with_seeds:
        parts = [(len(side.values), *_seeds(side)) for side in seeded]
        total = items + max(0.0, sum((square - noise) / k for k, square, noise in parts))
        # Two subtractions: with the whole squares here the test would reject only half as often as it says.
        squares = [(math.sqrt(square * max(0.0, square - noise)) / k, k - 1) for k, square, noise in parts]
        degrees = _satterthwaite(total, (items, freedom), *squares)
    widest = bounds[1] - bounds[0]
    p, low, high = _t_test(value, total, degrees, widest)
    _, items_low, items_high = _t_test(value, items, freedom, widest)
    interval = Interval(low, high, items_low, items_high, "items and seeds" if with_seeds else "items")
    return Contrast(value, interval, p, degrees)


def change(after: Jackknifed, before: Jackknifed, blocks: Blocks, bounds: tuple[float, float]) -> Interval | None:
    """Return the interval of what a change of the inputs does to the mean over the same probes, ``after - before``.

    Args:
        after: The scores of k probes after the change.
        before: Those of the same k probes, in the same order.
        blocks: What was left out.
        bounds: The metric's range.
    """
    moved = after.less(before)
    if not moved.defined:
        return None
    none = Jackknifed(np.zeros(1), np.zeros((1, moved.without.shape[1])), seeded=False)
    contrast = compare(moved, none, blocks, bounds)
    return None if contrast is None else contrast.interval


def sample_deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (n - 1); ``None`` for a single value, of which nothing is known."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def contributions(scores: Jackknifed) -> np.ndarray:
    """Return float64 [J]: how far each block moves the mean over probes, their mean being 0 (centred pseudo-values)."""
    return np.asarray(_contributions(scores).mean(0))


def _contributions(scores: Jackknifed) -> np.ndarray:
    blocks = scores.without.shape[1]
    return (blocks - 1) * (scores.without.mean(1, keepdims=True) - scores.without)


def _items(means: np.ndarray, blocks: Blocks) -> tuple[float, float]:
    """Return the variance over items of a mean of contributions [J], and its degrees of freedom.

    Blocks of very unequal sizes count as fewer (Carter, Schnepel and Steigerwald 2017).
    """
    count = len(means)
    share = blocks.sizes / blocks.sizes.sum()
    return float((means**2).sum() / (count * (count - 1))), max(1.0, 1 / float((share**2).sum()) - 1)


def _seeds(scores: Jackknifed) -> tuple[float, float]:
    """Return the variance of the probes' scores, and how much of it comes of the items that each errs on."""
    table = _contributions(scores)
    (k, count), residual = table.shape, table - table.mean(0)
    return float(np.var(scores.values, ddof=1)), float((residual**2).sum() / ((k - 1) * count * (count - 1)))


def _satterthwaite(total: float, *parts: tuple[float, float]) -> float:
    """Return the degrees of freedom of a variance ``total`` that was summed of parts (variance, degrees of freedom).

    They are at most those of the first part, the items: so the interval is never narrower than over items alone.
    """
    spread = sum(variance**2 / degrees for variance, degrees in parts)
    if spread == 0:
        return parts[0][1]
    return min(parts[0][1], max(min(degrees for _, degrees in parts), total**2 / spread))


def _within(
    value: float, variance: float, degrees: float, clusters: int, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Return the t interval of ``value``, bent so that it stays within the metric's range and holds the value.

    Between two ends it is Wilson's, of as many items as would have this variance: the variance of a share shrinks as
    the share nears an end. Below a largest value alone (r2) it is symmetric in the logarithm of the distance to it.
    """
    t = _quantile(degrees)
    low, high = bounds
    if not math.isfinite(low):
        distance = high - value
        if distance <= 0:
            return value, value
        factor = math.exp(t * math.sqrt(variance) / distance)
        return high - distance * factor, high - distance / factor
    share = (value - low) / (high - low)
    spread = share * (1 - share)
    # All right, or all wrong: so many items could not show a rare other case.
    ratio = t**2 / clusters if spread <= 0 else t**2 * variance / (high - low) ** 2 / spread
    centre = (share + ratio / 2) / (1 + ratio)
    half = math.sqrt(ratio * spread + ratio**2 / 4) / (1 + ratio)
    limits = low + (high - low) * (centre - half), low + (high - low) * (centre + half)
    return max(low, min(value, limits[0])), min(high, max(value, limits[1]))  # but for rounding they are so already


def _t_test(value: float, variance: float, degrees: float, widest: float) -> tuple[float, float, float]:
    """Return the two-sided p value of a difference, and its 95 % interval, which stays within the possible."""
    from scipy.special import stdtr

    if variance == 0:
        return 1.0, value, value
    half = _quantile(degrees) * math.sqrt(variance)
    p = 2 * float(stdtr(degrees, -abs(value) / math.sqrt(variance)))
    return p, max(-widest, value - half), min(widest, value + half)


def _quantile(degrees: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + LEVEL) / 2))
