"""Train probes: Adam, linear warm-up and cosine to zero, L2 on kernels, the best validation step restored.

After McCallum et al. 2022, section 4 (Adam, warm-up 1,000 steps, cosine decay, L2 as ``l2 * sum(W^2)``). Trainings of
one shape run in one batch, can be stopped at any step and continued, and give the same weights in any batch (see
:mod:`probes.training.mlp`). Training sees a :class:`~probes.data.TrainValid` and nothing else.
"""

from __future__ import annotations

import copy
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial

import numpy as np
import torch

from probes.data import TrainValid
from probes.function import ACTIVATIONS, ROWS_AT_ONCE, ProbeFunction
from probes.kinds import KINDS
from probes.protocol import ProbeSpec, Settings
from probes.training import adam
from probes.training.batched import BatchedTrainings, group_by_shape
from probes.training.concurrency import ThreadBudget, run_concurrently
from probes.training.matmul import Precision, Products
from probes.training.minibatches import TrainInputs
from probes.training.mlp import Probes, activate, forward
from probes.training.probe import TrainedProbe
from probes.training.schedule import validation_steps
from probes.training.state import Training, next_validation

ONE_THREAD_BELOW = 1e8  # operations of a step: under a millisecond of one core
SLOTS_OF_LARGE = 4  # each holds two chunks of rows

#: A validation score to be maximised, from targets and outputs.
ScoreFunction = Callable[[np.ndarray, np.ndarray], float]


class Trainer:
    """Trains probes on one split: holds inputs, encoded targets and matrix products, which all trainings share.

    Args:
        spec: What all probes have in common.
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
        self._preparing = threading.Lock()

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
            validation_steps(settings, self.spec, len(self.valid)),
        )

    def operations(self, settings: Settings) -> float:
        """Return the operations of one step: two products with the first kernel, three with each of the others."""
        widths = [self.dim // (self.spec.layers or 1), *settings.hidden, self.spec.outputs]
        products = [a * b for a, b in itertools.pairwise(widths)]
        rows = min(settings.batch_size, len(self.inputs.targets))
        return 2.0 * rows * (2 * sum(products) + sum(products[1:]))

    def cost(self, settings: Iterable[Settings]) -> float:
        """Return the operations of trainings that go to their ends."""
        return sum(self.operations(choice) * choice.steps for choice in settings)

    def weights(self, settings: Settings) -> int:
        """Return the number of weights of a probe, biases aside."""
        widths = [self.dim // (self.spec.layers or 1), *settings.hidden, self.spec.outputs]
        return sum(a * b for a, b in itertools.pairwise(widths))

    def advance(self, trainings: Sequence[Training], until: Sequence[int], budget: ThreadBudget | None = None) -> None:
        """Train each training up to its own step of ``until``, or until it is over; all are of one shape.

        Args:
            trainings: Of equal ``hidden``, ``dropout`` and ``batch_size``.
            until: The step at which each training stops; it is over at its last step, or without patience.
            budget: The threads to share with trainings that run at the same time.

        Raises:
            ValueError: They are of different shapes.
            CancelledError: The budget was stopped; the trainings cannot be continued.
        """
        settings = [training.settings for training in trainings]
        if len({(choice.hidden, choice.dropout, choice.batch_size) for choice in settings}) > 1:
            raise ValueError("probes of different widths, dropout or batch size cannot be trained in one batch")
        ends = [min(end, choice.steps) for choice, end in zip(settings, until, strict=True)]
        unfinished = [
            (training, end)
            for training, end in zip(trainings, ends, strict=True)
            if not training.over and training.step < end
        ]
        if not unfinished:
            return
        before = torch.get_num_threads()
        budget = ThreadBudget(before) if budget is None else budget
        try:
            for batched in self._batches(unfinished):
                while batched:
                    batched = self._train_batch(batched, budget)
        finally:
            _use_threads(before)

    def _batches(self, unfinished: list[tuple[Training, int]]) -> list[list[tuple[Training, int]]]:
        """Return the batches: one of all, or one for each seed and step where each step reads its own blocks."""
        if not self.inputs.large:
            return [unfinished]
        parts: dict[tuple[int, int], list[tuple[Training, int]]] = {}
        for entry in unfinished:
            parts.setdefault((entry[0].seed, entry[0].step), []).append(entry)
        return list(parts.values())

    def _train_batch(self, unfinished: list[tuple[Training, int]], budget: ThreadBudget) -> list[tuple[Training, int]]:
        """Train a batch until one training reaches its end or is over; return the others."""
        operations = sum(self.operations(training.settings) for training, _ in unfinished)
        unfinished = sorted(unfinished, key=lambda entry: (entry[0].seed, entry[0].step, entry[0].settings.standardise))
        batched = BatchedTrainings(
            self.spec, self.inputs, self.products, self.device, [training for training, _ in unfinished]
        )
        ends_here = False
        while not ends_here:
            started = time.perf_counter()
            if self.device == "cpu":
                _use_threads(budget.share() if operations >= ONE_THREAD_BELOW and self.products.alike else 1)
            steps = min(min(next_validation(training), end) - training.step for training, end in unfinished)
            batched.run(steps, budget)
            for k, (training, end) in enumerate(unfinished):
                training.step += steps
                if training.step == next_validation(training, of=training.step):
                    self._record_validation(training, batched.probes.part(slice(k, k + 1)))
                ends_here = ends_here or training.over or training.step >= end
            share = (time.perf_counter() - started) / len(unfinished)
            for training, _ in unfinished:
                training.seconds += share
        batched.write_back()
        return [(training, end) for training, end in unfinished if not training.over and training.step < end]

    def slots(self) -> int:
        """Return the number of concurrent batches: on a CPU the number of threads, or fewer where each reads blocks."""
        if self.device != "cpu":
            return 1
        threads = torch.get_num_threads()
        return min(threads, SLOTS_OF_LARGE) if self.inputs.large else threads

    def groups(self, settings: Sequence[Settings]) -> list[list[int]]:
        """Return the indices of settings, grouped into batches; see :mod:`probes.training.batched`."""
        return group_by_shape(self.spec, self.dim, self.device, self.slots(), settings)

    def complete(self, trainings: Sequence[Training]) -> None:
        """Train all to their ends, of any shapes: in batches, as many at once as there are slots."""
        parts = [[trainings[i] for i in part] for part in self.groups([training.settings for training in trainings])]
        works = [partial(self.advance, part, [training.settings.steps for training in part]) for part in parts]
        costs = [self.cost(training.settings for training in part) for part in parts]
        with closing(run_concurrently(works, costs, self.slots())) as done:
            for _ in done:
                pass

    def _record_validation(self, training: Training, probe: Probes) -> None:
        value = self._validate(probe, training.settings)
        training.curve.append((training.step, value))
        if value > training.best_score:
            training.improved_step = training.step
        if value >= training.best_score and value > -math.inf:  # of equals the later: its rate has fallen further
            training.best_score, training.best_step, training.best = value, training.step, probe.copy()
        patience = self.spec.patience
        out_of_patience = patience is not None and training.step - max(1, training.improved_step) >= patience
        training.over = training.step >= training.settings.steps or out_of_patience or value == -math.inf

    def _validate(self, probe: Probes, settings: Settings) -> float:
        blocks = []
        with torch.inference_mode():
            for x in self._valid_blocks(settings.standardise):
                blocks.append(activate(self.spec, forward(probe, x, self.products)[:, 0]).cpu().numpy())
        outputs = np.concatenate(blocks) * self.target_scale + self.target_mean
        if not np.isfinite(outputs).all():
            return -math.inf
        value = self.score(self.valid.targets, outputs)
        return value if math.isfinite(value) else -math.inf

    def _valid_blocks(self, standardised: bool) -> Iterator[torch.Tensor]:
        with self._preparing:
            if standardised not in self._valid_inputs:
                x = torch.from_numpy(np.array(self.valid.embeddings, np.float32)).to(self.device)
                x = self.inputs.standardise(x) if standardised else x.to(self.products.dtype)
                self._valid_inputs[standardised] = x
        return iter(torch.split(self._valid_inputs[standardised], ROWS_AT_ONCE))

    def finish(self, training: Training) -> TrainedProbe:
        """Return the probe of the best validation step.

        Raises:
            FloatingPointError: No validation had a finite score.
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
            function=ProbeFunction(
                ACTIVATIONS[self.spec.loss],
                kernels=tuple(np.array(kernel, np.float32, order="C") for kernel in kernels),
                biases=tuple(bias[0].cpu().numpy().copy() for bias in best.biases),
                input_mean=self.inputs.mean if on else np.zeros(self.dim, np.float32),
                input_scale=self.inputs.scale if on else np.ones(self.dim, np.float32),
                target_mean=self.target_mean,
                target_scale=self.target_scale,
            ),
            valid_score=training.best_score,
            best_step=training.best_step,
            steps_run=training.step,
            curve=tuple(training.curve),
            seconds=training.seconds,
            mixing=mixing,
        )


def _use_threads(count: int) -> None:
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def encode_targets(spec: ProbeSpec, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets as the loss takes them, and the mean and scale that give regression outputs their units back.

    int64 [n] for cross-entropy; float32 [n, outputs] else: one-hot for the binary cross-entropy of a multiclass task,
    z-scored for a regression.
    """
    mean, scale = np.zeros(spec.outputs, np.float32), np.ones(spec.outputs, np.float32)
    if KINDS[spec.kind].numeric:
        mean = targets.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviation = targets.std(axis=0, dtype=np.float64)
        scale = np.where(deviation == 0, 1, deviation).astype(np.float32)
        targets = (targets - mean) / scale
    if spec.loss == "cross_entropy":
        return np.ascontiguousarray(targets, np.int64), mean, scale
    return np.ascontiguousarray(KINDS[spec.kind].matrix(targets, spec.outputs), np.float32), mean, scale


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
