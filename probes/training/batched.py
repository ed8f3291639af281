"""A batch of probes of one shape, trained in one thread with shared minibatches.

A probe's results do not depend on which others are trained in its batch: a wide one's not at all, a narrow one's to
rounding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from probes.protocol import ProbeSpec, Settings
from probes.training import adam
from probes.training.concurrency import ThreadBudget
from probes.training.dropout import DropoutMasks
from probes.training.matmul import Products
from probes.training.minibatches import Minibatch, TrainInputs
from probes.training.mlp import WIDE, Probes, draw_masks, gradients
from probes.training.schedule import learning_rate_at
from probes.training.state import Training

#: Probes of one batch: on a CPU, as many as keep weights, gradients and moments in the cache.
CPU_GROUP, CPU_GROUP_WEIGHTS, GPU_GROUP = 8, 1_000_000, 64


def group_by_shape(spec: ProbeSpec, dim: int, device: str, slots: int, settings: Sequence[Settings]) -> list[list[int]]:
    """Return the indices of settings, grouped into batches of one shape.

    On a CPU a probe with a hidden layer is a batch of its own, since its products reach the full rate alone. Linear
    probes share batches, as few as keep all slots busy.

    Args:
        spec: What the probes have in common.
        dim: Width D of their inputs.
        device: torch's name of the device.
        slots: Number of batches that are trained concurrently.
        settings: The settings of each probe.
    """
    by_shape: dict[tuple[object, ...], list[int]] = {}
    for i, choice in enumerate(settings):
        by_shape.setdefault((choice.hidden, choice.dropout, choice.batch_size), []).append(i)
    parts = []
    for (hidden, *_), members in by_shape.items():
        most = _largest_batch(spec, dim, device, bool(hidden))
        count = max(math.ceil(len(members) / most), min(len(members), slots * len(members) // len(settings)))
        bounds = [len(members) * part // count for part in range(count + 1)]
        parts += [members[start:stop] for start, stop in itertools.pairwise(bounds)]
    return parts


def _largest_batch(spec: ProbeSpec, dim: int, device: str, hidden: bool) -> int:
    if spec.layers is not None:
        return 1
    if device != "cpu":
        return GPU_GROUP
    return 1 if hidden else max(1, min(CPU_GROUP, CPU_GROUP_WEIGHTS // (dim * spec.outputs)))


@dataclass
class _Group:
    """Probes with the same inputs: of one seed, at one step, all standardised or none."""

    members: slice
    stream: int
    standardised: bool
    probes: Probes


class BatchedTrainings:
    """Trainings in one batch: their parameters in one module, their minibatches shared where seed and step agree."""

    def __init__(
        self, spec: ProbeSpec, inputs: TrainInputs, products: Products, device: str, trainings: Sequence[Training]
    ) -> None:
        self._spec, self._products, self._trainings = spec, products, trainings
        self.probes = Probes.stacked([training.probe for training in trainings])
        first = trainings[0].settings
        # Probes that mix layers see inputs of their own; wide ones gain nothing from a batch on a CPU, and computed one
        # by one they have the very numbers that they have alone.
        wide = device == "cpu" and self.probes.kernels[0].shape[1] >= WIDE
        separate = wide or spec.layers is not None
        self._widths = [inputs.dim // (spec.layers or 1), *first.hidden, spec.outputs]
        positions = [(training.seed, training.step) for training in trainings]
        distinct = list(dict.fromkeys(positions))
        self._groups: list[_Group] = []
        for (stream, standardised, _), rows in itertools.groupby(
            range(len(trainings)),
            lambda k: (distinct.index(positions[k]), trainings[k].settings.standardise, k if separate else 0),
        ):
            members = list(rows)
            span = slice(members[0], members[-1] + 1)
            self._groups.append(_Group(span, stream, standardised, self.probes.part(span)))
        needs = [{group.standardised for group in self._groups if group.stream == i} for i in range(len(distinct))]
        self._streams = [
            inputs.stream(first.batch_size, seed, step, raw=False in needed, standard=True in needed)
            for (seed, step), needed in zip(distinct, needs, strict=True)
        ]
        self._masks = [DropoutMasks(first.dropout, seed, device, step) for seed, step in distinct]
        self._decayed, self._free = [
            list(views) for views in zip(*(self._views(k) for k in range(len(trainings))), strict=True)
        ]

    def _views(self, k: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return views of the k-th probe's parameters: those with L2, and those without."""
        decayed, free = self.probes.part(slice(k, k + 1)).parameters()
        return decayed, free

    def run(self, steps: int, budget: ThreadBudget) -> None:
        """Make ``steps`` steps with every training."""
        begun = [training.step for training in self._trainings]
        for step in range(steps):
            budget.check()
            minibatches: list[Minibatch] = [next(stream) for stream in self._streams]
            masks = []
            for mask, minibatch in zip(self._masks, minibatches, strict=True):
                masks.append(draw_masks(mask, self._spec, self._widths, len(minibatch.targets)))
                mask.next_step()
            for group in self._groups:
                minibatch = minibatches[group.stream]
                grads = gradients(
                    group.probes,
                    minibatch.inputs(standardised=group.standardised),
                    minibatch.targets,
                    masks[group.stream],
                    self._spec,
                    self._products,
                )
                for k in range(group.members.start, group.members.stop):
                    self._update(k, begun[k] + step, *grads, k - group.members.start)

    def _update(self, k: int, step: int, decayed: list[torch.Tensor], free: list[torch.Tensor], row: int) -> None:
        """Update the k-th probe by the ``row``-th gradients of its group."""
        training = self._trainings[k]
        settings = training.settings
        rate = learning_rate_at(step, settings, self._spec)
        parts = [grad[row : row + 1] for grad in decayed], [grad[row : row + 1] for grad in free]
        if settings.l2 == 0:
            adam.update(
                [*self._decayed[k], *self._free[k]],
                [*parts[0], *parts[1]],
                adam.Moments(
                    [*training.decayed.first, *training.free.first], [*training.decayed.second, *training.free.second]
                ),
                step=step + 1,
                learning_rate=rate,
                decay=0.0,
            )
            return
        for views, grads, moments, decay in (
            (self._decayed[k], parts[0], training.decayed, 2 * settings.l2),
            (self._free[k], parts[1], training.free, 0.0),
        ):
            adam.update(views, grads, moments, step=step + 1, learning_rate=rate, decay=decay)

    def write_back(self) -> None:
        """Give every training its own copy of its weights."""
        for k, training in enumerate(self._trainings):
            training.probe = self.probes.part(slice(k, k + 1)).copy()
