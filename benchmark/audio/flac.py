"""FLAC streams (RFC 9639): their headers, and the frames that follow.

A frame says its number but not its length, so that a walk looks for the next header: two fixed bytes, the next number,
and a checksum that fits. libFLAC itself checks every frame's checksum; what it does not see is what follows the samples
that the header promises.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.audio.media_tags import Bytes, find

MARK = b"fLaC"
HEADER = 16  # bytes of a frame's header at most
TAIL = 1 << 20  # bytes at the end of a file in which its last frame begins
PROBES, PROBED = 16, 1 << 16  # places that are looked at, and bytes before each in which a frame begins


@dataclass(frozen=True)
class StreamInfo:
    """What the first block of a stream says.

    Attributes:
        start: Byte of the mark that begins the stream.
        frames_at: Byte of the first frame.
        block: Samples in a frame, where all but the last have as many; 0 else.
        rate: Samples a second.
        channels: Channels.
        bits: Bits of a sample.
        total: Samples of each channel; 0 where the writer did not know.
        md5: The digest of all samples; empty where the writer left it out.
    """

    start: int
    frames_at: int
    block: int
    rate: int
    channels: int
    bits: int
    total: int
    md5: bytes


@dataclass(frozen=True)
class FrameHeader:
    """Where a frame begins: its byte, and its first sample and their number."""

    at: int
    first: int
    samples: int


def stream_info(data: Bytes, at: int = 0) -> StreamInfo | None:
    """Return what the stream that begins at ``at`` says of itself, or none where none begins."""
    block = data[at + 8 : at + 42]
    if data[at : at + 4] != MARK or len(block) < 34 or data[at + 4] & 0x7F:
        return None
    offset = at + 4
    while True:
        head = data[offset : offset + 4]
        if len(head) < 4:
            return None
        offset += 4 + int.from_bytes(head[1:], "big")
        if head[0] & 0x80:
            break
    smallest, largest = int.from_bytes(block[:2], "big"), int.from_bytes(block[2:4], "big")
    packed = int.from_bytes(block[10:18], "big")
    return StreamInfo(
        start=at,
        frames_at=offset,
        block=largest if smallest == largest else 0,
        rate=packed >> 44,
        channels=(packed >> 41 & 7) + 1,
        bits=(packed >> 36 & 31) + 1,
        total=packed & (1 << 36) - 1,
        md5=block[18:34] if any(block[18:34]) else b"",
    )


def frame_header(data: Bytes, at: int, info: StreamInfo) -> FrameHeader | None:
    """Return the frame that begins at ``at``, or none: its reserved bits, number and checksum decide."""
    head = data[at : at + HEADER]
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8:
        return None
    size, rate = head[2] >> 4, head[2] & 15
    if size == 0 or rate == 15 or head[3] >> 4 > 10 or head[3] & 1:
        return None
    following = 0 if head[4] < 0x80 else 8 - (~head[4] & 0xFF).bit_length()  # bytes of the coded number, as in UTF-8
    if following == 1 or following > 7:
        return None
    length = max(following, 1)
    number = head[4] if length == 1 else head[4] & (0x7F >> length)
    for byte in head[5 : 4 + length]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    offset = 4 + length
    more = {6: 1, 7: 2}.get(size, 0)
    samples = (
        int.from_bytes(head[offset : offset + more], "big") + 1
        if more
        else 192 if size == 1 else 576 << size - 2 if size < 6 else 256 << size - 8
    )  # fmt: skip
    offset += more + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if offset >= len(head) or _crc8(head[:offset]) != head[offset]:
        return None
    return FrameHeader(at, number if head[1] & 1 else number * (info.block or samples), samples)


def last_frame(data: Bytes, info: StreamInfo, stop: int, reach: int = TAIL) -> FrameHeader | None:
    """Return the last frame that begins before ``stop``, and in the ``reach`` bytes before it."""
    sync = data[info.frames_at : info.frames_at + 2]
    if len(sync) < 2 or sync[0] != 0xFF or sync[1] & 0xFE != 0xF8:  # a damaged header leads elsewhere, or off the end
        return None
    begin, at = max(info.frames_at, stop - reach), stop
    while (at := data.rfind(sync, begin, at)) >= 0:
        header = frame_header(data, at, info)
        if header is not None:
            return header
        at += 1
    return None


def ends_as_promised(data: Bytes, info: StreamInfo, last: FrameHeader | None) -> bool:
    """Say whether the frames of a file run to the sample that its header promises, and no others are among them.

    Frames at some places all over the file are looked at: in one stream their numbers rise, and of joined ones they
    begin anew.
    """
    if last is None or last.first + last.samples != info.total:
        return False
    before = at = -1
    # Parts of the golden ratio: places at equal distances would fall into the same place of each of many copies.
    for part in sorted((i * 0.6180339887) % 1 for i in range(1, PROBES)):
        stop = info.frames_at + round((last.at - info.frames_at) * part)
        frame = last_frame(data, info, stop, PROBED)
        if frame is not None:
            if frame.first < before or (frame.first == before and frame.at != at):
                return False
            before, at = frame.first, frame.at
    return before < last.first or info.frames_at == last.at


def next_stream(data: Bytes, at: int) -> StreamInfo | None:
    """Return the next stream that begins behind ``at``: a second file that was joined to the first."""
    while (at := find(data, MARK, at)) >= 0:
        info = stream_info(data, at)
        if info is not None and info.rate and frame_header(data, info.frames_at, info) is not None:
            return info
        at += 4
    return None


def _crc8(data: bytes) -> int:
    """Return the checksum of a frame's header: polynomial x^8 + x^2 + x + 1."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x07 if crc & 0x80 else 0)) & 0xFF
    return crc
