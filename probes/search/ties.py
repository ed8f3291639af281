"""Ties: validation scores that differ by less than they can mean, and the fixed order that selects one of them.

Processors round sums in different orders, so that the same training ends a little elsewhere on another machine: a few
items of valid near a boundary fall on its other side. Which of several equally good settings wins must not hang on
that. Scores within :func:`tolerance` of the best count as equal to it, and of these the first is taken: the settings
that a search starts from come before those that it asked for later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Items of valid on whose score nothing should hang, and the share of the score's standard error likewise.
ITEMS, SHARE = 1.55, 0.1


def tolerance(items: int) -> float:
    """Return how far two validation scores on ``items`` may lie apart and count as equal.

    A little more than one item and a half (so that a difference of one counts as none and one of two does not; no
    metric's steps, tenths of an item in the key score, end just there), or a tenth of the largest standard error that a
    mean of numbers from 0 to 1 can have, ``0.5 / sqrt(items)``; the larger of the two. From 961 items on the latter.

    Raises:
        ValueError: There is no item.
    """
    if items < 1:
        raise ValueError("a score needs at least one item")
    return max(ITEMS / items, SHARE * 0.5 / math.sqrt(items))


def rounded(score: float, step: float) -> float:
    """Return ``score`` on a grid of ``step``: what samplers and pruners see. Infinities stay."""
    return step * round(score / step) if math.isfinite(score) else score


def first_within(scores: Sequence[float], margin: float) -> int:
    """Return the index of the first score that is at most ``margin`` below the best.

    Raises:
        ValueError: There is none.
    """
    if not scores:
        raise ValueError("there is nothing to choose from")
    best = max(scores)
    return next(i for i, score in enumerate(scores) if score == best or score >= best - margin)
