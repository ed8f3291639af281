"""Scores of a strategy over its pre-training seeds: intervals, differences, and resampled test items.

A strategy has K networks, one a pre-training seed; a network's score is the mean over its retrained probes. Two ways
lead from these to an interval, and both take items (or groups of them) and pre-training seeds for drawn:

- that of all records (:mod:`probes.statistics.intervals`), with networks in the place of probes: a jackknife over
  items, the variance over seeds less what is in the items' part already, and Student's t with Satterthwaite's degrees
  of freedom, so that three seeds make a wide interval. Paired tests are of the same t.
- a bootstrap of clusters, seeds outside and items inside: each resample draws seeds and items (or whole groups) with
  replacement. All seeds of a resample, and all strategies, are scored on the same items, as they were in truth, so that
  what is common to them is not taken for independent. The percentiles of few seeds are narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from probes.statistics.intervals import Blocks, Jackknifed, clusters_of

COVERED = 0.95
#: Weights of resamples that are scored at once, at most: rows times items.
TOGETHER = 2**24

Metric = Callable[[np.ndarray, "np.ndarray | None"], np.ndarray]
"""From outputs [n, L] and weights [R, n] (or ``None``) to the value of a metric, [R] (or a scalar array)."""


@dataclass(frozen=True)
class Spread:
    """The mean of resampled values, the ends of the interval between their percentiles, and how many are defined."""

    mean: float
    low: float
    high: float
    defined: int


def over_probes(metric: Metric, networks: Sequence[Sequence[np.ndarray]], blocks: Blocks) -> Jackknifed:
    """Return the scores of a strategy's networks, whole and without each block, each the mean over its probes.

    Args:
        metric: The metric on the test items.
        networks: For each pre-training seed the outputs [n, L] of each of its probes.
        blocks: The items in blocks.
    """
    weights = blocks.weights()
    values = [np.mean([float(metric(outputs, None)) for outputs in probes]) for probes in networks]
    without = [np.mean([metric(outputs, weights) for outputs in probes], axis=0) for probes in networks]
    return Jackknifed(np.array(values), np.stack(without))


def resample_weights(n: int, groups: Sequence[str] | None, resamples: int, seed: int) -> np.ndarray:
    """Return uint16 [R, n]: how often each item is in each resample, whose items (or whole groups) are drawn at random.

    Raises:
        ValueError: The number of groups is not ``n``, or there are no items.
    """
    member = clusters_of(n, groups)
    clusters = int(member.max(initial=-1)) + 1
    if clusters < 1:
        raise ValueError("there are no items to resample")
    rng = np.random.default_rng([seed, 6])
    drawn = rng.integers(0, clusters, (resamples, clusters))
    offset = drawn + clusters * np.arange(resamples)[:, None]
    counts = np.bincount(offset.ravel(), minlength=resamples * clusters).reshape(resamples, clusters)
    return counts[:, member].astype(np.uint16)


def resampled(metric: Metric, networks: Sequence[Sequence[np.ndarray]], weights: np.ndarray) -> np.ndarray:
    """Return float64 [R, K]: the score of each network, the mean over its probes, in each resample of ``weights``.

    NaN stands where the metric is undefined in a resample.
    """
    rows = max(1, TOGETHER // weights.shape[1])
    parts = [weights[at : at + rows] for at in range(0, len(weights), rows)]
    columns = [
        np.mean([np.concatenate([metric(outputs, part) for part in parts]) for outputs in probes], axis=0)
        for probes in networks
    ]
    return np.stack(columns, axis=1)


def with_seeds(scores: np.ndarray, seed: int) -> np.ndarray:
    """Return float64 [R]: the mean over K networks that are drawn with replacement, anew in each resample.

    Args:
        scores: [R, K] of :func:`resampled`.
        seed: Seed of the draws.
    """
    rng = np.random.default_rng([seed, 7])
    drawn = rng.integers(0, scores.shape[1], scores.shape)
    return np.asarray(np.take_along_axis(scores, drawn, axis=1).mean(axis=1))


def spread(values: np.ndarray) -> Spread | None:
    """Return the mean of resampled values [R] and the interval of their percentiles; ``None`` where none is defined.

    >>> spread(np.arange(101) / 100)
    Spread(mean=0.5, low=0.025, high=0.975, defined=101)
    """
    defined = values[np.isfinite(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return Spread(float(defined.mean()), float(low), float(high), len(defined))
