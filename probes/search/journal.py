"""The journal of a study: a file of JSON lines, each with its digest, that many processes append to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.storages.journal import JournalFileBackend

DIGEST = "sha256"
TAIL_BYTES = 2**16  # read at a time to find the end of a journal's last whole line


class JournalLock:
    """A lock of the journal that ends with its process, where Optuna's own would have to be waited for."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        """Take the lock, once more where this process has it."""
        self._lock.acquire()
        return True

    def release(self) -> None:
        """Give it back, once."""
        self._lock.release()


class Journal(JournalFileBackend):
    """A journal of lines with digests, which takes back what it could not write whole.

    Another process would write on behind it. A line that is not as it was written ends the reading, where Optuna would
    take it as it is, or pass over it at the end.
    """

    def __init__(self, path: Path, lock: JournalLock) -> None:
        super().__init__(str(path), lock_obj=lock)  # type: ignore[arg-type]
        self._path, self._whole = path, lock
        self._offsets = [0]  # where each line begins that was read so far

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield what the lines say, from the one of that number on.

        Raises:
            ValueError: A line is not as it was written.
        """
        begin = min(log_number_from, len(self._offsets) - 1)
        with self._path.open("rb") as file:
            file.seek(self._offsets[begin])
            for number, line in enumerate(file, start=begin):
                if not line.endswith(b"\n"):  # another process is writing it
                    return
                if number + 1 == len(self._offsets):
                    self._offsets.append(self._offsets[number] + len(line))
                if number >= log_number_from:
                    yield _checked(line, number + 1)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append ``logs``, each with its digest, or nothing."""
        self._whole.acquire()  # once more than Optuna does: it counts
        try:
            super().append_logs([{**log, DIGEST: _digest(log)} for log in logs])
        except OSError:
            with suppress(OSError):  # then the next opening does it
                mend(self._path, self._whole)
            raise
        finally:
            self._whole.release()


def problem_of(path: Path) -> str | None:
    """Return what is wrong with the lines of a journal, empty where nothing is; ``None`` for one without digests.

    Raises:
        OSError: It cannot be read.
    """
    if not path.is_file():
        return "it is not a regular file"
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and f'"{DIGEST}":'.encode() not in line:
                return (
                    None if _is_older(line) else "it is no journal of a search: delete it, and the search starts again"
                )
            try:
                _checked(line, number)
            except ValueError as error:
                return str(error)
    return ""


def _is_older(line: bytes) -> bool:
    """Say whether a line is one of Optuna's own, as older versions wrote them."""
    try:
        log = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(log, dict) and "op_code" in log


def _checked(line: bytes, number: int) -> dict[str, Any]:
    """Return what a whole line of a journal says.

    Raises:
        ValueError: It is not as it was written.
    """
    try:
        log = json.loads(line)
        if log.pop(DIGEST, None) == _digest(log):
            return log
    except (ValueError, AttributeError, TypeError, RecursionError):
        pass
    raise ValueError(f"its line {number} is not as it was written")


def _digest(log: dict[str, Any]) -> str:
    """Return a digest of a line, as JSON without the digest."""
    return hashlib.sha256(json.dumps(log, separators=(",", ":")).encode()).hexdigest()[:16]


def mend(path: Path, lock: JournalLock) -> None:
    """Cut off a last line without its end: a process that was killed, or found the disk full, did not write it whole.

    Optuna would refuse the journal, or take the next line for the rest of that one.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise ValueError("it is not a regular file")
    lock.acquire()
    try:
        with path.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            size = end
            while size:  # from the end on, to the last line that is whole
                start = max(0, size - TAIL_BYTES)
                file.seek(start)
                newline = file.read(size - start).rfind(b"\n")
                size = start + newline + 1 if newline >= 0 else start
                if newline >= 0:
                    break
            if size < end:
                file.truncate(size)
    finally:
        lock.release()
