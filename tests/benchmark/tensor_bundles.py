"""A writer of TensorFlow checkpoints (V2) for tests: small, in the published layout, free to be spoilt."""

import struct
from dataclasses import dataclass, field

import numpy as np

from benchmark.encoders.published.musicnn.checkpoint import MAGIC, crc32c, masked


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field_of(number: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def entry_of(
    shape: tuple[int, ...], offset: int, size: int, checksum: int, dtype: int = 1, shard: int = 0, more: bytes = b""
) -> bytes:
    dimensions = b"".join(field_of(2, field_of(1, count)) for count in shape)
    shard_field = field_of(3, shard) if shard else b""
    place = field_of(1, dtype) + field_of(2, dimensions) + shard_field + field_of(4, offset) + field_of(5, size)
    return place + varint(6 << 3 | 5) + struct.pack("<I", checksum) + more


def block_of(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Return the content of a block, names shortened by what they share with the one before, as TensorFlow does."""
    out, before = b"", b""
    for key, value in pairs:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return out + struct.pack("<II", 0, 1)


@dataclass
class Bundle:
    """Tensors by name, and what goes into the index for each; blocks hold ``per_block`` entries."""

    tensors: dict[str, np.ndarray]
    per_block: int = 4
    header: bytes = field_of(1, 1) + field_of(3, field_of(1, 1))
    changed: dict[str, dict] = field(default_factory=dict)

    def write(self, index, data) -> None:
        raw, pairs = b"", [(b"", self.header)]
        for name in sorted(self.tensors):
            array = self.tensors[name]
            content = array.astype("<f4").tobytes()
            said = {"shape": array.shape, "offset": len(raw), "size": len(content), "checksum": masked(crc32c(content))}
            pairs.append((name.encode(), entry_of(**{**said, **self.changed.get(name, {})})))
            raw += content
        data.write_bytes(raw)
        index.write_bytes(table(pairs, self.per_block))


def table(pairs: list[tuple[bytes, bytes]], per_block: int = 4) -> bytes:
    out, handles = b"", []

    def add(content: bytes) -> bytes:
        nonlocal out
        handle = varint(len(out)) + varint(len(content))
        out += content + b"\0" + struct.pack("<I", masked(crc32c(content + b"\0")))
        return handle

    for start in range(0, len(pairs), per_block):
        some = pairs[start : start + per_block]
        handles.append((some[-1][0], add(block_of(some))))
    footer = add(block_of([])) + add(block_of(handles))
    return out + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)
