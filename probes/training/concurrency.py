"""Concurrent trainings on the cores of a CPU, each in a slot with one thread.

A probe's matrix product is too small for many threads, which wait for each other at every operation; trainings do not
wait for each other. When fewer trainings than slots are left, they share the free threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from typing import TypeVar

import torch

Done = TypeVar("Done")


class ThreadBudget:
    """The threads that concurrent trainings share.

    Args:
        threads: The number of threads.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._busy = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def share(self) -> int:
        """Return the number of threads that each of the running trainings may take."""
        return max(1, self.threads // max(1, self._busy))

    def run(self, work: Callable[[ThreadBudget], Done]) -> Done:
        """Run ``work`` and count it among those that share the threads."""
        with self._lock:
            self._busy += 1
        try:
            self.check()
            return work(self)
        finally:
            with self._lock:
                self._busy -= 1

    def stop(self) -> None:
        """Let :meth:`check` end all running work."""
        self._stopped.set()

    def check(self) -> None:
        """End the work that calls it if the budget was stopped.

        Raises:
            CancelledError: The budget was stopped.
        """
        if self._stopped.is_set():
            raise CancelledError


def run_concurrently(
    works: Sequence[Callable[[ThreadBudget], Done]], costs: Sequence[float], slots: int
) -> Generator[tuple[int, Done], None, None]:
    """Run ``works`` in ``slots`` and yield the index and the result of each when it ends; an error in one ends all.

    Close the generator (:func:`contextlib.closing`) where the loop may be left early: that ends all running work.

    Args:
        works: Functions of the thread budget, whose ``share`` and ``check`` they call.
        costs: The cost of each work in any unit; the most expensive start first, so that all slots end about together.
        slots: The number of concurrent works; with 1 they run in order in the caller's thread.
    """
    threads = torch.get_num_threads()
    budget = ThreadBudget(threads)
    if min(slots, len(works)) <= 1:
        for i, work in enumerate(works):
            yield i, budget.run(work)
        return
    by_cost = sorted(range(len(works)), key=lambda i: -costs[i])
    pool = ThreadPoolExecutor(min(slots, len(works)), thread_name_prefix="slot")
    try:
        futures = {pool.submit(budget.run, works[i]): i for i in by_cost}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()  # pop: no finished result is kept
    finally:
        budget.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)  # works changed it for all later threads
