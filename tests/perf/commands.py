"""Wall-clock medians of the commands that a person waits for.

    python tests/perf/commands.py [--rounds 7]

``run, kept`` is a second identical ``bench run`` of one encoder on one demo task; ``run, new seed`` re-reads no audio.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    bench = [str(Path(sys.executable).with_name("bench"))]
    with tempfile.TemporaryDirectory() as folder:
        where = ["--home", f"{folder}/home", "--results", f"{folder}/results"]
        run = [*bench, "run", "-e", "logmel", "-t", "demo_key", *where]
        print(f"{'run, first':<16}{seconds(run):7.2f} s (renders, embeds, probes)")
        commands = {
            "--help": [*bench, "--help"],
            "tasks": [*bench, "tasks"],
            "tasks demo_key": [*bench, "tasks", "demo_key"],
            "run, kept": run,
            "run --dry-run": [*run, "--dry-run"],
        }
        for name, command in commands.items():
            print(f"{name:<16}{statistics.median(seconds(command) for _ in range(rounds)):7.2f} s")
        seeded = [seconds([*run, "--seed", str(seed)]) for seed in range(1, rounds)]
        print(f"{'run, new seed':<16}{statistics.median(seeded):7.2f} s")


if __name__ == "__main__":
    main()
