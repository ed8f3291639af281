"""Mixup of log-mels: ``gain * x + (1 - gain) * x[partner]``, a gain from a Beta distribution for each example.

The constants are those of McCallum et al. 2022. Where the paper is silent: raw log-mels are mixed, before their
standardisation; soft labels are not clipped; the two views of a SimCLR batch draw their partners and gains
independently.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmark.pretraining.strategies.recipe import MixupRecipe

#: Beta distribution of the gains: mean 5/7, variance 0.0255.
MIXUP_ALPHA, MIXUP_BETA = 5.0, 2.0


def mixed(
    recipe: MixupRecipe, rng: np.random.Generator, values: Tensor, labels: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Return features [N, ...] and labels [N, K], mixed by draws of ``rng`` where the recipe says so."""
    if not recipe.mixup:
        return values, labels
    gains, partners = draw_mixup(rng, len(values), recipe.mixup_alpha, recipe.mixup_beta)
    return mixup(values, gains, partners), None if labels is None else mixup(labels, gains, partners)


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
