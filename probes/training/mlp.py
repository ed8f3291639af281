"""Many probes as one module: MLPs of one shape with parameters [K, fan_out, fan_in], ReLU and dropout between layers.

The gradient is written out. A step of eight linear probes takes 2.3 to 2.5 times as long with a module, autograd and a
fused Adam for each, 1.6 to 1.7 times with ``torch.func.vmap(grad)`` and 1.1 times with ``torch.baddbmm``
(``taskset -c 1 python tests/perf/probe_libraries.py``, three runs on one AMD Zen 3 core). With 512 hidden units, where
products take nearly all of the time, autograd gains nothing and loses nothing. Tests hold the gradient to autograd.

Probes that see the same inputs share the first product where it is narrow (a linear probe's); wide layers are
multiplied probe by probe, which is as fast, and gives each the very numbers that it has alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch

from probes.protocol import ProbeSpec
from probes.training.matmul import Products

#: Layers at least so wide reach the full rate of a product by themselves.
WIDE = 128

#: Fewer outputs than so many leave most of a processor's vector empty.
NARROW = 16


class Probes:
    """K probes of one shape.

    Attributes:
        kernels: For each layer float32 [K, fan_out, fan_in].
        biases: For each layer float32 [K, fan_out].
        mixing: Scores [K, L] whose softmax weighs the encoder's layers, or ``None``.
    """

    def __init__(
        self, kernels: list[torch.Tensor], biases: list[torch.Tensor], mixing: torch.Tensor | None = None
    ) -> None:
        self.kernels, self.biases, self.mixing = kernels, biases, mixing

    def __len__(self) -> int:
        return len(self.kernels[0])

    @classmethod
    def initialise(cls, spec: ProbeSpec, hidden: Sequence[int], dim: int, seed: int, device: str) -> Probes:
        """Return one fresh probe for inputs of ``dim`` (of ``dim`` a layer, where layers are mixed).

        Glorot-uniform kernels from ``seed``, the same on every device; zero biases; equal weights of layers.
        """
        rng = np.random.default_rng([seed, 1])
        widths = [dim // (spec.layers or 1), *hidden, spec.outputs]
        kernels, biases = [], []
        for fan_in, fan_out in itertools.pairwise(widths):
            bound = math.sqrt(6 / (fan_in + fan_out))
            kernel = rng.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)
            kernels.append(torch.from_numpy(np.ascontiguousarray(kernel.T)).unsqueeze(0).to(device))
            biases.append(torch.zeros(1, fan_out, device=device))
        mixing = None if spec.layers is None else torch.zeros(1, spec.layers, device=device)
        return cls(kernels, biases, mixing)

    @classmethod
    def stacked(cls, probes: Sequence[Probes]) -> Probes:
        """Return all of ``probes`` as one, in order."""
        layers = range(len(probes[0].kernels))
        mixing = [probe.mixing for probe in probes if probe.mixing is not None]
        return cls(
            [torch.cat([probe.kernels[i] for probe in probes]) for i in layers],
            [torch.cat([probe.biases[i] for probe in probes]) for i in layers],
            torch.cat(mixing) if mixing else None,
        )

    def part(self, members: slice) -> Probes:
        """Return some of the probes, as views of the same memory."""
        return Probes(
            [kernel[members] for kernel in self.kernels],
            [bias[members] for bias in self.biases],
            None if self.mixing is None else self.mixing[members],
        )

    def copy(self) -> Probes:
        """Return the probes in memory of their own."""
        return Probes(
            [kernel.clone() for kernel in self.kernels],
            [bias.clone() for bias in self.biases],
            None if self.mixing is None else self.mixing.clone(),
        )

    def parameters(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return what L2 weighs, and what it does not."""
        return self.kernels, [*self.biases, *([] if self.mixing is None else [self.mixing])]


def forward(probes: Probes, x: torch.Tensor, products: Products) -> torch.Tensor:
    """Return the outputs [n, K, outputs] of ``x`` [n, dim], without dropout."""
    return _forward(probes, _mixed(probes, x, products), products, [None] * (len(probes.kernels) + 1))[-1]


def _forward(
    probes: Probes, x: torch.Tensor, products: Products, masks: Sequence[torch.Tensor | None]
) -> list[torch.Tensor]:
    """Return the inputs of every layer, and the outputs [n, K, outputs]; ``masks`` as of :func:`draw_masks`."""
    layers = [x if masks[0] is None else (x * masks[0]).to(products.dtype)]
    last = len(probes.kernels) - 1
    for i, (kernel, bias) in enumerate(zip(probes.kernels, probes.biases, strict=True)):
        y = _linear(layers[-1], kernel, bias, products, rectified=i < last)
        mask = masks[i + 1]
        if mask is not None:
            y.mul_(mask.unsqueeze(1))
        layers.append(y)
    return layers


def _linear(
    x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, products: Products, *, rectified: bool
) -> torch.Tensor:
    """Return [n, K, fan_out] of ``x`` [n, fan_in], which all K see, or [n, K, fan_in]."""
    count, fan_out, fan_in = kernel.shape
    if x.ndim == 2 and (count == 1 or fan_out < WIDE):
        y = products.linear(x, kernel.view(count * fan_out, fan_in), bias.view(-1), rectified=rectified)
        return y.view(len(x), count, fan_out)
    outputs = [
        products.linear(x if x.ndim == 2 else x[:, k], kernel[k], bias[k], rectified=rectified) for k in range(count)
    ]
    return outputs[0].unsqueeze(1) if count == 1 else torch.stack(outputs, dim=1)


def _matmul_tn(grad: torch.Tensor, x: torch.Tensor, products: Products) -> torch.Tensor:
    """Return the gradient [K, fan_out, fan_in] of kernels, from ``grad`` [n, K, fan_out] and their inputs."""
    n, count, fan_out = grad.shape
    if x.ndim == 2 and (count == 1 or fan_out < WIDE):
        return products.matmul_tn(grad.reshape(n, count * fan_out), x).view(count, fan_out, -1)
    grads = [products.matmul_tn(grad[:, k], x if x.ndim == 2 else x[:, k]) for k in range(count)]
    return grads[0].unsqueeze(0) if count == 1 else torch.stack(grads)


def gradients(
    probes: Probes,
    x: torch.Tensor,
    targets: torch.Tensor,
    masks: Sequence[torch.Tensor | None],
    spec: ProbeSpec,
    products: Products,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the gradients of what :meth:`Probes.parameters` returns, in its order.

    Args:
        probes: K probes that see the same inputs.
        x: Inputs [n, dim], in the products' type.
        targets: Encoded targets: int64 [n] or float32 [n, outputs].
        masks: Dropout factors: of the inputs, after every hidden layer, of the outputs (see :func:`draw_masks`).
        spec: Decides the loss.
        products: The matrix products.
    """
    mixed = _mixed(probes, x, products)
    layers = _forward(probes, mixed, products, masks)
    grad = loss_grad(spec, layers[-1], targets)
    if masks[-1] is not None:
        grad.mul_(masks[-1].unsqueeze(1))
    kernels: list[torch.Tensor] = []
    biases: list[torch.Tensor] = []
    for i in reversed(range(len(probes.kernels))):
        kernels.append(_matmul_tn(grad, layers[i], products))
        biases.append(grad.sum(dim=0))
        if i == 0:
            break
        below = [products.linear(grad[:, k], probes.kernels[i][k].T) for k in range(len(probes))]
        grad = below[0].unsqueeze(1) if len(below) == 1 else torch.stack(below, dim=1)
        # A unit passes its gradient on, scaled as its value was, where it is on: neither rectified nor dropped.
        torch.ops.aten.threshold_backward.grad_input(grad, layers[i], 0, grad_input=grad)
        if masks[i] is not None:
            grad.mul_(masks[i].unsqueeze(1))  # type: ignore[union-attr]
    free = biases[::-1]
    if probes.mixing is not None:
        free.append(_mixing_grad(probes, x, grad, masks[0], products))
    return kernels[::-1], free


def draw_masks(masks: object, spec: ProbeSpec, widths: Sequence[int], rows: int) -> list[torch.Tensor | None]:
    """Return the dropout factors of one step, at the place that the protocol gives them.

    Args:
        masks: A :class:`~probes.training.dropout.DropoutMasks`.
        spec: Says where dropout is.
        widths: Of the inputs, every hidden layer, and the outputs.
        rows: Items of the minibatch.
    """
    places = {
        "hidden": range(1, len(widths) - 1),
        "logits": [len(widths) - 1],
        "input_and_hidden": range(len(widths) - 1),
    }[spec.dropout_place]
    return [masks.draw(rows, width) if i in places else None for i, width in enumerate(widths)]  # type: ignore[attr-defined]


def _mixed(probes: Probes, x: torch.Tensor, products: Products) -> torch.Tensor:
    """Return the inputs as the probes see them: one probe alone where layers are mixed."""
    if probes.mixing is None:
        return x
    weights = torch.softmax(probes.mixing[0], dim=0)
    return torch.einsum("nld,l->nd", x.view(len(x), len(weights), -1).float(), weights).to(products.dtype)


def _mixing_grad(
    probes: Probes, x: torch.Tensor, grad: torch.Tensor, mask: torch.Tensor | None, products: Products
) -> torch.Tensor:
    assert probes.mixing is not None
    below = products.linear(grad[:, 0], probes.kernels[0][0].T)
    if mask is not None:
        below = below * mask
    weights = torch.softmax(probes.mixing[0], dim=0)
    layer_grads = torch.einsum("nld,nd->l", x.view(len(x), len(weights), -1).float(), below)
    return (weights * (layer_grads - (weights * layer_grads).sum())).unsqueeze(0)


def loss_grad(spec: ProbeSpec, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the gradient [n, K, outputs] of each probe's mean loss with respect to ``logits`` [n, K, outputs].

    Cross-entropy (mean over items), binary cross-entropy and squared error (mean over items and outputs).
    """
    n = len(targets)
    if spec.loss == "cross_entropy":
        grad = _softmax(logits)
        grad[torch.arange(n, device=logits.device), :, targets] -= 1
        return grad.div_(n)
    if spec.loss == "binary_cross_entropy":
        return torch.sigmoid(logits).sub_(targets.unsqueeze(1)).div_(targets.numel())
    return (logits - targets.unsqueeze(1)).mul_(2 / targets.numel())


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    """Return the softmax over the last dimension of ``logits`` [n, K, outputs].

    Where outputs are less than a vector, torch takes ten times as long over the last dimension as over the first. There
    its last digits depend on the number of threads, so a probe that must not depend on them, K = 1, has the slow one.
    """
    count, outputs = logits.shape[1:]
    if count == 1 or outputs >= NARROW or logits.device.type != "cpu":
        return torch.softmax(logits, dim=-1)
    return torch.softmax(logits.movedim(-1, 0).contiguous(), dim=0).movedim(0, -1).contiguous()


def activate(spec: ProbeSpec, logits: torch.Tensor) -> torch.Tensor:
    """Return probabilities of ``logits`` [..., outputs] by the loss they were trained with; values as they are."""
    if spec.loss == "cross_entropy":
        return torch.softmax(logits, dim=-1)
    return torch.sigmoid(logits) if spec.loss == "binary_cross_entropy" else logits
