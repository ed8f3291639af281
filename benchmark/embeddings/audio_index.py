"""Which content an audio file has: path, size and mtime as the fast check, the sha256 of the bytes as the answer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.embeddings.store import parquet_bytes
from benchmark.errors import UserError
from results.store import replace_file

FOLDER = "audio-index"
MERGE_ABOVE = 16  # files


@dataclass(frozen=True)
class Seen:
    """A file as it was when its content was hashed."""

    path: str
    size: int
    mtime_ns: int
    key: str


class AudioIndex:
    """The hashes of the audio files seen so far, kept below a home folder."""

    def __init__(self, home: Path) -> None:
        self.folder = home / FOLDER
        self._seen: dict[str, Seen] = {}
        self._files = sorted(self.folder.glob("*.parquet"))
        for file in self._files:
            try:
                columns = pq.read_table(file).to_pydict()
            except (OSError, ValueError, pa.ArrowException):
                continue  # merged away by another process, or torn: its files are hashed again
            for path, size, mtime_ns, key in zip(
                columns["path"], columns["size"], columns["mtime_ns"], columns["key"], strict=True
            ):
                self._seen[path] = Seen(path, size, mtime_ns, key)

    def key(self, path: Path) -> str | None:
        """Return the content hash of ``path`` if it was hashed at its present size and mtime."""
        seen = self._seen.get(str(path))
        if seen is None:
            return None
        try:
            stat = path.stat()
        except OSError:
            return None
        return seen.key if (seen.size, seen.mtime_ns) == (stat.st_size, stat.st_mtime_ns) else None

    def add(self, seen: Iterable[Seen]) -> None:
        """Remember ``seen`` in one new file, and merge the files when there are many.

        Raises:
            UserError: The disk is full or not writable.
        """
        fresh = {entry.path: entry for entry in seen if self._seen.get(entry.path) != entry}
        if not fresh:
            return
        merging = len(self._files) >= MERGE_ABOVE
        entries = list(({**self._seen, **fresh} if merging else fresh).values())
        table = pa.table(
            {
                "path": [entry.path for entry in entries],
                "size": pa.array([entry.size for entry in entries], pa.int64()),
                "mtime_ns": pa.array([entry.mtime_ns for entry in entries], pa.int64()),
                "key": [entry.key for entry in entries],
            }
        )
        path = self.folder / f"{time.time_ns():020d}-{os.getpid()}.parquet"
        try:
            replace_file(path, parquet_bytes(table))
        except OSError as error:
            raise UserError(
                f"cannot write to {self.folder}: {error.strerror or error}. What was embedded before is kept: "
                "make room and run the same command again"
            ) from error
        if merging:  # only what was read: another process may have added files since
            for file in self._files:
                file.unlink(missing_ok=True)
            self._files.clear()
        self._files.append(path)
        self._seen.update(fresh)
