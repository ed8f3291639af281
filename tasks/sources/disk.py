"""Room on the disk: whether something fits, how much that is in words, and which errors mean that it is full."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from tasks.errors import TaskError

NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


def refuse_if_full(folder: Path, needed: int, what: str) -> None:
    """Check that ``needed`` more bytes fit into the existing ``folder``.

    Raises:
        TaskError: They do not.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TaskError(
            f"no room for {what}: it needs {format_size(needed)} in {folder}, but {format_size(free)} are free. Make "
            "room there, or choose another data home, then run the same command again"
        )


def format_size(size: float) -> str:
    """Return a number of bytes for people.

    >>> format_size(1_300_000_000)
    '1.3 GB'
    """
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def not_written(error: OSError, path: Path) -> TaskError:
    """Return what a failed write on this machine means to the user.

    Args:
        error: What the system said.
        path: The file that was to be written.
    """
    if error.errno in NO_SPACE:
        return TaskError(
            f"the disk is full: {path} could not be written. Make room, then run the same command again: it goes on "
            "from there"
        )
    return TaskError(
        f"cannot write {error.filename or path}: {error.strerror or error}. Let it be written, or choose another data "
        "home"
    )
