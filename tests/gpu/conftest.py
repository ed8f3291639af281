"""What the checks of CUDA paths share: the device, where measured rates go, and audio, data and weights to work on.

``BENCH_GPU_DEVICE`` is the device, ``cuda`` unless given; ``cpu`` tries the checks themselves. ``BENCH_GPU_RATES`` is a
file that :mod:`tests.gpu.check` prints its page from.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from probes.data import SplitArrays, TrainValid

RATE = 16_000


@pytest.fixture(scope="session")
def device() -> str:
    asked = os.environ.get("BENCH_GPU_DEVICE", "cuda")
    if asked.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here: make gpu-check on a machine with a GPU")
    return asked


@pytest.fixture(scope="session")
def small(device: str) -> bool:
    """Say whether to measure little: on a CPU, where the figures are of no interest."""
    return not device.startswith("cuda")


class Rates:
    """Times calls on the device and writes down what they reached."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._path = os.environ.get("BENCH_GPU_RATES")

    def seconds(self, call: Callable[[], object], times: int = 3) -> float:
        """Return the seconds of the fastest of some calls after a first one, with the device's work done."""
        call()
        found = []
        for _ in range(times):
            self._wait()
            started = time.perf_counter()
            call()
            self._wait()
            found.append(time.perf_counter() - started)
        return min(found)

    def note(self, what: str, seconds: float, *, flop: float = 0.0, precision: str = "fp32", words: str = "") -> None:
        """Write down one figure.

        Args:
            what: What was measured.
            seconds: What it took.
            flop: Operations of its products, 0 where they are not the point.
            precision: ``fp32`` or ``bf16``: which limit it is held against.
            words: The rate in the terms of the matter, such as times real time.
        """
        if self._path is None:
            return
        line = {"what": what, "seconds": seconds, "flop": flop, "precision": precision, "words": words}
        with Path(self._path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _wait(self) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)


@pytest.fixture(scope="session")
def rates(device: str) -> Rates:
    return Rates(device)


@pytest.fixture
def songs(tmp_path: Path) -> list[Path]:
    """Write twelve recordings of three lengths, 44.1 kHz stereo and 16 kHz mono."""
    folder = tmp_path / "audio"
    folder.mkdir()
    paths = []
    for i in range(12):
        rate, channels = ((44_100, 2), (RATE, 1))[i % 2]
        rng = np.random.default_rng(i)
        samples = rng.uniform(-0.5, 0.5, (round(rate * (1.5, 4.0, 9.3)[i % 3]), channels))
        path = folder / f"{i}.wav"
        soundfile.write(path, samples, rate)
        paths.append(path)
    return paths


@pytest.fixture(scope="session")
def problem() -> Callable[..., TrainValid]:
    """Return what makes a noisy linear problem of any kind."""

    def make(kind: str, n: int = 600, dim: int = 24, outputs: int = 5) -> TrainValid:
        rng = np.random.default_rng(0)
        teacher = rng.normal(size=(dim, outputs)).astype(np.float32)

        def split(name: str, size: int) -> SplitArrays:
            x = rng.normal(size=(size, dim)).astype(np.float32)
            logits = x @ teacher + rng.normal(size=(size, outputs))
            targets = {
                "multiclass": logits.argmax(1).astype(np.int64),
                "multilabel": (logits > 0.5).astype(np.float32),
                "regression": logits.astype(np.float32),
            }[kind]
            return SplitArrays(tuple(f"{name}{i}" for i in range(size)), x, targets)

        return TrainValid(split("train", n), split("valid", max(40, n // 4)), frozenset())

    return make


def closeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference over the largest number."""
    return float(np.abs(one - other).max() / max(float(np.abs(other).max()), 1e-12))


@pytest.fixture(scope="session")
def apart() -> Callable[[np.ndarray, np.ndarray], float]:
    return closeness
