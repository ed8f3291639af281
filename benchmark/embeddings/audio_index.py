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
        for file in sorted(self.folder.glob("*.parquet")):
            try:
                columns = pq.read_table(file).to_pydict()
            except (OSError, pa.ArrowException):
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
        """Remember ``seen`` in one new file, and merge the files when there are many."""
        fresh = [entry for entry in seen if self._seen.get(entry.path) != entry]
        if not fresh:
            return
        self._seen.update((entry.path, entry) for entry in fresh)
        files = sorted(self.folder.glob("*.parquet"))
        merging = len(files) >= MERGE_ABOVE
        entries = list(self._seen.values()) if merging else fresh
        table = pa.table(
            {
                "path": [entry.path for entry in entries],
                "size": pa.array([entry.size for entry in entries], pa.int64()),
                "mtime_ns": pa.array([entry.mtime_ns for entry in entries], pa.int64()),
                "key": [entry.key for entry in entries],
            }
        )
        name = f"{time.time_ns():020d}-{os.getpid()}.parquet"
        replace_file(self.folder / name, parquet_bytes(table))
        if merging:
            for file in files:
                file.unlink(missing_ok=True)
