"""Tags around the sound of a file: ID3, APE, Lyrics3, and zeros. They hold no sound, and readers pass over them."""

from __future__ import annotations

import mmap

Bytes = bytes | mmap.mmap

ID3V1, ID3V1_PLUS = 128, 227  # bytes
LYRICS = 1 << 20  # bytes behind LYRICSBEGIN in which its end is looked for


def id3v2_size(head: bytes) -> int:
    """Return the bytes of the ID3v2 tag that ``head``, at least ten bytes, begins; 0 if it begins none."""
    if len(head) < 10 or head[:3] != b"ID3" or head[3] == 0xFF or max(head[6:10]) > 0x7F:
        return 0
    size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return 10 + size + (10 if head[5] & 0x10 else 0)


def end_of_tags(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """Return where the tags and zeros that begin at ``at`` end, and how many of these bytes are zeros.

    Args:
        data: The bytes of a file.
        at: Where to look.
        stop: Where the file, or the chunk, ends.
    """
    zeros = 0
    while at < stop:
        size = _tag_size(data, at, stop)
        if not size:
            size = _zeros(data, at, stop)
            zeros += size
        if not size:
            break
        at = min(at + size, stop)
    return at, zeros


def _tag_size(data: Bytes, at: int, stop: int) -> int:
    head = data[at : min(at + 32, stop)]
    if head.startswith(b"ID3"):
        return id3v2_size(head)
    if head.startswith(b"TAG+"):
        return ID3V1_PLUS
    if head.startswith(b"TAG"):
        return ID3V1
    if head.startswith(b"APETAGEX") and len(head) == 32:
        at_its_head = bool(head[23] & 0x20)  # bit 29 of the flags: this is the header, not the footer
        return int.from_bytes(head[12:16], "little") + 32 if at_its_head else 32
    if head.startswith(b"LYRICSBEGIN"):
        body = data[at : min(at + LYRICS, stop)]
        ends = [body.find(mark) for mark in (b"LYRICS200", b"LYRICSEND")]
        return min((end + 9 for end in ends if end > 0), default=0)
    return 0


def _zeros(data: Bytes, at: int, stop: int) -> int:
    """Return how many zeros begin at ``at``."""
    began, step = at, 64
    while at < stop:
        block = data[at : min(at + step, stop)]
        rest = len(block.lstrip(b"\0"))
        at += len(block) - rest
        if rest:
            break
        step = min(4 * step, 1 << 20)
    return at - began


def find(data: Bytes, mark: bytes, at: int) -> int:
    """Return where ``mark`` lies from ``at`` on, or -1. A mapped file's own search is several times as slow."""
    size, step = len(data), 1 << 20
    while at < size:
        offset = data[at : at + step + len(mark) - 1].find(mark)
        if offset >= 0:
            return at + offset
        at += step
    return -1
