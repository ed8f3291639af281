"""A teacher: the exponential moving average of a student, in float32, without gradients.

Parameters and floating buffers (running statistics) are averaged alike; integer buffers (counts of batches) are copied.
The teacher is not trained, so neither dropout nor stochastic depth acts in it; its batch normalisation takes the
statistics of the batch, as the student's does, and its own running statistics move with the average alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.pretraining.networks.batch_norm import BatchNorm


def momentum_at(step: int, steps: int, start: float) -> float:
    """Return the share of itself that the teacher keeps behind a step: a cosine from ``start`` to 1 over the steps.

    >>> momentum_at(0, 100, 0.996), momentum_at(100, 100, 0.996)
    (0.996, 1.0)
    """
    return 1 - (1 - start) * (math.cos(math.pi * min(step / steps, 1.0)) + 1) / 2


class Teacher:
    """The average of a student's weights.

    Attributes:
        module: Of the student's kind; not part of what is trained.
    """

    def __init__(self, student: nn.Module) -> None:
        """Copy a student, whose weights are drawn."""
        self.module: Any = copy.deepcopy(student).requires_grad_(False)
        for tensor in (*self.module.parameters(), *self.module.buffers()):
            if tensor.is_floating_point():  # 1 - 0.996 is nothing beside 1 in half precision
                tensor.data = tensor.data.to(torch.promote_types(tensor.dtype, torch.float32))
        self.module.eval()
        for part in self.module.modules():
            if isinstance(part, BatchNorm):
                part.train()
                part.momentum = 0.0

    @torch.no_grad()
    def __call__(self, *signals: Tensor) -> Tensor:
        """Return what the module makes of signals."""
        found: Tensor = self.module(*signals)
        return found

    @torch.no_grad()
    def follow(self, student: nn.Module, momentum: float) -> None:
        """Keep the share ``momentum`` of every number, and take the rest from the student: 1 keeps all, 0 copies."""
        own, new = _tensors(self.module), _tensors(student)
        floating = [name for name, tensor in own.items() if tensor.is_floating_point()]
        # The student's may be of lower precision; then this converts, and else it is the tensor itself.
        towards = [new[name].to(own[name].dtype) for name in floating]
        torch._foreach_lerp_([own[name] for name in floating], towards, 1 - momentum)
        for name in own.keys() - set(floating):
            own[name].copy_(new[name])

    def state(self) -> dict[str, Any]:
        """Return its tensors by name."""
        return dict(self.module.state_dict())

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        self.module.load_state_dict(state)

    def to(self, device: torch.device) -> None:
        """Move it, into the order in memory in which convolutions are fastest."""
        self.module.to(device=device, memory_format=torch.channels_last)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}
