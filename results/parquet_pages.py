"""What the pages of a Parquet file hold, by their own headers: values and bytes, with nothing decompressed.

Written for :mod:`results.parquet`: pyarrow ends the whole process on some flipped bits of a file's description (it
throws where nobody catches), and a description may lie; the headers of pages are what a decoder goes by. Both are in
Thrift's compact protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md), by the
numbers of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAGIC = b"PAR1"
MOST = 4_000_000  #: values in the description of a file; each takes memory here
DEEPEST = 16
BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(3, 13)
#: Names of the physical types that say how wide a value is in memory.
BYTE_ARRAY = 6


@dataclass(frozen=True)
class Chunk:
    """The pages of one column in one group of rows.

    Attributes:
        column: The outermost name of its path.
        kind: The number of its physical type.
        values: In all of its pages.
        size: Bytes of its pages when they are decompressed.
    """

    column: str
    kind: int
    values: int
    size: int


def chunks(data: bytes | mmap.mmap) -> Iterator[Chunk]:
    """Yield the chunks of a file.

    Raises:
        ValueError: It is no Parquet, or what it says of itself cannot be followed.
    """
    if len(data) < 12 or data[-4:] != MAGIC:
        raise ValueError("it does not end as Parquet does")
    length = int.from_bytes(data[-8:-4], "little")
    if length > len(data) - 8:
        raise ValueError("its description is longer than the file")
    try:
        about = _Compact(data, len(data) - 8 - length, len(data) - 8).value(STRUCT)
        for group in about.get(4, ()):
            for column in group[1]:
                yield _chunk(column[3], data)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"its description is not one of Parquet ({error!r})") from None


def _chunk(about: dict[int, Any], data: bytes | mmap.mmap) -> Chunk:
    column, kind = about[3][0].decode(), about[1]
    if about[5] == 0:  # pyarrow then reads none of its pages
        return Chunk(column, kind, 0, 0)
    at, values, size = about[9], 0, 0
    if 0 < about.get(11, 0) < at:
        at = about[11]
    end = at + about[7]
    if not 0 <= at <= end <= len(data):
        raise ValueError("a column lies outside the file")
    while at < end:
        reader = _Compact(data, at, end)
        header = reader.value(STRUCT)
        if header[2] < 0 or header[3] < 0:
            raise ValueError("a page has less than no bytes")
        size += header[2]
        values += sum(header[part][1] for part in (5, 8) if part in header)  # pages of values, as in versions 1 and 2
        at = reader.at + header[3]
    return Chunk(column, kind, max(values, about[5]), max(size, about[6]))


class _Compact:
    """A value of Thrift's compact protocol: integers, bytes, lists, and structures as dictionaries by field number."""

    def __init__(self, data: bytes | mmap.mmap, at: int, end: int) -> None:
        self.data, self.at, self.end, self.left = data, at, end, MOST

    def value(self, kind: int, depth: int = 0) -> Any:
        """Return the value that lies here, and move behind it."""
        self.left -= 1
        if depth > DEEPEST or self.left < 0:
            raise ValueError("it describes itself at too great a length")
        if kind in (1, 2, BYTE):
            return self._byte()
        if kind in (I16, I32, I64):
            number = self._number()
            return (number >> 1) ^ -(number & 1)
        if kind == DOUBLE:
            return self._take(8)
        if kind == BINARY:
            return self._take(self._number())
        if kind in (LIST, SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._number()
            return [self.value(head & 15, depth + 1) for _ in range(count)]
        if kind == MAP:
            count = self._number()
            kinds = self._byte() if count else 0
            return [(self.value(kinds >> 4, depth + 1), self.value(kinds & 15, depth + 1)) for _ in range(count)]
        if kind != STRUCT:
            raise ValueError(f"it holds a value of the unknown kind {kind}")
        return self._structure(depth)

    def _structure(self, depth: int) -> dict[int, Any]:
        found: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            if head >> 4:
                field += head >> 4
            else:
                number = self._number()
                field = (number >> 1) ^ -(number & 1)
            kind = head & 15
            found[field] = kind == 1 if kind in (1, 2) else self.value(kind, depth + 1)  # a truth lies in its head
        return found

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, count: int) -> bytes:
        if count > self.end - self.at:
            raise ValueError("what it says of itself ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def _number(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("a number in it has no end")
