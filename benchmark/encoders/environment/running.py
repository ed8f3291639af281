"""A process that serves an encoder: how it is started and ended, and how messages pass over its pipes."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.encoders.environment import frames
from benchmark.encoders.environment.interpreters import Interpreter
from benchmark.errors import UserError
from benchmark.system.terminal import display
from results.markdown import folded

WORKER = Path(__file__).with_name("worker.py")
#: Runs the worker where the interpreter is new enough; the file is compiled, not imported, and leaves nothing behind.
BOOT = (
    "import sys; sys.version_info >= (3, 9) or sys.exit('It is Python ' + sys.version.split()[0] + ', and 3.9 or later "
    "is needed'); from types import ModuleType; worker = sys.modules['bench_worker'] = ModuleType('bench_worker'); "
    "worker.__file__ = sys.argv[1]; exec(compile(open(sys.argv[1], 'rb').read(), sys.argv[1], 'exec'), vars(worker)); "
    "worker.main(int(sys.argv[2]), int(sys.argv[3]), bound=sys.argv[4] == 'bound')"
)
#: Seconds that an interpreter may take to begin, before anything of the encoder is imported.
BEGINNING = 120.0
LOOK = 0.2  # seconds between looks whether the process lives
KEPT = 40  # lines that the process wrote
SHOWN = 12  # of them, in a message
LONGEST = 300  # characters of such a line
PIECE = 1 << 20  # bytes that are written at once
LINE = re.compile(rb"[\r\n]+")
#: What the report of a crash says of threads and files that are not the encoder's.
NOISE = re.compile(r'Thread 0x|Extension modules:|  File "(.*[/\\](worker|outputs|threading)\.py|<string>)"')


class DiedError(Exception):
    """The process ended, or nothing that it sends can be understood. The message follows 'it'."""


class RunningWorker:
    """A process that runs, the ends of its pipes, and the last lines that it wrote."""

    def __init__(self, interpreter: Interpreter) -> None:
        self._label, self._program = interpreter.label, interpreter.program
        questions, self._questions = os.pipe()
        self._answers, answers = os.pipe()
        # The system ends the process with the thread that started it; the main thread lives as long as this process.
        bound = "bound" if threading.current_thread() is threading.main_thread() else "free"
        command = [str(interpreter.program), "-I", "-X", "faulthandler", "-c", BOOT, str(WORKER)]
        try:
            self._process = subprocess.Popen(
                [*command, str(questions), str(answers), bound], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, pass_fds=(questions, answers), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            for descriptor in (self._questions, self._answers):
                os.close(descriptor)
            raise UserError(
                f"the interpreter {interpreter.label!r} cannot be started ({error.strerror or error})",
                f"see whether it runs: {interpreter.program} --version",
            ) from None
        finally:
            os.close(questions)
            os.close(answers)
        os.set_blocking(self._questions, False)
        os.set_blocking(self._answers, False)
        self._lines: deque[str] = deque(maxlen=KEPT)
        self._begun = False
        self._reading = threading.Thread(
            target=_pass_on, args=(self._process.stdout, self._lines), name="encoder-output", daemon=True
        )
        self._reading.start()
        self.end = weakref.finalize(self, _end, self._process, (self._questions, self._answers))

    def wait_until_it_begins(self) -> None:
        """Wait for the first message.

        Raises:
            UserError: It does not come: another program, a Python that is too old, one that hangs.
        """
        started = time.monotonic()
        try:
            self.receive(0, lambda: time.monotonic() - started > BEGINNING)
            self._begun = True
        except DiedError as died:
            self.end()
            lines = self.last_lines()
            raise UserError(
                f"the interpreter {self._label!r} does not begin: it {died}" + ("; it says" if lines else ""),
                f"see whether it is Python 3.9 or later and runs: {self._program} --version",
                [f"  {line}" for line in lines],
            ) from None

    def send(self, number: int, message: dict[str, Any], array: Any = b"") -> None:
        """Write a message; one that the process does not take is waited for as long as the process lives."""
        poll = select.poll()
        poll.register(self._questions, select.POLLOUT)
        for part in frames.packed(number, message, array):
            rest = memoryview(part)
            while len(rest):
                if not poll.poll(LOOK * 1000):
                    self._refuse_dead()
                    continue
                try:
                    rest = rest[os.write(self._questions, rest[:PIECE]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    raise DiedError(self._how_it_ended()) from None

    def receive(self, number: int, is_late: Callable[[], bool] | None = None) -> tuple[dict[str, Any], np.ndarray]:
        """Return the answer to the question of that number.

        Raises:
            DiedError: The process ended first, or sent what is no answer to it.
        """
        try:
            told, of_text, of_array, checksum = frames.lengths(self._read(frames.HEAD.size, is_late).tobytes())
            text, array = self._read(of_text).tobytes(), self._read(of_array)
            message = frames.opened(text, array, checksum)
        except (frames.FrameError, MemoryError) as error:
            raise DiedError(f"sent {error}") from None
        if told != number:
            raise DiedError(f"answered the question {told} in place of {number}")
        return message, array

    def moved(self) -> int | None:
        """Return the bytes that the process has read and written so far, where the system tells."""
        try:
            counts = dict(line.split(b": ") for line in Path(f"/proc/{self._process.pid}/io").read_bytes().splitlines())
            return int(counts[b"rchar"]) + int(counts[b"wchar"])
        except (OSError, ValueError, KeyError):
            return None

    def last_lines(self) -> list[str]:
        """Return the last lines that the process wrote."""
        self._reading.join(1.0)
        return [folded(line)[-LONGEST:] for line in self._lines if line.strip() and not NOISE.match(line)][-SHOWN:]

    def _read(self, size: int, is_late: Callable[[], bool] | None = None) -> np.ndarray:
        data = np.empty(size, np.uint8)
        rest = data.data
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        while len(rest):
            if not poll.poll(LOOK * 1000):
                if is_late is not None and is_late():
                    raise DiedError(f"said nothing within {BEGINNING:.0f} s")
                self._refuse_dead()
                continue
            try:
                count = os.readv(self._answers, [rest])
            except BlockingIOError:
                continue
            if count == 0:
                raise DiedError(self._how_it_ended())
            rest = rest[count:]
        return data

    def _refuse_dead(self) -> None:
        """Raise where the process is gone: what it started may still hold its pipe open."""
        if self._process.poll() is not None:
            raise DiedError(self._how_it_ended())

    def _how_it_ended(self) -> str:
        try:
            status = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        if status >= 0:
            return f"ended with exit code {status}"
        name = signal.Signals(-status).name if -status in set(signal.Signals) else ""
        return f"was ended by signal {-status} ({name})"


def _end(process: subprocess.Popen[bytes], pipes: tuple[int, int]) -> None:
    """End a process with all that it started, and close the pipes to it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for descriptor in pipes:
        with suppress(OSError):
            os.close(descriptor)


def _pass_on(stream: Any, lines: deque[str]) -> None:
    """Keep the last lines that a process writes, and show all on stderr as they come."""
    rest = b""
    while True:
        try:
            piece = os.read(stream.fileno(), 1 << 16)
        except (OSError, ValueError):
            piece = b""
        *whole, rest = LINE.split(rest + piece) if piece else [rest, b""]
        for line in whole:
            if line.strip():
                text = line.decode(errors="replace")
                lines.append(text)
                with suppress(OSError, ValueError):
                    display(text, error=True)
        if not piece:
            with suppress(OSError, ValueError):
                stream.close()
            return
