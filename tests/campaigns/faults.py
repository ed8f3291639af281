"""Run ``bench`` with a fault in it: killed, or refused by the disk, at its n-th change of the file system.

    python -P tests/campaigns/faults.py count:FILE bench-arguments...
    python -P tests/campaigns/faults.py kill:N bench-arguments...
    python -P tests/campaigns/faults.py full:N bench-arguments...

The interpreter's audit events say what is about to be opened for writing, renamed, removed or made. ``count`` writes
into FILE how many such events there were, ``kill`` ends the process with SIGKILL just before the n-th, ``full`` lets
the n-th and all later ones fail as on a full disk, but for removals.
"""

from __future__ import annotations

import atexit
import errno
import os
import signal
import sys
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
REMOVALS = {"os.remove", "os.rmdir"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def changes(event: str, arguments: tuple[Any, ...]) -> bool:
    """Say whether an audit event is one that changes the file system below the current folder."""
    if event != "open" and event not in CHANGES:
        return False
    path = arguments[0]
    if isinstance(path, int) or path is None:
        return False
    name = os.fsdecode(path)
    if event == "open" and not (arguments[2] or 0) & WRITES:
        return False
    return os.path.abspath(name).startswith(os.getcwd() + os.sep)  # noqa: PTH100, PTH109 - pathlib would recurse


def main() -> None:
    """Take the fault from the arguments, and run the rest."""
    kind, _, value = sys.argv[1].partition(":")
    number, seen = 0 if kind == "count" else int(value), [0]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not changes(event, arguments):
            return
        seen[0] += 1
        if kind == "kill" and seen[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "full" and seen[0] >= number and event not in REMOVALS:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fsdecode(arguments[0]))

    if kind == "count":
        file = os.open(value, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        atexit.register(lambda: os.write(file, str(seen[0]).encode()))
    sys.addaudithook(hook)
    from benchmark.cli.main import main as bench

    bench(sys.argv[2:])


if __name__ == "__main__":
    main()
