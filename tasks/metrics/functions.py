"""What metrics are computed by: pure functions on arrays, equal to scikit-learn and mir_eval to 1e-12.

Every function takes ``weights`` [R, n], how often each item counts in each of R resamples, which makes a jackknife one
vectorised call; without weights every item counts once. Ranking metrics are in :mod:`tasks.metrics.ranking`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

RESAMPLES_AT_ONCE = 1_000_000  # weights held at a time, as items x resamples: 8 MB of float64 stay near the cache


def item_mean(items: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the mean of ``items`` [n] as a scalar array, or [R] with ``weights`` [R, n]; NaN without any weight."""
    if weights is None:
        return np.asarray(items.mean())
    with np.errstate(invalid="ignore"):
        return np.concatenate([block @ items / block.sum(1) for block in _blocks(weights)])


def class_means(items: np.ndarray, targets: np.ndarray, classes: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the mean of ``items`` [n] over those of each class, [C], or [R, C] with ``weights`` [R, n].

    Args:
        items: [n], a value of each item.
        targets: int64 [n], the class of each item.
        classes: How many there are.
        weights: [R, n].

    Returns:
        NaN for a class without items.
    """
    counted = np.ones((1, len(items))) if weights is None else weights
    membership = np.eye(classes)[targets]
    with np.errstate(invalid="ignore"):
        values = [(block * items) @ membership / (block @ membership) for block in _blocks(counted)]
    return values[0][0] if weights is None else np.concatenate(values)


def correct(targets: np.ndarray, outputs: np.ndarray, _labels: Sequence[str]) -> np.ndarray:
    """Return float64 [n]: 1 where the largest of ``outputs`` [n, C], the first of equals, is the target's class."""
    return (np.argmax(outputs, axis=1) == targets).astype(np.float64)


def r2_in_blocks(
    targets: np.ndarray, outputs: np.ndarray, _labels: Sequence[str], weights: np.ndarray | None
) -> np.ndarray:
    """Return :func:`r2` of one target's [n] values, with no more than a block of resamples in memory."""
    if weights is None:
        return r2(targets, outputs)
    return np.concatenate([r2(targets, outputs, block) for block in _blocks(weights)])


def r2(targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the coefficient of determination of [n] values as a scalar array, or [R] with ``weights`` [R, n].

    Of a constant reference (a single item is one) nothing is explained and nothing left: the value is NaN, where
    scikit-learn gives 1 or 0.
    """
    y, p = targets.astype(np.float64), outputs.astype(np.float64)
    w = np.ones((1, len(y))) if weights is None else weights.astype(np.float64)
    centred = y - y.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        count = w.sum(1)
        around = w @ centred**2
        total = around - (w @ centred) ** 2 / count
        for row in np.flatnonzero(~(total > 1e-3 * around)):  # the difference has lost digits, or all are equal
            drawn = w[row] > 0
            total[row] = w[row] @ (y - w[row] @ y / count[row]) ** 2
            if not drawn.any() or y[drawn].min() == y[drawn].max():
                total[row] = np.nan
        values = 1 - w @ (y - p) ** 2 / total
    return values if weights is not None else np.asarray(values[0])


def _blocks(weights: np.ndarray) -> Iterator[np.ndarray]:
    """Yield ``weights`` [R, n] in blocks of rows; one block, though an empty one, at least."""
    step = max(1, RESAMPLES_AT_ONCE // weights.shape[1])
    return (weights[i : i + step] for i in range(0, max(len(weights), 1), step))
