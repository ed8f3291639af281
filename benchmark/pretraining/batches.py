"""The batches of a recipe from a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.pretraining.data.sampling import Sampler
from benchmark.pretraining.data.store import Store
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.strategies.table import strategy_class

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def sampler_of(recipe: Recipe, store: Store, fabric: Fabric | None = None) -> Sampler:
    """Return the batches of a recipe from a store, those of one process where ``fabric`` has several.

    Raises:
        UserError: They do not fit: see :class:`benchmark.pretraining.data.sampling.Sampler`.
    """
    views = strategy_class(recipe.objective).views(recipe)
    return Sampler(
        store,
        batch=recipe.batch,
        seed=recipe.seed,
        frames=recipe.frames,
        pairs=views.pairs,
        labels=views.labels,
        signals=views.signals,
        captions=views.captions,
        precision="float32" if fabric is None or fabric.device.type == "cpu" else "float16",
        rank=0 if fabric is None else fabric.global_rank,
        world=1 if fabric is None else fabric.world_size,
    )
