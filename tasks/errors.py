"""The errors of this package: what is wrong with a card, a manifest or a name, and what to do next."""

from __future__ import annotations

from pathlib import Path


class TaskError(ValueError):
    """A task, card, manifest or name that cannot be used as it is. The message is written for the user."""

    for_user = True  # the command line prints the message alone


class NoAnnotationsError(TaskError):
    """An annotation file that is not there, at ``path``."""

    def __init__(self, path: Path, advice: str) -> None:
        super().__init__(f"there is no annotation file {path}: {advice}")
        self.path = path
