"""Intervals for scores: a seeded bootstrap over items, or over groups where items are not independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95


def resample_weights(n: int, groups: Sequence[str] | None, *, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Return float32 [resamples, n]: how often each item stands in each bootstrap resample.

    Args:
        n: Number of items.
        groups: The group of each item; whole groups are drawn then, as many as there are, and the items of a group
            stay together (a cluster bootstrap). ``None`` draws items.
        seed: Seed of the draws.
        resamples: Number of resamples.

    Raises:
        ValueError: The number of groups is not ``n``.
    """
    rng = np.random.default_rng([seed, 3])
    if groups is None:
        return _counts(rng, n, resamples)
    if len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} items")
    _, membership = np.unique(np.asarray(groups), return_inverse=True)
    return _counts(rng, int(membership.max()) + 1, resamples)[:, membership]


def _counts(rng: np.random.Generator, n: int, resamples: int) -> np.ndarray:
    counts = np.empty((resamples, n), np.float32)
    for row in counts:  # one row at a time: multinomial would hold int64 for all of them
        row[:] = np.bincount(rng.integers(n, size=n), minlength=n)
    return counts


def percentile_interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of bootstrap ``values`` [R]; resamples where the score is undefined are left out.

    Raises:
        ValueError: No resample has a defined score.
    """
    defined = values[np.isfinite(values)]
    if len(defined) == 0:
        raise ValueError("the score is undefined in every resample")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def sample_deviation(values: Sequence[float]) -> float:
    """Return the sample standard deviation (n - 1), or 0 for a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
