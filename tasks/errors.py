"""The errors of this package: what is wrong with a card, a manifest or a name, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class TaskError(ValueError):
    """A task, card, manifest or name that cannot be used as it is. The message is written for the user.

    Attributes:
        what: What happened, to which file or track.
        do: What to do next. Behind a capital it is a sentence of its own, else it follows a colon.
        rows: What the two are about, a line each, where that is more than one thing.
    """

    for_user = True  # the command line prints the message alone

    def __init__(self, what: str, do: str, rows: Iterable[str] = ()) -> None:
        self.what, self.do, self.rows = what, do, tuple(rows)
        super().__init__(what, do, self.rows)

    def __str__(self) -> str:
        stop = "" if self.what.endswith((".", "?", "!", ":", "…")) else "." if self.do[:1].isupper() else ":"
        text = f"{self.what}{stop} {self.do}"
        if not self.rows:
            return text
        return "\n".join([text if text.endswith((".", ":", "?")) else f"{text}:", *self.rows])


class NoAnnotationsError(TaskError):
    """An annotation file that is not there, at ``path``."""

    def __init__(self, path: Path, advice: str) -> None:
        super().__init__(f"there is no annotation file {path}", advice)
        self.path = path
        self.args = (path, advice)  # which pickle makes it from
