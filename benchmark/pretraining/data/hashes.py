"""The hashes of a store's files: a file is hashed again where its size or its mtime has changed.

They lie in ``.seen.jsonl`` beside the files, one line each; of two lines for one file the last counts. That file is no
part of the store: where it is missing (a copy, another machine) all files are hashed once, and their hashes are kept if
the folder can be written.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from benchmark.audio.index import HashedFile
from benchmark.system.files import content_hash
from tasks.errors import TaskError
from tasks.files import TABLE, read_text

NAME = ".seen.jsonl"


class FileHashes:
    """The files of one folder as they were when their content was hashed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._files: dict[str, HashedFile] | None = None

    def add(self, path: Path, sha256: str) -> None:
        """Remember that the file has this content now."""
        file = HashedFile.of(path, sha256)
        if self._files is not None:
            self._files[path.name] = file
        line = json.dumps([path.name, file.size, file.mtime_ns, sha256]) + "\n"
        with suppress(OSError):  # a folder that cannot be written: the file is hashed again next time
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)

    def knows(self, path: Path, sha256: str) -> bool:
        """Say whether the file was hashed to ``sha256`` at its present size and mtime."""
        file = self._all().get(path.name)
        return file is not None and file.key == sha256 and file.is_current(path)

    def has(self, path: Path, sha256: str, *, fresh: bool = False) -> bool:
        """Say whether the file has this content; it is read if it changed since it was hashed, or if ``fresh``.

        Raises:
            OSError: It cannot be read.
        """
        if not fresh and self.knows(path, sha256):
            return True
        if content_hash(path) != sha256:
            return False
        self.add(path, sha256)
        return True

    def _all(self) -> dict[str, HashedFile]:
        if self._files is None:
            self._files = {}
            with suppress(OSError, TaskError):  # what cannot be read is hashed again
                for line in read_text(self._path, TABLE).splitlines():
                    with suppress(ValueError, TypeError, RecursionError):  # torn by a kill
                        name, size, mtime_ns, sha256 = json.loads(line)
                        self._files[name] = HashedFile(name, size, mtime_ns, sha256)
        return self._files
