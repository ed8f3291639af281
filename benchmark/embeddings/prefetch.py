"""Prepare the next item in a thread while the present one is used, so that an encoder does not wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


class OneAhead(Generic[T]):
    """Iterates over the generator ``make(stopped)``, one item ahead; to be used as a context.

    At most two items are held, the one in use and the next. What the generator raises is raised at its place in the
    order, after all items before it. When the context ends, ``stopped`` is set, and the end waits until the generator,
    which is to look at it often, is closed.
    """

    def __init__(self, make: Callable[[threading.Event], Generator[T]]) -> None:
        self._make = make
        self._stopped = threading.Event()
        self._wanted = threading.Semaphore(1)
        self._made: queue.SimpleQueue[tuple[list[T], BaseException | None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="next-group", daemon=True)

    def __enter__(self) -> Iterator[T]:
        self._thread.start()
        return self._items()

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._wanted.release()
        self._thread.join()

    def _items(self) -> Iterator[T]:
        while True:
            made, error = self._made.get()
            if error is not None:
                raise error
            if not made:
                return
            self._wanted.release()
            yield made[0]

    def _work(self) -> None:
        items = self._make(self._stopped)
        try:
            while True:
                self._wanted.acquire()
                if self._stopped.is_set():
                    return
                made = list(islice(items, 1))
                self._made.put((made, None))
                if not made:
                    return
        except BaseException as error:  # for the other thread to raise, an interruption included
            self._made.put(([], error))
        finally:
            items.close()
