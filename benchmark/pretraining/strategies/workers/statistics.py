"""Running statistics of targets: every worker predicts numbers of mean 0 and deviation 1, whatever its unit.

Without that the losses of a waveform and of a log-mel are orders of magnitude apart, and weights of losses say nothing.
PASE takes means and deviations of some twenty batches before it trains. Here they are those of all batches up to the
present one, which is counted in before it is standardised: so nothing that is seen can lie far out, and no pass over
the data comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

#: A variance under this share of the mean's square is rounding, and so is one under the second: a constant.
ROUNDING, SMALLEST = 1e-10, 1e-16


class RunningStatistics:
    """Count, sum and sum of squares of every dimension of every target, in float64 (float32 where a GPU lacks it)."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def standardise(self, name: str, target: Tensor, mean: Callable[[Tensor], Tensor] = lambda value: value) -> Tensor:
        """Count a batch in, and return it with the mean and the deviation of all that was counted.

        A dimension that has been constant so far gives zeros.

        Args:
            name: Which target.
            target: [N, D, T].
            mean: Takes the mean over processes, so that all have the statistics of the joint batch.
        """
        exact = target.to(torch.float32 if target.device.type == "mps" else torch.float64)
        count = exact.new_full(exact.shape[1:2], exact.shape[0] * exact.shape[2])
        found = mean(torch.stack([count, exact.sum((0, 2)), exact.square().sum((0, 2))]))
        self._sums[name] = self._sums[name].to(found) + found if name in self._sums else found
        centre, scale = self.centre_and_scale(name)
        return (target - centre[:, None].to(target)) * scale[:, None].to(target)

    def centre_and_scale(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the mean [D] of a target, and what its distances from it are multiplied by: one over the deviation."""
        count, total, squares = self._sums[name]
        centre = total / count
        variance = squares / count - centre.square()
        varies = variance > (ROUNDING * centre.square()).clamp_min(SMALLEST)
        return centre, torch.where(varies, variance.clamp_min(SMALLEST).rsqrt(), 0.0)

    def state(self) -> dict[str, Tensor]:
        """Return the sums [3, D] by target, on the CPU."""
        return {name: sums.cpu().clone() for name, sums in self._sums.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what :meth:`state` returned."""
        self._sums = {name: sums.clone() for name, sums in state.items()}

    def to(self, device: torch.device | str) -> None:
        """Move the sums to a device."""
        self._sums = {name: sums.to(device) for name, sums in self._sums.items()}
