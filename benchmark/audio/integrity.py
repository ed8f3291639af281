"""Checks of sound files that cost as much as decoding: for ``bench data verify``, not for a run.

A FLAC file may hold the MD5 of all its samples. An MP3 file may hold a checksum of each frame's side information, and
its encoder may have left one over all frames in the first. Nothing else tells of a flipped bit inside an MP3 frame.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.audio import flac, mpeg
from benchmark.audio.inspection import Contents, inspect_file, mapped
from benchmark.audio.media_tags import Bytes

CRC16 = 0xA001  # x^16 + x^15 + x^2 + 1, its bits mirrored: over all frames
CRC16_FRAME = 0x8005  # the same polynomial as it is written: over the side information of one
BLOCK = 1 << 16  # samples
LANES = 4096  # pieces of a checksum that are computed at once
CHANGED = "its frames are not those that its encoder wrote (a wrong bit, or a program that changed its gain)"


def deep_problem(path: Path) -> tuple[str, str]:
    """Return what is wrong with the data of a file that decodes, and what is only to be told of it.

    Args:
        path: A file that :func:`benchmark.audio.decode.decode` takes.

    Raises:
        OSError: It cannot be read.
    """
    contents = inspect_file(path)
    if contents.stream is not None and contents.stream.md5:
        return ("" if flac_md5(path, contents.stream) == contents.stream.md5 else "its samples fail FLAC's MD5"), ""
    if contents.frames is not None and contents.samples is None:
        return _mpeg(path, contents)
    return "", ""


def flac_md5(path: Path, stream: flac.StreamInfo) -> bytes:
    """Return the MD5 of the samples of a FLAC file, as its encoder computed it: whole bytes, the lowest first."""
    from soundfile import SoundFile

    digest, width = hashlib.md5(usedforsecurity=False), -(-stream.bits // 8)
    with SoundFile(path) as file:
        while len(block := file.read(BLOCK, dtype="int32", always_2d=True)):
            samples = np.ascontiguousarray(block >> 32 - stream.bits, dtype="<i4")
            digest.update(samples.view(np.uint8).reshape(-1, 4)[:, :width].tobytes())
    return digest.digest()


def _mpeg(path: Path, contents: Contents) -> tuple[str, str]:
    frames = contents.frames
    assert frames is not None
    with mapped(path) as data:
        if frames.kind.layer == 3:
            bad = _bad_frames(data, frames)
            if bad:
                return f"the checksum of {bad} MPEG frame(s) fails", ""
        tag = frames.tag
        if tag is not None and tag.music_crc is not None and frames.start + tag.music_bytes == frames.end:
            begin = frames.start + tag.frame_bytes
            if crc16(data[begin : frames.end]) != tag.music_crc:
                return "", CHANGED
    return "", ""


def _bad_frames(data: Bytes, frames: mpeg.Frames) -> int:
    """Return how many frames fail the checksum that their headers announce."""
    lengths, at, bad = mpeg.lengths_of(frames.kind), frames.start, 0
    for _ in range(frames.count):
        header = int.from_bytes(data[at : at + 4], "big")
        if not header >> 16 & 1:
            side = data[at + 2 : at + 4] + data[at + 6 : at + 6 + frames.kind.side_information]
            bad += _frame_crc(side) != int.from_bytes(data[at + 4 : at + 6], "big")
        at += lengths[header >> 9 & 127]
    return bad


def _frame_crc(data: bytes) -> int:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (CRC16_FRAME if crc & 0x8000 else 0)) & 0xFFFF
    return crc


def crc16(data: bytes) -> int:
    """Return the CRC-16 (mirrored, from zero) of ``data``.

    Pieces of equal length are computed side by side; their checksums combine, for a CRC is linear.
    """
    table: NDArray[np.uint16] = np.arange(256, dtype=np.uint16)
    for _ in range(8):
        table = ((table >> 1) ^ (table & 1) * CRC16).astype(np.uint16)
    size = max(len(data) // LANES, 1)
    whole = np.frombuffer(data, np.uint8, len(data) // size * size).reshape(-1, size)
    parts = np.zeros(len(whole), np.uint16)
    states = np.arange(1 << 16, dtype=np.uint16)  # where each state is after ``size`` zeros
    for column in whole.T:
        parts = table[(parts ^ column) & 0xFF] ^ parts >> 8
        states = table[states & 0xFF] ^ states >> 8
    crc = 0
    for part in parts.tolist():
        crc = int(states[crc]) ^ part
    for byte in data[len(whole) * size :]:
        crc = int(table[(crc ^ byte) & 0xFF]) ^ crc >> 8
    return crc
