"""Findings: the lines that a check of many files gives one by one."""

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
