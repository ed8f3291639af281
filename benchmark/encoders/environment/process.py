"""An interpreter of another environment that serves an encoder: its start, questions and answers, and its end."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.encoders.environment.interpreters import Interpreter
from benchmark.encoders.environment.running import LONGEST, DiedError, RunningWorker
from benchmark.encoders.time_limit import open_in_time
from benchmark.errors import UserError
from benchmark.system.terminal import display


class RaisedError(Exception):
    """What an encoder raised in the other process. Its subclasses bear the names of what was raised."""


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
        self._running: RunningWorker | None = None
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
        running = self._running = RunningWorker(self.interpreter)
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


def _window(windows: Iterator[np.ndarray] | None) -> tuple[dict[str, Any], Any]:
    """Return the next window as a message, or that there is none."""
    window = None if windows is None else next(windows, None)
    if window is None:
        return {"do": "end"}, b""
    data = np.ascontiguousarray(window, np.float32)
    return {"do": "window", "shape": list(data.shape)}, data.reshape(-1).view(np.uint8)
