"""Which content an audio file has: path, size and mtime as the fast check, the sha256 of the bytes as the answer.

What a look at a file's bytes said of it lies beside its hash, for no embedding depends on it. A file that was hashed
before it was looked at, or looked at by an older version, is looked at again (:func:`look_again`), and not decoded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from benchmark.audio import av_decoder
from benchmark.audio.inspection import INSPECTION_VERSION, Contents, look
from benchmark.errors import UserError
from benchmark.system.files import content_hash, parquet_bytes
from results.files import replace_file
from results.parquet import read_table

if TYPE_CHECKING:
    from benchmark.system.progress import Reporter

FOLDER = "audio-index"
MERGE_ABOVE = 16  # files
COLUMNS = ("path", "size", "mtime_ns", "key", "note", "looked")
HASH = 64  # letters of a sha256


@dataclass(frozen=True)
class HashedFile:
    """A file as it was when its content was hashed.

    Attributes:
        path: Where it lies.
        size: Its bytes.
        mtime_ns: When it was last changed.
        key: Of its embeddings: the sha256 of its bytes, and its form where it has one.
        note: What is to be told of it though it is used.
        looked: The version of the inspection that looked at it; 0: none.
    """

    path: str
    size: int
    mtime_ns: int
    key: str
    note: str = ""
    looked: int = 0


def identify(path: Path) -> HashedFile:
    """Hash a file and look at it.

    Raises:
        OSError: It cannot be read.
    """
    stat = path.stat()
    return _looked_at(path, HashedFile(str(path), stat.st_size, stat.st_mtime_ns, content_hash(path)))


def _looked_at(path: Path, seen: HashedFile) -> HashedFile:
    contents = look(path) if seen.size else Contents()
    return replace(seen, key=contents.key(seen.key[:HASH]), note=contents.note, looked=INSPECTION_VERSION)


def look_again(index: AudioIndex, paths: Iterable[Path], report: Reporter) -> None:
    """Look at the files among ``paths`` that were hashed before the present inspection could look at them.

    Embeddings of a file that is refused now, or that is played in another way, are no longer found by its key.

    Args:
        index: What is known of the files; it is told.
        paths: Audio files.
        report: Is told of the work.

    Raises:
        UserError: The disk is full or not writable.
    """
    todo = index.not_looked_at(paths)
    if not todo:
        return
    fresh = []
    with report.stage("Looking at files that were embedded before", len(todo), "files") as advance:
        for done, (path, seen) in enumerate(todo):
            with suppress(OSError):  # the extraction will name it
                fresh.append(_looked_at(path, seen))
            advance(done + 1)
    index.add(fresh)


def _read(file: Path) -> dict[str, HashedFile]:
    """Return what a file of the index says, by path; checksums are verified, for a key of one bit is another file's."""
    columns = read_table(file, COLUMNS).to_pydict()
    names = [name for name in COLUMNS if name in columns]  # older files lack the last two
    entries = [
        HashedFile(**dict(zip(names, values, strict=True))) for values in zip(*map(columns.get, names), strict=True)
    ]
    if not all(isinstance(entry.path, str) and isinstance(entry.key, str) for entry in entries):
        raise ValueError(f"{file} holds no paths and keys")
    return {entry.path: entry for entry in entries}


class AudioIndex:
    """The hashes of the audio files seen so far, kept below a home folder."""

    def __init__(self, home: Path) -> None:
        self.folder = home / FOLDER
        self._seen: dict[str, HashedFile] = {}
        self._files = sorted(self.folder.glob("*.parquet"))
        for file in self._files:
            with suppress(OSError, ValueError, KeyError, TypeError, pa.ArrowException):
                self._seen |= _read(file)  # else merged away by another process, or torn: its files are hashed again

    def key(self, path: Path) -> str | None:
        """Return the content hash of ``path`` if it was hashed at its present size and mtime."""
        seen = self.seen(path)
        return None if seen is None else seen.key

    def seen(self, path: Path) -> HashedFile | None:
        """Return what is known of ``path`` if it was hashed at its present size and mtime."""
        seen = self._seen.get(str(path))
        if seen is None:
            return None
        try:
            stat = path.stat()
        except OSError:
            return None
        return seen if (seen.size, seen.mtime_ns) == (stat.st_size, stat.st_mtime_ns) else None

    def not_looked_at(self, paths: Iterable[Path]) -> list[tuple[Path, HashedFile]]:
        """Return those of ``paths`` that are known, and that the present inspection has not looked at.

        So are those that another version of FFmpeg played.
        """
        present = av_decoder.form()

        def is_old(path: Path) -> bool:
            seen = self._seen.get(str(path))
            if seen is None:
                return False
            another = present and f"-{av_decoder.FORM}" in seen.key and not seen.key.endswith(f"-{present}")
            return seen.looked < INSPECTION_VERSION or bool(another)

        old = (path for path in dict.fromkeys(paths) if is_old(path))
        return [(path, seen) for path in old if (seen := self.seen(path)) is not None]

    def add(self, seen: Iterable[HashedFile]) -> None:
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
                "note": [entry.note for entry in entries],
                "looked": pa.array([entry.looked for entry in entries], pa.int32()),
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
