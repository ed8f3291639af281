"""Speed and memory of an encoder, measured on generated audio."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HIGH_WATER = "VmHWM:"  # the line of Linux that says the largest resident set so far
RESIDENT = "VmRSS:"  # the line that says the resident set now
LOOK_SECONDS = 0.001  # between two looks at the resident set, where the peak cannot be forgotten


@dataclass(frozen=True)
class Speed:
    """What one call of an encoder took.

    Attributes:
        batch: Windows in the call.
        window_seconds: Seconds of audio in a window.
        seconds: Wall-clock seconds of the call, with the copies to and from the device.
        memory: Bytes by which its peak lies above what was in use before: of the GPU's allocator on ``cuda``, else of
            the process, which may have kept some from earlier calls.
    """

    batch: int
    window_seconds: float
    seconds: float
    memory: int

    @property
    def per_second(self) -> float:
        """Wall-clock seconds a second of audio that the encoder is handed."""
        return self.seconds / (self.batch * self.window_seconds)

    @property
    def memory_per_second(self) -> float:
        """Bytes a second of audio in the batch."""
        return self.memory / (self.batch * self.window_seconds)

    def describe(self) -> str:
        """Return the figures in a line."""
        return (
            f"{self.per_second:.2g} s a second of audio ({1 / max(self.per_second, 1e-12):,.0f} times real time) in "
            f"batches of {self.batch} x {self.window_seconds:g} s; {self.memory / 2**20:,.0f} MB more at its peak, "
            f"{self.memory_per_second / 2**20:.2g} MB a second of audio"
        )


def timed(
    call: Callable[[], object],
    batch: int,
    window_seconds: float,
    device: str,
    peak_of: Callable[[str], AbstractContextManager[Peak]] | None = None,
) -> Speed:
    """Make one ``call`` of ``batch`` windows and return what it took; the caller has warmed up.

    Args:
        call: The call.
        batch: Windows in it.
        window_seconds: Seconds of audio in a window.
        device: torch's name of the device.
        peak_of: Measures the peak of memory; that of this process by default.
    """
    with (peak_of or peak_of_process)(device) as peak:
        started = time.perf_counter()
        call()
        seconds = time.perf_counter() - started
    return Speed(batch, window_seconds, seconds, max(0, peak.after - peak.before))


@dataclass
class Peak:
    """Bytes in use before a call, and at most during it."""

    before: int
    after: int = field(default=0)


@contextmanager
def peak_of_process(device: str) -> Iterator[Peak]:
    """Measure the peak of a call: the system's where it can be forgotten before, else by a look each millisecond."""
    if device.startswith("cuda"):
        cuda = sys.modules["torch"].cuda
        cuda.reset_peak_memory_stats(device)
        peak = Peak(int(cuda.memory_allocated(device)))
        yield peak
        peak.after = int(cuda.max_memory_allocated(device))
    elif _forget_peak():
        peak = Peak(_of_process(HIGH_WATER))
        yield peak
        peak.after = _of_process(HIGH_WATER)
    elif _of_process(RESIDENT):
        with _looked_at() as peak:
            yield peak
    else:
        peak = Peak(_largest())
        yield peak
        peak.after = _largest()


def _forget_peak() -> bool:
    """Forget the largest resident set so far, and return whether the system did: not Linux, or not allowed, if not."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


@contextmanager
def _looked_at() -> Iterator[Peak]:
    peak = Peak(_of_process(RESIDENT))
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            peak.after = max(peak.after, _of_process(RESIDENT))

    thread = threading.Thread(target=look, name="peak of memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
        peak.after = max(peak.after, _of_process(RESIDENT))


def _of_process(line_start: str) -> int:
    """Return the bytes of a line of this process's status, 0 where Linux is not."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next(
        (int(line.removeprefix(line_start).split()[0]) * 1024 for line in lines if line.startswith(line_start)), 0
    )


def _largest() -> int:
    """Return the largest resident set so far, where only that is known: it tells where a call makes a new one."""
    if sys.platform == "win32":
        return 0
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
