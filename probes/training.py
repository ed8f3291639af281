"""Train probes: Adam, linear warm-up and cosine to zero, L2 on kernels, the best validation step restored.

After McCallum et al. 2022, section 4 (Adam, warm-up 1,000 steps, cosine decay, L2 as ``l2 * sum(W^2)``). Trainings of
one shape run side by side, can be set aside at any step and taken up again, and give the same numbers in any company
(see :mod:`probes.mlp`). Training sees a :class:`~probes.data.TrainValid` and nothing else.
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from probes import adam
from probes.data import TrainValid
from probes.dropout import DropoutMasks
from probes.minibatches import Minibatch, TrainInputs
from probes.mlp import WIDE, Probes, activate, draw_masks, forward, gradients
from probes.products import Precision, Products
from probes.protocol import ProbeSpec, Settings
from probes.schedule import learning_rate_at, look_steps

ROWS_AT_ONCE = 16_384
ONE_THREAD_BELOW = 1e8  # operations of a step: under a millisecond of one core

#: A validation score to be maximised, from targets and outputs.
ScoreFunction = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class TrainedProbe:
    """A trained probe and how it got there.

    Attributes:
        kernels: float32 [fan_in, fan_out] of each layer; a mixture of encoder layers is folded into the first.
        biases: float32 [fan_out] of each layer.
        input_mean: float32 [D] subtracted from embeddings.
        input_scale: float32 [D] then multiplied.
        target_mean: float32 [T] added to regression outputs (0 otherwise).
        target_scale: float32 [T] first multiplied (1 otherwise).
        valid_score: The best validation score, which belongs to these weights.
        best_step: The number of steps after which they were taken.
        steps_run: Steps trained, which may be fewer than the settings say.
        curve: (steps done, validation score) at each look.
        seconds: Wall-clock time of the training, its share where several ran side by side.
        mixing: Weight of each encoder layer, where the probe mixes them.
    """

    spec: ProbeSpec
    settings: Settings
    seed: int
    kernels: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    input_mean: np.ndarray
    input_scale: np.ndarray
    target_mean: np.ndarray
    target_scale: np.ndarray
    valid_score: float
    best_step: int
    steps_run: int
    curve: tuple[tuple[int, float], ...]
    seconds: float
    mixing: tuple[float, ...] | None = None

    @property
    def parameters(self) -> int:
        """The number of weights that were learned; a mixture counts as one first kernel and a weight a layer."""
        folded = sum(array.size for array in (*self.kernels, *self.biases))
        if self.mixing is None:
            return folded
        layers, first = len(self.mixing), self.kernels[0].size
        return folded - first + first // layers + layers

    def predict(self, embeddings: np.ndarray) -> np.ndarray:
        """Return float32 outputs [n, outputs] for every row of ``embeddings`` [n, D], the last partial batch included.

        Class probabilities (multiclass), label probabilities (multilabel) or values in the targets' own units.
        """
        products = Products()
        probe = Probes(
            [torch.from_numpy(np.ascontiguousarray(kernel.T)).unsqueeze(0) for kernel in self.kernels],
            [torch.from_numpy(bias).unsqueeze(0) for bias in self.biases],
        )
        mean, scale = torch.from_numpy(self.input_mean), torch.from_numpy(self.input_scale)
        found = []
        with torch.inference_mode():
            for start in range(0, len(embeddings), ROWS_AT_ONCE):
                x = torch.from_numpy(np.array(embeddings[start : start + ROWS_AT_ONCE], np.float32))
                found.append(activate(self.spec, forward(probe, (x - mean) * scale, products)[:, 0]).numpy())
        return np.asarray(np.concatenate(found) * self.target_scale + self.target_mean)


@dataclass
class Training:
    """One training under way: where it stands, and the best that it has seen."""

    settings: Settings
    seed: int
    probe: Probes
    decayed: adam.Moments
    free: adam.Moments
    looks: list[int]
    step: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    best_score: float = -math.inf
    best_step: int = 0
    improved_step: int = 0
    best: Probes | None = None
    over: bool = False
    seconds: float = 0.0

    @property
    def diverged(self) -> bool:
        """Whether it is over without a finite validation score."""
        return self.over and self.best_step == 0


class Trainer:
    """What the trainings of one search share: inputs, encoded targets, the matrix products.

    Args:
        spec: What they have in common.
        data: Train and valid.
        score: Validation score, larger is better; NaN counts as worst.
        device: torch's name of the device.
        precision: What the products are computed in; weights and their updates are float32.
    """

    def __init__(
        self,
        spec: ProbeSpec,
        data: TrainValid,
        score: ScoreFunction,
        *,
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        self.spec, self.score, self.device = spec, score, device
        self.products = Products(device, precision)
        self.dim = data.train.embeddings.shape[1]
        encoded, self.target_mean, self.target_scale = encode_targets(spec, data.train.targets)
        targets = torch.from_numpy(encoded).to(device)
        self.inputs = TrainInputs(data.train, targets, device, self.products.dtype)
        self.valid = data.valid
        self._valid_inputs: dict[bool, torch.Tensor] = {}

    def with_targets(self, targets: np.ndarray) -> Trainer:
        """Return a trainer on the same inputs, with other ``targets`` of train."""
        other = copy.copy(self)
        encoded, other.target_mean, other.target_scale = encode_targets(self.spec, targets)
        other.inputs = self.inputs.with_targets(torch.from_numpy(encoded).to(self.device))
        return other

    def begin(self, settings: Settings, seed: int) -> Training:
        """Return a training that has not made a step; ``seed`` decides initialisation, shuffling and dropout."""
        probe = Probes.initialise(self.spec, settings.hidden, self.dim, seed, self.device)
        decayed, free = probe.parameters()
        return Training(
            settings,
            seed,
            probe,
            adam.Moments.zeros(decayed),
            adam.Moments.zeros(free),
            look_steps(settings, self.spec, len(self.valid)),
        )

    def operations(self, settings: Settings) -> float:
        """Return the operations of one step's matrix products: two for each layer's kernel, one more for each above."""
        widths = [self.dim // (self.spec.layers or 1), *settings.hidden, self.spec.outputs]
        products = [a * b for a, b in itertools.pairwise(widths)]
        rows = min(settings.batch_size, len(self.inputs.targets))
        return 2.0 * rows * (2 * sum(products) + sum(products[1:]))

    def weights(self, settings: Settings) -> int:
        """Return the number of weights of a probe, biases aside."""
        widths = [self.dim // (self.spec.layers or 1), *settings.hidden, self.spec.outputs]
        return sum(a * b for a, b in itertools.pairwise(widths))

    def advance(self, trainings: Sequence[Training], until: Sequence[int]) -> None:
        """Train each training up to its own step of ``until``, or until it is over; all are of one shape.

        Args:
            trainings: Of equal ``hidden``, ``dropout`` and ``batch_size``.
            until: Steps; a training stops there, and is over where its settings end or patience does.

        Raises:
            ValueError: They are of different shapes.
        """
        if len({(each.settings.hidden, each.settings.dropout, each.settings.batch_size) for each in trainings}) > 1:
            raise ValueError("probes of different widths, dropout or batch size cannot be trained side by side")
        ends = [min(end, each.settings.steps) for each, end in zip(trainings, until, strict=True)]
        going = [(each, end) for each, end in zip(trainings, ends, strict=True) if not each.over and each.step < end]
        if not going:
            return
        with _threads(sum(self.operations(each.settings) for each, _ in going), self.device):
            while going:
                going = self._stretch(going)

    def _stretch(self, going: list[tuple[Training, int]]) -> list[tuple[Training, int]]:
        """Train side by side until one arrives or is over; return the others."""
        going = sorted(going, key=lambda each: (each[0].seed, each[0].step, each[0].settings.standardise))
        together = _Together(self, [training for training, _ in going])
        leaving = False
        while not leaving:
            started = time.perf_counter()
            steps = min(min(_next_look(training), end) - training.step for training, end in going)
            together.run(steps)
            for k, (training, end) in enumerate(going):
                training.step += steps
                if training.step == _next_look(training, of=training.step):
                    self._look(training, together.probes.part(slice(k, k + 1)))
                leaving = leaving or training.over or training.step >= end
            share = (time.perf_counter() - started) / len(going)
            for training, _ in going:
                training.seconds += share
        together.write_back()
        return [(training, end) for training, end in going if not training.over and training.step < end]

    def _look(self, training: Training, probe: Probes) -> None:
        value = self._validate(probe, training.settings)
        training.curve.append((training.step, value))
        if value > training.best_score:
            training.improved_step = training.step
        if value >= training.best_score and value > -math.inf:  # of equals the later: its rate has fallen further
            training.best_score, training.best_step, training.best = value, training.step, probe.copy()
        patience = self.spec.patience
        bored = patience is not None and training.step - max(1, training.improved_step) >= patience
        training.over = training.step >= training.settings.steps or bored or value == -math.inf

    def _validate(self, probe: Probes, settings: Settings) -> float:
        found = []
        with torch.inference_mode():
            for x in self._valid_blocks(settings.standardise):
                found.append(activate(self.spec, forward(probe, x, self.products)[:, 0]).cpu().numpy())
        outputs = np.concatenate(found) * self.target_scale + self.target_mean
        if not np.isfinite(outputs).all():
            return -math.inf
        value = self.score(self.valid.targets, outputs)
        return value if math.isfinite(value) else -math.inf

    def _valid_blocks(self, standardised: bool) -> Iterator[torch.Tensor]:
        if standardised not in self._valid_inputs:
            x = torch.from_numpy(np.array(self.valid.embeddings, np.float32)).to(self.device)
            self._valid_inputs[standardised] = self.inputs.standardise(x) if standardised else x.to(self.products.dtype)
        return iter(torch.split(self._valid_inputs[standardised], ROWS_AT_ONCE))

    def finish(self, training: Training) -> TrainedProbe:
        """Return the probe of the best validation step.

        Raises:
            FloatingPointError: No look had a finite score.
        """
        if training.best is None:
            raise FloatingPointError(f"no finite validation score in {training.step} steps at {training.settings}")
        best, on = training.best, training.settings.standardise
        kernels = [kernel[0].T.cpu().numpy() for kernel in best.kernels]
        mixing = None
        if best.mixing is not None:
            weights = torch.softmax(best.mixing[0], dim=0).cpu().numpy()
            kernels[0] = np.concatenate([weight * kernels[0] for weight in weights])
            mixing = tuple(float(weight) for weight in weights)
        return TrainedProbe(
            spec=self.spec,
            settings=training.settings,
            seed=training.seed,
            kernels=tuple(np.array(kernel, np.float32, order="C") for kernel in kernels),
            biases=tuple(bias[0].cpu().numpy().copy() for bias in best.biases),
            input_mean=self.inputs.mean if on else np.zeros(self.dim, np.float32),
            input_scale=self.inputs.scale if on else np.ones(self.dim, np.float32),
            target_mean=self.target_mean,
            target_scale=self.target_scale,
            valid_score=training.best_score,
            best_step=training.best_step,
            steps_run=training.step,
            curve=tuple(training.curve),
            seconds=training.seconds,
            mixing=mixing,
        )


@dataclass
class _Lane:
    """Probes that see the same inputs: of one seed, at one step, all standardised or none."""

    members: slice
    stream: int
    standardised: bool


class _Together:
    """Trainings side by side: their parameters in one module, their minibatches shared where seed and step agree."""

    def __init__(self, trainer: Trainer, trainings: Sequence[Training]) -> None:
        self._trainer, self._trainings = trainer, trainings
        self.probes = Probes.together([training.probe for training in trainings])
        first = trainings[0].settings
        # Probes that mix layers see inputs of their own; wide ones gain nothing from company on a CPU, and computed one
        # by one they have the very numbers that they have alone.
        wide = trainer.device == "cpu" and self.probes.kernels[0].shape[1] >= WIDE
        apart = wide or trainer.spec.layers is not None
        self._widths = [trainer.dim // (trainer.spec.layers or 1), *first.hidden, trainer.spec.outputs]
        positions = [(training.seed, training.step) for training in trainings]
        distinct = list(dict.fromkeys(positions))
        self._lanes: list[_Lane] = []
        for (stream, standardised, _), found in itertools.groupby(
            range(len(trainings)),
            lambda k: (distinct.index(positions[k]), trainings[k].settings.standardise, k if apart else 0),
        ):
            members = list(found)
            self._lanes.append(_Lane(slice(members[0], members[-1] + 1), stream, standardised))
        needs = [{lane.standardised for lane in self._lanes if lane.stream == i} for i in range(len(distinct))]
        self._streams = [
            trainer.inputs.stream(first.batch_size, seed, step, raw=False in needed, standard=True in needed)
            for (seed, step), needed in zip(distinct, needs, strict=True)
        ]
        self._masks = [DropoutMasks(first.dropout, seed, trainer.device, step) for seed, step in distinct]
        self._decayed, self._free = [
            list(each) for each in zip(*(self._views(k) for k in range(len(trainings))), strict=True)
        ]

    def _views(self, k: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return what L2 weighs of the k-th probe, and what it does not, as views."""
        decayed, free = self.probes.part(slice(k, k + 1)).parameters()
        return decayed, free

    def run(self, steps: int) -> None:
        """Make ``steps`` steps with every training."""
        trainer = self._trainer
        begun = [training.step for training in self._trainings]
        for step in range(steps):
            minibatches: list[Minibatch] = [next(stream) for stream in self._streams]
            masks = []
            for mask, minibatch in zip(self._masks, minibatches, strict=True):
                masks.append(draw_masks(mask, trainer.spec, self._widths, len(minibatch.targets)))
                mask.next_step()
            for lane in self._lanes:
                minibatch = minibatches[lane.stream]
                slopes = gradients(
                    self.probes.part(lane.members),
                    minibatch.inputs(standardised=lane.standardised),
                    minibatch.targets,
                    masks[lane.stream],
                    trainer.spec,
                    trainer.products,
                )
                for k in range(lane.members.start, lane.members.stop):
                    self._update(k, begun[k] + step, *slopes, k - lane.members.start)

    def _update(self, k: int, step: int, decayed: list[torch.Tensor], free: list[torch.Tensor], row: int) -> None:
        """Update the k-th probe by the ``row``-th gradients of its lane."""
        training = self._trainings[k]
        settings = training.settings
        rate = learning_rate_at(step, settings, self._trainer.spec)
        parts = [slope[row : row + 1] for slope in decayed], [slope[row : row + 1] for slope in free]
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
        for views, slopes, moments, decay in (
            (self._decayed[k], parts[0], training.decayed, 2 * settings.l2),
            (self._free[k], parts[1], training.free, 0.0),
        ):
            adam.update(views, slopes, moments, step=step + 1, learning_rate=rate, decay=decay)

    def write_back(self) -> None:
        """Give every training its own copy of its weights."""
        for k, training in enumerate(self._trainings):
            training.probe = self.probes.part(slice(k, k + 1)).copy()


def _next_look(training: Training, of: int | None = None) -> int:
    """Return the first look after the training's step, or at ``of`` or after it."""
    at = training.step + 1 if of is None else of
    return next(look for look in training.looks if look >= at)


@contextmanager
def _threads(operations: float, device: str) -> Iterator[None]:
    """Keep small probes on one thread: a second one gains little, and waits at every product when cores are busy."""
    before = torch.get_num_threads()
    if device == "cpu" and operations < ONE_THREAD_BELOW:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def encode_targets(spec: ProbeSpec, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets as the loss takes them, and the mean and scale that give regression outputs their units back.

    int64 [n] for cross-entropy; float32 [n, outputs] else: one-hot for the binary cross-entropy of a multiclass task,
    z-scored for a regression.
    """
    mean, scale = np.zeros(spec.outputs, np.float32), np.ones(spec.outputs, np.float32)
    if spec.kind == "regression":
        mean = targets.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviation = targets.std(axis=0, dtype=np.float64)
        scale = np.where(deviation == 0, 1, deviation).astype(np.float32)
        targets = (targets - mean) / scale
    if spec.loss == "cross_entropy":
        return np.ascontiguousarray(targets, np.int64), mean, scale
    if spec.kind == "multiclass":
        targets = np.eye(spec.outputs, dtype=np.float32)[targets]
    return np.ascontiguousarray(targets, np.float32), mean, scale


def train(
    spec: ProbeSpec,
    settings: Settings,
    data: TrainValid,
    score: ScoreFunction,
    *,
    seed: int,
    device: str = "cpu",
    precision: Precision = "fp32",
) -> TrainedProbe:
    """Train one probe on ``data.train`` and restore the step that scored best on ``data.valid``.

    Raises:
        FloatingPointError: The loss left the finite numbers before any validation score was reached.
    """
    trainer = Trainer(spec, data, score, device=device, precision=precision)
    training = trainer.begin(settings, seed)
    trainer.advance([training], [settings.steps])
    return trainer.finish(training)
