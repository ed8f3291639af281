"""Views of a file for a decoder: some of its bytes, with others before or in place of them."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Spans(io.RawIOBase):
    """A readable, seekable file made of pieces: bytes, or a span ``(start, stop)`` of the file at ``path``.

    It has no name, so that nobody guesses a format from one.
    """

    def __init__(self, path: Path, pieces: Sequence[bytes | tuple[int, int]]) -> None:
        self._file = path.open("rb")
        self._at = 0
        self._pieces: list[tuple[int, int, bytes | int]] = []
        begin = 0
        for piece in pieces:
            size = len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
            self._pieces.append((begin, begin + size, piece if isinstance(piece, bytes) else piece[0]))
            begin += size
        self._size = begin

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be sought in."""
        return True

    def tell(self) -> int:
        """Return where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to ``offset`` from the start, the present place or the end."""
        self._at = max(offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence], 0)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into ``buffer`` and return the number of bytes; 0 at the end."""
        view = memoryview(buffer).cast("B")
        done = 0
        for begin, end, source in self._pieces:
            if done == len(view) or not begin <= self._at < end:
                continue
            part = view[done : done + end - self._at]
            if isinstance(source, bytes):
                part[:] = source[self._at - begin : self._at - begin + len(part)]
                got = len(part)
            else:
                self._file.seek(source + self._at - begin)
                got = self._file.readinto(part)
            self._at, done = self._at + got, done + got
        return done

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def patched(path: Path, patches: Sequence[tuple[int, bytes]], stop: int) -> Spans:
    """Return the first ``stop`` bytes of a file, with other bytes at some places."""
    pieces: list[bytes | tuple[int, int]] = []
    at = 0
    for offset, value in sorted(patches):
        pieces += [(at, offset), value]
        at = offset + len(value)
    return Spans(path, [*pieces, (at, stop)])
