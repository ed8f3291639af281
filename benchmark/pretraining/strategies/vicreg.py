"""VICReg (Bardes et al. 2022): views are to agree, features are to vary, and not to covary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.networks.heads import NetworkWithHead
from benchmark.pretraining.networks.table import build
from benchmark.pretraining.strategies.contract import Context, Data, PairStrategy, Rows
from benchmark.pretraining.strategies.distributed import Gather, all_gather
from benchmark.pretraining.strategies.multiview import MultiViewRecipe, head_of
from benchmark.pretraining.strategies.recipe import Recipe

#: Weights of the three terms, and what is added to a variance before its root: the original's.
INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0
EPSILON = 1e-4


class VicregRecipe(MultiViewRecipe):
    """The keys of VICReg: the weights of its terms."""

    objective: Literal["vicreg"] = "vicreg"
    invariance: float = Field(INVARIANCE, ge=0)
    variance: float = Field(VARIANCE, ge=0)
    covariance: float = Field(COVARIANCE, ge=0)


class Vicreg(PairStrategy):
    """Variances and covariances over the pairs of all processes."""

    recipe_class: ClassVar[type[Recipe]] = VicregRecipe
    recipe: VicregRecipe

    def __init__(self, recipe: VicregRecipe, data: Data) -> None:
        """See :class:`benchmark.pretraining.strategies.contract.Strategy`."""
        super().__init__(recipe, data)
        head = head_of(recipe)
        self.model = NetworkWithHead(build(recipe.network, recipe.drop_rate), head)
        self._values: dict[str, Tensor] = {}

    def loss(self, rows: Rows, inputs: Tensor, batch: Batch, context: Context) -> Tensor:  # noqa: ARG002
        """Return the weighted sum of :func:`vicreg_terms`."""
        first, second = rows.outputs.chunk(2)
        terms, recipe = vicreg_terms(first, second, all_gather), self.recipe
        self._values = {f"loss/{name}": term.detach() for name, term in terms._asdict().items()}
        return terms.weighted(recipe.invariance, recipe.variance, recipe.covariance)

    def values(self) -> Mapping[str, float | Tensor]:
        """Return the three terms, without their weights."""
        return self._values


class Terms(NamedTuple):
    """The three terms, without their weights.

    Attributes:
        invariance: Mean squared difference of the views.
        variance: How far deviations are under 1: the mean over features and the mean of both views.
        covariance: Squared covariances of different features, over their number: the sum of both views.
    """

    invariance: Tensor
    variance: Tensor
    covariance: Tensor

    def weighted(
        self, invariance: float = INVARIANCE, variance: float = VARIANCE, covariance: float = COVARIANCE
    ) -> Tensor:
        """Return the loss: the weighted sum."""
        return invariance * self.invariance + variance * self.variance + covariance * self.covariance


def vicreg_terms(first: Tensor, second: Tensor, gather: Gather | None = None) -> Terms:
    """Return the terms of the joint batch, in float32 at least.

    Args:
        first: [N, D].
        second: [N, D].
        gather: Joins the rows of all processes; ``None`` for one.

    Raises:
        ValueError: There is one row, which has no covariance.
    """
    dtype = torch.promote_types(first.dtype, torch.float32)
    views = [view.to(dtype) for view in (first, second)]
    views = views if gather is None else [gather(view) for view in views]
    if len(views[0]) < 2:
        raise ValueError("a covariance needs two pairs at least: give a larger batch")
    invariance = functional.mse_loss(views[0], views[1])
    variance, covariance = torch.zeros_like(invariance), torch.zeros_like(invariance)
    for view in views:
        centred = view - view.mean(dim=0)
        with torch.autocast(device_type=view.device.type, enabled=False):
            found = centred.T @ centred / (len(view) - 1)
        variances = found.diagonal()
        variance = variance + functional.relu(1 - (variances + EPSILON).sqrt()).mean() / 2
        # Not all squares less those of the diagonal, which loses digits.
        covariance = covariance + (found - torch.diag(variances)).square().sum() / view.shape[1]
    return Terms(invariance, variance, covariance)
