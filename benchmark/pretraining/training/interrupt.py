"""A request to stop, which a training meets at the end of its step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupt:
    """Whether somebody asked to stop: Ctrl-C, SIGTERM, or SIGHUP. A second time stops at once."""

    asked = False

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
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
