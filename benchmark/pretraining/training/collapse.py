"""Watches a run for collapse and divergence: what embeddings and gradients look like, and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from benchmark.errors import UserError

#: Rows that are looked at: enough for the ranks that matter, and quick beside a step.
ROWS = 512
SLOWER = "begin again in a new folder with a smaller peak_learning_rate, or with clip_norm=1"


class TrainingStopped(UserError):  # noqa: N818 - what happened, in the user's words
    """A run that collapsed or diverged. Its checkpoints are kept."""


@dataclass(frozen=True)
class Spread:
    """How a batch of embeddings fills its space.

    Attributes:
        deviation: Mean over dimensions of the deviation of unit-length rows, times the root of the dimension:
            1 where rows point everywhere alike, 0 where all are the same.
        rank: Effective rank: the exponential of the entropy of the centred rows' singular values, as shares.
    """

    deviation: float
    rank: float


@torch.no_grad()
def spread(rows: Tensor) -> Spread:
    """Return how rows [N >= 2, D] are spread; of many, the first 512 are looked at."""
    unit = functional.normalize(rows[:ROWS].detach().float(), dim=1)
    if not torch.isfinite(unit).all():
        return Spread(math.nan, math.nan)
    deviation = unit.std(dim=0, correction=0).mean() * math.sqrt(unit.shape[1])
    # Of N rows and D dimensions, the smaller product has all the singular values that are not 0.
    centred = (unit - unit.mean(dim=0)).double()
    product = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    values = torch.linalg.eigvalsh(product.cpu()).clamp_min(0).sqrt()
    shares = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return Spread(float(deviation), float(torch.special.entr(shares).sum().exp()))


@dataclass
class Watch:
    """Stops a run that has collapsed or diverged. The bounds are ours.

    Attributes:
        least_deviation: Under this spread for ``patience`` looks in a row, embeddings have collapsed.
        least_rank: The same for the effective rank.
        largest_gradient: A norm of the gradient beyond this is a divergence.
        largest_loss: So is a loss that is this many times the first one, for ``patience`` looks.
        patience: Looks in a row.
    """

    least_deviation: float = 1e-3
    least_rank: float = 1.05
    largest_gradient: float = 1e6
    largest_loss: float = 10.0
    patience: int = 5
    _first: float | None = None
    _bad: dict[str, int] = field(default_factory=dict)

    def see_step(self, step: int, loss: float, gradient: float) -> None:
        """Look at a step before its gradient is used.

        Raises:
            TrainingStopped: The loss or the gradient's norm is not finite, or beyond all bounds.
        """
        if not math.isfinite(loss):
            raise TrainingStopped(f"the loss of step {step} is {loss}", SLOWER)
        if not math.isfinite(gradient) or gradient > self.largest_gradient:
            raise TrainingStopped(
                f"the norm of the gradient of step {step} is {gradient:.3g}, the loss {loss:.4g}", SLOWER
            )
        self._first = loss if self._first is None else self._first
        self._look("loss", step, loss > self.largest_loss * max(self._first, 1e-3), f"the loss has grown to {loss:.4g}")

    def see_spread(self, step: int, found: Spread) -> None:
        """Look at the embeddings of a step.

        Raises:
            TrainingStopped: They have been all but the same, or on a line, for ``patience`` looks.
        """
        small = not found.deviation >= self.least_deviation
        self._look("deviation", step, small, f"all embeddings are the same (their spread is {found.deviation:.2g})")
        flat = not found.rank >= self.least_rank
        self._look("rank", step, flat, f"embeddings differ in one direction only (effective rank {found.rank:.3f})")

    def _look(self, what: str, step: int, bad: bool, words: str) -> None:
        self._bad[what] = self._bad.get(what, 0) + 1 if bad else 0
        if self._bad[what] >= self.patience:
            raise TrainingStopped(f"{words}, {self.patience} looks in a row up to step {step}", SLOWER)
