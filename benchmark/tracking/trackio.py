"""trackio: a run of a project in its local database, or where the library's own settings say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import trackio

from benchmark.tracking.contract import About, Status, Value


class Trackio:
    """A run there; loads of the machine are not logged, nor is the name of the user's account."""

    def __init__(self, about: About) -> None:
        self._run: Any = trackio.init(
            project=about.project, name=about.name, config=dict(about.settings), embed=False, auto_log_gpu=False,
            auto_log_cpu=False,
        )  # fmt: skip
        self._run.config.pop("_Username", None)
        self._step = about.start

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers of a step."""
        self._step = max(self._step, step)
        self._run.log(dict(values), step=step)

    def summarise(self, values: Mapping[str, Value]) -> None:
        """Log what came of the run at its last step: there is no other place for it."""
        self._run.log(dict(values), step=self._step)

    def close(self, status: Status) -> None:
        """Finish the run; how it ended stands in its last row."""
        if status != "finished":
            self._run.log({"status": status}, step=self._step)
        self._run.finish()


def open_tracker(about: About) -> Trackio:
    """Begin a run."""
    return Trackio(about)
