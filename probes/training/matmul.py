"""Matrix products of probes: the fastest exact product that this build of torch has.

On a CPU the products are oneDNN's: on an AMD processor with AVX-512 a step with 512 hidden units comes to 1.7 times the
rate of ``torch.mm``, which calls MKL (``python tests/perf/probe_engine.py rounds``); on one without AVX-512 (Zen 3)
steps take 1.1 times as long as with ``torch.mm`` (``python tests/perf/probe_libraries.py``). Unlike MKL's, oneDNN's
results do not depend on the number of threads. ``torch.mm`` is the fallback, and what CUDA uses. The choice depends on
the build alone, never on a measurement, so that a second run gives the same results.
"""

from __future__ import annotations

import time
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


class Products:
    """The two products of a layer, for inputs in ``dtype`` on ``device``; results are float32.

    Attributes:
        dtype: What operands are multiplied in.
        name: ``onednn``, ``mm`` or the device's name, for records.
        alike: Whether the numbers are the same on any number of threads: oneDNN's are, MKL's need not be.
    """

    def __init__(self, device: str = "cpu", precision: Precision = "fp32") -> None:
        self.device, self.precision = device, precision
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._onednn = _onednn() if device == "cpu" and precision == "fp32" else None
        self.name = "onednn" if self._onednn is not None else "mm" if device == "cpu" else device
        self.alike = self._onednn is not None or precision == "bf16" or device != "cpu"

    def linear(
        self, x: torch.Tensor, w: torch.Tensor, bias: torch.Tensor | None = None, *, rectified: bool = False
    ) -> torch.Tensor:
        """Return ``x @ w.T + bias`` float32 [n, m], or 0 where that is less and it is to be ``rectified``.

        Args:
            x: [n, d] in ``dtype``.
            w: float32 [m, d].
            bias: float32 [m], 0 by default.
            rectified: Whether to apply a ReLU.
        """
        if self._onednn is not None:
            return self._onednn(x, w, bias, rectified=rectified)
        y = torch.mm(x.to(self.dtype), w.to(self.dtype).T).float()
        if bias is not None:
            y.add_(bias)
        return y.relu_() if rectified else y

    def matmul_tn(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return ``a.T @ b`` float32 [m, d], for ``a`` float32 [n, m] and ``b`` [n, d] in ``dtype``."""
        if self._onednn is not None:
            return self._onednn(a.T, b.T)
        return torch.mm(a.to(self.dtype).T, b.to(self.dtype)).float()

    def rate(self, seconds: float = 0.1) -> float:
        """Return the measured rate of a large product, in operations a second: the floor of what a training costs."""
        x = torch.ones(256, 2048, device=self.device).to(self.dtype)
        w = torch.ones(1024, 2048, device=self.device)
        self.linear(x, w)
        best, until = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < until:
            started = time.perf_counter()
            self.linear(x, w)
            if self.device.startswith("cuda"):
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
        return 2 * 256 * 2048 * 1024 / best


def _onednn() -> _Onednn | None:
    """Return oneDNN's product if this build of torch has it and it multiplies as it should."""
    try:
        product = _Onednn()
        x, w = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)
        return product if torch.equal(product(x, w), x @ w.T) else None
    except (AttributeError, RuntimeError, NotImplementedError):
        return None


class _Onednn:
    def __init__(self) -> None:
        self._product = torch.ops.mkldnn._linear_pointwise  # what torch.compile itself calls for a linear layer

    def __call__(
        self, x: torch.Tensor, w: torch.Tensor, bias: torch.Tensor | None = None, *, rectified: bool = False
    ) -> torch.Tensor:
        return self._product(x, w, bias, "relu" if rectified else "none", [], "")
