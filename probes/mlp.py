"""The probe: an MLP with ReLU and dropout after each hidden layer, Glorot kernels and zero biases.

Its gradient is written out rather than left to autograd: a probe is two or three matrix products, and at this size the
graph, its allocations and a second look at every array cost a quarter of the time. Tests hold it to autograd.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from probes.protocol import ProbeSpec


class Mlp:
    """Kernels [fan_in, fan_out] and biases [fan_out] of one probe, with the passes that use them.

    Tensors rather than modules: the trainer gives kernels and biases different weight decay, and copies and restores
    them as arrays. The gradients stand in ``.grad`` of each tensor, in buffers that live as long as the probe.
    """

    def __init__(self, kernels: list[torch.Tensor], biases: list[torch.Tensor]) -> None:
        self.kernels, self.biases = kernels, biases

    @classmethod
    def initialise(cls, spec: ProbeSpec, dim: int, seed: int, device: str) -> Mlp:
        """Return a fresh probe: Glorot-uniform kernels from ``seed`` (the same on every device), zero biases."""
        rng = np.random.default_rng([seed, 1])
        widths = [dim, *spec.hidden, spec.outputs]
        kernels, biases = [], []
        for fan_in, fan_out in itertools.pairwise(widths):
            bound = math.sqrt(6 / (fan_in + fan_out))
            kernel = rng.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)
            kernels.append(torch.from_numpy(kernel).to(device))
            biases.append(torch.zeros(fan_out, device=device))
        mlp = cls(kernels, biases)
        for tensor in (*kernels, *biases):
            tensor.grad = torch.zeros_like(tensor)
        return mlp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs [n, outputs] of ``x`` [n, dim], without dropout."""
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            x = torch.addmm(bias, x, kernel).relu_()
        return torch.addmm(self.biases[-1], x, self.kernels[-1])

    def forward_hidden(self, x: torch.Tensor, masks: DropoutMasks) -> list[torch.Tensor]:
        """Return the input of every layer and, last, the outputs; hidden ones after ReLU and dropout."""
        layers = [x]
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            layers.append(masks.apply(torch.addmm(bias, layers[-1], kernel).relu_()))
        layers.append(torch.addmm(self.biases[-1], layers[-1], self.kernels[-1]))
        return layers

    def backward(self, layers: list[torch.Tensor], slope: torch.Tensor, masks: DropoutMasks) -> None:
        """Write every gradient, given ``layers`` of :meth:`forward_hidden` and the loss's slope at the outputs."""
        for i in reversed(range(len(self.kernels))):
            torch.mm(layers[i].T, slope, out=self.kernels[i].grad)
            torch.sum(slope, dim=0, out=self.biases[i].grad)
            if i:
                slope = torch.mm(slope, self.kernels[i].T)
                # A unit passes its slope, scaled as its value was, where it is on: neither rectified nor dropped.
                slope.mul_(layers[i] > 0).mul_(masks.scale)


class DropoutMasks:
    """Seeded inverted dropout: a unit is 0 with probability ``rate``, else its value / (1 - rate)."""

    def __init__(self, rate: float, seed: int, device: str) -> None:
        self.rate, self.scale, self.device = rate, 1 / (1 - rate), device
        self._rng = np.random.Generator(np.random.SFC64([seed, 2]))
        self._generator = torch.Generator(device).manual_seed(seed) if device != "cpu" else None

    def apply(self, values: torch.Tensor) -> torch.Tensor:
        """Drop units of ``values`` [n, width], in place."""
        if self.rate == 0:
            return values
        if self._generator is not None:
            kept = torch.rand(values.shape, generator=self._generator, device=self.device) >= self.rate
        else:
            # 16 random bits decide a unit: twice as fast as a float, and exact to 1/65536.
            bits = np.frombuffer(self._rng.bytes(2 * values.numel()), np.uint16)
            kept = torch.from_numpy(bits >= round(self.rate * 65536)).view(values.shape)
        return values.mul_(kept).mul_(self.scale)
