"""What may be chosen of a table of scores: its format, and how it looks to readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from benchmark.errors import UserError

Format = Literal["latex", "markdown", "csv", "json"]
Bold = Literal["best", "paper", "none"]
Intervals = Literal["range", "plus-minus", "none"]
#: What the name of a file in each format ends with.
ENDINGS: Final[Mapping[Format, tuple[str, ...]]] = {
    "latex": (".tex",),
    "markdown": (".md", ".markdown", ".txt"),
    "csv": (".csv",),
    "json": (".json",),
}
DATA: Final[tuple[Format, ...]] = ("csv", "json")  # for programs: all numbers in full, whatever the look
DIGITS: Final = 3


@dataclass(frozen=True)
class Look:
    """How a table for readers looks.

    Attributes:
        intervals: How the 95 % intervals are shown: both ends, half the width, not at all.
        digits: Decimals.
        transpose: Whether encoders are columns.
    """

    intervals: Intervals = "range"
    digits: int = DIGITS
    transpose: bool = False


def format_of(asked: Format | None, output: Path | None) -> Format:
    """Return the format of a table: what was asked for, else what the file's name says, else Markdown.

    Raises:
        UserError: The name ends as that of another format, or of none.
    """
    if output is None:
        return asked or "markdown"
    ending = output.suffix.lower()
    named: Format | None = next((form for form, endings in ENDINGS.items() if ending in endings), None)
    if named is None:
        every = ", ".join(f"{endings[0]} ({form})" for form, endings in ENDINGS.items())
        raise UserError(f"{output}: a table's file ends in {every}", "give such a name with -o")
    if asked is not None and named != asked:
        other = output.with_suffix(ENDINGS[asked][0])
        raise UserError(
            f"{output} is a name for {named}, and --format says {asked}",
            f"give -o {other}, or leave --format out",
        )
    return named


def look_of(form: Format, intervals: Intervals | None, digits: int | None, *, transpose: bool) -> Look:
    """Return how a table looks, by the options that were given.

    Raises:
        UserError: Such an option beside a format for programs, which has no look.
    """
    given = {"--intervals": intervals is not None, "--digits": digits is not None, "--transpose": transpose}
    if form in DATA and any(given.values()):
        names = ", ".join(name for name, is_given in given.items() if is_given)
        raise UserError(
            f"{form} has a line a score, with all digits and both ends of its interval",
            f"leave {names} out",
        )
    return Look(intervals or "range", DIGITS if digits is None else digits, transpose)
