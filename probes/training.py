"""Train one probe: Adam, linear warm-up and cosine to zero, L2 on kernels, the best validation step restored.

After McCallum et al. 2022, section 4 (Adam, warm-up 1,000 steps, cosine decay, L2 as ``l2 * sum(W^2)``). Training sees
a :class:`~probes.data.TrainValid` and nothing else.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from probes.data import SplitArrays, TrainValid
from probes.mlp import DropoutMasks, Mlp
from probes.protocol import ProbeSpec, Settings

VALIDATIONS = 25  # looks at valid in the course of a training, the last step included
ROWS_AT_ONCE = 16_384
ONE_THREAD_BELOW = 1e8  # operations of a step: under a millisecond of one core
ADAM_EPSILON = 1e-7  # Keras', which the paper used

#: A validation score to be maximised, from targets and outputs.
ScoreFunction = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class TrainedProbe:
    """A trained probe and how it got there.

    Attributes:
        kernels: float32 [fan_in, fan_out] of each layer.
        biases: float32 [fan_out] of each layer.
        input_mean: float32 [D] subtracted from embeddings.
        input_scale: float32 [D] then multiplied.
        target_mean: float32 [T] added to regression outputs (0 otherwise).
        target_scale: float32 [T] first multiplied (1 otherwise).
        valid_score: The best validation score, which belongs to these weights.
        best_step: The number of steps after which they were taken.
        curve: (steps done, validation score) at each look.
        seconds: Wall-clock time of the training.
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
    curve: tuple[tuple[int, float], ...]
    seconds: float

    @property
    def parameters(self) -> int:
        """The number of trained weights."""
        return sum(array.size for array in (*self.kernels, *self.biases))

    def predict(self, embeddings: np.ndarray) -> np.ndarray:
        """Return float32 outputs [n, outputs] for every row of ``embeddings`` [n, D], the last partial batch included.

        Class probabilities (multiclass), label probabilities (multilabel) or values in the targets' own units.
        """
        mlp = Mlp([torch.from_numpy(k) for k in self.kernels], [torch.from_numpy(b) for b in self.biases])
        x = torch.from_numpy(embeddings).float()
        mean, scale = torch.from_numpy(self.input_mean), torch.from_numpy(self.input_scale)
        with torch.inference_mode():
            logits = _outputs(mlp, (x - mean) * scale)
        outputs = _activate(self.spec, logits).numpy()
        return np.asarray(outputs * self.target_scale + self.target_mean)


def learning_rate_at(step: int, settings: Settings) -> float:
    """Return the learning rate of the ``step``-th minibatch (from 0).

    It rises linearly over the warm-up (1,000 steps, or a tenth of the steps when there are fewer than 10,000), then
    falls as a half cosine that reaches 0 where the steps end.
    """
    warmup = warmup_steps(settings.steps)
    if step < warmup:
        return settings.learning_rate * step / warmup
    done = (step - warmup) / max(1, settings.steps - warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def warmup_steps(steps: int) -> int:
    """Return the number of warm-up steps in a training of ``steps``."""
    return 1000 if steps >= 10_000 else steps // 10


def minibatches(n: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield index arrays without end: each epoch is a fresh shuffle, whose last minibatch may be smaller."""
    rng = np.random.default_rng([seed, 0])
    while True:
        order = rng.permutation(n)
        for start in range(0, n, batch_size):
            yield order[start : start + batch_size]


def train(
    spec: ProbeSpec, settings: Settings, data: TrainValid, score: ScoreFunction, *, seed: int, device: str = "cpu"
) -> TrainedProbe:
    """Train a probe on ``data.train`` and restore the step that scored best on ``data.valid``.

    Args:
        spec: The fixed part of the probe.
        settings: The searched part.
        data: Train and valid.
        score: Validation score, larger is better; NaN counts as worst.
        seed: Decides initialisation, shuffling and dropout.
        device: torch's name of the device.

    Raises:
        FloatingPointError: The loss left the finite numbers before any validation score was reached.
    """
    with _threads(spec, data.train.embeddings.shape[1], device):
        return _train(spec, settings, data, score, seed, device)


@contextmanager
def _threads(spec: ProbeSpec, dim: int, device: str) -> Iterator[None]:
    """Keep small probes on one thread: a second one gains little, and waits at every product when cores are busy."""
    before = torch.get_num_threads()
    widths = [dim, *spec.hidden, spec.outputs]
    operations = 6 * spec.batch_size * sum(a * b for a, b in itertools.pairwise(widths))
    if device == "cpu" and operations < ONE_THREAD_BELOW:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(
    spec: ProbeSpec, settings: Settings, data: TrainValid, score: ScoreFunction, seed: int, device: str
) -> TrainedProbe:
    started = time.perf_counter()
    mean, scale = standardisation(data.train.embeddings, on=settings.standardise)
    x_train, x_valid = (_standardised(split, mean, scale, device) for split in (data.train, data.valid))
    targets, target_mean, target_scale = _encode_targets(spec, data.train.targets, device)
    mlp = Mlp.initialise(spec, x_train.shape[1], seed, device)
    masks = DropoutMasks(spec.dropout, seed, device)
    # weight_decay adds wd * W to the gradient before Adam: with 2 * l2 that is the gradient of l2 * sum(W^2).
    optimiser = torch.optim.Adam(
        [{"params": mlp.kernels, "weight_decay": 2 * settings.l2}, {"params": mlp.biases, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        eps=ADAM_EPSILON,
        fused=True,
    )
    looks = {round((i + 1) * settings.steps / VALIDATIONS) for i in range(VALIDATIONS)}
    best_score, best_step, best = -math.inf, 0, _copy(mlp)
    curve: list[tuple[int, float]] = []
    gathered = torch.empty(min(spec.batch_size, len(data.train)), x_train.shape[1], device=device)
    batches = minibatches(len(data.train), spec.batch_size, seed)
    for step in range(settings.steps):
        rows = torch.from_numpy(next(batches)).to(device)
        x = torch.index_select(x_train, 0, rows, out=gathered[: len(rows)])
        layers = mlp.forward_hidden(x, masks)
        mlp.backward(layers, loss_slope(spec, layers[-1], targets.index_select(0, rows)), masks)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate_at(step, settings)
        optimiser.step()
        if step + 1 in looks:
            value = _validate(spec, mlp, x_valid, data.valid.targets, score, target_mean, target_scale)
            curve.append((step + 1, value))
            if value > best_score:
                best_score, best_step, best = value, step + 1, _copy(mlp)
    if best_step == 0:
        raise FloatingPointError(f"no finite validation score in {settings.steps} steps at {settings}")
    return TrainedProbe(
        spec=spec,
        settings=settings,
        seed=seed,
        kernels=best[0],
        biases=best[1],
        input_mean=mean,
        input_scale=scale,
        target_mean=target_mean,
        target_scale=target_scale,
        valid_score=best_score,
        best_step=best_step,
        curve=tuple(curve),
        seconds=time.perf_counter() - started,
    )


def standardisation(embeddings: np.ndarray, *, on: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 mean [D] and scale [D] of the z-score on ``embeddings`` [n, D]; 0 and 1 when it is off.

    A constant dimension is only centred.
    """
    dim = embeddings.shape[1]
    if not on:
        return np.zeros(dim, np.float32), np.ones(dim, np.float32)
    mean = embeddings.mean(axis=0, dtype=np.float64)
    deviation = embeddings.std(axis=0, dtype=np.float64)
    constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return mean.astype(np.float32), (1 / np.where(constant, 1, deviation)).astype(np.float32)


def _standardised(split: SplitArrays, mean: np.ndarray, scale: np.ndarray, device: str) -> torch.Tensor:
    x = torch.from_numpy(np.ascontiguousarray(split.embeddings, np.float32)).to(device)
    return (x - torch.from_numpy(mean).to(device)) * torch.from_numpy(scale).to(device)


def _encode_targets(spec: ProbeSpec, targets: np.ndarray, device: str) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    mean, scale = np.zeros(spec.outputs, np.float32), np.ones(spec.outputs, np.float32)
    if spec.kind == "regression":
        mean = targets.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviation = targets.std(axis=0, dtype=np.float64)
        scale = np.where(deviation == 0, 1, deviation).astype(np.float32)
        targets = (targets - mean) / scale
    wanted = np.int64 if spec.kind == "multiclass" else np.float32
    return torch.from_numpy(np.ascontiguousarray(targets, wanted)).to(device), mean, scale


def loss_slope(spec: ProbeSpec, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the gradient [n, outputs] of the mean loss with respect to ``logits`` [n, outputs].

    Cross-entropy (mean over items), binary cross-entropy and squared error (mean over items and outputs).
    """
    if spec.kind == "multiclass":
        slope = torch.softmax(logits, dim=1)
        slope[torch.arange(len(targets), device=logits.device), targets] -= 1
        return slope.div_(len(targets))
    if spec.kind == "multilabel":
        return torch.sigmoid(logits).sub_(targets).div_(targets.numel())
    return (logits - targets).mul_(2 / targets.numel())


def _activate(spec: ProbeSpec, logits: torch.Tensor) -> torch.Tensor:
    if spec.kind == "multiclass":
        return torch.softmax(logits, dim=1)
    return torch.sigmoid(logits) if spec.kind == "multilabel" else logits


def _outputs(mlp: Mlp, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([mlp.forward(block) for block in torch.split(x, ROWS_AT_ONCE)])


def _validate(
    spec: ProbeSpec,
    mlp: Mlp,
    x: torch.Tensor,
    targets: np.ndarray,
    score: ScoreFunction,
    target_mean: np.ndarray,
    target_scale: np.ndarray,
) -> float:
    with torch.inference_mode():
        outputs = _activate(spec, _outputs(mlp, x)).cpu().numpy()
    outputs = outputs * target_scale + target_mean
    if not np.isfinite(outputs).all():
        return -math.inf
    value = score(targets, outputs)
    return value if math.isfinite(value) else -math.inf


def _copy(mlp: Mlp) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    return (
        tuple(kernel.detach().cpu().numpy().copy() for kernel in mlp.kernels),
        tuple(bias.detach().cpu().numpy().copy() for bias in mlp.biases),
    )
