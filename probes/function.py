"""The function of a probe from embeddings to outputs, and its evaluation with numpy alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from probes.kinds import Loss

Activation = Literal["softmax", "sigmoid", "identity"]

#: The activation of the outputs, by the loss that the probe was trained with.
ACTIVATIONS: Mapping[Loss, Activation] = {
    "cross_entropy": "softmax", "binary_cross_entropy": "sigmoid", "squared_error": "identity",
}  # fmt: skip

ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class ProbeFunction:
    """The arrays and the activation that decide a probe's outputs.

    Attributes:
        activation: Of the outputs. It follows the loss: a multiclass probe may have been trained on labels one by one.
        kernels: float32 [fan_in, fan_out] of each layer; a mixture of encoder layers is folded into the first.
        biases: float32 [fan_out] of each layer.
        input_mean: float32 [D] subtracted from embeddings.
        input_scale: float32 [D] then multiplied.
        target_mean: float32 [outputs] added to outputs in the end.
        target_scale: float32 [outputs] multiplied before that.
    """

    activation: Activation
    kernels: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    input_mean: np.ndarray
    input_scale: np.ndarray
    target_mean: np.ndarray
    target_scale: np.ndarray

    def __post_init__(self) -> None:
        self._check()

    @property
    def width(self) -> int:
        """Floats in a row of embeddings."""
        return self.kernels[0].shape[0]

    @property
    def outputs(self) -> int:
        """Number of classes, labels or targets."""
        return self.kernels[-1].shape[1]

    def predict(self, embeddings: np.ndarray) -> np.ndarray:
        """Return float32 outputs [n, outputs] of ``embeddings`` [n, D].

        Class probabilities (multiclass), label probabilities (multilabel) or values in the targets' own units.

        Raises:
            ValueError: Embeddings of another width.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.width:
            raise ValueError(f"embeddings are {embeddings.shape}, not (n, {self.width})")
        blocks = [embeddings[i : i + ROWS_AT_ONCE] for i in range(0, max(len(embeddings), 1), ROWS_AT_ONCE)]
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is seen in the outputs
            return np.concatenate([self._outputs(np.asarray(block, np.float32)) for block in blocks])

    def _outputs(self, x: np.ndarray) -> np.ndarray:
        x = (x - self.input_mean) * self.input_scale
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            x = np.maximum(x @ kernel + bias, 0)
        logits = x @ self.kernels[-1] + self.biases[-1]
        return np.asarray(_activate(self.activation, logits) * self.target_scale + self.target_mean, np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays by the names that they have in ``probe.safetensors``."""
        arrays = {f"kernel_{i}": kernel for i, kernel in enumerate(self.kernels)}
        arrays.update({f"bias_{i}": bias for i, bias in enumerate(self.biases)})
        names = ("input_mean", "input_scale", "target_mean", "target_scale")
        arrays.update({name: getattr(self, name) for name in names})
        return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}

    def _check(self) -> None:
        if not self.kernels or len(self.kernels) != len(self.biases):
            raise ValueError(f"{len(self.kernels)} kernels and {len(self.biases)} biases are no probe")
        for name, array in self.tensors().items():
            if array.ndim != (2 if name.startswith("kernel") else 1) or array.size == 0:
                raise ValueError(f"{name} has the shape {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} has numbers that are not finite")
        for i, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            if bias.shape != kernel.shape[1:]:
                raise ValueError(f"bias_{i} is {bias.shape} under a kernel of {kernel.shape}")
        for first, second in itertools.pairwise(self.kernels):
            if first.shape[1] != second.shape[0]:
                raise ValueError(f"a kernel of {second.shape} follows one of {first.shape}")
        lengths = {
            "input_mean": self.width,
            "input_scale": self.width,
            "target_mean": self.outputs,
            "target_scale": self.outputs,
        }
        for name, length in lengths.items():
            if getattr(self, name).shape != (length,):
                raise ValueError(f"{name} is {getattr(self, name).shape}, not ({length},)")


def _activate(activation: Activation, logits: np.ndarray) -> np.ndarray:
    if activation == "softmax":
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    return np.exp(-np.logaddexp(0, -logits)) if activation == "sigmoid" else logits
