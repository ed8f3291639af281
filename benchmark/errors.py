"""Errors that a user can mend: they carry a message and the next command, and end the CLI with exit code 2."""

from __future__ import annotations

from collections.abc import Iterable


class UserError(Exception):
    """Something that the caller can mend. The message says what happened, to which file or track, and what to do.

    Attributes:
        what: What happened, to which file or track.
        do: What to do next: a command, an option, the file to mend. Behind a capital it is a sentence of its own, else
            it follows a colon.
        rows: What the two are about, a line each, where that is more than one thing.

    ``for_user`` marks it, as it marks the errors of the packages that benchmark is built on: of such an error the
    command line prints the message, without a traceback.
    """

    for_user = True

    def __init__(self, what: str, do: str, rows: Iterable[str] = ()) -> None:
        self.what, self.do, self.rows = what, do, tuple(rows)
        super().__init__(what, do, self.rows)

    def __str__(self) -> str:
        stop = "" if self.what.endswith((".", "?", "!", ":", "…")) else "." if self.do[:1].isupper() else ":"
        text = f"{self.what}{stop}{'' if self.do[:1].isspace() else ' '}{self.do}".rstrip()
        if not self.rows:
            return text
        return "\n".join([text if text.endswith((".", ":", "?")) else f"{text}:", *self.rows])


class BenchmarkWarning(UserWarning):
    """What a caller of ``benchmark.run`` must know of a record: a leak, items left out, a ridge that does better."""


def message_for_user(error: BaseException) -> str | None:
    """Return the message of an error that the user can mend, nothing for any other."""
    return str(error) if getattr(error, "for_user", False) else None
