"""Chunks of WAV, RF64, W64, AIFF, AU and CAF files: the position of the samples, and checks of the headers.

Lengths in these headers have 32 bits, wrap around beyond 4 GiB, and are made up by programs that write to a pipe, which
cannot go back and fill them in. libsndfile believes them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmark.audio.media_tags import Bytes, end_of_tags

#: What writers to a pipe leave as a length: SoX's WAV and AIFF, ffmpeg's, arecord's and others.
UNKNOWN = (0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x7FFFF000, 0x7F000008, 0x80000000)
ROUNDED = 64  # bytes by which such a length may be rounded down, or lessened by headers
SMALL = 4096  # bytes behind the samples that may be anything
PCM, FLOAT, MP3, EXTENSIBLE = 1, 3, 0x55, 0xFFFE
MOST_CHANNELS = 8
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a"


@dataclass(frozen=True)
class Format:
    """What a header says of its samples.

    Attributes:
        channels: Channels.
        rate: Samples a second.
        bits: Bits of a sample.
        block: Bytes of a sample of all channels; 0 where samples are compressed.
        code: The format's number in WAV; 0 elsewhere.
        problem: Where the header contradicts itself, how.
    """

    channels: int
    rate: int
    bits: int
    block: int
    code: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Samples:
    """Where the samples of a file lie.

    Attributes:
        name: Of their chunk.
        at: Their first byte.
        said: Bytes that the header says; 0 where it does not know.
        present: Bytes that are there, at most ``said`` where that is known.
        behind: Bytes behind them that are neither chunk nor tag.
        patches: Where bytes of the header have to be others so that libsndfile plays all, and these bytes.
        format: What the header says of them.
    """

    name: str
    at: int
    said: int
    present: int
    behind: int
    patches: tuple[tuple[int, bytes], ...]
    format: Format


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    at: int  # of its content
    size: int
    size_at: int  # where the size is written


def samples_of(data: Bytes) -> Samples | None:
    """Return where the samples of a file lie; none where it is of no format that this module knows."""
    head = data[:16]
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _wave(data, "big" if head[:4] == b"RIFX" else "little")
    if head[:4] == b"riff":
        return _w64(data)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(data)
    if head[:4] == b"caff":
        return _caf(data)
    if head[:4] == b".snd":
        at, size = struct.unpack_from(">II", head, 4)
        return _found(data, "data", at, size, iter(()), Format(0, 0, 0, 0), ())
    return None


def is_unknown(declared: int, block: int = 1) -> bool:
    """Say whether a length in a header is one of those that writers to a pipe leave."""
    return any(0 <= mark - declared < max(ROUNDED, block) for mark in UNKNOWN)


def _wave(data: Bytes, order: str) -> Samples | None:
    """Walk over the chunks of a WAV or RF64 file."""
    kind, wide, wide_at = Format(0, 0, 0, 0), 0, 0
    letter = ">" if order == "big" else "<"
    for chunk in _chunks(data, 12, letter):
        if chunk.name == b"ds64":
            wide, wide_at = struct.unpack_from("<Q", data[chunk.at + 8 : chunk.at + 16].ljust(8, b"\0"))[0], chunk.at
        elif chunk.name == b"fmt ":
            kind = _wave_format(data[chunk.at : chunk.at + 40].ljust(40, b"\0"), letter)
        elif chunk.name == b"data":
            size, patches = chunk.size, []
            if wide_at and size == 0xFFFFFFFF:
                size = wide if wide < 2**62 else 0
                patches = [(wide_at, struct.Struct("<Q")), (wide_at + 8, struct.Struct("<Q"))]
            else:
                patches = [(4, struct.Struct(letter + "I")), (chunk.size_at, struct.Struct(letter + "I"))]
            rest = _chunks(data, chunk.at + size + (size & 1), letter)
            return _found(data, "data", chunk.at, size, rest, kind, tuple(patches))
    return None


def _w64(data: Bytes) -> Samples | None:
    """Walk over the chunks of a Sony Wave64 file: names of 16 bytes, sizes of 8 that include both, steps of 8."""
    kind, at = Format(0, 0, 0, 0), 40
    while at + 24 <= len(data):
        name, size = data[at : at + 16], int.from_bytes(data[at + 16 : at + 24], "little")
        if size < 24:
            return None
        if name[:4] == b"fmt ":
            kind = _wave_format(data[at + 24 : at + 64].ljust(40, b"\0"), "<")
        if name == W64_DATA:
            return _found(data, "data", at + 24, size - 24, _w64_chunks(data, at + (size + 7) // 8 * 8), kind, ())
        at += (size + 7) // 8 * 8
    return None


def _w64_chunks(data: Bytes, at: int) -> Iterator[_Chunk]:
    while at + 24 <= len(data):
        name, size = data[at : at + 16], int.from_bytes(data[at + 16 : at + 24], "little")
        if size < 24 or at + size > len(data) + 8 or not name[:4].isascii():
            return
        yield _Chunk(name, at + 24, (size + 7) // 8 * 8 - 24, at + 16)
        at += (size + 7) // 8 * 8


def _caf(data: Bytes) -> Samples | None:
    """Walk over the chunks of a CAF file: names of four letters, sizes of 8 bytes; -1 says that they go to the end."""
    at = 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 12], "big", signed=True)
        if data[at : at + 4] == b"data":  # begins with a count of edits
            declared, there = max(size - 4, 0), max(len(data) - at - 16, 0)
            return Samples(
                "data", at + 16, declared, min(declared, there) if declared else there, 0, (), Format(0, 0, 0, 0)
            )
        if size < 0:
            return None
        at += 12 + size
    return None


def _aiff(data: Bytes) -> Samples | None:
    """Walk over the chunks of an AIFF file."""
    kind, counted, counted_at, data_chunk = Format(0, 0, 0, 0), 0, 0, None
    for chunk in _chunks(data, 12, ">"):
        if chunk.name == b"COMM":
            channels, counted, bits = struct.unpack_from(">hIh", data[chunk.at : chunk.at + 8].ljust(8, b"\0"))
            plain = chunk.size < 22 or data[chunk.at + 18 : chunk.at + 22] in (b"NONE", b"twos", b"sowt", b"raw ")
            kind = Format(channels, 0, bits, channels * -(-bits // 8) if plain else 0)
            counted_at = chunk.at + 2
        elif chunk.name == b"SSND":
            offset = int.from_bytes(data[chunk.at : chunk.at + 4], "big")
            data_chunk = chunk, offset
            break
    if data_chunk is None:
        return None
    chunk, offset = data_chunk
    begin = chunk.at + 8 + offset
    size = max(chunk.size - 8 - offset, 0)
    unknown = chunk.size <= 8 or is_unknown(chunk.size, kind.block)
    rest = _chunks(data, chunk.at + chunk.size + (chunk.size & 1), ">")
    fits = (4, struct.Struct(">I")), (chunk.size_at, struct.Struct(">I"))
    samples = _found(data, "SSND", begin, 0 if unknown else size, rest, kind, fits, extra=8 + offset)
    if not kind.block or not counted_at:
        return samples
    frames = samples.present // kind.block
    if samples.patches:
        return replace(samples, patches=(*samples.patches, (counted_at, struct.pack(">I", frames))))
    left = samples.present - counted * kind.block
    if left >= max(SMALL, counted * kind.block // 10) and not unknown:
        problem = f"its COMM chunk counts {counted} samples, its SSND chunk holds {frames}"
        return replace(samples, format=replace(kind, problem=problem))
    return samples


def _found(
    data: Bytes,
    name: str,
    at: int,
    declared: int,
    rest: Iterator[_Chunk],
    kind: Format,
    lengths: tuple[tuple[int, struct.Struct], ...],
    extra: int = 0,
) -> Samples:
    """Return where samples lie, given what their header says and the chunks behind them."""
    size = len(data)
    present = max(size - at, 0)
    if is_unknown(declared, kind.block):
        return Samples(name, at, 0, present, 0, (), kind)
    end = at + declared
    for chunk in rest:
        end = chunk.at + chunk.size + (chunk.size & 1)
    if declared == 0 and end < size:  # nothing is said, and what follows is no chunk: it is the sound
        whole = present - present % (kind.block or 1)
        values = (size - 8, whole + extra) if lengths and lengths[0][1].size == 4 else (size - 8, whole)
        patches = tuple(
            (offset, form.pack(min(value, 256**form.size - 1)))
            for (offset, form), value in zip(lengths, values, strict=False)
        )
        return Samples(name, at, 0, whole, 0, patches, kind)
    only_tags = end >= size or end_of_tags(data, end, size)[0] == size
    return Samples(name, at, declared, min(declared, present), 0 if only_tags else size - end, (), kind)


def _chunks(data: Bytes, at: int, letter: str) -> Iterator[_Chunk]:
    """Yield the chunks from ``at`` on: a name of four letters, a size, the content, and a byte where that is odd."""
    while at + 8 <= len(data):
        name = data[at : at + 4]
        size = struct.unpack(letter + "I", data[at + 4 : at + 8])[0]
        fits = at + 8 + size <= len(data) + 1 or name in (b"data", b"SSND")
        if not all(0x20 <= byte < 0x7F for byte in name) or not fits:
            return
        yield _Chunk(name, at + 8, size, at + 4)
        at += 8 + size + (size & 1)


def _wave_format(chunk: bytes, letter: str) -> Format:
    """Return what a ``fmt`` chunk says, and where it contradicts itself."""
    code, channels, rate, byte_rate, block, bits = struct.unpack_from(letter + "HHIIHH", chunk)
    if code == EXTENSIBLE:
        code = struct.unpack_from(letter + "H", chunk, 24)[0]
    if code not in (PCM, FLOAT) or not channels or not bits:
        return Format(channels, rate, bits, 0, code)
    width = -(-bits // 8)
    problem = ""
    if block not in (channels * width, channels * 4 if width == 3 else 0):
        problem = (
            f"its header contradicts itself: {channels} channel(s) of {bits} bits are {channels * width} byte(s) a "
            f"sample, but it says {block}"
        )
    elif byte_rate != rate * block and any(byte_rate == rate * width * n for n in range(1, MOST_CHANNELS + 1)):
        problem = (
            f"its header contradicts itself: {channels} channel(s) of {bits} bits at {rate} Hz are {rate * block} "
            f"bytes a second, but it says {byte_rate}"
        )
    return Format(channels, rate, bits, block, code, problem)
