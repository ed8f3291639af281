"""Run a command of the product within limits, and say in a word how it ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TREE = Path(__file__).resolve().parents[2]
FAULTS = Path(__file__).with_name("faults.py")
#: What refusing an input may take: seconds of processor time, bytes, and seconds by the clock on a busy machine.
CPU_SECONDS, MEMORY, WALL_SECONDS = 60.0, 2**30, 400.0
LIBRARIES = 600 * 2**20  # of memory that torch and the other libraries take before any input is read

Word = Literal["ok", "refusal", "SILENT", "TRACEBACK", "HANG", "LOST", "CRASH", "MEMORY", "EXECUTED"]


@dataclass(frozen=True)
class Ended:
    """How a command ended: status (``None`` where it was stopped), processor seconds, peak memory, and what it said."""

    status: int | None
    cpu: float
    peak: int
    out: str
    err: str

    @property
    def word(self) -> Word:
        """``ok``, ``refusal`` (a sentence and exit 1, 2 or that of a signal), or what is wrong."""
        if self.status is None or self.cpu > CPU_SECONDS:
            return "HANG"
        if "Traceback (most recent call last)" in self.err:
            return "TRACEBACK"
        if self.peak > MEMORY + LIBRARIES:
            return "MEMORY"
        if self.status == 0:
            return "ok"
        said = any(line.strip() for line in (self.err + self.out).splitlines())
        return "refusal" if self.status in (1, 2, 129, 130, 143) and said else "CRASH"

    @property
    def last(self) -> str:
        """The last line that it said."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1][:200] if lines else ""


def bench(*arguments: object) -> list[str]:
    """Return a command of ``bench`` as its users start it."""
    return [sys.executable, "-P", "-m", "benchmark", *map(str, arguments)]


def with_fault(fault: str, *arguments: object) -> list[str]:
    """Return the same with a fault of :mod:`tests.campaigns.faults` in it."""
    return [sys.executable, "-P", str(FAULTS), fault, *map(str, arguments)]


def run(
    command: Sequence[str],
    folder: Path,
    *,
    kill_after: float | None = None,
    by: int | None = None,
    wall: float = WALL_SECONDS,
    environment: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> Ended:
    """Run ``command`` in ``folder`` to its end, to ``kill_after`` seconds, or to the limit.

    Args:
        command: What is run.
        folder: The current folder.
        kill_after: Seconds after which it is killed, whole process group.
        by: The signal that it is sent then instead, and that it may answer.
        wall: Seconds after which it counts as hanging.
        environment: Added to this process's.
        before: Called in the child before it becomes the command.
    """
    added = {"PYTHONPATH": str(TREE), "BENCH_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1", **(environment or {})}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, **added},
            start_new_session=True, preexec_fn=before,
        )  # fmt: skip
        until, asked = time.monotonic() + (wall if kill_after is None else kill_after), False
        status: int | None = None
        peak = 0
        while True:
            peak = _peak(process.pid) or peak
            done, code, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                status = os.waitstatus_to_exitcode(code)
                break
            if time.monotonic() > until and by is not None and not asked:
                _send(process.pid, by)
                until, asked, kill_after = time.monotonic() + wall, True, None
            elif time.monotonic() > until:
                _kill_group(process.pid)
                _, code, usage = os.wait4(process.pid, 0)
                status = None if kill_after is None else os.waitstatus_to_exitcode(code)
                break
            time.sleep(0.02)
        process.returncode = status if status is not None else -9
        _kill_group(process.pid)  # nothing that it started outlives the trial
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(2**20).decode(errors="replace"))
    return Ended(status, usage.ru_utime + usage.ru_stime, peak or usage.ru_maxrss * 1024, *texts)


def _peak(process: int) -> int:
    """Return the most memory that a process has had, in bytes; 0 where nobody tells. Its ru_maxrss begins with ours."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _kill_group(leader: int) -> None:
    _send(-leader, signal.SIGKILL)


def _send(process: int, number: int) -> None:
    """Send a signal; one of a terminal, and to a negative number, goes to the whole group."""
    try:
        if process < 0 or number != signal.SIGTERM:
            os.killpg(abs(process), number)
        else:
            os.kill(process, number)
    except (ProcessLookupError, PermissionError):
        return
