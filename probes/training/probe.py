"""A trained probe: its function, the course of its training, and its predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from probes.function import ROWS_AT_ONCE, ProbeFunction
from probes.protocol import ProbeSpec, Settings
from probes.training.matmul import Products
from probes.training.mlp import Probes, activate, forward


@dataclass(frozen=True)
class TrainedProbe:
    """A probe and the course of its training.

    Attributes:
        function: Its weights, with the standardisation of inputs and the units of targets.
        valid_score: The best validation score, which belongs to these weights.
        best_step: The number of steps after which they were taken.
        steps_run: Steps trained, which may be fewer than the settings say.
        curve: (steps done, validation score) of each validation.
        seconds: Wall-clock time of the training, its share where several ran side by side.
        mixing: Weight of each encoder layer, where the probe mixes them.
    """

    spec: ProbeSpec
    settings: Settings
    seed: int
    function: ProbeFunction
    valid_score: float
    best_step: int
    steps_run: int
    curve: tuple[tuple[int, float], ...]
    seconds: float
    mixing: tuple[float, ...] | None = None

    @property
    def parameters(self) -> int:
        """The number of weights that were learned; a mixture counts as one first kernel and a weight a layer."""
        folded = sum(array.size for array in (*self.function.kernels, *self.function.biases))
        if self.mixing is None:
            return folded
        layers, first = len(self.mixing), self.function.kernels[0].size
        return folded - first + first // layers + layers

    def predict(self, embeddings: np.ndarray) -> np.ndarray:
        """Return float32 outputs [n, outputs] for every row of ``embeddings`` [n, D], the last partial batch included.

        Class probabilities (multiclass), label probabilities (multilabel) or values in the targets' own units. The
        products are those of the training, so that scores do not depend on numpy's BLAS; ``function.predict`` gives the
        same to rounding (float32), without torch.
        """
        products, function = Products(), self.function
        probe = Probes(
            [torch.from_numpy(np.ascontiguousarray(kernel.T)).unsqueeze(0) for kernel in function.kernels],
            [torch.from_numpy(bias).unsqueeze(0) for bias in function.biases],
        )
        mean, scale = torch.from_numpy(function.input_mean), torch.from_numpy(function.input_scale)
        blocks = []
        with torch.inference_mode():
            for start in range(0, len(embeddings), ROWS_AT_ONCE):
                x = torch.from_numpy(np.array(embeddings[start : start + ROWS_AT_ONCE], np.float32))
                blocks.append(activate(self.spec, forward(probe, (x - mean) * scale, products)[:, 0]).numpy())
        return np.asarray(np.concatenate(blocks) * function.target_scale + function.target_mean)
