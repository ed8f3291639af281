"""Room on the disk: whether a file fits, and which errors mean that the disk is full."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from rich.filesize import decimal

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
            f"no room for {what}: it needs {decimal(needed)} in {folder}, but {decimal(free)} are free",
            "Make room there, or choose another data home, then run the same command again",
        )


def not_written(error: OSError, path: Path) -> TaskError:
    """Return what a failed write on this machine means to the user.

    Args:
        error: What the system said.
        path: The file that was to be written.
    """
    if error.errno in NO_SPACE:
        return TaskError(
            f"the disk is full: {path} could not be written",
            "Make room, then run the same command again: it continues from there",
        )
    return TaskError(
        f"cannot write {error.filename or path}: {error.strerror or error}",
        "Let it be written, or choose another data home",
    )
