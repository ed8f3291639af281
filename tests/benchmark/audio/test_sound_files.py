"""What the product hears of a file: all of it, or a refusal that says what is wrong, never a silent part."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmark.audio import av_decoder
from benchmark.audio.decode import AudioRule, DamagedAudioError, decode, load
from benchmark.audio.inspection import LIMITED
from tests.benchmark.sound_bytes import (
    RATE,
    aac_frames,
    counting,
    frame_starts,
    layer_2,
    mp3,
    noise,
    put_wave,
    sound,
    vbri,
    with_total,
)

RULE = AudioRule(16000)


@pytest.fixture
def put(tmp_path):
    def write(data: bytes, name: str = "a.mp3") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def refusal(path: Path) -> DamagedAudioError:
    with pytest.raises(DamagedAudioError) as caught:
        load(path, RULE)
    return caught.value


def seconds(path: Path) -> float:
    return load(path, RULE).seconds


class TestJoinedMp3:
    def test_a_tag_that_counts_the_first_file_alone(self, put):
        found = refusal(put(mp3(seconds=2) + mp3(seconds=3)))
        assert "tag counts" in found.problem
        assert found.seconds_recovered == pytest.approx(2, abs=0.1)

    def test_without_tags_all_of_both_is_heard(self, put):
        both = put(mp3(seconds=2, tag=False) + mp3(seconds=3, tag=False))
        assert seconds(both) == pytest.approx(5, abs=0.2)

    def test_with_id3_tags_between(self, put):
        tag = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 0]) + bytes(256)
        bare = [mp3(seconds=2, tag=False), mp3(seconds=3, tag=False)]
        assert seconds(put(tag + bare[0] + tag + bare[1])) == pytest.approx(5, abs=0.2)
        assert "tag counts" in refusal(put(tag + mp3(seconds=2) + tag + mp3(seconds=3))).problem

    @pytest.mark.parametrize(
        ("second", "words"),
        [
            ({"rate": 48000}, "MPEG-1 layer III, 48000 Hz, mono behind MPEG-1 layer III, 44100 Hz, mono"),
            ({"rate": 22050}, "MPEG-2 layer III, 22050 Hz, mono"),
            ({"rate": 11025}, "MPEG-2.5 layer III, 11025 Hz, mono"),
            ({"channels": 2}, "44100 Hz, stereo behind MPEG-1 layer III, 44100 Hz, mono"),
        ],
    )
    @pytest.mark.parametrize("tag", [True, False])
    def test_a_change_inside(self, put, second, words, tag):
        found = refusal(put(mp3(seconds=2, tag=False) + mp3(seconds=3, tag=tag, **second)))
        assert words in found.problem
        assert "join them again" in found.problem
        assert found.seconds_recovered == pytest.approx(2, abs=0.1)

    def test_another_layer_inside(self, put):
        assert "MPEG-1 layer II, 44100 Hz" in refusal(put(mp3(tag=False) + layer_2(100))).problem
        assert "MPEG-1 layer III, 44100 Hz" in refusal(put(layer_2(100) + mp3(tag=False))).problem

    def test_behind_zeros(self, put):
        assert "are no MPEG frame" in refusal(put(mp3(tag=False) + bytes(5000) + mp3(tag=False))).problem


class TestTagsThatMiscount:
    @pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
    @pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
    def test_too_few_frames(self, put, mode, part):
        data = mp3(seconds=3, mode=mode)
        count = int(part * len(frame_starts(data)))
        found = refusal(put(counting(data, count)))
        assert f"tag counts {count} frames, but it has {len(frame_starts(data)) - 1}" in found.problem
        assert found.seconds_recovered == pytest.approx(3 * part, abs=0.1)

    @pytest.mark.parametrize("off", [-1, 0, 1])
    def test_one_frame_more_or_less_is_how_some_count(self, put, off):
        data = mp3(seconds=3)
        assert seconds(put(counting(data, len(frame_starts(data)) - 1 + off))) == pytest.approx(3, abs=0.1)

    def test_too_many_frames(self, put):
        assert "short of its header" in refusal(put(counting(mp3(), 200))).problem

    @pytest.mark.parametrize("count", [1, 30, 117])
    def test_vbri_is_not_gone_by(self, put, count):
        data = mp3(seconds=3)
        assert len(frame_starts(data)) == 117
        assert seconds(put(vbri(data, count))) == pytest.approx(3, abs=0.1)


TRAILERS = {
    "zeros": bytes(4096),
    "many zeros": bytes(300_000),
    "ID3v1": b"TAG" + b"title".ljust(125),
    "APE": b"APETAGEX" + struct.pack("<IIII", 2000, 3032, 1, 1 << 31 | 1 << 29) + bytes(8)
    + b"\xff\xfb\x90\x00" * 750 + b"APETAGEX" + struct.pack("<IIII", 2000, 3032, 1, 1 << 31) + bytes(8),
    "Lyrics3": b"LYRICSBEGIN" + b"LYR06000" + b"la " * 2000 + b"006019LYRICS200" + b"TAG" + b"t".ljust(125),
    "ID3v2": b"ID3\x04\x00\x00" + bytes([0, 0, 16, 0]) + bytes(2048),
    "junk": np.random.default_rng(0).bytes(5000),
    "zeros and a tag": bytes(5000) + b"TAG" + b"title".ljust(125),
}  # fmt: skip


class TestAroundTheFrames:
    @pytest.mark.parametrize("tag", [True, False])
    @pytest.mark.parametrize("trailer", TRAILERS)
    def test_what_follows_the_last_frame_is_no_sound(self, put, tag, trailer):
        plain, _, _ = decode(put(mp3(tag=tag), "plain.mp3"))
        found, _, _ = decode(put(mp3(tag=tag) + TRAILERS[trailer]))
        assert len(found) == len(plain)
        np.testing.assert_allclose(found, plain, atol=1e-3)

    @pytest.mark.parametrize("size", [66_000, 300_000])
    def test_zeros_before_the_first_frame(self, put, size):
        found = refusal(put(bytes(size) + mp3()))
        assert found.problem == f"{size} bytes before its first frame are zeros: fetch it again"

    def test_a_clip_that_begins_inside_a_frame_is_whole(self, put):
        data = mp3(seconds=3, tag=False)
        assert seconds(put(data[100:])) == pytest.approx(3, abs=0.1)

    def test_a_clip_with_what_looks_like_a_frame_before_its_first_is_heard_to_its_end(self, put):
        data = mp3(seconds=3, tag=False, mode="VARIABLE")
        found = load(put(b"\xff\xfb\x90\xc4" + b"\x55" * 60 + data), RULE)
        assert found.seconds == pytest.approx(3, abs=0.1)
        assert found.form == "mpeg2"
        assert load(put(data), RULE).form == ""

    def test_a_file_of_which_next_to_nothing_is_frames(self, put):
        junk = np.random.default_rng(0).bytes(60_000).replace(b"\xff", b"\xfe")
        assert "of its" in refusal(put(junk + mp3(seconds=0.2, tag=False))).problem


class TestInsideMp3:
    @pytest.mark.parametrize("tag", [True, False])
    def test_frames_that_are_overwritten(self, put, tag):
        data = mp3(seconds=3, tag=tag)
        at = frame_starts(data)[50] + 10
        for junk in (bytes(1000), b"\xaa" * 1000):
            found = refusal(put(data[:at] + junk + data[at + 1000 :]))
            assert "are no MPEG frame" in found.problem
            assert found.seconds_recovered == pytest.approx(50 * 1152 / RATE, abs=0.1)

    @pytest.mark.parametrize("size", [1, 5, 100, 5000])
    def test_bytes_that_are_inserted(self, put, size):
        data = mp3(seconds=3, tag=False)
        at = frame_starts(data)[50] + 100
        found = refusal(put(data[:at] + b"\x55" * size + data[at:]))
        assert f"{size} bytes at byte" in found.problem

    def test_a_header_with_a_wrong_bit(self, put):
        data = mp3(seconds=3, tag=False)
        for bit in (0, 12, 13, 14, 17, 18, 19, 20, 21, 22):  # sync, version, layer, bit rate, rate, padding
            spoiled = bytearray(data)
            spoiled[frame_starts(data)[50] + bit // 8] ^= 128 >> bit % 8
            assert refusal(put(bytes(spoiled))).problem, bit

    def test_what_belongs_to_the_tag_s_own_frame_is_no_loss(self, put):
        data = mp3(seconds=3)
        first = frame_starts(data)[1]
        assert seconds(put(data[:first] + bytes(20) + data[first:])) == pytest.approx(3, abs=0.1)

    @pytest.mark.parametrize("left", [1, 3, 4, 50, 100])
    def test_a_file_that_ends_inside_a_frame_is_used_and_named(self, put, left):
        data = mp3(seconds=3, tag=False)
        at = frame_starts(data)[30]
        found = load(put(data[: at + left]), RULE)
        assert found.seconds == pytest.approx(30 * 1152 / RATE, abs=0.03)
        of = f"{left} of {frame_starts(data)[31] - at}" if left >= 4 else f"{left}"
        assert found.note == f"it ends inside an MPEG frame, of which {of} bytes are there"

    def test_a_whole_file_has_no_note(self, put):
        for tag in (True, False):
            assert load(put(mp3(tag=tag)), RULE).note == ""


class TestOtherContainers:
    @pytest.fixture(autouse=True)
    def without_ffmpeg(self, monkeypatch):
        monkeypatch.setattr(av_decoder, "form", lambda: "")

    @pytest.mark.parametrize("before", [b"", b"ID3\x04\x00\x00" + bytes([0, 0, 2, 0]) + bytes(256)])
    @pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a"])
    def test_aac_under_another_name(self, put, before, name):
        found = refusal(put(before + aac_frames(), name))
        assert found.problem.startswith("it is AAC (ADTS)")
        assert found.seconds_recovered == 0

    def test_mpeg_4_that_holds_what_looks_like_frames(self, put):
        inside = struct.pack(">I4s4sI", 24, b"ftyp", b"M4A ", 0) + b"isommp42" + b"\0\0\0\0mdat" + mp3(tag=False)
        assert refusal(put(inside)).problem.startswith("it is MPEG-4")

    @pytest.mark.parametrize("codec", ["CONSTANT", "VARIABLE"])
    @pytest.mark.parametrize("rate", [44100, 22050])
    def test_mp3_inside_wav(self, put, codec, rate):
        stream = mp3(rate, tag=False, mode=codec)
        assert seconds(put(mp3_in_wav(stream, rate), "a.wav")) == pytest.approx(2, abs=0.1)

    def test_a_change_in_mp3_inside_wav(self, put):
        stream = mp3(tag=False) + mp3(48000, tag=False)
        assert "48000 Hz" in refusal(put(mp3_in_wav(stream, RATE), "a.wav")).problem

    def test_mp3_inside_wav_that_ends_inside_a_frame(self, put):
        stream = mp3(tag=False)
        assert "ends inside" in load(put(mp3_in_wav(stream[:-50], RATE), "a.wav"), RULE).note


def mp3_in_wav(stream: bytes, rate: int) -> bytes:
    size = 1152 if rate >= 32000 else 576
    samples = size * len(frame_starts(stream))
    kind = struct.pack("<HHIIHHHHIHHH", 0x55, 1, rate, 8000, size, 0, 12, 1, 2, size, 1, 1393)
    body = b"fmt " + struct.pack("<I", len(kind)) + kind + b"fact" + struct.pack("<II", 4, samples + 900)
    body += b"data" + struct.pack("<I", len(stream)) + stream + bytes(len(stream) & 1)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


class TestFlac:
    def test_joined(self, put):
        for second in (sound("FLAC"), sound("FLAC", seconds=1), sound("FLAC", 48000, 1, 2)):
            found = refusal(put(sound("FLAC") + second, "a.flac"))
            assert "two FLAC streams, joined" in found.problem
            assert found.seconds_recovered == 2

    @pytest.mark.parametrize("times", [2, 3, 5, 8, 16, 17, 32, 55])
    @pytest.mark.parametrize("length", [0.05, 0.5, 2])
    def test_copies_of_one_file(self, put, times, length):
        assert "joined" in refusal(put(sound("FLAC", seconds=length) * times, "a.flac")).problem

    @pytest.mark.parametrize("length", [0.01, 0.0929, 0.1, 5])
    def test_one_file_of_any_length(self, put, length):
        quiet = np.concatenate([np.zeros((int(length * RATE), 1), np.float32), noise(seconds=length)])
        for samples in (quiet, quiet[::-1]):
            path = put(b"", "a.flac")
            soundfile.write(path, samples, RATE)
            assert seconds(path) == len(samples) / RATE

    @pytest.mark.parametrize("total", [1, 20_000, 80_000])
    def test_a_total_that_is_too_small(self, put, total):
        found = refusal(put(with_total(sound("FLAC"), total), "a.flac"))
        assert f"promises {total} samples" in found.problem
        assert found.seconds_recovered == pytest.approx(total / RATE)

    def test_a_total_that_is_too_large(self, put):
        assert "short of its header" in refusal(put(with_total(sound("FLAC"), 100_000), "a.flac")).problem

    def test_a_total_that_is_unknown(self, put):
        whole, piped = sound("FLAC"), with_total(sound("FLAC"), 0)
        found = decode(put(piped, "a.flac"))[0]
        assert found.tobytes() == decode(put(whole, "b.flac"))[0].tobytes()

    @pytest.mark.parametrize("keep", [0.3, 0.8, 0.999])
    def test_a_total_that_is_unknown_of_a_file_that_is_cut(self, put, keep):
        piped = with_total(sound("FLAC"), 0)
        assert refusal(put(piped[: int(keep * len(piped))], "a.flac")).problem

    def test_behind_an_id3_tag(self, put):
        tag = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 0]) + bytes(256)
        assert seconds(put(tag + sound("FLAC"), "a.flac")) == 2
        assert "joined" in refusal(put(tag + sound("FLAC") * 2, "a.flac")).problem

    @pytest.mark.parametrize("metadata", [b"\x80\0\0\x22", b"\0\xff\xff\xff", b"\x80\x00\xff\xff"])
    def test_a_header_whose_blocks_lead_off_the_end(self, put, metadata):
        """The search for the last frame looked for nothing, found it everywhere, and never ended."""
        whole = sound("FLAC")
        for data in (whole[:42], whole[:43], whole[:4] + metadata + whole[8:], whole[:4] + metadata + bytes(34)):
            assert refusal(put(data, "a.flac")).problem

    def test_a_header_whose_blocks_lead_to_the_last_byte(self, put):
        whole = sound("FLAC")
        length = len(whole) - 8 - 1
        assert refusal(put(whole[:4] + b"\x80" + length.to_bytes(3, "big") + whole[8:], "a.flac")).problem


class TestLengthsInHeaders:
    @pytest.mark.parametrize("size", [0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x7FFFF000, 0x7FFFEFFC, 0x80000000, 0])
    @pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_wav_from_a_pipe(self, put, size, subtype, channels):
        whole = sound("WAV", channels=channels, subtype=subtype)
        piped = put_wave(whole, (size + 36) & 0xFFFFFFFF, size)
        found = decode(put(piped, "a.wav"), None)[0]
        assert found.tobytes() == decode(put(whole, "b.wav"), None)[0].tobytes()

    def test_silence_from_a_pipe_that_says_nothing(self, put):
        silence = soundfile_bytes(np.zeros((1000, 1), np.float32))
        assert len(decode(put(put_wave(silence, 36, 0), "a.wav"))[0]) == 1000

    @pytest.mark.parametrize("size", [0x7F000008, 0x7F000002, 0xFFFFFFFF, 0, 8])
    def test_aiff_from_a_pipe(self, put, size):
        whole = sound("AIFF")
        comm, ssnd = whole.index(b"COMM"), whole.index(b"SSND")
        frames = 0 if size <= 8 else 0x3F800000
        piped = bytearray(whole)
        piped[4:8] = struct.pack(">I", (size + 46) & 0xFFFFFFFF)
        piped[comm + 10 : comm + 14] = struct.pack(">I", frames)
        piped[ssnd + 4 : ssnd + 8] = struct.pack(">I", size)
        found = decode(put(bytes(piped), "a.aiff"))[0]
        assert found.tobytes() == decode(put(whole, "b.aiff"))[0].tobytes()

    def test_a_wav_without_samples_is_empty(self, put):
        empty = soundfile_bytes(np.zeros((0, 1), np.float32))
        assert refusal(put(empty, "a.wav")).problem == "no samples"
        followed = empty + b"LIST" + struct.pack("<I", 4) + b"INFO"
        assert refusal(put(followed, "a.wav")).problem == "no samples"

    @pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU"])
    @pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
    def test_lengths_that_wrapped_around(self, put, kind, part):
        data = bytearray(sound(kind))
        size = int(part * 176_400) // 2 * 2
        if kind == "WAV":
            data = bytearray(put_wave(bytes(data), size + 36, size))
        elif kind == "AIFF":
            data[4:8] = struct.pack(">I", size + 54)
            comm, ssnd = data.index(b"COMM"), data.index(b"SSND")
            data[comm + 10 : comm + 14] = struct.pack(">I", size // 2)
            data[ssnd + 4 : ssnd + 8] = struct.pack(">I", size + 8)
        else:
            data[8:12] = struct.pack(">I", size)
        found = refusal(put(bytes(data), "a"))
        assert f"says {size}" in found.problem
        assert f"{176_400 - size} bytes that are no chunk follow" in found.problem

    def test_an_aiff_that_counts_too_few_samples(self, put):
        data = bytearray(sound("AIFF"))
        comm = data.index(b"COMM")
        data[comm + 10 : comm + 14] = struct.pack(">I", 20_000)
        assert "COMM chunk counts 20000 samples" in refusal(put(bytes(data), "a.aiff")).problem

    @pytest.mark.parametrize("kind", ["RF64", "W64", "CAF", "AIFF", "AU", "WAV", "WAVEX"])
    @pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
    @pytest.mark.parametrize("channels", [1, 2, 6])
    def test_true_lengths_pass(self, put, kind, subtype, channels):
        data = sound(kind, channels=channels, subtype=subtype, seconds=0.5)
        assert seconds(put(data, "a")) == 0.5

    def test_an_rf64_and_a_w64_whose_lengths_are_too_small(self, put):
        rf64, w64 = bytearray(sound("RF64")), bytearray(sound("W64"))
        ds64, data = rf64.index(b"ds64"), w64.index(b"data\xf3\xac")
        rf64[ds64 + 16 : ds64 + 24] = struct.pack("<Q", 8000)
        rf64[rf64.index(b"data") + 4 : rf64.index(b"data") + 8] = b"\xff\xff\xff\xff"
        assert "that are no chunk follow" in refusal(put(bytes(rf64), "a.rf64")).problem
        w64[data + 16 : data + 24] = struct.pack("<Q", 8024)
        assert "that are no chunk follow" in refusal(put(bytes(w64), "a.w64")).problem

    @pytest.mark.parametrize(
        ("kind", "gone"), [("W64", 1), ("W64", 2000), ("W64", 150_000), ("CAF", 1), ("CAF", 2), ("CAF", 176_400)]
    )
    def test_a_w64_and_a_caf_that_were_cut(self, put, kind, gone):
        """libsndfile plays what is there of either, and says nothing."""
        found = refusal(put(sound(kind, subtype="PCM_16")[:-gone], "a"))
        assert found.problem == f"its data chunk holds {176_400 - gone} of 176400 bytes"

    @pytest.mark.parametrize("behind", [b"\1" * 1024, b"LIST" + bytes(12) + (40).to_bytes(8, "little") + b"x" * 16])
    def test_what_follows_the_samples_of_a_w64_is_no_sound(self, put, behind):
        data = sound("W64", subtype="PCM_16")
        found, expected = load(put(data + behind, "a.w64"), RULE), load(put(data, "b.w64"), RULE)
        assert np.array_equal(found.samples[:], expected.samples[:])
        assert (found.form, expected.form) == (LIMITED, "")

    @pytest.mark.parametrize(("channels", "said"), [(1, 2), (2, 1), (2, 4), (1, 6)])
    def test_channels_that_the_block_contradicts(self, put, channels, said):
        data = bytearray(sound("WAV", channels=channels, subtype="PCM_16"))
        data[22:24] = struct.pack("<H", said)
        assert f"contradicts itself: {said} channel(s) of 16 bits" in refusal(put(bytes(data), "a.wav")).problem

    def test_channels_and_rate_that_the_byte_rate_contradicts(self, put):
        data = bytearray(sound("WAV", channels=2, subtype="PCM_16"))
        data[22:24], data[32:34] = struct.pack("<H", 1), struct.pack("<H", 2)
        assert "bytes a second" in refusal(put(bytes(data), "a.wav")).problem
        data = bytearray(sound("WAV", channels=1, subtype="PCM_16"))
        data[24:28] = struct.pack("<I", 22050)
        assert "bytes a second" in refusal(put(bytes(data), "a.wav")).problem

    def test_a_byte_rate_that_nobody_filled_in_passes(self, put):
        data = bytearray(sound("WAV", channels=2, subtype="PCM_16"))
        data[28:32] = bytes(4)
        assert seconds(put(bytes(data), "a.wav")) == 2


def soundfile_bytes(samples: np.ndarray) -> bytes:
    import io

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV")
    return buffer.getvalue()


class TestOgg:
    def test_a_chain_behind_junk_is_still_a_chain(self, put):
        data = sound("OGG", subtype="VORBIS")
        assert "chain" in refusal(put(data + bytes(500) + data, "a.ogg")).problem
        assert seconds(put(data + bytes(500), "a.ogg")) == 2


class TestReading:
    def test_what_may_not_be_read_is_not_called_missing(self, put, monkeypatch):
        path = put(mp3())

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied")

        for name in ("stat", "open"):
            monkeypatch.setattr(Path, name, refuse)
            assert refusal(path).problem == "it cannot be read: Permission denied"
            monkeypatch.undo()

    def test_longer_files_are_played_in_one_go(self, put):
        rate = 8000
        samples = np.tile(noise(rate, 30), (21, 1))  # beyond the ten minutes after which an mp3 decoder is set anew
        for suffix in ("flac", "wav"):
            path = put(b"", f"long.{suffix}")
            soundfile.write(path, samples, rate)
            assert len(decode(path)[0]) == len(samples)
        path = put(b"", "long.mp3")
        soundfile.write(path, samples, rate)
        whole = soundfile.SoundFile(path)
        first = whole.read(600 * rate, dtype="float32", always_2d=True)
        rest = whole.read(dtype="float32", always_2d=True)
        assert decode(path)[0].tobytes() == np.concatenate([first, rest]).tobytes()
