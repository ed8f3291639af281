"""How many seconds of audio each built-in encoder embeds in a second, decoding aside, in one process.

python tests/perf/encoders.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from benchmark.encoders.registry import BUILTIN, resolve_one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)
    for name in BUILTIN:
        encoder = resolve_one(name)
        batch = rng.uniform(-0.5, 0.5, (32, 1, round(3.0 * encoder.sample_rate))).astype(np.float32)
        times = []
        for _ in range(rounds + 1):
            started = time.perf_counter()
            encoder.embed(batch)
            times.append(time.perf_counter() - started)
        print(f"{name:<12}{32 * 3.0 / statistics.median(times[1:]):8,.0f} times real time")


if __name__ == "__main__":
    main()
