"""The trackers of one run. Whatever becomes of them, the run goes on: they are called in threads of their own.

A tracker that fails is told of once and left alone from then on; one that hangs is not waited for longer than
:data:`PATIENCE` when the run ends.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from benchmark.system.progress import Reporter
from benchmark.system.terminal import said_by
from benchmark.tracking.contract import About, Status, Tracker, Value
from benchmark.tracking.kinds import KINDS

PATIENCE = 30.0  # seconds from the end of a run until its trackers are left to themselves
WAITING = 10_000  # calls that a tracker may be behind


class Trackers:
    """Those of one run, from its beginning to :meth:`close`. Called by one thread."""

    def __init__(self, kinds: Sequence[str], about: About, report: Reporter) -> None:
        self._report = report
        self._each = [_Background(kind, about) for kind in kinds]
        self._told: dict[str, str] = {}
        self._tell()

    @property
    def problems(self) -> tuple[str, ...]:
        """What was told of trackers that failed."""
        return tuple(self._told.values())

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Hand numbers of a step to each."""
        given = dict(values)
        self._hand(lambda tracker: tracker.log(step, given))

    def summarise(self, values: Mapping[str, Value]) -> None:
        """Hand what came of the run to each."""
        given = dict(values)
        self._hand(lambda tracker: tracker.summarise(given))

    def close(self, status: Status) -> None:
        """End the run in each, and wait for them for a while."""
        for each in self._each:
            each.end(status)
        until = time.monotonic() + PATIENCE
        for each in self._each:
            each.wait(until - time.monotonic())
        self._tell()

    def _hand(self, call: Callable[[Tracker], None]) -> None:
        for each in self._each:
            each.hand(call)
        self._tell()

    def _tell(self) -> None:
        for each in self._each:
            if each.problem and each.kind not in self._told:
                self._told[each.kind] = f"{each.kind} does not follow the run, which goes on without it: {each.problem}"
                self._report.say(self._told[each.kind])


class _Background:
    """One tracker, whose calls are made in order in a thread."""

    def __init__(self, kind: str, about: About) -> None:
        self.kind, self.problem = kind, ""
        self._calls: SimpleQueue[Callable[[Tracker], None] | None] = SimpleQueue()
        self._thread: Thread | None = None
        try:  # here and not in the thread: two threads that import one library at once may see it half made
            module = importlib.import_module(KINDS[kind].module)
        except Exception as error:  # whatever a library raises when it is imported
            self.problem = said_by(error)
            return
        self._thread = Thread(target=self._work, args=(module.open_tracker, about), name=f"track {kind}", daemon=True)
        self._thread.start()

    def hand(self, call: Callable[[Tracker], None]) -> None:
        """Let a call be made when those before it are done."""
        if self.problem:
            return
        if self._calls.qsize() >= WAITING:
            self.problem = f"it is {WAITING:,} calls behind"
            return
        self._calls.put(call)

    def end(self, status: Status) -> None:
        """Let the run be ended there."""
        self.hand(lambda tracker: tracker.close(status))
        self._calls.put(None)

    def wait(self, seconds: float) -> None:
        """Wait until all calls are made, or for so long."""
        if self._thread is None:
            return
        self._thread.join(max(0.0, seconds))
        if self._thread.is_alive() and not self.problem:
            self.problem = f"it has not taken all within {PATIENCE:g} s of the end"

    def _work(self, open_tracker: Callable[[About], Tracker], about: About) -> None:
        tracker: Tracker | None = None
        try:
            tracker = open_tracker(about)
            while (call := self._calls.get()) is not None:
                call(tracker)
        except BaseException as error:  # also a library that would end the process
            self.problem = said_by(error)
            if tracker is not None:
                with suppress(BaseException):
                    tracker.close("failed")
