"""What an encoder costs in another interpreter, beside the same one in this process, in CPU seconds of both.

python tests/perf/environments.py [--rounds 9] [--environment PYTHON] [--speed 20]

The encoder burns the CPU seconds that make it so many times real time in this process, on batches as an extraction
makes them. Calls of the two alternate, and medians are compared. Other processes may use the machine meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.outputs import call_encoder
from benchmark.encoders.registry import resolve_one

SOURCE = """
import time
import numpy as np
from benchmark import Encoder


class Slow(Encoder):
    name, version, sample_rate, dim, arrays = "slow", "1", 24000, 1024, "numpy"
    window_seconds, hop_seconds = 10.0, 10.0
    layers = tuple(str(i) for i in range(13))

    def __init__(self, speed: float = 20.0):
        self.speed = speed

    def embed(self, waveforms):
        until = time.process_time() + waveforms.shape[0] * waveforms.shape[2] / self.sample_rate / self.speed
        while time.process_time() < until:
            np.abs(waveforms[:1]).sum()
        return np.ones((len(waveforms), 13, 1024), np.float32)
"""
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process so far, as Linux counts them."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def call(encoder: Encoder, batch: np.ndarray, pid: int | None) -> float:
    """Return the CPU seconds of one call, in this process and in the other one."""
    before = time.process_time() + (cpu_of(pid) if pid else 0.0)
    call_encoder(encoder, batch.copy(), "cpu")
    return time.process_time() + (cpu_of(pid) if pid else 0.0) - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--environment", default=sys.executable)
    parser.add_argument("--speed", type=float, default=20.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "slow.py"
        file.write_text(SOURCE, encoding="utf-8")
        options = f"?speed={asked.speed}"
        here = resolve_one(f"{file}{options}")
        there = resolve_one(f"env:{asked.environment}::{file}{options}")
        pid = there._process._running._process.pid  # type: ignore[attr-defined]
        batch = np.random.default_rng(0).uniform(-1, 1, (8, 1, 240_000)).astype(np.float32)
        times: dict[str, list[float]] = {"in process": [], "env:": []}
        for _ in range(asked.rounds):
            times["in process"].append(call(here, batch, None))
            times["env:"].append(call(there, batch, pid))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:<11}{median:7.3f} CPU s for {8 * 10} s of audio, {8 * 10 / median:6.1f} times real time")
    print(f"env: costs {100 * (medians['env:'] / medians['in process'] - 1):.1f} % more")


if __name__ == "__main__":
    main()
