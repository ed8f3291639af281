"""Sound files made of bytes, and ways to spoil them, for the tests of what a file's own bytes say."""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile

RATE = 44100


def noise(rate: int = RATE, seconds: float = 2.0, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return a tone under noise, float32 [samples, channels]."""
    t = np.arange(int(seconds * rate)) / rate
    rng = np.random.default_rng(seed)
    tones = [0.3 * np.sin(2 * np.pi * 220 * (c + 1) * t) + 0.05 * rng.normal(size=len(t)) for c in range(channels)]
    return np.stack(tones, axis=1).astype(np.float32)


def sound(kind: str = "WAV", rate: int = RATE, seconds: float = 2.0, channels: int = 1, **options: object) -> bytes:
    """Return a file of :func:`noise` as libsndfile writes it."""
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(rate, seconds, channels), rate, format=kind, **options)
    return buffer.getvalue()


def mp3(
    rate: int = RATE, seconds: float = 2.0, channels: int = 1, *, tag: bool = True, mode: str = "CONSTANT"
) -> bytes:
    """Return an MP3 file, with or without its first frame, which holds a tag."""
    data = sound("MP3", rate, seconds, channels, bitrate_mode=mode)
    return data if tag else data[frame_starts(data)[1] :]


def frame_starts(data: bytes) -> list[int]:
    """Return where the layer III frames of a bare MPEG stream start."""
    starts, at = [], 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        starts.append(at)
        version_1, row, column = (data[at + 1] >> 3 & 3) == 3, data[at + 2] >> 4, data[at + 2] >> 2 & 3
        high = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
        low = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
        rate = (44100, 48000, 32000)[column] >> {3: 0, 2: 1, 0: 2}[data[at + 1] >> 3 & 3]
        kbits = (high if version_1 else low)[row]
        at += (144_000 if version_1 else 72_000) * kbits // rate + (data[at + 2] >> 1 & 1)
    return starts


def counting(data: bytes, frames: int) -> bytes:
    """Return an MP3 whose Xing or Info tag counts ``frames``."""
    at = max(data.find(b"Info"), data.find(b"Xing")) + 8
    return data[:at] + struct.pack(">I", frames) + data[at + 4 :]


def vbri(data: bytes, frames: int) -> bytes:
    """Return an MP3 whose first frame holds a VBRI tag, that counts ``frames``, in place of its Xing or Info tag."""
    tag = b"VBRI" + struct.pack(">HHHII", 1, 0, 75, len(data), frames)
    end = frame_starts(data)[1]
    return data[:4] + bytes(32) + tag + bytes(end - 36 - len(tag)) + data[end:]


def layer_2(frames: int, rate: int = RATE) -> bytes:
    """Return silent frames of MPEG-1 layer II at 128 kbit/s, mono."""
    header = 0xFFFD0000 | 8 << 12 | {44100: 0, 48000: 1, 32000: 2}[rate] << 10 | 0xC0
    return (struct.pack(">I", header) + bytes(144 * 128_000 // rate - 4)) * frames


def aac_frames(count: int = 200, size: int = 200) -> bytes:
    """Return frames with headers of ADTS, which hold what is no sound."""
    rng = np.random.default_rng(0)
    head = bytes([0xFF, 0xF1, 0x50, 0x80 | size >> 11, size >> 3 & 0xFF, (size & 7) << 5 | 0x1F, 0xFC])
    return b"".join(head + rng.bytes(size - 7) for _ in range(count))


def put_wave(data: bytes, riff: int, size: int) -> bytes:
    """Return a WAV file with other lengths in its header."""
    at = data.index(b"data") + 4
    return data[:4] + struct.pack("<I", riff) + data[8:at] + struct.pack("<I", size) + data[at + 4 :]


def with_total(data: bytes, total: int) -> bytes:
    """Return a FLAC file whose header promises ``total`` samples."""
    packed = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    return data[:18] + packed.to_bytes(8, "big") + data[26:]
