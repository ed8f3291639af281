"""SimCLR: two views of a track are to be closer than those of any other (McCallum et al. 2022)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.networks.heads import with_projector
from benchmark.pretraining.strategies.contract import Context, Data, PairStrategy, Rows, signal_of
from benchmark.pretraining.strategies.distributed import Gather, all_gather
from benchmark.pretraining.strategies.mixup import mixed
from benchmark.pretraining.strategies.recipe import MixupRecipe, PairRecipe, Recipe

#: Temperature of the cosine similarities in NT-Xent.
TEMPERATURE = 0.1


class SimclrRecipe(PairRecipe, MixupRecipe):
    """The keys of SimCLR."""

    without_effect: ClassVar[frozenset[str]] = frozenset({"labels"})

    objective: Literal["simclr"] = "simclr"
    temperature: float = Field(TEMPERATURE, gt=0)
    #: Other pairs of an anchor's own track, which a batch may hold: negatives, as in the paper, or masked.
    same_track: Literal["negatives", "masked"] = "negatives"


class Simclr(PairStrategy):
    """NT-Xent on a projector, over the views of all processes."""

    recipe_class: ClassVar[type[Recipe]] = SimclrRecipe
    chunkable: ClassVar[bool] = True
    recipe: SimclrRecipe

    def __init__(self, recipe: SimclrRecipe, data: Data) -> None:
        """See :class:`benchmark.pretraining.strategies.contract.Strategy`."""
        super().__init__(recipe, data)
        self.model = with_projector(
            recipe.network, recipe.drop_rate, recipe.projection, recipe.projector_width, recipe.projector_layers
        )

    def inputs(self, batch: Batch, context: Context) -> Tensor:
        """Return both views, each mixed by draws of its own where the recipe says so."""
        rng = context.rng(batch.step)
        views = (context.tensor(view).float() for view in signal_of(batch, self.recipe.network))
        return torch.cat([mixed(self.recipe, rng, view)[0] for view in views])

    def loss(self, rows: Rows, inputs: Tensor, batch: Batch, context: Context) -> Tensor:  # noqa: ARG002
        """Return NT-Xent of the projections."""
        tracks = None
        if self.recipe.same_track == "masked":
            tracks = all_gather(context.tensor(batch.rows if batch.tracks is None else batch.tracks))
        first, second = rows.outputs.chunk(2)
        return nt_xent(first, second, self.recipe.temperature, all_gather, context.rank, tracks)


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
        gather: See :func:`benchmark.pretraining.strategies.distributed.all_gather`; ``None`` for one process.
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
