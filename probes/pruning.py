"""Pruning: successive halving on the validation curve, at fixed shares of a trial's own steps.

Trials of one search have schedules of very different lengths. Compared at equal steps, long ones would lose for being
still in their warm-up; so each is compared at the same share of its own schedule (after Jamieson and Talwalkar 2016,
with the trials of earlier rounds as further company).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Halving:
    """At each rung a trial goes on if it is among the best of all that came so far.

    Attributes:
        shares: The rungs: increasing shares of a trial's own steps, between 0 and 1.
        keep: For each rung the share of all trials that came to it which go on.
        least: As many go on at least: the lead of one at an early rung is no more than chance.
    """

    shares: tuple[float, ...] = (0.08, 0.16, 0.32)
    keep: tuple[float, ...] = (0.3, 0.4, 0.5)
    least: int = 2

    def survive(self, rung: int, scores: Sequence[float], earlier: Sequence[float]) -> list[bool]:
        """Say for each of a round's ``scores`` at a rung whether it goes on, beside the ``earlier`` ones there.

        Of the round and the earlier trials together, the best ``keep`` (rounded up) go on; of equals, those that came
        first, as selection prefers them too. What has no finite score never goes on.

        Args:
            rung: Index of the rung.
            scores: Of the trials of a round that came so far, in order.
            earlier: Of the trials of earlier rounds.
        """
        scored = [(score, -i) for i, score in enumerate([*earlier, *scores])]
        if not scored:
            return []
        places = min(len(scored), max(self.least, math.ceil(self.keep[rung] * len(scored))))
        bar = sorted(scored, reverse=True)[places - 1]
        return [one >= bar and one[0] > -math.inf for one in scored[len(earlier) :]]


PRUNERS: dict[str, Halving | None] = {"halving": Halving(), "none": None}
