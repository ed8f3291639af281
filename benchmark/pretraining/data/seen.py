"""Which content a store's file has: size and mtime as the fast check, the sha256 of its bytes as the answer.

What was hashed is noted in ``.seen.jsonl`` beside the files, one line each, the last one counts. It is no part of the
store: where it is missing (a copy, another machine) the files are hashed once, and noted if the folder can be written.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from benchmark.system.files import content_hash
from tasks.errors import TaskError
from tasks.files import TABLE, read_text

NAME = ".seen.jsonl"


class SeenFiles:
    """The files of one folder as they were when their content was known."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._seen: dict[str, tuple[int, int, str]] | None = None

    def add(self, path: Path, sha256: str) -> None:
        """Note that the file has this content now."""
        stat = path.stat()
        if self._seen is not None:
            self._seen[path.name] = (stat.st_size, stat.st_mtime_ns, sha256)
        line = json.dumps([path.name, stat.st_size, stat.st_mtime_ns, sha256]) + "\n"
        with suppress(OSError):  # a folder that cannot be written: the file is hashed again next time
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)

    def knows(self, path: Path, sha256: str) -> bool:
        """Say whether the file was seen with this content, at its present size and mtime."""
        stat = path.stat()
        return self._all().get(path.name) == (stat.st_size, stat.st_mtime_ns, sha256)

    def has(self, path: Path, sha256: str, *, fresh: bool = False) -> bool:
        """Say whether the file has this content; it is read if it changed since it was last seen, or if ``fresh``.

        Raises:
            OSError: It cannot be read.
        """
        if not fresh and self.knows(path, sha256):
            return True
        if content_hash(path) != sha256:
            return False
        self.add(path, sha256)
        return True

    def _all(self) -> dict[str, tuple[int, int, str]]:
        if self._seen is None:
            self._seen = {}
            with suppress(OSError, TaskError):  # what cannot be read is hashed again
                for line in read_text(self._path, TABLE).splitlines():
                    with suppress(ValueError, TypeError, RecursionError):  # torn by a kill
                        name, size, mtime_ns, sha256 = json.loads(line)
                        self._seen[name] = (size, mtime_ns, sha256)
        return self._seen
