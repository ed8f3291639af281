"""Files that are made from records or cards, and never edited: written only where they change, and checked."""

from __future__ import annotations

import difflib
from pathlib import Path

from results.files import replace_file
from results.record import RecordError


def write(target: Path, content: str) -> bool:
    """Write ``content`` to ``target``, atomically; return whether it changed.

    Raises:
        RecordError: It cannot be written.
    """
    data = content.encode("utf-8")
    try:
        if target.is_file() and target.read_bytes() == data:
            return False
        replace_file(target, data)
    except OSError as error:
        raise RecordError(
            f"cannot write {target}: {error.strerror or error}",
            "let it be written, or name another place with -o",
        ) from None
    return True


def difference(target: Path, content: str, command: str) -> str:
    """Return a unified diff from ``target`` to the ``content`` that ``command`` would write; empty if they are equal.

    Line ends are not compared, for checkouts that translate them. A missing target counts as empty.
    """
    present = target.read_text(encoding="utf-8", errors="replace") if target.is_file() else ""
    before, after = present.splitlines(keepends=True), content.splitlines(keepends=True)
    diff = difflib.unified_diff(before, after, fromfile=str(target), tofile=command)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in diff)
