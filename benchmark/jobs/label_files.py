"""A file of labels, CSV or Parquet, that is written as rows come, in order, and continued where it was left.

Rows are lines (:mod:`benchmark.jobs.label_rows`), each written and flushed at once. What a killed process left of a
line is cut off. A row is kept where its file has the path, size and mtime that it had, and the same probe made it. Kept
rows that do not stand in their place any more, since other files are named, wait in a file beside it until their turn
comes. Parquet is written from such lines at the end, whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from benchmark.errors import UserError
from benchmark.jobs.label_rows import Columns, CsvLines, Glance, JsonLines, Key, LabelledFile, Lines
from benchmark.jobs.label_table import json_of, write_parquet
from benchmark.jobs.predict import stamp_of
from benchmark.system.home import home_folder, refuse_unwritable
from results.markdown import folded

SUFFIXES = (".csv", ".parquet")
LOCKS = "locks"
OTHER = "choose another -o, or remove it"


class LabelFile:
    """Lines of text that hold a row for each file, in order.

    Attributes:
        kept: For each file whether its row is there already.
        unnamed: How many rows are there of files that are not named now, or that have changed.
    """

    def __init__(self, lines: Lines, text: Path, files: Sequence[Path]) -> None:
        """Look at what is there: rows that stand in their place stay, others wait for their turn.

        Raises:
            UserError: It holds something else, or rows of another probe or of other files alone.
        """
        self._lines, self._text, self._files = lines, text, files
        self._rest = text.with_name(f".{text.name.removeprefix('.')}.rest")
        self._in_place, end = self._prefix()
        self._refuse_others(end)
        self._set_aside(end)
        self._waiting = {key: place for key, place, _ in self._whole_lines(self._rest)} if self._rest.exists() else {}
        self.kept = bytearray(i < self._in_place or self._key(path) in self._waiting for i, path in enumerate(files))
        self.unnamed = len(self._waiting) - (sum(self.kept) - self._in_place)

    @property
    def missing(self) -> list[Path]:
        """The files that have no row yet, in order."""
        return [path for path, kept in zip(self._files, self.kept, strict=True) if not kept]

    def filled(self, rows: Iterable[LabelledFile]) -> Iterator[tuple[Glance, bool]]:
        """Yield what the row of each file says, in order, and whether it was there; those of ``rows`` are written."""
        coming = iter(rows)
        with self._text.open("rb") as before, self._text.open("ab") as file:
            before.readline()
            for i, path in enumerate(self._files):
                if i < self._in_place:
                    text = _text_of(before.readline())
                else:
                    text = self._waiting_line(path) if self.kept[i] else self._lines.line(next(coming))
                    file.write(f"{text}\n".encode())
                    file.flush()
                found = self._lines.glance(text)
                assert found is not None
                yield found, bool(self.kept[i])
            os.fsync(file.fileno())
        self._rest.unlink(missing_ok=True)

    def _key(self, path: Path) -> Key:
        return (self._lines.spelled(str(path)), *stamp_of(path))

    def _waiting_line(self, path: Path) -> str:
        with self._rest.open("rb") as file:
            file.seek(self._waiting[self._key(path)])
            return _text_of(file.readline())

    def _prefix(self) -> tuple[int, int]:
        """Return how many rows stand in their place, and where the last of them ends; a new file gets its head."""
        head = f"{self._lines.head}\n".encode()
        with self._text.open("a+b") as file:
            file.seek(0)
            first = file.readline()
            if not first.endswith(b"\n") and head.startswith(first):  # new, or killed before its first row
                file.truncate(0)
                file.write(head)
                return 0, len(head)
        if first != head:
            raise UserError(
                f"{self._text} is not what 'bench predict' writes for this probe: its first line names other columns",
                f"To keep it, {OTHER}",
            )
        count, end = 0, len(head)
        for key, place, line in self._whole_lines(self._text):
            if place != end or count == len(self._files) or key[1] is None or key != self._key(self._files[count]):
                break
            count, end = count + 1, place + len(line)
        return count, end

    def _whole_lines(self, path: Path) -> Iterator[tuple[Key, int, bytes]]:
        """Yield key, place and bytes of each row that is whole, and was made by the same probe.

        Raises:
            UserError: A row was made by another.
        """
        place = 0
        with path.open("rb") as file:
            for line in file:
                text = _text_of(line) if line.endswith(b"\n") and (place or path == self._rest) else ""
                glance = self._lines.glance(text) if text else None
                if glance is not None:
                    self._refuse_other_maker(text)
                    yield glance.key, place, line
                place += len(line)

    def _refuse_other_maker(self, text: str) -> None:
        maker, ours = self._lines.maker(text), self._lines.columns.made_by
        if maker != ours:
            raise UserError(
                f"{self._text} holds rows of another probe, or of another choice: they were made by "
                f"{folded(str(maker))!r}, not by {ours!r} (the column 'probe')",
                OTHER,
            )

    def _refuse_others(self, end: int) -> None:
        """Refuse to replace the rows of files of which none is named now."""
        if self._in_place:
            return
        there = {key[0] for key, place, _ in self._whole_lines(self._text) if place >= end}
        if there and there.isdisjoint(self._lines.spelled(str(path)) for path in self._files):
            raise UserError(
                f"{self._text} holds the rows of {len(there)} other files, none of which is named now",
                OTHER,
            )

    def _set_aside(self, end: int) -> None:
        """Move the rows behind ``end`` to the file of those that wait, and cut them off."""
        if self._text.stat().st_size == end:
            return
        with self._rest.open("ab") as rest:
            for key, place, line in self._whole_lines(self._text):
                if place >= end and key[1] is not None:
                    rest.write(line)
            rest.flush()
            os.fsync(rest.fileno())
        os.truncate(self._text, end)
        if self._rest.stat().st_size == 0:
            self._rest.unlink()


@contextmanager
def open_labels(out: Path, columns: Columns, files: Sequence[Path]) -> Iterator[LabelFile]:
    """Open ``out``, new or as it was left; at the end it holds a row for each of ``files``, in order.

    Args:
        out: A name that ends with ``.csv`` or ``.parquet``.
        columns: What rows consist of.
        files: The audio files.

    Raises:
        UserError: It is a folder, has another suffix, cannot be written, holds something else, or another process
            writes it.
    """
    refuse_output(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        if out.suffix.lower() == ".csv":
            yield LabelFile(CsvLines(columns), out, files)
            return
        lines, text = JsonLines(columns), out.with_name(f".{out.name}.rows")
        from_table = out.exists() and not text.exists()
        if from_table:
            json_of(out, lines, text)
        try:
            opened = LabelFile(lines, text, files)
        except UserError as error:
            if not from_table:
                raise
            text.unlink()
            raise UserError(error.what.replace(str(text), str(out)), error.do, error.rows) from None
        yield opened
        write_parquet(out, lines, text)
        text.unlink()


def refuse_output(out: Path) -> None:
    """Refuse what cannot be a file of labels, before anything is computed.

    Raises:
        UserError: It is a folder, has another suffix, or cannot be written.
    """
    if out.is_dir():
        raise UserError(f"-o {out} is a folder", f"name a file in it, such as {out / 'labels.csv'}")
    if out.suffix.lower() not in SUFFIXES:
        raise UserError(f"-o {out}: labels are written as .csv or .parquet", f"Name it {out.with_suffix('.csv')}")
    if out.exists() and not out.is_file():
        raise UserError(f"-o {out} is no ordinary file", "name another")
    refuse_unwritable(out.parent, "the folder of -o,")


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold a file of labels by a lock in the data home.

    Raises:
        UserError: Another process holds it.
    """
    name = hashlib.sha256(os.fsencode(out.resolve())).hexdigest()[:32]
    folder = home_folder() / LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"another process writes {out}", "wait for it, or choose another -o") from None
    try:
        yield
    finally:
        lock.release()


def _text_of(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r\n")
