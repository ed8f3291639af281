"""Several trainings at once on the cores of a CPU: a lane each, one thread in every lane.

A probe's matrix product is too small for many threads: they wait for each other at every operation. Trainings wait for
nobody. When fewer are left than there are lanes, those left get the free threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from typing import TypeVar

import torch

Done = TypeVar("Done")


class ThreadBudget:
    """The threads that works share while they run.

    Args:
        threads: All of them.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._busy = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def share(self) -> int:
        """Return how many threads one of the works that run now may take."""
        return max(1, self.threads // max(1, self._busy))

    def run(self, work: Callable[[ThreadBudget], Done]) -> Done:
        """Run ``work`` as one of those that share the threads."""
        with self._lock:
            self._busy += 1
        try:
            self.check()
            return work(self)
        finally:
            with self._lock:
                self._busy -= 1

    def stop(self) -> None:
        """Have :meth:`check` end all works."""
        self._stopped.set()

    def check(self) -> None:
        """Do nothing, until the budget is stopped.

        Raises:
            CancelledError: It is.
        """
        if self._stopped.is_set():
            raise CancelledError


def at_once(
    works: Sequence[Callable[[ThreadBudget], Done]], costs: Sequence[float], lanes: int
) -> Generator[tuple[int, Done], None, None]:
    """Run ``works`` in ``lanes`` and yield the index and the result of each as it ends; one that fails ends all.

    Close it (:func:`contextlib.closing`) where the loop over it may be left early: that ends what still runs.

    Args:
        works: What to run; each asks its budget for its threads, and whether to stop.
        costs: Of each work, in any unit; the dearest begin first, so that lanes end together.
        lanes: How many run at a time; with 1, they run one after the other, in order, in the caller's thread.
    """
    threads = torch.get_num_threads()
    budget = ThreadBudget(threads)
    if min(lanes, len(works)) <= 1:
        for i, work in enumerate(works):
            yield i, budget.run(work)
        return
    dearest = sorted(range(len(works)), key=lambda i: -costs[i])
    pool = ThreadPoolExecutor(min(lanes, len(works)), thread_name_prefix="lane")
    try:
        futures = {pool.submit(budget.run, works[i]): i for i in dearest}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()  # and holds on to no result
    finally:
        budget.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)  # which lanes changed for every thread to come
