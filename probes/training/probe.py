"""A trained probe: its weights in NumPy, how it got there, and what it says of embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from probes.protocol import ProbeSpec, Settings
from probes.training.matmul import Products
from probes.training.mlp import Probes, activate, forward

ROWS_AT_ONCE = 16_384


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
