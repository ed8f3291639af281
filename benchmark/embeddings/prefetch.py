"""Prepare the next item of a generator in a thread while the present one is used, so that an encoder does not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def prefetched(make: Callable[[threading.Event], Generator[T]]) -> Iterator[Iterator[T]]:
    """Give an iterator over the items of the generator ``make(stopped)``, which runs one item ahead in a thread.

    At most two items are held, the one in use and the next. What the generator raises is raised at its place in the
    order, after all items before it. When the context ends, ``stopped`` is set, which the generator should check often,
    and the end waits until the generator is closed.
    """
    stopped = threading.Event()
    generator = make(stopped)

    def following() -> list[T]:
        return list(islice(generator, 1))

    with ThreadPoolExecutor(1, thread_name_prefix="next-group") as thread:
        coming = thread.submit(following)

        def items() -> Iterator[T]:
            nonlocal coming
            while item := coming.result():
                coming = thread.submit(following)
                yield item[0]

        try:
            yield items()
        finally:
            stopped.set()
            thread.submit(generator.close).result()
