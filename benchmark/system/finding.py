"""One line of what a command that looks at many files found, told as it goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        text: One line, or a few.
        is_error: Whether something is wrong, so that the command ends with status 1.
    """

    text: str
    is_error: bool = False
