"""Scratch folders of a run in the data home, and the removal of those of killed runs.

A run holds a lock in its folder, which ends with its process however that ends, and then writes down the machine's
name. So whoever finds the lock free on that machine knows that the run is dead. Of a folder without the name (an older
version made it, its run was killed just then, the file system has no locks) or with another machine's nobody can know:
there age decides.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

PREFIX = "scratch-"
LOCK, OWNER = ".lock", ".owner"
STALE_SECONDS = 86400.0  # no running process left a folder alone for so long, where it is not known whose it is

Run = Literal["alive", "dead", "unknown"]


@dataclass(frozen=True)
class ScratchFolder:
    """A folder for the time of a run.

    Attributes:
        path: Where it is.
        run: Whether the run that made it continues.
        size: Bytes in it.
        changed: When something was last written there.
    """

    path: Path
    run: Run
    size: int
    changed: float

    def abandoned(self, now: float) -> bool:
        """Say whether it may go: its run is dead, or not known and silent for long."""
        return self.run == "dead" or (self.run == "unknown" and now - self.changed > STALE_SECONDS)


@contextmanager
def scratch_folder(home: Path) -> Iterator[Path]:
    """Make a folder below ``home``, hold its lock, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=home) as name:
        lock = FileLock(Path(name) / LOCK)
        try:
            # No folder is ever held by another, so nothing is waited for but a 'bench cache prune' that looks at it.
            lock.acquire()
            (Path(name) / OWNER).write_text(platform.node(), encoding="utf-8")
        except (OSError, NotImplementedError):  # a full disk, or a file system without locks: age decides
            lock.release()
        try:
            yield Path(name)
        finally:
            lock.release()  # first, for some systems remove no file that is held


def scratch_folders(home: Path) -> list[ScratchFolder]:
    """Return those below ``home``, by name."""
    folders = []
    for path in sorted(home.glob(f"{PREFIX}*/")):
        with suppress(FileNotFoundError):  # its run has just ended
            run = run_of(path)
            inside = [entry for entry in path.rglob("*") if entry.name not in (LOCK, OWNER)]
            size = sum(entry.stat().st_size for entry in inside if entry.is_file())
            folders.append(ScratchFolder(path, run, size, max(entry.stat().st_mtime for entry in (path, *inside))))
    return folders


def run_of(path: Path) -> Run:
    """Say what is known of the run that made the folder ``path``."""
    try:
        machine = (path / OWNER).read_text(encoding="utf-8", errors="replace")
        if not machine or machine != platform.node():
            return "unknown"
        with FileLock(path / LOCK, timeout=0):
            return "dead"
    except Timeout:
        return "alive"
    except (OSError, NotImplementedError):
        return "unknown"
