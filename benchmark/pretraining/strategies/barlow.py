"""Barlow Twins (Zbontar et al. 2021): the cross-correlation of two views' features is to be the identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.networks.heads import NetworkWithHead
from benchmark.pretraining.networks.table import build
from benchmark.pretraining.strategies.contract import Context, Data, PairStrategy, Rows
from benchmark.pretraining.strategies.distributed import Gather, all_gather
from benchmark.pretraining.strategies.multiview import MultiViewRecipe, head_of
from benchmark.pretraining.strategies.recipe import Recipe

#: Weight of the cells off the diagonal, of the original's published code.
OFF_DIAGONAL = 5e-3
#: A feature whose deviation is under this is as good as constant: its correlations are small, and never NaN.
LEAST_DEVIATION = 1e-5


class BarlowRecipe(MultiViewRecipe):
    """The keys of Barlow Twins."""

    objective: Literal["barlow"] = "barlow"
    #: Weight of the squared correlations of different features.
    off_diagonal: float = Field(OFF_DIAGONAL, ge=0)


class Barlow(PairStrategy):
    """Correlations over the pairs of all processes."""

    recipe_class: ClassVar[type[Recipe]] = BarlowRecipe
    recipe: BarlowRecipe

    def __init__(self, recipe: BarlowRecipe, data: Data) -> None:
        """See :class:`benchmark.pretraining.strategies.contract.Strategy`."""
        super().__init__(recipe, data)
        head = head_of(recipe)
        self.model = NetworkWithHead(build(recipe.network, recipe.drop_rate), head)
        self._values: dict[str, Tensor] = {}

    def loss(self, rows: Rows, inputs: Tensor, batch: Batch, context: Context) -> Tensor:  # noqa: ARG002
        """Return :func:`barlow_loss`."""
        first, second = rows.outputs.chunk(2)
        loss, correlations = barlow_loss(first, second, self.recipe.off_diagonal, all_gather)
        on, width = correlations.diagonal(), len(correlations)
        off = (correlations.abs().sum() - on.abs().sum()) / (width * (width - 1))
        self._values = {"correlation/same_feature": on.mean(), "correlation/other_features": off}
        return loss

    def values(self) -> Mapping[str, float | Tensor]:
        """Return the mean correlation of a feature over the views, and the mean absolute one of different features."""
        return self._values


def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return the correlations [D, D] of the features of two views [N, D], by biased deviations.

    Raises:
        ValueError: There is one row, which has no deviation.
    """
    if len(first) < 2:
        raise ValueError("a correlation needs two pairs at least: give a larger batch")
    views = [view - view.mean(dim=0) for view in (first, second)]
    scaled = [view / view.square().mean(dim=0).clamp_min(LEAST_DEVIATION**2).sqrt() for view in views]
    with torch.autocast(device_type=first.device.type, enabled=False):
        return scaled[0].T @ scaled[1] / len(first)


def barlow_loss(
    first: Tensor, second: Tensor, off_diagonal: float = OFF_DIAGONAL, gather: Gather | None = None
) -> tuple[Tensor, Tensor]:
    """Return the loss of the joint batch and its correlations [D, D]: the sum of (1 - c_ii)^2 and of weighted c_ij^2.

    Computed in float32 at least. The published form: sums, not means, and correlations by the number of rows N.

    Args:
        first: [N, D].
        second: [N, D].
        off_diagonal: Weight of the cells off the diagonal.
        gather: Joins the rows of all processes; ``None`` for one.

    Raises:
        ValueError: There is one row.
    """
    dtype = torch.promote_types(first.dtype, torch.float32)
    views = [view.to(dtype) for view in (first, second)]
    one, other = views if gather is None else [gather(view) for view in views]
    found = cross_correlation(one, other)
    on = found.diagonal()
    # Not all squares less those of the diagonal: where these are large beside the rest, the rest would be lost.
    off = found - torch.diag(on)
    return (1 - on).square().sum() + off_diagonal * off.square().sum(), found.detach()
