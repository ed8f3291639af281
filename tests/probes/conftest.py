"""Small generated problems for probes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from probes.data import SplitArrays, TrainValid

Maker = Callable[..., TrainValid]


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


@pytest.fixture(scope="session")
def problem() -> Maker:
    """A noisy linear teacher of any kind, with inputs that standardisation matters to."""

    def make(kind: str, n: int = 90, dim: int = 12, outputs: int = 5, noise: float = 1.0) -> TrainValid:
        rng = np.random.default_rng(0)
        teacher = rng.normal(size=(dim, outputs))
        shift, scale = rng.normal(size=dim), rng.uniform(0.5, 2, dim)

        def split(name: str, size: int) -> SplitArrays:
            z = rng.normal(size=(size, dim))
            logits = z @ teacher + noise * rng.normal(size=(size, outputs))
            targets = {
                "multiclass": logits.argmax(1).astype(np.int64),
                "multilabel": (logits > 0.5).astype(np.float32),
                "regression": (logits * 3 + 10).astype(np.float32),
            }[kind]
            ids = tuple(f"{name}{i}" for i in range(size))
            return SplitArrays(ids, (z * scale + shift).astype(np.float32), targets)

        return TrainValid(split("train", n), split("valid", 40), frozenset())

    return make
