"""What a way of pre-training is: what it draws of each track, what it trains, and the gradients of a step.

The trainer knows no strategy by name. It draws batches of a strategy's :class:`Views`, calls
:meth:`Strategy.backward`, updates the weights, and calls :meth:`Strategy.after_update`. Nothing random is kept between
steps: draws are of the seed, the step and the process (:class:`Context`). So all that a checkpoint needs is the
model's weights, the optimiser, and :meth:`Strategy.state`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.pretraining.data.sampling import Batch, Pairs
from benchmark.pretraining.data.store import Store
from benchmark.pretraining.networks.heads import NetworkWithHead
from benchmark.pretraining.networks.table import NETWORKS, Signal
from benchmark.pretraining.strategies.distributed import cached_gradients
from benchmark.pretraining.strategies.recipe import PairRecipe, Recipe


@dataclass(frozen=True)
class Views:
    """What a batch holds of each track.

    Attributes:
        pairs: How the two crops of a track lie; ``None`` draws one.
        labels: Whether it has labels.
        captions: Whether it has captions.
        signals: What of a crop is read from the store.
    """

    pairs: Pairs | None = None
    labels: bool = False
    captions: bool = False
    signals: frozenset[Signal] = frozenset({"log-mel"})


@dataclass(frozen=True)
class Data:
    """What of a store decides the shape of what is trained.

    Attributes:
        labels: Labels of a track, where :attr:`Views.labels`.
        captions: The distinct captions of the store, where :attr:`Views.captions`.
    """

    labels: int | None = None
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What the trainer lends a strategy.

    Attributes:
        module: The strategy's model as it is to be called: wrapped for several processes, compiled where asked.
        device: Where batches go.
        run_seed: The recipe's seed.
        rank: The number of this process.
        world: The number of processes.
        backward: In place of a loss's own ``backward``.
        mean: Takes the mean of a tensor over processes, without gradient.
        unsynchronised: Context in which gradients are not exchanged between processes.
        autocast: Context of the recipe's precision, which ``module`` has already: for what is not trained.
    """

    module: Callable[..., Any]
    device: torch.device
    run_seed: int
    rank: int = 0
    world: int = 1
    backward: Callable[[Tensor], None] = torch.Tensor.backward
    mean: Callable[[Tensor], Tensor] = lambda value: value
    unsynchronised: Callable[[], AbstractContextManager[Any]] = nullcontext
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext

    def rng(self, step: int) -> np.random.Generator:
        """Return the draws of this process in a step."""
        return np.random.default_rng([self.run_seed, step, self.rank])

    def seed(self, step: int, index: int = 0) -> None:
        """Seed torch's generator for one call of the module: ``index`` counts the calls of a step."""
        words = np.random.SeedSequence((self.run_seed, step, self.rank, index)).generate_state(1, np.uint64)
        torch.manual_seed(int(words[0] >> np.uint64(1)))

    def tensor(self, values: np.ndarray) -> Tensor:
        """Return an array on the device."""
        return torch.from_numpy(values).to(self.device)


@dataclass(frozen=True)
class StepOutcome:
    """What a step gave, all of it detached.

    Attributes:
        loss: Of this process.
        embeddings: Of this process, [N, dim].
        values: More numbers for the log, by name.
    """

    loss: Tensor
    embeddings: Tensor
    values: Mapping[str, float | Tensor] = field(default_factory=dict)


class Strategy(ABC):
    """A way of pre-training.

    Attributes:
        model: All that is trained; its ``network`` is what is exported.
    """

    recipe_class: ClassVar[type[Recipe]]
    #: Whether a recipe's ``chunk`` leaves the gradients of the joint batch what they are.
    chunkable: ClassVar[bool] = False
    model: nn.Module

    @classmethod
    @abstractmethod
    def views(cls, recipe: Any) -> Views:
        """Return what a batch holds."""

    @classmethod
    def check(cls, recipe: Any, store: Store) -> None:
        """See whether a store does, beyond its :meth:`views`, before anything is built.

        Raises:
            UserError: It does not.
        """

    @abstractmethod
    def __init__(self, recipe: Any, data: Data) -> None:
        """Build the model; torch's generator is seeded by the recipe."""

    @abstractmethod
    def backward(self, batch: Batch, context: Context) -> StepOutcome:
        """Add the gradients of a step to the parameters' own, and change no weights."""

    def begun(self) -> None:
        """Take notice that the network has begun with given weights: a teacher follows."""

    def after_update(self, step: int) -> None:
        """Do what follows the update of the weights in a step: a teacher, a centre."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs beside model and optimiser: tensors and plain values, nested."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` returned."""

    def to(self, device: torch.device) -> None:
        """Move what is not part of the model."""


@dataclass(frozen=True)
class Rows:
    """What a model makes of both views of a batch: of first views, then of second ones.

    Attributes:
        embeddings: [2N, dim].
        outputs: Of the head, [2N, D].
    """

    embeddings: Tensor
    outputs: Tensor


class PairStrategy(Strategy):
    """A strategy of two views: one call of the model for both, and a loss of its outputs."""

    recipe_class: ClassVar[type[Recipe]] = PairRecipe
    model: NetworkWithHead

    @classmethod
    def views(cls, recipe: Any) -> Views:
        """Return two crops, as the recipe lays them, of the network's signal."""
        return Views(Pairs(recipe.pairs, recipe.pair_seconds), signals=frozenset({NETWORKS[recipe.network].signal}))

    @abstractmethod
    def loss(self, rows: Rows, inputs: Tensor, batch: Batch, context: Context) -> Tensor:
        """Return the loss of this process, such that its mean over processes is that of the joint batch.

        Args:
            rows: What the model made of the views.
            inputs: Of it, [2N, ...]: for a teacher.
            batch: The batch.
            context: Where rows are gathered from, and which step it is.
        """

    def inputs(self, batch: Batch, context: Context) -> Tensor:
        """Return first and second views, one below the other, float32 on the device."""
        return torch.cat([context.tensor(view).float() for view in signal_of(batch, self.recipe.network)])

    def values(self) -> Mapping[str, float | Tensor]:
        """Return more numbers of the last step for the log."""
        return {}

    def __init__(self, recipe: Any, data: Data) -> None:
        """See :class:`Strategy`."""
        del data
        self.recipe = recipe

    def backward(self, batch: Batch, context: Context) -> StepOutcome:
        """See :class:`Strategy`; in chunks, gradients are cached: they are those of the joint batch."""
        inputs = self.inputs(batch, context)
        chunk = self.recipe.chunk or len(inputs)

        def forward(index: int, part: Tensor) -> Tensor:
            context.seed(batch.step, index)
            rows: Tensor = context.module(part)
            return rows

        def loss_of(rows: Tensor) -> Tensor:
            return self.loss(Rows(*self.model.parts(rows)), inputs, batch, context)

        if chunk < len(inputs):
            loss, rows = cached_gradients(inputs, chunk, forward, loss_of, context.backward, context.unsynchronised)
        else:
            rows = forward(0, inputs)
            loss = loss_of(rows)
            context.backward(loss)
        return StepOutcome(loss.detach(), self.model.parts(rows.detach())[0], self.values())


def signal_of(batch: Batch, network: str) -> tuple[np.ndarray, ...]:
    """Return the views of a batch, first and second, as the network ``network`` takes them."""
    views = batch.waveforms if NETWORKS[network].signal == "waveform" else (batch.first, batch.second)
    return tuple(view for view in views if view is not None)


def make_strategy(kind: type[Strategy], recipe: Recipe, data: Data) -> Strategy:
    """Return a strategy whose weights are drawn from the recipe's seed; torch's own generator is left as it was.

    Raises:
        UserError: The recipe asks for chunks, and the strategy's gradients would not be those of the joint batch.
    """
    if recipe.chunk is not None and not kind.chunkable:
        raise UserError(
            f"the objective {recipe.objective!r} cannot take a step in chunks: its loss has statistics of the whole "
            "batch",
            "leave chunk out, or choose a smaller batch",
        )
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return kind(recipe, data)
