"""BYOL (Grill et al. 2020): a student predicts what its average makes of the other view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.networks.batch_norm import NormalisedHead
from benchmark.pretraining.networks.heads import NetworkWithHead
from benchmark.pretraining.networks.table import build
from benchmark.pretraining.strategies.contract import Context, Data, PairStrategy, Rows
from benchmark.pretraining.strategies.multiview import TeacherRecipe, head_of
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.strategies.teacher import Teacher, momentum_at


class ByolRecipe(TeacherRecipe):
    """The keys of BYOL."""

    objective: Literal["byol"] = "byol"
    #: Width of the hidden layer of what predicts the teacher's projection.
    predictor_width: int = Field(256, ge=1)


class Byol(PairStrategy):
    """A predictor on the head, and a teacher of network and head. The student is exported."""

    recipe_class: ClassVar[type[Recipe]] = ByolRecipe
    recipe: ByolRecipe

    def __init__(self, recipe: ByolRecipe, data: Data) -> None:
        """See :class:`benchmark.pretraining.strategies.contract.Strategy`."""
        super().__init__(recipe, data)
        head, network = head_of(recipe), build(recipe.network, recipe.drop_rate)
        predictor = NormalisedHead(recipe.projection, recipe.predictor_width, recipe.projection)
        self.model = NetworkWithHead(network, nn.Sequential(head, predictor))
        self._followed = NetworkWithHead(network, head)  # the same modules, without the predictor
        self.teacher = Teacher(self._followed)
        self._deviation = torch.zeros(())

    def loss(self, rows: Rows, inputs: Tensor, batch: Batch, context: Context) -> Tensor:  # noqa: ARG002
        """Return :func:`byol_loss`."""
        with context.autocast():
            targets = self.teacher.module.parts(self.teacher(inputs))[1]
        self._deviation = functional.normalize(targets.float(), dim=1).std(dim=0, correction=0).mean()
        first, second = rows.outputs.chunk(2)
        one, other = targets.chunk(2)
        return byol_loss((first, second), (one, other))

    def values(self) -> Mapping[str, float | Tensor]:
        """Return how the teacher's projections are spread, 1 over the root of their width where they fill it."""
        return {"teacher/deviation": self._deviation}

    def begun(self) -> None:
        """Let the teacher begin as the student does."""
        self.teacher.follow(self._followed, 0.0)

    def after_update(self, step: int) -> None:
        """Let the teacher follow."""
        momentum = momentum_at(step, self.recipe.steps, self.recipe.teacher_momentum)
        self.teacher.follow(self._followed, momentum)

    def state(self) -> dict[str, Any]:
        """Return the teacher."""
        return {"teacher": self.teacher.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        self.teacher.restore(state["teacher"])

    def to(self, device: torch.device) -> None:
        """Move the teacher."""
        self.teacher.to(device)


def distance(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return 2 - 2 cos of predictions and targets [N, D], the mean over rows, in float32 at least.

    Targets get no gradient.
    """
    dtype = torch.promote_types(predictions.dtype, torch.float32)
    predicted = functional.normalize(predictions.to(dtype), dim=1)
    wanted = functional.normalize(targets.detach().to(dtype), dim=1)
    return 2 - 2 * (predicted * wanted).sum(dim=1).mean()


def byol_loss(predictions: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
    """Return the sum of both directions: the prediction of each view against the target of the other.

    The original's form: summed over features, the mean over pairs, from 0 (identical) to 8 (antipodal).

    Args:
        predictions: Of the first and of the second view, [N, D] each.
        targets: The same of the teacher.
    """
    return distance(predictions[0], targets[1]) + distance(predictions[1], targets[0])
