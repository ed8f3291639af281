"""Progress on stderr: bars with rate and time left on a terminal, one line at each end of a stage elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from benchmark.system.terminal import one_line
from results.markdown import folded


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

        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    @contextmanager
    def stage(self, title: str, total: float, unit: str) -> Iterator[Advance]:
        """Open a bar; where stderr is not a terminal there is no bar."""
        if not self._console.is_terminal:
            yield _still
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
        self._console.print(folded(text), markup=False)
