"""Batches larger than a device: rows of all processes with gradients, and gradients in chunks.

An accumulated gradient is that of the joint batch only where the loss is a mean over examples. NT-Xent is not: every
row is a negative of every other. :func:`cached_gradients` computes all rows without a graph, the gradient of the loss
with respect to them, and then each chunk's share with a graph: exactly the gradient of the joint batch (Gao et al.,
2021), for one more forward pass, in the memory of one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

#: Embeds a chunk of inputs. It must return the same for the same index and chunk: random draws are seeded by the index.
Forward = Callable[[int, Tensor], Tensor]


class Gather(Protocol):
    """Puts the rows of all processes one below the other, with gradients; for one process the identity."""

    def __call__(self, rows: Tensor) -> Tensor:
        """Map rows [N, D] to [W * N, D], those of process r from row r * N on."""


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        context.count = len(rows)
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)  # each process's loss depends on these rows
        start = dist.get_rank() * context.count
        return total[start : start + context.count]


def all_gather(rows: Tensor) -> Tensor:
    """Return the rows [N, D] of all W processes as [W * N, D]; their gradients flow back to where they came from.

    Every process must have N rows. Without a process group this is the identity.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    return _AllGather.apply(rows)  # type: ignore[no-untyped-call]


def cached_gradients(
    inputs: Tensor,
    chunk: int,
    forward: Forward,
    loss_of: Callable[[Tensor], Tensor],
    backward: Callable[[Tensor], None],
    unsynchronised: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> tuple[Tensor, Tensor]:
    """Add the gradient of ``loss_of(forward(inputs))`` to the parameters' gradients, ``chunk`` rows at a time.

    Args:
        inputs: [N, ...].
        chunk: Most rows that have a graph at any time.
        forward: Called twice for each chunk, with its index: rows of :attr:`inputs` to rows of the loss's argument.
        loss_of: All rows [N, D] to a scalar.
        backward: Back-propagates a scalar, as ``fabric.backward`` does.
        unsynchronised: Context for all chunks but the last, in which gradients are not exchanged between processes.

    Returns:
        The loss and the rows [N, D], both detached.
    """
    chunks = torch.split(inputs, chunk)
    with torch.no_grad():
        rows = torch.cat([forward(i, part) for i, part in enumerate(chunks)])
    rows.requires_grad_()
    loss = loss_of(rows)
    (gradient,) = torch.autograd.grad(loss, rows)
    for i, (part, share) in enumerate(zip(chunks, torch.split(gradient, chunk), strict=True)):
        last = i == len(chunks) - 1
        with nullcontext() if last else unsynchronised():
            # The scalar whose gradient in the parameters is the chunk's share of the loss's.
            backward((forward(i, part) * share).sum())
    return loss.detach(), rows.detach()


def accumulated_gradients(
    inputs: Tensor,
    targets: Tensor,
    chunk: int,
    forward: Forward,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    backward: Callable[[Tensor], None],
    unsynchronised: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> tuple[Tensor, Tensor]:
    """Add the gradient of a loss that is a mean over examples, ``chunk`` examples at a time.

    Args:
        inputs: [N, ...].
        targets: [N, K].
        chunk: Most examples that have a graph at any time.
        forward: See :func:`cached_gradients`; called once for each chunk.
        loss_of: Rows [n, D] and targets [n, K] to their mean loss.
        backward: See :func:`cached_gradients`.
        unsynchronised: See :func:`cached_gradients`.

    Returns:
        The loss over all examples and the rows [N, D], both detached.
    """
    parts: Sequence[tuple[Tensor, Tensor]] = list(
        zip(torch.split(inputs, chunk), torch.split(targets, chunk), strict=True)
    )
    total, rows = torch.zeros((), device=inputs.device), []
    for i, (part, wanted) in enumerate(parts):
        with nullcontext() if i == len(parts) - 1 else unsynchronised():
            found = forward(i, part)
            loss = loss_of(found, wanted) * (len(part) / len(inputs))
            backward(loss)
        total = total + loss.detach()
        rows.append(found.detach())
    return total, torch.cat(rows)
