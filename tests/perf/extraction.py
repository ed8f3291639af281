"""Extraction through the command line into a fresh home: seconds of audio a second, and peak memory.

    python tests/perf/extraction.py CARD.toml [--encoder logmel] [--limits 500,1000,2000] [--rounds 3]

The rate is that of ``bench embed`` as it reports it (decoding included, start-up of the workers included); memory is
the largest resident set of any one process of the command.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
from multiprocessing import get_context


def embed(card: str, encoder: str, limit: int | None) -> tuple[float, float]:
    """Return (seconds of audio a second, peak megabytes) of one run in a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "benchmark.cli.main", "embed", "-e", encoder, "-t", card, "--home", home]
        if limit is not None:
            command += ["--limit", str(limit)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = re.search(r"([\d,]+) s of audio a second", done.stderr)
    assert found is not None, done.stderr
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return float(found.group(1).replace(",", "")), peak / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("card")
    parser.add_argument("--encoder", default="logmel")
    parser.add_argument("--limits", default="500,1000,all")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for text in given.limits.split(","):
        limit = None if text == "all" else int(text)
        runs = []
        for _ in range(given.rounds):
            with get_context("spawn").Pool(1) as pool:  # ru_maxrss is a maximum over all children so far
                runs.append(pool.apply(embed, (given.card, given.encoder, limit)))
        rates, peaks = sorted(rate for rate, _ in runs), sorted(peak for _, peak in runs)
        middle = len(runs) // 2
        print(f"{text:>6} tracks: median {rates[middle]:,.0f} s of audio a second, {peaks[middle]:.0f} MB at peak")


if __name__ == "__main__":
    main()
