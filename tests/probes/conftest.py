"""Small generated problems for probes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from probes.data import SplitArrays, TrainValid

Maker = Callable[..., TrainValid]


def accuracy(targets: np.ndarray, outputs: np.ndarray) -> float:
    return float((outputs.argmax(1) == targets).mean())


@pytest.fixture
def classes() -> Maker:
    """Three Gaussian classes in 8 dimensions, well apart, unless the labels are permuted."""

    def make(n: int = 300, *, permuted: bool = False, seed: int = 0, scale: float = 1.0) -> TrainValid:
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(3, 8)) * 2

        def split(name: str, size: int) -> SplitArrays:
            y = rng.integers(3, size=size)
            x = ((centres[y] + rng.normal(size=(size, 8))) * scale).astype(np.float32)
            if permuted:
                y = rng.permutation(y)
            return SplitArrays(tuple(f"{name}{i}" for i in range(size)), x, y.astype(np.int64))

        return TrainValid(split("train", n), split("valid", max(n // 3, 1)), frozenset({"test0"}))

    return make
