"""Speed and memory of an encoder, measured on generated audio."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HIGH_WATER = "VmHWM:"  # the line of Linux that says the largest resident set so far


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


def timed(call: Callable[[], object], batch: int, window_seconds: float, device: str) -> Speed:
    """Make one ``call`` of ``batch`` windows and return what it took; the caller has warmed up."""
    before = _reset_peak(device)
    started = time.perf_counter()
    call()
    seconds = time.perf_counter() - started
    return Speed(batch, window_seconds, seconds, max(0, _peak(device) - before))


def _reset_peak(device: str) -> int:
    """Forget the peak so far where the system can, and return what is in use now (else the peak) in bytes."""
    if device.startswith("cuda"):
        cuda = sys.modules["torch"].cuda
        cuda.reset_peak_memory_stats(device)
        return int(cuda.memory_allocated(device))
    with suppress(OSError):  # not Linux, or not allowed: then only a new peak is seen
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak(device)


def _peak(device: str) -> int:
    if device.startswith("cuda"):
        return int(sys.modules["torch"].cuda.max_memory_allocated(device))
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith(HIGH_WATER):
            return int(line.removeprefix(HIGH_WATER).split()[0]) * 1024
    if sys.platform == "win32":
        return 0
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
