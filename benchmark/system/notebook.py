"""Progress in a notebook: one display that is replaced as the work goes on, so that no flood of lines remains."""

from __future__ import annotations

import importlib
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from benchmark.system.progress import Advance, duration
from results import html
from results.markdown import folded

EVERY: Final = 0.25  # seconds between two pictures of one stage
SAID: Final = 5  # lines that stay below the bars


def in_notebook() -> bool:
    """Say whether this process is the kernel of a notebook; IPython is not imported for that."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


@dataclass(eq=False)
class _Stage:
    """A stage that is open: how far it is."""

    title: str
    unit: str
    total: float
    done: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class _Shown:
    """What a notebook shows: HTML, and the same as text for those that show none."""

    stages: Sequence[_Stage]
    lines: Sequence[str]

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, str]:
        bars = "".join(
            f'<div><progress max="{stage.total:g}" value="{min(stage.done, stage.total):g}" '
            f'aria-label="{html.text(stage.title)}"></progress> {html.text(_far(stage))}</div>'
            for stage in self.stages
        )
        lines = "".join(f"<div>{html.text(line)}</div>" for line in self.lines)
        return {"text/html": bars + lines, "text/plain": "\n".join([*map(_far, self.stages), *self.lines])}


class Notebook:
    """Tells a person in a notebook. All stages of a run share one display."""

    def __init__(self) -> None:
        from IPython import display

        with warnings.catch_warnings(), suppress(ImportError):
            # Optuna imports it, and in a notebook without ipywidgets it would warn of a bar that is not shown anyway.
            warnings.filterwarnings("ignore", "IProgress not found")
            importlib.import_module("tqdm.auto")
        self._stages: list[_Stage] = []
        self._lines: list[str] = []
        self._began = self._drawn = time.monotonic()
        show: Any = display.display
        self._handle = show(_Shown((), ()), display_id=True)

    @contextmanager
    def stage(self, title: str, total: float, unit: str) -> Iterator[Advance]:
        """Open a bar; it goes when the stage ends, and how long all took is shown when the last one does."""
        stage = _Stage(folded(title), unit, total)
        self._stages.append(stage)
        self._draw()

        def advance(done: float, note: str = "", total: float | None = None) -> None:
            stage.done, stage.note = done, folded(note)
            stage.total = stage.total if total is None else total
            if time.monotonic() - self._drawn >= EVERY:
                self._draw()

        try:
            yield advance
        finally:
            self._stages.remove(stage)
            self._draw()

    def say(self, text: str) -> None:
        """Tell one line; the last few stay."""
        self._lines = [*self._lines, folded(text)][-SAID:]
        self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        self._handle.update(_Shown(tuple(self._stages), tuple(self._lines)))

    def close(self) -> None:
        """Show how long all took."""
        taken = duration(time.monotonic() - self._began)
        self._handle.update(_Shown((), (*self._lines, f"Done in {taken}.")))


def _far(stage: _Stage) -> str:
    share = f" ({stage.done / stage.total:.0%})" if stage.total > 0 else ""
    note = f", {stage.note}" if stage.note else ""
    return f"{stage.title}: {stage.done:,.0f} of {stage.total:,.0f} {stage.unit}{share}{note}"
