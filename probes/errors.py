"""The error that this package's errors are kinds of: what happened, and what to do next."""

from __future__ import annotations


class ProbeError(ValueError):
    """Something about a probe, its protocol or its search that the caller can mend. It is written for the user.

    Attributes:
        what: What happened, to which file or items.
        do: What to do next. Behind a capital it is a sentence of its own, else it follows a colon.
    """

    for_user = True  # the command line prints the message alone

    def __init__(self, what: str, do: str) -> None:
        self.what, self.do = what, do
        super().__init__(what, do)

    def __str__(self) -> str:
        stop = "" if self.what.endswith((".", "?", "!", ":", "…")) else "." if self.do[:1].isupper() else ":"
        return f"{self.what}{stop} {self.do}"
