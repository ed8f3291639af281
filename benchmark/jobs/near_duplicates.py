"""Near-duplicates between splits: items whose embeddings are far closer to one of train than embeddings here are.

Identical bytes are found by hashes (:mod:`tasks.audit`); the same recording in another encoding, at another gain or cut
by a moment has other bytes, and almost the same embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.data import SplitArrays

#: A pair counts from so many robust deviations below the typical distance (of logarithms), and a fraction of it.
DEVIATIONS, FRACTION = 6.0, 0.25
#: Products of a run that may be spent on looking; of more nothing is said.
MOST_OPERATIONS = 2e12
TINY = 1e-12


@dataclass(frozen=True)
class NearDuplicates:
    """What was found between two splits.

    Attributes:
        pairs: Id of the item, id of the one in the other split, and their distance; the nearest first.
        threshold: The distance from which on a pair is none.
        typical: The median distance of an item to its nearest one in the other split.
    """

    pairs: tuple[tuple[str, str, float], ...]
    threshold: float
    typical: float


def near_duplicates(reference: SplitArrays, items: SplitArrays, threshold: float | None = None) -> NearDuplicates:
    """Return the items whose nearest neighbour in ``reference`` is suspiciously near.

    Distances are Euclidean between embeddings that are z-scored by ``reference`` and scaled to length 1: from 0 to 2.
    The threshold is chosen from the data: logarithms of the distances of all items to their nearest neighbour, six
    robust standard deviations (1.4826 times the median absolute deviation) below their median, and at most a quarter
    of the median distance.

    Args:
        reference: Embeddings [n, d], such as those of train.
        items: Embeddings [m, d], such as those of test.
        threshold: A distance in place of the one that is chosen.
    """
    from sklearn.neighbors import NearestNeighbors

    scale = reference.embeddings.std(axis=0)
    mean, scale = reference.embeddings.mean(axis=0), np.where(scale > 0, scale, 1)
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(_unit((reference.embeddings - mean) / scale))
    found, nearest = search.kneighbors(_unit((items.embeddings - mean) / scale))
    distances = found[:, 0]
    typical = float(np.median(distances))
    limit = _threshold(distances) if threshold is None else threshold
    close = np.flatnonzero(distances < limit)
    pairs = [
        (items.ids[i], reference.ids[nearest[i, 0]], float(distances[i]))
        for i in close[np.argsort(distances[close], kind="stable")]
    ]
    return NearDuplicates(tuple(pairs), limit, typical)


def affordable(items: int, reference: int, dim: int) -> bool:
    """Say whether a run can look for near-duplicates by the way."""
    return 2.0 * items * reference * dim <= MOST_OPERATIONS


def format_near_duplicates(found: NearDuplicates, splits: Sequence[str], shown: int = 20) -> list[str]:
    """Return the pairs as lines, and by what they were told from others."""
    one, other = splits
    lines = [
        f"{len(found.pairs)} near-duplicate(s) of {one} in {other}: nearer than {found.threshold:.3g}, where the "
        f"typical distance to the nearest item is {found.typical:.3g}"
    ]
    lines += [f"  {first} = {second} ({distance:.3g})" for first, second, distance in found.pairs[:shown]]
    return [*lines, f"  and {len(found.pairs) - shown} more"] if len(found.pairs) > shown else lines


def _threshold(distances: np.ndarray) -> float:
    logs = np.log(np.maximum(distances, TINY))
    middle = np.median(logs)
    deviation = 1.4826 * np.median(np.abs(logs - middle))
    return float(min(np.exp(middle - DEVIATIONS * deviation), FRACTION * np.exp(middle)))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), TINY)
