"""Pruning: successive halving on the validation curve, at fixed shares of a trial's own steps.

Trials of one search have schedules of very different lengths. Compared at equal steps, long ones would lose for being
still in their warm-up; so each is compared at the same share of its own schedule (after Jamieson and Talwalkar 2016,
with the trials of earlier rounds as further group). The best of the settings that the search starts from is never
pruned: they are known to be sane, and what needs strong L2 or a low learning rate looks poor early on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Halving:
    """At each rung a trial continues if it is among the best of all that came so far.

    Attributes:
        shares: The rungs: increasing shares of a trial's own steps, between 0 and 1.
        keep: For each rung the share of all trials that pass it.
        fewest: Of fewer trials than so many none is pruned: a share of them would be one, chosen by chance.
    """

    shares: tuple[float, ...] = (0.04, 0.08, 0.32)
    keep: tuple[float, ...] = (0.4, 0.125, 0.0625)
    fewest: int = 10

    def survive(
        self, rung: int, scores: Sequence[float], earlier: Sequence[float], *, of: int | None = None, starts: int = 0
    ) -> list[bool]:
        """Say for each of a round's ``scores`` at a rung whether it continues, beside the ``earlier`` ones there.

        Of the round and the earlier trials together as many continue as are ``keep`` of all trials (rounded up), the
        best; of equals, those that came first, as selection prefers them too. Beside them the best of the ``starts``
        continues. What has no finite score never does.

        Args:
            rung: Index of the rung.
            scores: Of the trials of a round that came so far, in order.
            earlier: Of the trials of earlier rounds.
            of: All trials, with those that did not come so far; by default there are none of these.
            starts: So many of those that came, the first, are of settings that the search starts from.
        """
        scored = [(score, -i) for i, score in enumerate([*earlier, *scores])]
        if not scored:
            return []
        of = len(scored) if of is None else of
        count = min(len(scored), of if of < self.fewest else math.ceil(self.keep[rung] * of))
        bar = sorted(scored, reverse=True)[count - 1]
        sane = max(scored[:starts], default=None)
        return [(entry >= bar or entry == sane) and entry[0] > -math.inf for entry in scored[len(earlier) :]]


PRUNERS: dict[str, Halving | None] = {"halving": Halving(), "none": None}
