"""Long lists in messages: the first lines are shown, all are written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from results.markdown import folded

SHOWN = 20


def shown(lines: Sequence[str], listing: Path, entries: Sequence[str] | None = None) -> list[str]:
    """Return the lines of a message that stand for ``lines``, indented; more than :data:`SHOWN` go to a file whole.

    An entry is one line, whatever the ids and paths in it hold.

    Where that file cannot be written the message says so and shows all: it is often the disk that is the matter.

    Args:
        lines: Whatever is listed.
        listing: The file; its folder is made.
        entries: The lines of the file; ``lines`` by default.
    """
    lines = [folded(line) for line in lines]
    indented = [f"  {line}" for line in lines]
    if len(lines) <= SHOWN:
        return indented
    try:
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text("".join(f"{line}\n" for line in map(folded, entries or lines)), encoding="utf-8")
    except OSError as error:
        return [*indented, f"  (the list cannot be written to {listing}: {error.strerror or error})"]
    return [*indented[:SHOWN], f"  … and {len(lines) - SHOWN} more: all are listed in {listing}"]
