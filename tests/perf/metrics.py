"""What ranking metrics cost at scale: one look at valid, and the intervals of a record, beside scikit-learn.

    python tests/perf/metrics.py [--items 28000] [--labels 50,183,500] [--rate 0.02] [--rounds 5]

A look is mAP of all labels; the share is of a training of 10,000 steps with minibatches of 256, at the given
milliseconds a step and with as many looks as it takes. The jackknife is mAP and ROC AUC without each of the blocks of
items, for one probe, in CPU seconds; 1,000 bootstrap resamples are beside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import average_precision_score
from tabulate import tabulate

from probes.protocol import ProbeSpec, Settings
from probes.statistics.intervals import blocks_of
from probes.training.schedule import validation_steps
from tasks.metrics.scores import resample_all, scores

STEPS = 10_000


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the median over ``rounds``."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=28_000)
    parser.add_argument("--labels", default="50,183,500")
    parser.add_argument("--rate", type=float, default=0.02, help="share of positives")
    parser.add_argument("--step-ms", type=float, default=6.3)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rows, rng = [], np.random.default_rng(0)
    weights = blocks_of(given.items, None, seed=0).weights()
    drawn = np.stack([np.bincount(rng.integers(given.items, size=given.items), minlength=given.items)
                      for _ in range(1000)]).astype(np.float32)  # fmt: skip
    for count in map(int, given.labels.split(",")):
        names = [str(i) for i in range(count)]
        targets = (rng.random((given.items, count)) < given.rate).astype(np.float32)
        outputs = targets * rng.random(targets.shape, np.float32) + rng.random(targets.shape, np.float32)
        look = seconds(lambda: scores("map", targets, outputs, names), given.rounds)  # noqa: B023 - called here
        sklearn = seconds(lambda: average_precision_score(targets, outputs), 1)  # noqa: B023
        left_out, resampled = (
            seconds(lambda: resample_all(("map", "roc_auc"), targets, outputs, names, each), 1)  # noqa: B023
            for each in (weights, drawn)
        )
        spec = ProbeSpec("multilabel", count, "binary_cross_entropy")
        looks = len(validation_steps(Settings(1e-3, 0.0, STEPS, True), spec, given.items))
        share = looks * look / (STEPS * given.step_ms / 1e3)
        rows.append(
            [count, f"{look * 1e3:.1f}", f"{sklearn * 1e3:.0f}", f"{share:.1%}", f"{left_out:.2f}", f"{resampled:.2f}"]
        )
    headers = ["labels", "a look, ms", "scikit-learn, ms", "of a training", "jackknife of both, s", "bootstrap, s"]
    print(f"{given.items} items, {given.rate:.0%} positive")
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
