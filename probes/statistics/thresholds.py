"""Thresholds of a label's probability, chosen on valid: the best F1, or the highest recall at a precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Precisions for which an exported probe holds thresholds.
PRECISIONS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Reached:
    """What a threshold gives on a split; ``None`` where nothing is above it (precision) or to be found (recall)."""

    precision: float | None
    recall: float | None
    f1: float | None


def rules() -> dict[str, float | None]:
    """Return the names of the rules, with the precision that each wants; ``f1`` wants none."""
    return {"f1": None, **{f"precision>={precision:g}": precision for precision in PRECISIONS}}


def choose(scores: np.ndarray, positive: np.ndarray, precision: float | None = None) -> float | None:
    """Return the threshold of the best F1, or of the highest recall at ``precision``; ``None`` where none is.

    It lies midway between the last score that is taken and the next below, so that rounding does not move an item over
    it; of equals the highest is taken.

    Args:
        scores: [n] on valid, from 0 to 1; items below 0 can never be taken.
        positive: bool [n].
        precision: That must be kept.
    """
    if not positive.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(positive[order])
    ends = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True) & (ranked >= 0))  # equal scores go together
    found, taken = hits[ends], ends + 1
    if precision is None:
        value = 2 * found / (taken + positive.sum())
        usable = found > 0
    else:
        value, usable = found.astype(float), (found >= precision * taken - 1e-9) & (found > 0)
    if not usable.any():
        return None
    best = int(ends[np.argmax(np.where(usable, value, -1.0))])
    last = float(ranked[best])
    below = max(float(ranked[best + 1]), 0.0) if best + 1 < len(ranked) else 0.0
    middle = (last + below) / 2
    return middle if below < middle <= last else last


def reached(scores: np.ndarray, positive: np.ndarray, threshold: float) -> Reached:
    """Return precision, recall and F1 of the items whose scores [n] are at or above a threshold."""
    taken = scores >= threshold
    hits, chosen, there = int((taken & positive).sum()), int(taken.sum()), int(positive.sum())
    return Reached(
        hits / chosen if chosen else None,
        hits / there if there else None,
        2 * hits / (chosen + there) if chosen + there else None,
    )
