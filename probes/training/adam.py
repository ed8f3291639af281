"""Adam for many probes of one batch: each probe has a learning rate and an L2 of its own.

torch's fused kernel is called without ``torch.optim.Adam`` around it. The weights are the same to the last bit; the
optimiser, with two parameter groups for each probe, makes a step of eight linear probes take 1.15 to 1.30 times as long
(``taskset -c 1 python tests/perf/probe_libraries.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.adam import adam

BETAS = (0.9, 0.999)
EPSILON = 1e-7  # Keras', which the paper used


@dataclass
class Moments:
    """The running means of the gradients and of their squares, one tensor for each parameter."""

    first: list[torch.Tensor]
    second: list[torch.Tensor]

    @classmethod
    def zeros(cls, parameters: Sequence[torch.Tensor]) -> Moments:
        """Return the moments of parameters that have not been updated yet."""
        return cls([torch.zeros_like(p) for p in parameters], [torch.zeros_like(p) for p in parameters])


def update(
    parameters: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
    moments: Moments,
    *,
    step: int,
    learning_rate: float,
    decay: float,
) -> None:
    """Update ``parameters`` in place.

    Args:
        parameters: Contiguous float32 tensors.
        gradients: Their gradients; the caller does not need them afterwards.
        moments: Their moments, updated in place.
        step: The number of this update, from 1.
        learning_rate: Its learning rate.
        decay: ``decay * parameter`` is added to the gradient; ``2 * l2`` gives the gradient of ``l2 * sum(W^2)``.
    """
    tensors = list(parameters), list(gradients), moments.first, moments.second, list[torch.Tensor]()
    device = parameters[0].device
    numbers: dict[str, Any] = {
        "lr": learning_rate, "beta1": BETAS[0], "beta2": BETAS[1], "weight_decay": decay, "eps": EPSILON,
    }  # fmt: skip
    fused = getattr(torch, "_fused_adam_", None)
    if fused is not None:
        steps = [torch.tensor(float(step), device=device)] * len(parameters)
        fused(*tensors, steps, **numbers, amsgrad=False, maximize=False, grad_scale=None, found_inf=None)
    else:  # a build of torch without it; this function counts the step itself
        steps = [torch.tensor(step - 1.0, device=device) for _ in parameters]
        adam(*tensors, steps, **numbers, amsgrad=False, maximize=False)
