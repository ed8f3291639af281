"""Supervised pre-training: sigmoids and binary cross-entropy over a store's labels (McCallum et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from benchmark.errors import UserError
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.data.store import Store
from benchmark.pretraining.networks.heads import NetworkWithHead, with_projector
from benchmark.pretraining.networks.table import NETWORKS
from benchmark.pretraining.strategies.contract import Context, Data, StepOutcome, Strategy, Views, signal_of
from benchmark.pretraining.strategies.distributed import accumulated_gradients
from benchmark.pretraining.strategies.mixup import mixed
from benchmark.pretraining.strategies.recipe import MixupRecipe, Recipe


class SupervisedRecipe(MixupRecipe):
    """The keys of supervised pre-training."""

    without_effect: ClassVar[frozenset[str]] = frozenset(
        {"projection", "temperature", "pairs", "pair_seconds", "same_track"}
    )

    objective: Literal["supervised"] = "supervised"
    projector_width: int = Field(4096, ge=1)
    projector_layers: int = Field(3, ge=0)
    #: Labels that the store must have; none takes as many as it has.
    labels: int | None = Field(None, ge=1)


class Supervised(Strategy):
    """One crop a track, and a logit a label."""

    recipe_class: ClassVar[type[Recipe]] = SupervisedRecipe
    chunkable: ClassVar[bool] = True
    model: NetworkWithHead

    @classmethod
    def views(cls, recipe: SupervisedRecipe) -> Views:
        """Return one crop with labels."""
        return Views(labels=True, signals=frozenset({NETWORKS[recipe.network].signal}))

    @classmethod
    def check(cls, recipe: SupervisedRecipe, store: Store) -> None:
        """See whether the store has as many labels as the recipe expects.

        Raises:
            UserError: It has not.
        """
        count = len(store.labels or ())
        if recipe.labels not in (None, count):
            raise UserError(
                f"the recipe expects {recipe.labels} labels, and the store {store.path} has {count}",
                f"give another store, or labels={count}",
            )

    def __init__(self, recipe: SupervisedRecipe, data: Data) -> None:
        """See :class:`benchmark.pretraining.strategies.contract.Strategy`."""
        assert data.labels is not None
        self.recipe = recipe
        self.model = with_projector(
            recipe.network, recipe.drop_rate, data.labels, recipe.projector_width, recipe.projector_layers
        )

    def inputs(self, batch: Batch, context: Context) -> tuple[Tensor, Tensor]:
        """Return crops and labels on the device, mixed where the recipe says so."""
        assert batch.labels is not None
        (crops,) = signal_of(batch, self.recipe.network)
        labels = context.tensor(batch.labels)
        inputs, mixed_labels = mixed(self.recipe, context.rng(batch.step), context.tensor(crops).float(), labels)
        assert mixed_labels is not None
        return inputs, mixed_labels

    def backward(self, batch: Batch, context: Context) -> StepOutcome:
        """Accumulate the gradients of chunks: the loss is a mean over examples."""
        inputs, labels = self.inputs(batch, context)
        scale = share_known(labels, context.mean) if batch.masked else None

        def forward(index: int, part: Tensor) -> Tensor:
            context.seed(batch.step, index)
            rows: Tensor = context.module(part)
            return rows

        def loss_of(rows: Tensor, wanted: Tensor, scale: Tensor | None) -> Tensor:
            return supervised_loss(self.model.parts(rows)[1], wanted, scale)

        loss, rows = accumulated_gradients(
            inputs, labels, self.recipe.chunk or len(inputs), forward, partial(loss_of, scale=scale),
            context.backward, context.unsynchronised,
        )  # fmt: skip
        return StepOutcome(loss, self.model.parts(rows)[0])


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
