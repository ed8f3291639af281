"""Multi-task pre-training: small workers predict hand-made features from the encoder's frames.

In the manner of Wu et al. 2021, whose workers, weightings, encoders and numbers could not be found but for their
abstract: one encoder, several workers, each a feature of music, and a mechanism that balances their losses. What is
filled in is that of PASE (Pascual et al. 2019), or ours, as the modules and recipes say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.data.store import Store
from benchmark.pretraining.networks.table import NETWORKS, build
from benchmark.pretraining.networks.wave_cnn import FrameNetwork
from benchmark.pretraining.strategies.contract import Context, Data, StepOutcome, Strategy, Views
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.strategies.weightings import WEIGHTINGS
from benchmark.pretraining.strategies.workers.crops import HOP, POINTS, Crops
from benchmark.pretraining.strategies.workers.statistics import RunningStatistics
from benchmark.pretraining.strategies.workers.table import WORKERS, head
from tasks.spelling import did_you_mean

#: Frames of the shortest crop that spectra can be computed of.
SHORTEST = POINTS // 2 // HOP + 1


class MultitaskRecipe(Recipe):
    """The keys of multi-task pre-training."""

    objective: Literal["multitask"] = "multitask"
    network: Literal[tuple(NETWORKS)] = "wave-cnn"  # type: ignore[valid-type]
    #: Names of :data:`benchmark.pretraining.strategies.workers.table.WORKERS`.
    workers: tuple[str, ...] = tuple(WORKERS)
    #: Width of a worker's hidden layer.
    worker_width: int = Field(256, ge=1)
    #: How losses become one: :mod:`benchmark.pretraining.strategies.weightings`.
    weighting: Literal[tuple(WEIGHTINGS)] = "equal"  # type: ignore[valid-type]
    #: Steps of an interval of the dynamic weight average, and its temperature.
    dwa_steps: int = Field(500, ge=1)
    dwa_temperature: float = Field(2.0, gt=0)
    #: How much GradNorm favours slow workers, and the learning rate of its weights.
    gradnorm_alpha: float = Field(1.0, ge=0)
    gradnorm_rate: float = Field(0.025, gt=0)
    #: How far the reference of the hypervolume lies beyond the largest loss.
    hypervolume_delta: float = Field(1.1, gt=1)

    @field_validator("workers")
    @classmethod
    def _are_workers(cls, workers: tuple[str, ...]) -> tuple[str, ...]:
        if not workers:
            raise ValueError(f"there is no worker, so nothing is predicted: name some of {', '.join(WORKERS)}")
        for name in workers:
            if name not in WORKERS:
                hint = did_you_mean(name, WORKERS, "name another.")
                raise ValueError(f"there is no worker {name!r}: {hint} There are {', '.join(WORKERS)}")
        twice = sorted({name for name in workers if workers.count(name) > 1})
        if twice:
            raise ValueError(f"the worker {twice[0]!r} is named twice: each has one loss")
        return workers

    @model_validator(mode="after")
    def _can_be_trained(self) -> MultitaskRecipe:
        if self.frames < SHORTEST:
            raise ValueError(f"frames is {self.frames}: spectra of workers take {SHORTEST} at least")
        if self.weighting == "gradnorm" and self.compile:
            raise ValueError("gradnorm takes gradients twice, which compile=true does not allow: leave one of them out")
        return self


class Workers(nn.Module):
    """An encoder of frames with a head for each worker, and what a weighting learns.

    Attributes:
        network: The encoder.
    """

    def __init__(self, network: FrameNetwork, heads: nn.ModuleDict, weighting: nn.Module | None) -> None:
        super().__init__()
        self.network, self.heads = network, heads
        if weighting is not None:
            self.weighting = weighting

    def forward(self, waveforms: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Map waveforms [N, 160 * T] to embeddings [N, dim], and predictions [N, width, T] by worker."""
        frames = self.network.frames(waveforms)
        return frames.mean(2), {name: worker(frames) for name, worker in self.heads.items()}


class Multitask(Strategy):
    """One crop a track; the loss is the weighted sum of what the workers get wrong.

    The step's loss that a run reports, and by which its best checkpoint is chosen, is the plain mean of the workers'
    errors, whatever weighs them: so it is comparable between weightings. What was minimised is ``loss/weighted`` in the
    log, and may be negative.
    """

    recipe_class: ClassVar[type[Recipe]] = MultitaskRecipe
    model: Workers

    @classmethod
    def views(cls, recipe: MultitaskRecipe) -> Views:
        """Return one crop of the waveform, of which targets are computed too."""
        del recipe
        return Views(signals=frozenset({"waveform"}))

    @classmethod
    def check(cls, recipe: MultitaskRecipe, store: Store) -> None:
        """See whether the network has frames.

        Raises:
            UserError: It has none that workers could predict from.
        """
        del store
        if NETWORKS[recipe.network].frames:
            return
        able = [name for name, kind in NETWORKS.items() if kind.frames]
        raise UserError(
            f"the network {recipe.network} has no frames of 10 ms, which workers predict from",
            f"choose network={' or network='.join(able)}",
        )

    def __init__(self, recipe: MultitaskRecipe, data: Data) -> None:
        """See :class:`benchmark.pretraining.strategies.contract.Strategy`."""
        del data
        self.recipe = recipe
        self._weighting = WEIGHTINGS[recipe.weighting].of(len(recipe.workers), recipe)
        self._statistics = RunningStatistics()
        network: Any = build(recipe.network, recipe.drop_rate)
        heads = {name: head(network.dim, WORKERS[name].width, recipe.worker_width) for name in recipe.workers}
        self.model = Workers(network, nn.ModuleDict(heads), self._weighting.learned)

    def backward(self, batch: Batch, context: Context) -> StepOutcome:
        """Predict the targets of the batch's waveforms, and weigh the errors."""
        (waveforms,) = batch.waveforms
        signal = context.tensor(waveforms).float()
        wanted = self.targets(signal, context.mean)
        context.seed(batch.step)
        embeddings, predicted = context.module(signal)
        errors = [WORKERS[name].error(predicted[name], wanted[name]) for name in self.recipe.workers]
        losses = torch.stack(errors)
        means = context.mean(losses.detach())
        weights = self._weighting.weights(means, lambda: self._norms(errors, context.mean))
        total = self._weighting.total(losses, weights)
        context.backward(total)
        values = {"loss/weighted": context.mean(total.detach())}
        for name, loss, weight in zip(self.recipe.workers, means, weights, strict=True):
            values |= {f"loss/{name}": loss, f"weight/{name}": weight}
        return StepOutcome(losses.detach().mean(), embeddings.detach(), values)

    @torch.no_grad()
    def targets(self, signal: Tensor, mean: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Return the standardised targets [N, width, T] of waveforms [N, 160 * T], which are counted in."""
        crops = Crops(signal)
        found = {name: WORKERS[name].target(crops) for name in self.recipe.workers}
        return {name: self._statistics.standardise(name, target, mean) for name, target in found.items()}

    def _norms(self, losses: list[Tensor], mean: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the norms [K] of the losses' gradients in the encoder's last layer, over all processes.

        Losses one by one, not stacked: the gradient of a row of them would go through the heads of all.
        """
        layer = self.model.network.last.weight
        gradients = [torch.autograd.grad(loss, layer, retain_graph=True)[0] for loss in losses]
        return mean(torch.stack(gradients)).flatten(1).norm(dim=1)

    def after_update(self, step: int) -> None:
        """Let the weighting learn."""
        del step
        self._weighting.after_update()

    def state(self) -> dict[str, Any]:
        """Return the statistics of targets, and what the weighting remembers."""
        return {"statistics": self._statistics.state(), "weighting": self._weighting.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        self._statistics.restore(state["statistics"])
        self._weighting.restore(state["weighting"])
