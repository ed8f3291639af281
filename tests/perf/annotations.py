"""How long reading a task's annotations takes, and the peak memory of the process.

python tests/perf/annotations.py TASK [--home HOME] [--rounds 5]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

from benchmark.system.home import home_folder
from tasks import registry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("--home", default=None)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    task, times, read = registry.find(given.task)[0], [], 0
    for _ in range(given.rounds):
        started = time.perf_counter()
        read = len(task.items(home_folder(given.home)))
        times.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{task.card.id}: {read} items in {statistics.median(times):.2f} s, {peak:.0f} MB at peak")


if __name__ == "__main__":
    main()
