"""Clustering by prototypes, as DINO (Caron et al. 2021): a student guesses the prototypes that its average finds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.networks.heads import NetworkWithHead
from benchmark.pretraining.networks.table import build
from benchmark.pretraining.strategies.contract import Context, Data, PairStrategy, Rows, StepOutcome
from benchmark.pretraining.strategies.multiview import TeacherRecipe, head_of
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.strategies.teacher import Teacher, momentum_at


class ClusteringRecipe(TeacherRecipe):
    """The keys of clustering by prototypes."""

    objective: Literal["clustering"] = "clustering"
    #: The head's output, of length 1, in front of the prototypes.
    projection: int = Field(256, ge=2)
    prototypes: int = Field(4096, ge=2)
    temperature: float = Field(0.1, gt=0)
    #: The teacher's: a cosine from the one to the other over so many steps.
    teacher_temperature_start: float = Field(0.02, gt=0)
    teacher_temperature: float = Field(0.04, gt=0)
    teacher_temperature_steps: int = Field(0, ge=0)
    #: Share of itself that the centre of the teacher's logits keeps behind a step.
    centre_momentum: float = Field(0.9, ge=0, le=1)
    #: Prototypes stay as they were drawn for so many steps.
    frozen_prototype_steps: int = Field(0, ge=0)


class Clustering(PairStrategy):
    """Prototypes on the head, a teacher of the whole model, and the centre of its logits. The student is exported."""

    recipe_class: ClassVar[type[Recipe]] = ClusteringRecipe
    recipe: ClusteringRecipe

    def __init__(self, recipe: ClusteringRecipe, data: Data) -> None:
        """See :class:`benchmark.pretraining.strategies.contract.Strategy`."""
        super().__init__(recipe, data)
        self._prototypes = Prototypes(recipe.projection, recipe.prototypes)
        head = nn.Sequential(head_of(recipe), self._prototypes)
        self.model = NetworkWithHead(build(recipe.network, recipe.drop_rate), head)
        self.teacher, self.centre = Teacher(self.model), torch.zeros(recipe.prototypes)
        self._found, self._values = torch.zeros_like(self.centre), dict[str, Tensor]()

    def backward(self, batch: Batch, context: Context) -> StepOutcome:
        """See :class:`benchmark.pretraining.strategies.contract.PairStrategy`."""
        found = super().backward(batch, context)
        if batch.step < self.recipe.frozen_prototype_steps:
            self._prototypes.weight.grad = None
        return found

    def loss(self, rows: Rows, inputs: Tensor, batch: Batch, context: Context) -> Tensor:
        """Return :func:`clustering_loss`, by the centre of the steps before."""
        recipe = self.recipe
        with context.autocast():
            logits = self.teacher.module.parts(self.teacher(inputs))[1]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        temperature = temperature_at(
            batch.step, recipe.teacher_temperature_steps, recipe.teacher_temperature_start, recipe.teacher_temperature
        )
        shares = assignments(logits, self.centre, temperature)
        self._found = context.mean(logits.mean(dim=0))
        self._values = {
            "teacher/entropy": entropy(shares),
            "teacher/prototypes_used": shares.argmax(dim=1).bincount(minlength=recipe.prototypes).count_nonzero(),
        }
        first, second = rows.outputs.chunk(2)
        one, other = shares.chunk(2)
        return clustering_loss((first, second), (one, other), recipe.temperature)

    def values(self) -> Mapping[str, float | Tensor]:
        """Return the entropy of the teacher's shares, and how many prototypes are the largest share of some row."""
        return self._values

    def begun(self) -> None:
        """Let the teacher begin as the student does."""
        self.teacher.follow(self.model, 0.0)

    def after_update(self, step: int) -> None:
        """Let the teacher follow, and the centre."""
        self.teacher.follow(self.model, momentum_at(step, self.recipe.steps, self.recipe.teacher_momentum))
        self.centre = moved(self.centre, self._found, self.recipe.centre_momentum)

    def state(self) -> dict[str, Any]:
        """Return teacher and centre."""
        return {"teacher": self.teacher.state(), "centre": self.centre}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        self.teacher.restore(state["teacher"])
        self.centre = state["centre"].to(self.centre)

    def to(self, device: torch.device) -> None:
        """Move teacher and centre."""
        self.teacher.to(device)
        self.centre = self.centre.to(device)


def temperature_at(step: int, steps: int, start: float, end: float) -> float:
    """Return the teacher's temperature of a step: a cosine from ``start`` to ``end`` over ``steps``, then ``end``.

    >>> [round(temperature_at(step, 10, 0.02, 0.04), 3) for step in (0, 5, 10, 99)]
    [0.02, 0.03, 0.04, 0.04]
    """
    if step >= steps:
        return end
    return end + (start - end) * (1 + math.cos(math.pi * step / steps)) / 2


class Prototypes(nn.Module):
    """Cosines of rows with prototypes: a linear layer whose weights have length 1, of rows of length 1."""

    def __init__(self, inputs: int, prototypes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.nn.init.trunc_normal_(torch.empty(prototypes, inputs), std=0.02))

    def forward(self, rows: Tensor) -> Tensor:
        """Map [N, inputs] to [N, prototypes], in [-1, 1]."""
        return functional.linear(functional.normalize(rows, dim=1), functional.normalize(self.weight, dim=1))


def assignments(logits: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """Return the teacher's shares of prototypes [N, K], without gradient, in float32 at least."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return functional.softmax((logits.detach().to(dtype) - centre) / temperature, dim=1)


def clustering_loss(logits: tuple[Tensor, Tensor], shares: tuple[Tensor, Tensor], temperature: float) -> Tensor:
    """Return the cross-entropy of each view's guess against the teacher's shares of the other, the mean of both.

    Args:
        logits: The student's, of the first and of the second view, [N, K] each.
        shares: The teacher's, of :func:`assignments`.
        temperature: The student's.
    """
    dtype = torch.promote_types(logits[0].dtype, torch.float32)
    guesses = [functional.log_softmax(view.to(dtype) / temperature, dim=1) for view in logits]
    directions = ((shares[1], guesses[0]), (shares[0], guesses[1]))
    both = [-(share.detach() * guess).sum(dim=1).mean() for share, guess in directions]
    return (both[0] + both[1]) / 2


def moved(centre: Tensor, mean: Tensor, momentum: float) -> Tensor:
    """Return the centre behind a step: the share ``momentum`` of itself, and the rest of the mean logits [K]."""
    return centre.lerp(mean.to(centre), 1 - momentum)


def entropy(shares: Tensor) -> Tensor:
    """Return the entropy of shares [N, K] in nats, the mean over rows: ln K of equal shares, 0 of a single one."""
    return torch.special.entr(shares).sum(dim=1).mean()
