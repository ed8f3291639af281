"""A request to stop, which a training meets at the end of its step."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds within which torchrun passes on a signal that its processes have had from the terminal already.
PASSED_ON = 5.0


class Interrupt:
    """Whether somebody asked to stop: Ctrl-C, SIGTERM, or SIGHUP. A second time stops at once.

    Attributes:
        asked: Whether.
    """

    def __init__(self, *, several: bool = False) -> None:
        """Wait for a signal.

        Args:
            several: This is one of several processes: their launcher may pass on what each has had, and that is no
                second time.
        """
        self.asked, self._several, self._since = False, several, 0.0

    @contextmanager
    def watched(self) -> Iterator[Interrupt]:
        """Note the signals instead of being stopped by them, where this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]  # as nohup leaves one
        before = {number: signal.signal(number, self._note) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        now = time.monotonic()
        if self.asked and not (self._several and now - self._since < PASSED_ON):
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._since = True, now
