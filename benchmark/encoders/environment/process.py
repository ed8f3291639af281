"""An interpreter of another environment that serves an encoder: its start, questions and answers, and its end."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.encoders.environment import frames
from benchmark.encoders.environment.interpreters import Interpreter
from benchmark.encoders.time_limit import open_in_time
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


class RaisedError(Exception):
    """What an encoder raised in the other process. Its subclasses bear the names of what was raised."""


class DiedError(Exception):
    """The process ended, or nothing that it sends can be understood. The message follows 'it'."""


@dataclass(frozen=True)
class Opening:
    """How an encoder is opened in the other process: the question, and what it is called in messages."""

    message: Mapping[str, Any]
    text: str


class EnvironmentProcess:
    """One process that serves one encoder and what is derived from it; started when it is first asked.

    A process that dies is started once more for the same question. It ends with this object, with this process, and
    with an exception that interrupts a question, such as Ctrl-C.
    """

    def __init__(self, interpreter: Interpreter, opening: Opening) -> None:
        self.interpreter, self.opening = interpreter, opening
        #: Raised by one at each start: what an earlier process held is gone.
        self.starts = 0
        self.description: dict[str, Any] | None = None
        self._fingerprints: dict[str, str] = {}
        self._running: _Running | None = None
        self._lock = threading.RLock()
        self._numbers = 0
        self._forgotten: deque[list[Any]] = deque()

    @property
    def label(self) -> str:
        """What the environment is called."""
        return self.interpreter.label

    def open(self) -> dict[str, Any]:
        """Start the process, unless it runs, and return what it says of the encoder."""
        with self._lock:
            if self._running is None:
                self._start()
            assert self.description is not None
            return self.description

    def ask(
        self, do: str, array: Any = b"", *, since: int | None = None, **more: Any
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Ask a question and return the answer: an object, and bytes.

        Args:
            do: What is asked for.
            array: Bytes that go with it.
            since: The start whose process alone can answer, because it was fitted; ``None`` where another can.
            more: What else the question says.

        Raises:
            UserError: The process died, twice where another can answer; or it says what the user can mend.
            RaisedError: The encoder raised something else.
        """
        with self._lock:
            for last in (since is not None, True):
                if since is not None and (self._running is None or self.starts != since):
                    raise UserError(
                        f"the process of the encoder {self.opening.text!r} in the environment {self.label!r} died, and "
                        "what it was fitted to with it",
                        "Run the same command again: it is fitted again, and finished tracks are kept",
                    )
                self.open()
                try:
                    return self._exchange(do, array, more)
                except DiedError as died:
                    self._end_after(died, do, last=last)
            raise AssertionError

    def fit(self, windows: Iterator[np.ndarray], **more: Any) -> int:
        """Fit the encoder on windows, which are sent one by one as it asks for them; return the start that has it now.

        Raises:
            UserError: As :meth:`ask`; it is not tried again.
            RaisedError: The encoder raised something else.
        """
        with self._lock:
            self.open()
            try:
                self._exchange("fit", b"", more, windows)
            except DiedError as died:
                self._end_after(died, "fit", last=True)
            return self.starts

    def fingerprint(self, steps: list[Any], since: int | None = None) -> str:
        """Return the encoder's own fingerprint; a later process must have the same."""
        with self._lock:
            told = str(self.ask("fingerprint", since=since, steps=steps)[0].get("fingerprint", ""))
            if not any(step[0] == "copy" for step in steps):
                self._fingerprints[json.dumps(steps)] = told
            return told

    def forget(self, steps: list[Any]) -> None:
        """Let the process let go an encoder that nobody has any more, before its next question."""
        self._forgotten.append(steps)

    def end(self) -> None:
        """End the process, if it runs."""
        running, self._running = self._running, None
        if running is not None:
            running.end()

    def _start(self) -> None:
        """Start the process and open the encoder in it.

        Raises:
            UserError: It does not begin, does not open the encoder, or is not what an earlier one was.
            HungError: It does not come back.
        """
        running = self._running = _Running(self.interpreter)
        self.starts += 1
        try:
            with open_in_time(self.opening.text, running.moved):
                running.wait_until_it_begins()
                told, _ = self._exchange("open", b"", self.opening.message)
                self._refuse_another(told)
        except DiedError as died:
            self._end_after(died, "open", last=True)
        except BaseException:
            self.end()
            raise
        self.description = told

    def _refuse_another(self, told: Mapping[str, Any]) -> None:
        """Refuse what is not the encoder, and the environment, that an earlier process had.

        Raises:
            UserError: So it is.
        """
        if self.description not in (None, told):
            raise UserError(
                f"the environment {self.label!r}, or the encoder {self.opening.text!r} in it, changed while the "
                "program ran: it is not what it was when it was opened first",
                "Run the same command again",
            )
        for steps, before in list(self._fingerprints.items()):
            now, _ = self._exchange("fingerprint", b"", {"steps": json.loads(steps)})
            if now.get("fingerprint") != before:
                raise UserError(
                    f"the encoder {self.opening.text!r} has another fingerprint in a new process of the environment "
                    f"{self.label!r}, so that its embeddings would not fit those of before",
                    "set a seed for what it draws, and keep weights in a file or an attribute",
                )

    def _exchange(
        self,
        do: str,
        array: Any,
        more: Mapping[str, Any],
        windows: Iterator[np.ndarray] | None = None,
    ) -> tuple[dict[str, Any], np.ndarray]:
        running = self._running
        assert running is not None
        try:
            while self._forgotten and do != "open":
                self._numbers += 1
                running.send(self._numbers, {"do": "forget", "steps": self._forgotten.popleft()})
                running.receive(self._numbers)
            self._numbers += 1
            running.send(self._numbers, {"do": do, **more}, array)
            while True:
                answer, data = running.receive(self._numbers)
                if "next" not in answer:
                    break
                running.send(self._numbers, *_window(windows))
        except DiedError:
            raise
        except BaseException:  # Ctrl-C, a time limit, or what the windows come from: the answer would come later
            self.end()
            raise
        if "error" in answer:
            raise self._raised(answer["error"])
        told = answer.get("ok")
        if not isinstance(told, dict):
            raise DiedError(f"sent an answer that is none: {str(answer)[:LONGEST]}")
        return told, data

    def _raised(self, error: Mapping[str, Any]) -> Exception:
        """Return what the encoder raised there, to be raised here."""
        where = f"in the environment {self.label!r}"
        package = error["missing"].partition(".")[0]
        if package not in ("", "benchmark", self.opening.message["target"].partition(".")[0]):
            return UserError(
                f"the environment {self.label!r} has no module {package!r}, which {self.opening.text!r} needs",
                f"Install the package that brings it there:\n  {self.interpreter.program} -m pip install {package}",
            )
        if error["kind"] == "user":
            return UserError(f"{error['what']} ({where})", error["do"], error["rows"])
        place = f"{where}, {error['at']}" if error["at"] else where
        kind = type(str(error["type"]), (RaisedError,), {"__module__": __name__})
        raised: Exception = kind(f"{error['text']} ({place})")
        raised.add_note(f"Where it was raised:\n{error['trace']}")
        return raised

    def _end_after(self, died: DiedError, do: str, *, last: bool) -> None:
        """End a process that died, and say so; where it must not be started again, raise."""
        running = self._running
        assert running is not None
        while_what = {"open": "while it opened the encoder", "embed": "while it embedded", "fit": "while it was fitted"}
        what = (
            f"the process of the encoder {self.opening.text!r} in the environment {self.label!r} {died} "
            f"{while_what.get(do, 'while it was asked about the encoder')}"
        )
        self.end()
        lines = running.last_lines()
        if last:
            raise UserError(
                what + ("; its last lines are below" if lines else ", and wrote nothing"),
                "Mend what ended it: the encoder, its packages, or short memory ('bench encoders check' tries it on "
                "made-up audio)",
                [f"  {line}" for line in lines],
            )
        display(f"bench: {what}; it is started once more", error=True)
        for line in lines[-3:]:
            display(f"  {line}", error=True)


class _Running:
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


def _window(windows: Iterator[np.ndarray] | None) -> tuple[dict[str, Any], Any]:
    """Return the next window as a message, or that there is none."""
    window = None if windows is None else next(windows, None)
    if window is None:
        return {"do": "end"}, b""
    data = np.ascontiguousarray(window, np.float32)
    return {"do": "window", "shape": list(data.shape)}, data.reshape(-1).view(np.uint8)
