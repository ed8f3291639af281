"""Adam for many probes side by side: each with its own learning rate and L2, every update in one pass over memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

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
    fused = getattr(torch, "_fused_adam_", None)
    if fused is None:
        _update_plainly(parameters, gradients, moments, step, learning_rate, decay)
        return
    steps = [torch.tensor(float(step), device=parameters[0].device)] * len(parameters)
    fused(
        list(parameters),
        list(gradients),
        moments.first,
        moments.second,
        [],
        steps,
        lr=learning_rate,
        beta1=BETAS[0],
        beta2=BETAS[1],
        weight_decay=decay,
        eps=EPSILON,
        amsgrad=False,
        maximize=False,
        grad_scale=None,
        found_inf=None,
    )


def _update_plainly(
    parameters: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
    moments: Moments,
    step: int,
    learning_rate: float,
    decay: float,
) -> None:
    for parameter, gradient, first, second in zip(parameters, gradients, moments.first, moments.second, strict=True):
        gradient.add_(parameter, alpha=decay)
        first.lerp_(gradient, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        scale = (second / (1 - BETAS[1] ** step)).sqrt_().add_(EPSILON)
        parameter.addcdiv_(first, scale, value=-learning_rate / (1 - BETAS[0] ** step))
