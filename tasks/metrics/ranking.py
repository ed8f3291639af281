"""Ranking metrics of many labels at once: average precision and the area under the ROC curve, ties included.

Both need only this of a label: for each relevant item, how many items (and how many relevant ones) score above it, and
how many at least as much. Without weights a sort of the bare scores tells that, and sorting floats is several times
faster than sorting their indices. With weights [R, n] (a jackknife) the items between two neighbouring relevant ones
are one bin, whose weight is a sum: one product of a sparse 0/1 matrix [bins, n] with the weights gives all resamples,
and both metrics. Whole weights are summed as integers, so that the counts are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LABELS_AT_ONCE = 16  # columns brought into rows: a few MB stay near the cache
RESAMPLES_AT_ONCE = 64  # so that the weights of a block stay near the cache too; at least
WEIGHTS_AT_ONCE = 2**19  # and more of few items, as items x resamples
PLACES_AT_ONCE = 2**24  # orders of items held at a time, as items x labels: 64 MB


def ranking_scores(
    metrics: Sequence[str], targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return :func:`ranking_values`, or with ``weights`` :func:`ranking_resamples`."""
    if weights is None:
        return ranking_values(metrics, targets, outputs)
    return ranking_resamples(metrics, targets, outputs, weights)


def ranking_values(metrics: Sequence[str], targets: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return float64 [L] for each of ``metrics``, one value a label.

    Args:
        metrics: ``map`` (average precision) and ``roc_auc``, or one of them.
        targets: 0/1 [n, L].
        outputs: Finite scores [n, L]; equal scores share one threshold.

    Returns:
        By metric; NaN for a label without a positive (for ``roc_auc`` also: without a negative).
    """
    n, labels = outputs.shape
    found = {metric: np.full(labels, np.nan) for metric in metrics}
    for start in range(0, labels, LABELS_AT_ONCE):
        columns = slice(start, start + LABELS_AT_ONCE)
        scores, relevant = _rows(outputs[:, columns]), _rows(targets[:, columns] != 0)
        for j, (ranked, column, positive) in enumerate(zip(np.sort(scores), scores, relevant, strict=True), start):
            hits = np.sort(column[np.flatnonzero(positive)])
            p = len(hits)
            if p == 0:
                continue
            upto = n - np.searchsorted(ranked, hits, "left")
            if "map" in found:
                found["map"][j] = np.mean((p - _first_of_equals(hits)) / upto)
            if "roc_auc" in found and p < n:
                above = n - np.searchsorted(ranked, hits, "right")
                # Among themselves the positives are above, or at least as high, p * p times.
                passed = (int(above.sum()) + int(upto.sum()) - p * p) / 2
                found["roc_auc"][j] = (p * (n - p) - passed) / (p * (n - p))
    return found


def ranking_resamples(
    metrics: Sequence[str], targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Return float64 [R, L] for each of ``metrics``: the values of :func:`ranking_values` in each of R resamples.

    Args:
        metrics: ``map`` (average precision) and ``roc_auc``, or one of them.
        targets: 0/1 [n, L].
        outputs: Finite scores [n, L].
        weights: [R, n], not negative: how often each item counts.
    """
    (n, labels), resamples = outputs.shape, len(weights)
    total = weights.sum(axis=1, dtype=np.float64)
    dtype = _dtype_of_sums(weights, total)
    found = {metric: np.full((resamples, labels), np.nan) for metric in metrics}
    together, at_once = max(1, PLACES_AT_ONCE // n), max(RESAMPLES_AT_ONCE, WEIGHTS_AT_ONCE // n)
    for start in range(0, labels, together):
        bins = [_Bins.of(targets[:, j], outputs[:, j]) for j in range(start, min(start + together, labels))]
        for first in range(0, resamples, at_once):
            rows = slice(first, first + at_once)
            block: np.ndarray = np.ascontiguousarray(weights[rows].T, dtype)
            for j, label in enumerate(bins, start):
                for metric, values in zip(metrics, label.values(metrics, block, total[rows]), strict=True):
                    found[metric][rows, j] = values
    return found


@dataclass(frozen=True)
class _Bins:
    """One label's items by falling score, down to the last relevant one, in bins that end at its K thresholds.

    Attributes:
        order: Items of all bins, one after another.
        edges: [K + 1] where each bin begins, and the last one ends; with ``tied`` [2K + 1].
        hits: The relevant items by falling score.
        hit_edges: [K + 1], as ``edges``; ``None`` where each threshold has one.
        tied: Whether items that are not relevant score the same as relevant ones. Then a bin is two: the items above
            the threshold, and those at it.
    """

    order: np.ndarray
    edges: np.ndarray
    hits: np.ndarray
    hit_edges: np.ndarray | None
    tied: bool

    @classmethod
    def of(cls, relevant: np.ndarray, scores: np.ndarray) -> _Bins:
        """Return the bins of ``relevant`` 0/1 [n] and ``scores`` [n]."""
        order = np.argsort(-scores).astype(np.int32)
        hits = order[relevant[order] != 0]
        falling = -scores[order]
        thresholds, counts = np.unique(-scores[hits], return_counts=True)
        above, upto = np.searchsorted(falling, thresholds, "left"), np.searchsorted(falling, thresholds, "right")
        tied = bool((upto - above != counts).any())
        ends = np.stack([above, upto], axis=1).ravel() if tied else upto
        edges = np.concatenate([[0], ends]).astype(np.int32)
        hit_edges = None if (counts == 1).all() else np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return cls(order[: edges[-1]], edges, hits, hit_edges, tied)

    def values(self, metrics: Sequence[str], weights: np.ndarray, total: np.ndarray) -> list[np.ndarray]:
        """Return float64 [R] for each metric, given ``weights`` [n, R] and their sums ``total`` [R]."""
        if len(self.hits) == 0:
            return [np.full(len(total), np.nan) for _ in metrics]
        at = weights[self.hits] if self.hit_edges is None else _sums(self.hits, self.hit_edges, weights)
        found = np.cumsum(at, axis=0, dtype=at.dtype)  # relevant, at or above each threshold
        seen = np.cumsum(_sums(self.order, self.edges, weights), axis=0, dtype=at.dtype)  # all items
        upto = seen[1::2] if self.tied else seen
        relevant = found[-1].astype(np.float64)
        values = []
        for metric in metrics:
            if metric == "map":
                precision = np.zeros(found.shape)
                np.divide(found, upto, out=precision, where=upto > 0)
                sums, largest = np.einsum("kr,kr->r", at, precision, dtype=np.float64), relevant
            else:
                missed = (upto - found).astype(np.float64)
                if self.tied:
                    missed = (missed + (seen[::2] - (found - at))) / 2
                others = total - relevant
                largest = relevant * others
                sums = largest - np.einsum("kr,kr->r", at, missed, dtype=np.float64)
            values.append(np.divide(sums, largest, out=np.full(len(total), np.nan), where=largest > 0))
        return values


def _sums(items: np.ndarray, edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return [K, R]: the ``weights`` [n, R] of ``items`` added up between ``edges`` [K + 1], in their own type."""
    from scipy.sparse import csr_array

    chosen = csr_array((np.ones(len(items), weights.dtype), items, edges), shape=(len(edges) - 1, len(weights)))
    return chosen @ weights


def _dtype_of_sums(weights: np.ndarray, total: np.ndarray) -> type:
    """Return the narrowest type in which the sums of ``weights`` [R, n] are exact: narrow sums are the faster ones."""
    whole = weights.dtype.kind == "u" or all(
        (block == np.rint(block)).all() and block.min(initial=0) >= 0 for block in weights
    )
    if not whole or total.max(initial=0) > np.iinfo(np.uint32).max:
        return np.float64
    return np.uint16 if total.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32


def _rows(columns: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(columns.T)


def _first_of_equals(rising: np.ndarray) -> np.ndarray:
    """Return, for each place of ``rising`` [p], the first place of an equal value."""
    places = np.arange(len(rising))
    places[1:] *= rising[1:] != rising[:-1]
    return np.maximum.accumulate(places)
