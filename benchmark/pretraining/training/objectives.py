"""What pre-training minimises: supervised cross-entropy over labels, NT-Xent over pairs, and mixup of log-mels.

Pure functions with the constants of McCallum et al. 2022 as defaults. Where the paper is silent: mixup forms
``gain * x + (1 - gain) * x[partner]`` of raw log-mels, before their standardisation; soft labels are not clipped; the
two views of a SimCLR batch draw their partners and gains independently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

#: Temperature of the cosine similarities in NT-Xent.
TEMPERATURE = 0.1
#: Beta distribution of mixup's gains: mean 5/7, variance 0.0255.
MIXUP_ALPHA, MIXUP_BETA = 5.0, 2.0


class Gather(Protocol):
    """Puts the rows of all processes one below the other, with gradients; for one process the identity."""

    def __call__(self, rows: Tensor) -> Tensor:
        """Map rows [N, D] to [W * N, D], those of process r from row r * N on."""


def supervised_loss(logits: Tensor, labels: Tensor, scale: Tensor | None = None) -> Tensor:
    """Return the binary cross-entropy of sigmoids, the mean over N examples and K labels, in float32 at least.

    Args:
        logits: [N, K].
        labels: [N, K] in [0, 1]; soft where mixup mixed them.
        scale: With it labels may be NaN, where they are not known: these add 0, and the mean is multiplied by it, so
            that with :func:`share_known` it is the mean over the known ones. ``None`` takes all for known.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    if scale is None:
        return functional.binary_cross_entropy_with_logits(logits.to(dtype), labels.to(dtype))
    known = ~torch.isnan(labels)
    targets = torch.where(known, labels, 0.0).to(dtype)
    each = functional.binary_cross_entropy_with_logits(logits.to(dtype), targets, reduction="none")
    return torch.where(known, each, 0.0).mean() * scale


def share_known(labels: Tensor, mean: Callable[[Tensor], Tensor] = lambda value: value) -> Tensor:
    """Return one over the share of ``labels`` [N, K] that is not NaN, and 0 where none is known.

    Args:
        labels: Those of this process.
        mean: Takes the mean over processes, so that all have the scale of the joint batch.
    """
    share = mean((~torch.isnan(labels)).to(torch.float32).mean())
    return torch.where(share > 0, 1 / share.clamp_min(torch.finfo(torch.float32).tiny), 0.0)


def nt_xent(
    first: Tensor,
    second: Tensor,
    temperature: float = TEMPERATURE,
    gather: Gather | None = None,
    rank: int = 0,
    tracks: Tensor | None = None,
) -> Tensor:
    """Return the normalised temperature-scaled cross-entropy of pairs, the mean over this process's 2N anchors.

    Row i of ``first`` and of ``second`` are two views of one track. Similarities are cosines; an anchor's negatives are
    all other 2 W N - 2 rows of all W processes. With ``gather``, the mean over processes of this value is the loss of
    the joint batch, and so is the mean of its gradients, which is what distributed data parallel training takes.

    Computed in float32 at least. MULE's published code has twice this value, the paper's formula the sum over anchors.

    Args:
        first: [N, D].
        second: [N, D].
        temperature: Divides the cosines.
        gather: See :func:`benchmark.pretraining.training.distributed.all_gather`; ``None`` for one process.
        rank: Index of this process among those that ``gather`` joins.
        tracks: int64 [W * N], the number of the track of each pair of all processes: pairs of the anchor's own track
            are no negatives then. ``None`` leaves them negatives, as the paper does.

    Raises:
        ValueError: The views differ in shape, or are no rows.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"views have the shapes {list(first.shape)} and {list(second.shape)}: expected [N, D] twice")
    dtype = torch.promote_types(first.dtype, torch.float32)
    views = [functional.normalize(view.to(dtype), dim=1) for view in (first, second)]
    everywhere = views if gather is None else [gather(view) for view in views]
    count, total = len(first), len(everywhere[0])
    anchors, columns = torch.cat(views), torch.cat(everywhere)
    with torch.autocast(device_type=first.device.type, enabled=False):
        logits = anchors @ columns.T / temperature
    own = torch.arange(count, device=first.device) + rank * count
    itself, positive = torch.cat([own, own + total]), torch.cat([own + total, own])
    mask = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, itself[:, None], True)
    if tracks is not None:
        both = tracks.to(first.device).repeat(2)
        mask |= (both[itself, None] == both).scatter_(1, positive[:, None], False)
    return functional.cross_entropy(logits.masked_fill(mask, -torch.inf), positive)


def draw_mixup(
    rng: np.random.Generator, examples: int, alpha: float = MIXUP_ALPHA, beta: float = MIXUP_BETA
) -> tuple[Tensor, Tensor]:
    """Return the gain [N] float32 and the partner [N] int64 of each of N examples."""
    gains = torch.from_numpy(rng.beta(alpha, beta, examples).astype(np.float32))
    return gains, torch.from_numpy(rng.permutation(examples))


def mixup(values: Tensor, gains: Tensor, partners: Tensor) -> Tensor:
    """Return ``gain * x + (1 - gain) * x[partner]`` of features or labels [N, ...], with gains [N]."""
    gains = gains.to(values).reshape(-1, *[1] * (values.ndim - 1))
    return gains * values + (1 - gains) * values[partners.to(values.device)]
