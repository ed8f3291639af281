"""Checks that cost as much as decoding: a flipped bit that no decoder sees."""

import numpy as np
import pytest
import soundfile

from benchmark.audio.decode import decode
from benchmark.audio.inspection import inspect_file
from benchmark.audio.integrity import CHANGED, _frame_crc, crc16, deep_problem
from tests.benchmark.sound_bytes import RATE, frame_starts, mp3, noise, sound


def plain_crc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 10_000])
def test_the_checksum_is_that_of_a_plain_loop(size):
    data = np.random.default_rng(size).bytes(size)
    assert crc16(data) == plain_crc(data)


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2])
def test_flac_s_digest(tmp_path, subtype, channels):
    path = tmp_path / "a.flac"
    data = sound("FLAC", channels=channels, subtype=subtype)
    path.write_bytes(data)
    assert inspect_file(path).stream.md5
    assert deep_problem(path) == ("", "")
    path.write_bytes(data[:26] + bytes([data[26] ^ 1]) + data[27:])
    assert decode(path)
    assert deep_problem(path)[0] == "its samples fail FLAC's MD5"


def test_a_flipped_bit_inside_an_mp3_frame(tmp_path):
    data, path = mp3(), tmp_path / "a.mp3"
    path.write_bytes(data)
    assert inspect_file(path).frames.tag.music_crc is not None
    assert deep_problem(path) == ("", "")
    at = frame_starts(data)[30] + 100
    path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    assert decode(path)
    assert deep_problem(path) == ("", CHANGED)


def test_a_frame_with_a_checksum_of_its_own(tmp_path):
    side = 17
    header = bytes([0xFF, 0xFA, 0x90, 0xC0])
    crc = _frame_crc(header[2:] + bytes(side))
    frame = header + crc.to_bytes(2, "big") + bytes(417 - 6)
    path = tmp_path / "a.mp3"
    path.write_bytes(frame * 50)
    assert deep_problem(path) == ("", "")
    spoiled = bytearray(frame * 50)
    spoiled[417 * 7 + 10] ^= 1
    path.write_bytes(bytes(spoiled))
    assert deep_problem(path)[0] == "the checksum of 1 MPEG frame(s) fails"


def test_what_has_no_checksum_is_left_alone(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), RATE)
    assert deep_problem(path) == ("", "")
