"""The pages of Ogg files (RFC 3533): libogg skips those that are cut or fail their checksum without an error."""

from __future__ import annotations

import zlib
from pathlib import Path

MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # Ogg's CRC-32 runs the other way than zlib's
MARK = b"OggS"
CHAIN = "it is a chain of Ogg streams, and libsndfile plays the first alone: join them"


def ogg_problem(path: Path) -> str:
    """Return what is wrong with the pages of an Ogg file (RFC 3533, section 6), or nothing."""
    following: dict[bytes, int] = {}  # stream -> the number of its next page
    ended: set[bytes] = set()
    with path.open("rb") as file:
        while (head := file.read(27))[:4] == MARK and len(head) == 27:
            table = file.read(head[26])
            body = file.read(sum(table))
            if len(table) < head[26] or len(body) < sum(table):
                return "its last Ogg page is cut"
            if not _is_sound(head, table, body):
                return f"the Ogg page that ends at byte {file.tell()} is damaged: its checksum fails"
            stream, number = head[14:18], int.from_bytes(head[18:22], "little")
            if head[5] & 2 and ended:
                return CHAIN
            if following.get(stream, number) != number:
                return f"Ogg pages are missing before byte {file.tell() - len(body)}"
            following[stream] = number + 1
            ended |= {stream} if head[5] & 4 else set()
        rest = head + file.read()
    if following.keys() != ended:
        return "its last Ogg page is missing"
    return CHAIN if _has_a_page(rest) else ""


def _is_sound(head: bytes, table: bytes, body: bytes) -> bool:
    page = (head[:22] + bytes(4) + head[26:] + table + body).translate(MIRRORED)
    crc = zlib.crc32(page, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return crc.to_bytes(4, "big").translate(MIRRORED) == head[22:26]


def _has_a_page(rest: bytes) -> bool:
    """Say whether what follows the last page of a stream holds a page, behind bytes that are none."""
    at = 0
    while (at := rest.find(MARK, at)) >= 0:
        head = rest[at : at + 27]
        if len(head) == 27:
            table = rest[at + 27 : at + 27 + head[26]]
            begin = at + 27 + len(table)
            if len(table) == head[26] and _is_sound(head, table, rest[begin : begin + sum(table)]):
                return True
        at += 4
    return False
