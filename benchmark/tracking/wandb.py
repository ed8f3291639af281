"""Weights & Biases: a run of a project, with the library's own settings from the environment (``WANDB_MODE=offline``).

All that the library would tell of the machine by itself (its name, the user, the program, the packages that are
installed, loads, what is printed) is turned off.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import wandb

from benchmark.tracking.contract import About, Status, Value

#: Settings of wandb 0.31 that keep the machine to itself.
QUIET: Mapping[str, Any] = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "host": "",
    "save_code": False,
    "silent": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


class Wandb:
    """A run there."""

    def __init__(self, about: About) -> None:
        place = {} if os.environ.get("WANDB_DIR") else {"dir": str(about.folder)}
        about.folder.mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(
            project=about.project, name=about.name, config=dict(about.settings), reinit="create_new",
            settings=wandb.Settings(**QUIET), **place,
        )  # fmt: skip

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers of a step."""
        self._run.log(dict(values), step=step)

    def summarise(self, values: Mapping[str, Value]) -> None:
        """Set the run's summary."""
        self._run.summary.update(dict(values))

    def close(self, status: Status) -> None:
        """Finish the run."""
        self._run.finish(exit_code=0 if status == "finished" else 1)


def open_tracker(about: About) -> Wandb:
    """Begin a run."""
    return Wandb(about)
