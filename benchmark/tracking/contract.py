"""What a tracker is told of a run, and when: the contract that each adapter keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Value = str | int | float | bool
#: How a run ended: ``killed`` by Ctrl-C or a signal.
Status = Literal["finished", "failed", "killed"]


@dataclass(frozen=True)
class About:
    """What is known of a run when it begins. No path of the machine, and nothing else of it, is told to a tracker.

    Attributes:
        project: Under what its runs stand together: a project, or an experiment.
        name: The run's name.
        events: The folder of files of this very run, for a tracker that is a folder.
        folder: Where a library keeps its files that is told no other place by its own settings.
        settings: Every choice of the run.
        start: The last step that is known already, where the run was stopped and is continued.
    """

    project: str
    name: str
    events: Path
    folder: Path
    settings: Mapping[str, Value] = field(default_factory=dict)
    start: int = 0


class Tracker(Protocol):
    """One run in one tracker. Made of an :class:`About`; any of its calls may fail, and is not repeated."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers of a step; steps rise."""

    def summarise(self, values: Mapping[str, Value]) -> None:
        """Write what came of the run."""

    def close(self, status: Status) -> None:
        """End the run there; nothing is called after it."""
