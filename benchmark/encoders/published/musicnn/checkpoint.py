"""TensorFlow checkpoints (V2, "tensor bundles") read without TensorFlow: an index file, and one file of tensors.

The index is a LevelDB table: blocks of keys (a variable's name) and values (a BundleEntryProto: type, shape, offset,
size, checksum), a block that lists the blocks, and a footer that says where that is. A tensor is its little-endian
bytes in the data file. Everything that a file says of itself is checked before it is believed: bounds, order of keys,
shapes against sizes, and the CRC-32C of every block and of every tensor that is returned.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError

MAGIC = 0xDB4775248B80FB57
FOOTER, TRAILER = 48, 5
#: The published index has 4,948 bytes; one so large holds something else.
LARGEST_INDEX = 16 * 2**20
FLOAT32 = 1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class _DamagedError(Exception):
    """What is wrong with a file; the file is named where it is caught."""


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies in the data file, and what it is."""

    dtype: int
    shape: tuple[int, ...]
    offset: int
    size: int
    checksum: int


def read_checkpoint(index: Path, data: Path, wanted: Callable[[str], bool]) -> dict[str, NDArray[np.float32]]:
    """Return the variables of a checkpoint of one shard by name: those that ``wanted`` says yes to.

    Raises:
        UserError: A file is missing, cut short, damaged, or of another kind than float32 in one shard.
    """
    try:
        with index.open("rb") as file:
            content = file.read(LARGEST_INDEX + 1)
        entries = {name: entry for name, entry in _entries(content) if wanted(name)}
        return _tensors(entries, data)
    except OSError as error:
        raise UserError(
            f"the checkpoint {index} cannot be read: {error.strerror or error}", "fetch it again"
        ) from error
    except _DamagedError as error:
        raise UserError(
            f"{index} with {data.name} is not a whole TensorFlow checkpoint: {error}", "Fetch it again"
        ) from error


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of ``data``, about 10 MB a second."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """Return a CRC as LevelDB and TensorFlow store it: rotated by 15 bits, plus a constant."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


def _entries(index: bytes) -> Iterator[tuple[str, _Entry]]:
    """Yield the name and the entry of every variable of an index file."""
    if len(index) > LARGEST_INDEX:
        raise _DamagedError(f"an index of over {LARGEST_INDEX:,} bytes is none of a model")
    if len(index) < FOOTER or struct.unpack("<Q", index[-8:])[0] != MAGIC:
        raise _DamagedError("its index does not end as one does")
    handles = _Bytes(index[-FOOTER:-8])
    handles.varint(), handles.varint()  # of a block that is not used
    block_of_blocks = _block(index, handles.varint(), handles.varint())
    before: bytes | None = None
    for _, value in _pairs(block_of_blocks):
        handle = _Bytes(value)
        for key, entry in _pairs(_block(index, handle.varint(), handle.varint())):
            if before is None:
                _check_header(key, entry)
            elif key <= before:
                raise _DamagedError("the names in its index are not in order")
            else:
                yield _text(key), _entry(entry)
            before = key
    if before is None:
        raise _DamagedError("its index is empty")


def _block(index: bytes, offset: int, size: int) -> bytes:
    """Return the content of a block after a look at its checksum."""
    end = offset + size
    if end + TRAILER > len(index) - FOOTER:
        raise _DamagedError(f"a block of its index ({size:,} bytes at {offset:,}) is beyond the end")
    if index[end]:
        raise _DamagedError("its index is compressed, which TensorFlow never writes")
    if struct.unpack_from("<I", index, end + 1)[0] != masked(crc32c(index[offset : end + 1])):
        raise _DamagedError(f"the checksum of a block of its index (at {offset:,}) does not match")
    return index[offset:end]


def _pairs(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a block: each key is so many bytes of the one before, and some of its own."""
    if len(block) < 4:
        raise _DamagedError("a block of its index is empty")
    restarts = struct.unpack("<I", block[-4:])[0]
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise _DamagedError("a block of its index has more restarts than bytes")
    reader, key = _Bytes(block[:end]), b""
    while reader.left:
        shared, own, length = reader.varint(), reader.varint(), reader.varint()
        if shared > len(key):
            raise _DamagedError("a name in its index begins with more bytes than the one before has")
        key = key[:shared] + reader.take(own)
        yield key, reader.take(length)


def _check_header(key: bytes, value: bytes) -> None:
    header = dict(_fields(value))
    if key or header.get(1) != 1 or header.get(2, 0) != 0:
        raise _DamagedError("its index does not begin with the header of one little-endian shard")


def _entry(value: bytes) -> _Entry:
    numbers, shape = {1: 0, 3: 0, 4: 0, 5: 0, 6: 0}, []
    for field, content in _fields(value):
        if field == 2 and isinstance(content, bytes):
            shape = [_dimension(part) for number, part in _fields(content) if number == 2]
        elif field in numbers and isinstance(content, int):
            numbers[field] = content
        else:
            raise _DamagedError(f"an entry of its index has the field {field}, which is not of a whole tensor")
    if numbers[3]:
        raise _DamagedError("a tensor is in another shard")
    return _Entry(numbers[1], tuple(shape), numbers[4], numbers[5], numbers[6])


def _dimension(part: int | bytes) -> int:
    size = dict(_fields(part)).get(1, 0) if isinstance(part, bytes) else 0
    if not isinstance(size, int) or size < 1:
        raise _DamagedError("a tensor has a dimension without a size")
    return size


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a protocol buffer: number, and an integer or bytes."""
    reader = _Bytes(message)
    while reader.left:
        tag = reader.varint()
        kind = tag & 7
        if kind == VARINT:
            yield tag >> 3, reader.varint()
        elif kind == BYTES:
            yield tag >> 3, reader.take(reader.varint())
        elif kind in (FIXED32, FIXED64):
            yield tag >> 3, int.from_bytes(reader.take(4 if kind == FIXED32 else 8), "little")
        else:
            raise _DamagedError(f"an entry of its index has a field of the unknown kind {kind}")


def _tensors(entries: dict[str, _Entry], data: Path) -> dict[str, NDArray[np.float32]]:
    tensors: dict[str, NDArray[np.float32]] = {}
    have = data.stat().st_size
    if sum(entry.size for entry in entries.values()) > have:
        raise _DamagedError(f"its tensors have more bytes than {data.name}, which is cut short ({have:,} bytes)")
    with data.open("rb") as file:
        for name, entry in entries.items():
            if entry.dtype != FLOAT32:
                raise _DamagedError(f"{name} is not float32 (its type is {entry.dtype})")
            if 4 * math.prod(entry.shape) != entry.size:
                raise _DamagedError(f"{name} has the shape {list(entry.shape)}, but {entry.size:,} bytes")
            if entry.offset + entry.size > have:
                raise _DamagedError(f"{name} lies beyond the end of {data.name} ({have:,} bytes)")
            file.seek(entry.offset)
            raw = file.read(entry.size)
            if len(raw) != entry.size or masked(crc32c(raw)) != entry.checksum:
                raise _DamagedError(f"the checksum of {name} does not match")
            tensors[name] = np.frombuffer(raw, "<f4").astype(np.float32).reshape(entry.shape)
    return tensors


def _text(key: bytes) -> str:
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        raise _DamagedError("a name in its index is not text") from None


class _Bytes:
    """Bytes that are read from the front, never beyond their end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise _DamagedError("its index says that something is longer than what is left")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise _DamagedError("a number in its index has no end")
