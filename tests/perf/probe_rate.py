"""How near one probe trial comes to the matrix-product rate of the machine: 1728 -> 512 -> 50, minibatches of 256.

    python tests/perf/probe_rate.py [--steps 2000] [--rounds 5]

Both are measured in turn, in one process. A step counts two products with the first kernel (its gradient with respect
to the input is never needed) and three with the second; looks at valid are inside the time and not counted.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from probes.data import SplitArrays, TrainValid
from probes.protocol import ProbeSpec, Settings
from probes.training.trainer import Trainer
from tasks.metrics.scores import scores

DIM, HIDDEN, LABELS, BATCH = 1728, 512, 50, 256


def data(rng: np.random.Generator) -> TrainValid:
    def split(name: str, n: int) -> SplitArrays:
        targets = (rng.random((n, LABELS)) < 0.05).astype(np.float32)
        return SplitArrays(tuple(f"{name}{i}" for i in range(n)), rng.normal(size=(n, DIM)).astype(np.float32), targets)

    return TrainValid(split("train", 8000), split("valid", 1000), frozenset())


def product_rate(rows: int, inner: int, columns: int, seconds: float = 1.5) -> float:
    """Return the rate of ``A @ B`` in GFLOP/s, as the median over single products."""
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - started)
    return 2 * rows * inner * columns / float(np.median(times)) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    spec = ProbeSpec("multilabel", LABELS, "binary_cross_entropy")
    settings = Settings(1e-3, 1e-5, given.steps, True, (HIDDEN,), 0.5, BATCH)
    splits, names = data(np.random.default_rng(0)), [str(i) for i in range(LABELS)]
    operations = given.steps * BATCH * (4 * DIM * HIDDEN + 6 * HIDDEN * LABELS)
    ratios = []
    for _ in range(given.rounds):
        rate = product_rate(BATCH, DIM, HIDDEN)
        started = time.perf_counter()
        trainer = Trainer(spec, splits, lambda y, p: float(scores("map", y, p, names)))
        training = trainer.begin(settings, 0)
        trainer.advance([training], [given.steps])
        trainer.finish(training)
        seconds = time.perf_counter() - started
        ratios.append(operations / seconds / 1e9 / rate)
        print(
            f"A @ B {rate:6.0f} GFLOP/s   trial {operations / seconds / 1e9:6.0f} GFLOP/s   ratio {ratios[-1]:.2f}   "
            f"{seconds / given.steps * 1e3:.2f} ms a step"
        )
    print(f"median ratio {np.median(ratios):.2f}")


if __name__ == "__main__":
    main()
