"""Progress on stderr: bars with rate and time left on a terminal; elsewhere, as in a log, a line a minute.

How much is told is the user's choice, which holds for the whole command: :func:`told`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

from benchmark.system.terminal import one_line
from results.markdown import folded

Level = Literal["quiet", "normal", "verbose"]
#: Seconds between two lines of a stage where there is no terminal.
EVERY = {"normal": 60.0, "verbose": 10.0}

_LEVEL: ContextVar[Level] = ContextVar("level", default="normal")


@contextmanager
def told(level: Level) -> Iterator[None]:
    """Choose what is told meanwhile: ``quiet`` tells nothing but errors, ``verbose`` more often and more."""
    token = _LEVEL.set(level)
    try:
        yield
    finally:
        _LEVEL.reset(token)


def duration(seconds: float) -> str:
    """Return a time as ``12 s``, ``3 min 20 s`` or ``2 h 5 min``.

    >>> duration(200)
    '3 min 20 s'
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


class Advance(Protocol):
    """Moves a bar to ``done``, with a word on the rate, and a new total where that is only known later."""

    def __call__(self, done: float, note: str = "", total: float | None = None) -> None:
        """Show it."""


class Reporter(Protocol):
    """What a run tells while it works."""

    def stage(self, title: str, total: float, unit: str) -> AbstractContextManager[Advance]:
        """Open a stage of ``total`` units."""

    def say(self, text: str) -> None:
        """Tell one line."""


def _still(done: float, note: str = "", total: float | None = None) -> None:
    """Show nothing."""


class Silent:
    """Tells nothing: for the Python API."""

    @contextmanager
    def stage(self, title: str, total: float, unit: str) -> Iterator[Advance]:  # noqa: ARG002
        """Open a stage that shows nothing."""
        yield _still

    def say(self, text: str) -> None:
        """Tell nothing."""


class Terminal:
    """Tells a person, on stderr."""

    def __init__(self) -> None:
        from rich.console import Console

        # Without a colour system rich writes neither colours nor bold: NO_COLOR asks for text alone.
        colors: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
        self._console = Console(stderr=True, highlight=False, soft_wrap=True, color_system=colors)
        self._level = _LEVEL.get()

    @contextmanager
    def stage(self, title: str, total: float, unit: str) -> Iterator[Advance]:
        """Open a bar; where stderr is not a terminal, tell lines: see :class:`_Lines`."""
        if self._level == "quiet":
            yield _still
            return
        if not self._console.is_terminal:
            lines = _Lines(self, title, total, unit, EVERY[self._level])
            yield lines.advance
            lines.end()
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit + "{task.fields[note]}", markup=False),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            bar = progress.add_task(one_line(title), total=total, note="")

            def advance(done: float, note: str = "", total: float | None = None) -> None:
                progress.update(bar, completed=done, total=total, note=f" · {note}" if note else "")

            yield advance

    def say(self, text: str) -> None:
        """Tell one line on stderr."""
        if self._level == "quiet":
            return
        self._console.print(folded(text), markup=False)


class _Lines:
    """A stage in a log: a line when its work begins, one now and then, one at its end; none where nothing is done."""

    def __init__(self, report: Terminal, title: str, total: float, unit: str, every: float) -> None:
        self._report, self._title, self._total, self._unit, self._every = report, title, total, unit, every
        self._began = self._last = time.monotonic()
        self._first: float | None = None
        self._done = 0.0

    def advance(self, done: float, note: str = "", total: float | None = None) -> None:
        """Take up how far the stage is, and tell it if the last line is long ago."""
        self._total = self._total if total is None else total
        self._done, now = done, time.monotonic()
        if self._first is None:
            self._first = done
            self._report.say(f"{self._title}: {self._total:,.0f} {self._unit}")
            return
        if now - self._last < self._every or done >= self._total:
            return
        self._last = now
        passed = now - self._began
        rate = done / passed
        left = f", about {duration((self._total - done) / rate)} left" if rate > 0 else ""
        more = f", {note}" if note else f", {rate:,.1f} {self._unit} a second"
        self._report.say(f"{self._title}: {self._far()} after {duration(passed)}{more}{left}")

    def end(self) -> None:
        """Tell what came of the stage."""
        if self._first is not None:
            self._report.say(f"{self._title}: {self._far()} in {duration(time.monotonic() - self._began)}")

    def _far(self) -> str:
        share = f" ({self._done / self._total:.0%})" if self._total > 0 else ""
        return f"{self._done:,.0f} of {self._total:,.0f} {self._unit}{share}"
