"""What the methods of Meseguer-Brocal et al. 2024 share: two crops, a network, a head with batch normalisation.

Both views go through the model in one call, so that its batch normalisation takes the statistics of both, over all
processes. The views are alike in distribution: of the original methods' statistics a view these differ by chance alone.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from benchmark.pretraining.networks.batch_norm import NormalisedHead
from benchmark.pretraining.networks.table import NETWORKS
from benchmark.pretraining.strategies.recipe import PairRecipe


class MultiViewRecipe(PairRecipe):
    """The keys of all; the defaults are the paper's, where it states them."""

    #: Crops of the paper: 4 s, at least 4 s apart.
    frames: int = Field(400, ge=16)
    pairs: Literal["within", "clip", "apart"] = "apart"
    pair_seconds: float = Field(4.0, gt=0)
    drop_rate: float = Field(0.0, ge=0, lt=1)
    #: The head: projector_layers hidden layers of projector_width, then one of projection, without biases.
    projector_width: int = Field(1024, ge=1)
    projector_layers: int = Field(2, ge=0)
    projection: int = Field(2048, ge=2)


class TeacherRecipe(MultiViewRecipe):
    """The keys of methods with a teacher."""

    #: Share of itself that the teacher keeps behind step 0; a cosine takes it to 1 at the last step.
    teacher_momentum: float = Field(0.996, ge=0, le=1)


def head_of(recipe: MultiViewRecipe) -> NormalisedHead:
    """Return the head of a recipe on its network, with drawn weights."""
    hidden = [recipe.projector_width] * recipe.projector_layers
    return NormalisedHead(NETWORKS[recipe.network].dim, *hidden, recipe.projection)
