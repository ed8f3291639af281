"""The hashes of audio files: a file is hashed again where its size or its mtime has changed.

What the inspection of a file's bytes found is kept beside its hash, for no embedding depends on it. A file that was
hashed but not inspected, or inspected by an older version, is inspected (:func:`inspect_again`), and not decoded.
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
from benchmark.audio.inspection import INSPECTION_VERSION, Contents, inspect_file
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
        note: What a user should know of it though it is used.
        looked: The version of the inspection that read it; 0: none did.
    """

    path: str
    size: int
    mtime_ns: int
    key: str
    note: str = ""
    looked: int = 0

    @classmethod
    def of(cls, path: Path, key: str | None = None) -> HashedFile:
        """Return a file as it is now, not inspected; its content is hashed unless ``key`` is its hash.

        Raises:
            OSError: It cannot be read.
        """
        stat = path.stat()
        return cls(str(path), stat.st_size, stat.st_mtime_ns, content_hash(path) if key is None else key)

    def is_current(self, path: Path) -> bool:
        """Say whether the file at ``path`` has the size and the mtime that it had when it was hashed.

        Raises:
            OSError: It cannot be found.
        """
        stat = path.stat()
        return (self.size, self.mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def identify(path: Path) -> HashedFile:
    """Hash a file and inspect it.

    Raises:
        OSError: It cannot be read.
    """
    return _inspected(path, HashedFile.of(path))


def _inspected(path: Path, file: HashedFile) -> HashedFile:
    contents = inspect_file(path) if file.size else Contents()
    return replace(file, key=contents.key(file.key[:HASH]), note=contents.note, looked=INSPECTION_VERSION)


def inspect_again(index: AudioIndex, paths: Iterable[Path], report: Reporter) -> None:
    """Inspect the files among ``paths`` that were hashed without the present inspection, and update the index.

    A file that is now refused or played in another way gets another key, under which its old embedding is not found.

    Args:
        index: The hashes of the files.
        paths: Audio files.
        report: Shows the progress.

    Raises:
        UserError: The disk is full or not writable.
    """
    outdated = index.not_inspected(paths)
    if not outdated:
        return
    fresh = []
    with report.stage("Inspecting files that were embedded before", len(outdated), "files") as advance:
        for done, (path, file) in enumerate(outdated):
            with suppress(OSError):  # the extraction will name it
                fresh.append(_inspected(path, file))
            advance(done + 1)
    index.add(fresh)


def _read(file: Path) -> dict[str, HashedFile]:
    """Return the entries of a file of the index by path; checksums are verified, for a wrong bit makes a wrong key."""
    columns = read_table(file, COLUMNS).to_pydict()
    names = [name for name in COLUMNS if name in columns]  # older files lack the last two
    entries = [
        HashedFile(**dict(zip(names, values, strict=True))) for values in zip(*map(columns.get, names), strict=True)
    ]
    if not all(isinstance(entry.path, str) and isinstance(entry.key, str) for entry in entries):
        raise ValueError(f"{file} holds no paths and keys")
    return {entry.path: entry for entry in entries}


class AudioIndex:
    """The hashes of audio files, kept below a home folder."""

    def __init__(self, home: Path) -> None:
        self.folder = home / FOLDER
        self._entries: dict[str, HashedFile] = {}
        self._files = sorted(self.folder.glob("*.parquet"))
        for file in self._files:
            with suppress(OSError, ValueError, KeyError, TypeError, pa.ArrowException):
                self._entries |= _read(file)  # else merged away by another process, or torn: its files are hashed again

    def key(self, path: Path) -> str | None:
        """Return the content hash of ``path`` if it was hashed at its present size and mtime."""
        entry = self.entry(path)
        return None if entry is None else entry.key

    def entry(self, path: Path) -> HashedFile | None:
        """Return the entry of ``path`` if it was hashed at its present size and mtime."""
        entry = self._entries.get(str(path))
        if entry is None:
            return None
        try:
            return entry if entry.is_current(path) else None
        except OSError:
            return None

    def not_inspected(self, paths: Iterable[Path]) -> list[tuple[Path, HashedFile]]:
        """Return those of ``paths`` that were hashed but not inspected by the present version, with their entries.

        Files that another version of FFmpeg played are among them.
        """
        present = av_decoder.form()

        def is_old(path: Path) -> bool:
            entry = self._entries.get(str(path))
            if entry is None:
                return False
            another = present and f"-{av_decoder.FORM}" in entry.key and not entry.key.endswith(f"-{present}")
            return entry.looked < INSPECTION_VERSION or bool(another)

        old = (path for path in dict.fromkeys(paths) if is_old(path))
        return [(path, entry) for path in old if (entry := self.entry(path)) is not None]

    def add(self, files: Iterable[HashedFile]) -> None:
        """Write ``files`` to one new file of the index, and merge its files when there are many.

        Raises:
            UserError: The disk is full or not writable.
        """
        fresh = {entry.path: entry for entry in files if self._entries.get(entry.path) != entry}
        if not fresh:
            return
        merging = len(self._files) >= MERGE_ABOVE
        entries = list(({**self._entries, **fresh} if merging else fresh).values())
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
                f"cannot write to {self.folder}: {error.strerror or error}. What was embedded before is kept",
                "make room and run the same command again",
            ) from error
        if merging:  # only what was read: another process may have added files since
            for file in self._files:
                file.unlink(missing_ok=True)
            self._files.clear()
        self._files.append(path)
        self._entries.update(fresh)
