"""Time limits for calls of an encoder in this process: embed, fit, open.

A call that is late is interrupted as Ctrl-C would do it, and becomes an error that names the track. A call that does
not return to Python even then, in a library that waits for ever, can only be ended with its process: what is finished
is stored first, by the thread that keeps the time, and the process says why it ends.

``fit`` and the opening of an encoder may rightly take hours, on all of train or over a slow line; so what is limited
there is the time without progress: without another window, or without a megabyte read or written.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmark.errors import UserError
from results.markdown import inert

#: Seconds of the first call, which may load weights, compile or wait for a GPU.
FIRST = 900.0
#: Seconds of any later call, at least; and what it may take of the slowest call so far, by seconds of audio.
LEAST, TIMES = 120.0, 50.0
#: Seconds that ``fit`` may take from window to window, and behind the last one, where it computes.
FITTING = 4 * 3600.0
#: Seconds that the opening of an encoder may take without so many bytes read or written: weights, a download.
OPENING, MOVED = 1800.0, 1_000_000
#: Seconds between an interruption that changes nothing and the end of the process.
GRACE = 20.0
LOOK = 0.5  # seconds between looks; a longer pause (the machine slept, the process was stopped) counts as one look

#: Seconds that any call may take, in place of all that, and ``fit`` and opening where it is more; ``0`` waits for ever.
VARIABLE = "BENCH_ENCODER_SECONDS"

HUNG = 2  # exit status


class HungError(UserError):
    """A call of an encoder that did not come back in time."""


class TimeLimit:
    """Keeps the time of one encoder's calls, one after the other, all from one thread."""

    def __init__(self, encoder: str, keep: Callable[[], None] | None = None) -> None:
        """Begin.

        Args:
            encoder: Its name, for messages.
            keep: Stores what is finished; called from another thread, where the process has to end.

        Raises:
            UserError: The environment variable holds no number of seconds.
        """
        self._encoder, self._keep = encoder, keep
        self._slowest = 0.0
        self._fixed = _asked()

    def of(self, seconds: float) -> float:
        """Return the seconds that a call on ``seconds`` of audio may take."""
        if self._fixed is not None:
            return self._fixed
        return max(LEAST, TIMES * self._slowest * seconds) if self._slowest else FIRST

    @contextmanager
    def over(self, what: str, seconds: float) -> Iterator[None]:
        """Keep the time of what is done meanwhile.

        Args:
            what: What it is called on, to be read after 'on': the track, say.
            seconds: Of audio.

        Raises:
            HungError: It took too long, and was interrupted.
        """
        limit = self.of(seconds)
        if math.isinf(limit):
            yield
            return
        call = _Call(limit, self._sentence(what, limit), "; finished tracks are kept", self._keep)
        started = time.perf_counter()
        with call.kept():
            yield
        self._slowest = max(self._slowest, (time.perf_counter() - started) / max(seconds, 0.1))

    def _sentence(self, what: str, limit: float) -> str:
        return f"the encoder {self._encoder!r} did not answer within {limit:,.0f} s on {what}"


_ADVICE = f"Does it hang? Where it only takes long, say so with {VARIABLE}=SECONDS (0: no limit)."


@contextmanager
def fit_in_time(encoder: str) -> Iterator[Callable[[], None]]:
    """Keep the time of a fit; what is yielded is to be called for each window that it takes.

    Raises:
        HungError: It took no window for too long and did not come back either, and was interrupted.
        UserError: The environment variable holds no number of seconds.
    """
    limit = _at_least(FITTING)
    sentence = f"fit() of the encoder {encoder!r} took no window for {limit:,.0f} s and did not come back"
    call = _Call(limit, sentence)
    if math.isinf(limit):
        yield call.note_progress
        return
    with call.kept():
        yield call.note_progress


@contextmanager
def open_in_time(encoder: str, moved: Callable[[], int | None] | None = None) -> Iterator[None]:
    """Keep the time of an encoder's opening, where the system says what a process reads and writes (Linux).

    Args:
        encoder: What it is called.
        moved: Returns the bytes read and written by the process that opens it, ``None`` where that is not known; of
            this one by default.

    Raises:
        HungError: It did not come back and moved no data for too long, and was interrupted.
        UserError: The environment variable holds no number of seconds.
    """
    limit = _at_least(OPENING)
    moved = moved or _moved
    if math.isinf(limit) or moved() is None:
        yield
        return
    sentence = f"opening the encoder {encoder!r} continued for {limit:,.0f} s without reading or writing"
    with _Call(limit, sentence, moved=moved).kept():
        yield


class _Call:
    """One call, and the thread that waits for its end."""

    def __init__(
        self,
        limit: float,
        sentence: str,
        unharmed: str = "",
        keep: Callable[[], None] | None = None,
        moved: Callable[[], int | None] | None = None,
    ) -> None:
        self.late, self.sentence, self._unharmed = False, sentence, unharmed
        self._limit, self._keep, self._moved = limit, keep, moved
        self._waited, self._seen = 0.0, moved() if moved is not None else None
        self._done, self._lock = threading.Event(), threading.Lock()
        self._caller = threading.get_ident()
        self._in_main = threading.current_thread() is threading.main_thread()
        self._thread = threading.Thread(target=self._wait, name="encoder-limit", daemon=True)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the time of what is done meanwhile.

        Raises:
            HungError: It took too long, and was interrupted.
        """
        self._thread.start()
        try:
            yield
        except KeyboardInterrupt:
            if self.late:
                raise HungError(f"{self.sentence}. It was interrupted{self._unharmed}", _ADVICE) from None
            raise
        finally:
            self.end()
        if self.late:  # it caught the interruption, or came back at that very moment
            raise HungError(f"{self.sentence}. It was interrupted{self._unharmed}", _ADVICE)

    def note_progress(self) -> None:
        """Say that there is progress: the time begins anew."""
        if not self.late:
            self._waited = 0.0

    def end(self) -> None:
        """Say that the call is over; no interruption comes after this."""
        while not self._done.is_set():
            try:
                with self._lock:
                    self._done.set()
            except KeyboardInterrupt:
                if not self.late:
                    raise

    def _wait(self) -> None:
        if self._is_done_within(self._limit):
            return
        with self._lock:
            if self._done.is_set():
                return
            self.late = True
            self._interrupt()
        if not self._is_done_within(GRACE):
            self._end_process()

    def _is_done_within(self, seconds: float) -> bool:
        self._waited, last = 0.0, time.monotonic()
        while self._waited < seconds:
            if self._done.wait(min(LOOK, max(seconds - self._waited, 0.0))):
                return True
            now = time.monotonic()
            self._waited, last = self._waited + min(now - last, 2 * LOOK), now
            self._look_at_data()
        return self._done.is_set()

    def _look_at_data(self) -> None:
        moved = self._moved() if self._moved is not None else None
        if moved is not None and self._seen is not None and moved - self._seen >= MOVED:
            self._seen = moved
            self.note_progress()

    def _interrupt(self) -> None:
        """Raise KeyboardInterrupt in the caller, where Python's own handler of Ctrl-C is in place."""
        if self._in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            with suppress(AttributeError, OSError):  # no such function on Windows
                signal.pthread_kill(self._caller, signal.SIGINT)
                return
            signal.raise_signal(signal.SIGINT)

    def _end_process(self) -> None:
        if not self._in_main:  # the process is somebody else's program: it has to decide
            _say(f"bench: {self.sentence}. {_ADVICE} It does not react, so its thread is left waiting")
            return
        unharmed = self._unharmed
        try:
            if self._keep is not None:
                self._keep()
        except BaseException as error:  # the process ends in any case
            unharmed += f", but for the last ones ({error})"
        _say(f"bench: {self.sentence}. {_ADVICE} It does not react to an interruption, so this process ends{unharmed}")
        os._exit(HUNG)


def _say(text: str) -> None:
    with suppress(OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.write(2, f"{inert(text)}\n".encode(errors="replace"))


def _moved() -> int | None:
    """Return the bytes that this process has read and written so far, looks at this number among them."""
    try:
        counts = dict(line.split(b": ") for line in Path("/proc/self/io").read_bytes().splitlines())
        return int(counts[b"rchar"]) + int(counts[b"wchar"])
    except (OSError, ValueError, KeyError):
        return None


def _at_least(seconds: float) -> float:
    asked = _asked()
    return seconds if asked is None else max(seconds, asked)


def _asked() -> float | None:
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UserError(f"{VARIABLE} is {text!r}", "set it to a number of seconds, or to 0 for no limit")
    return seconds or math.inf
