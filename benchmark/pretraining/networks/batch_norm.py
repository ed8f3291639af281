"""Batch normalisation whose training statistics are of the rows of all processes, on any device.

torch's own synchronised one refuses CPU tensors. Here the forward pass gathers the mean and the variance of each
process, and the backward pass the mean of two gradients, with whatever backend the process group has (gloo, NCCL). In
one process it is torch's batch normalisation to the bit.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional


def processes() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class BatchNorm(nn.Module):
    """Normalise each channel of [N, C] or [N, C, ...] over all rows and positions of all processes.

    Statistics are in float32 at least, whatever the precision of the rows; running ones are as torch's: the variance is
    the unbiased one. Every process must have as many rows.

    Attributes:
        momentum: Share of a batch in the running statistics; 0 leaves these, and the count of batches, as they are.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.int64))

    def forward(self, rows: Tensor) -> Tensor:
        """Return rows of the same shape and type.

        Raises:
            ValueError: In training, there is one value a channel, of which no variance can be taken.
        """
        world = processes() if self.training else 1
        count = world * rows.numel() // max(1, rows.shape[1])
        if self.training and count < 2:
            raise ValueError(f"batch normalisation of the shape {list(rows.shape)}: give a batch of 2 at least")
        with torch.autocast(device_type=rows.device.type, enabled=False):
            exact = rows.to(torch.promote_types(rows.dtype, torch.float32))
            if self.training and self.momentum:
                self.num_batches_tracked.add_(1)
            if world == 1:
                found = functional.batch_norm(
                    exact, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum,
                    self.eps,
                )  # fmt: skip
            else:
                found, mean, variance = _Normalise.apply(exact, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
                with torch.no_grad():
                    self.running_mean.lerp_(mean, self.momentum)
                    self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return found.to(rows.dtype)


class _Normalise(torch.autograd.Function):
    """Rows [N, C, ...] normalised by the joint mean and variance, which are returned too."""

    @staticmethod
    def forward(context: Any, rows: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        variance, mean = torch.var_mean(rows, _all_but_channels(rows), correction=0)
        own = torch.stack([mean, variance])
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own)
        means, variances = torch.stack(parts, dim=1)
        mean = means.mean(0)
        # Not the mean of squares less the square of the mean, which loses digits where the mean is large.
        variance = (variances + (means - mean).square()).mean(0)
        scale = torch.rsqrt(variance + eps)
        context.save_for_backward(rows, weight, mean, scale)
        context.mark_non_differentiable(mean, variance)
        shape = _shape(rows)
        normal = (rows - mean.view(shape)) * scale.view(shape)
        return torch.addcmul(bias.view(shape), normal, weight.view(shape)), mean, variance

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        rows, weight, mean, scale = context.saved_tensors
        gradient, dims, shape = gradients[0], _all_but_channels(rows), _shape(rows)
        normal = (rows - mean.view(shape)) * scale.view(shape)
        of_bias, of_weight = gradient.sum(dims), (gradient * normal).sum(dims)
        joint = torch.stack([of_bias, of_weight])
        dist.all_reduce(joint)  # the losses of all processes depend on the joint mean and variance
        joint /= dist.get_world_size() * (rows.numel() // rows.shape[1])
        of_rows = (gradient - joint[0].view(shape) - normal * joint[1].view(shape)) * (scale * weight).view(shape)
        return of_rows, of_weight, of_bias, None


def _all_but_channels(rows: Tensor) -> list[int]:
    return [0, *range(2, rows.ndim)]


def _shape(rows: Tensor) -> list[int]:
    return [1, -1, *[1] * (rows.ndim - 2)]


class NormalisedHead(nn.Sequential):
    """Linear layers without biases, with batch normalisation and ReLU between them: [N, widths[0]] to [N, widths[-1]].

    The head of Meseguer-Brocal et al. 2024 and of the methods that they compare.
    """

    def __init__(self, *widths: int) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths[:-1]):
            layers += [nn.Linear(inputs, outputs, bias=False), BatchNorm(outputs), nn.ReLU()]
        super().__init__(*layers, nn.Linear(widths[-2], widths[-1], bias=False))
