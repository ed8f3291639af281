"""Decoding: every format, every way a file can be damaged, and the promise that nothing damaged passes as whole."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.audio import av_decoder, sound_files
from benchmark.audio.decode import AudioRule, DamagedAudioError, decode, load, pipeline_name
from benchmark.audio.mpeg import walk
from benchmark.system.files import content_hash

RATE = 22050
SECONDS = 4.0
FORMATS = {
    "wav": {},
    "flac": {},
    "mp3": {},
    "ogg": {},
    "au": {},
    "aiff": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}
LOSSLESS = ("wav", "flac", "au", "aiff")


def rate_of(suffix: str) -> int:
    return 24000 if suffix == "opus" else RATE


def music(rate: int = RATE, seconds: float = SECONDS) -> np.ndarray:
    """Return a tone under noise that rises in level, so that every part of it is unlike the others."""
    t = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(0).uniform(-1, 1, len(t))
    return (np.linspace(0.1, 0.5, len(t)) * np.sin(2 * np.pi * 220 * t) + 0.05 * noise).astype(np.float32)


def write(path: Path, samples: np.ndarray | None = None, rate: int | None = None, **options) -> Path:
    suffix = path.suffix[1:]
    samples = music(rate_of(suffix)) if samples is None else samples
    soundfile.write(path, samples, rate or rate_of(suffix), **{**FORMATS[suffix], **options})
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """Return one sound file of every format, as bytes."""
    folder = tmp_path_factory.mktemp("whole")
    return {suffix: write(folder / f"a.{suffix}").read_bytes() for suffix in FORMATS}


def damage(path: Path, rule: AudioRule | None = None) -> DamagedAudioError:
    with pytest.raises(DamagedAudioError) as caught:
        load(path, rule or AudioRule(16000))
    return caught.value


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def mp3_frames(data: bytes) -> list[int]:
    """Return where the frames of a bare MPEG-1 layer III file start."""
    kbits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    starts, at = [], 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        starts.append(at)
        rate = (44100, 48000, 32000)[data[at + 2] >> 2 & 3]
        at += 144_000 * kbits[data[at + 2] >> 4] // rate + (data[at + 2] >> 1 & 1)
    return starts


def mpeg_2_frames(data: bytes) -> list[int]:
    """Return where the frames of a bare MPEG-2 layer III file start."""
    kbits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    starts, at = [], 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        starts.append(at)
        at += 72_000 * kbits[data[at + 2] >> 4] // (22050, 24000, 16000)[data[at + 2] >> 2 & 3] + (
            data[at + 2] >> 1 & 1
        )
    return starts


class TestFormats:
    @pytest.mark.parametrize("suffix", FORMATS)
    def test_decodes(self, tmp_path, whole, suffix):
        found = load(put(tmp_path / f"a.{suffix}", whole[suffix]), AudioRule(16000))
        assert found.seconds == pytest.approx(SECONDS, abs=0.06)
        assert found.samples.dtype == np.float32
        assert found.samples.shape == (1, round(found.seconds * 16000))
        assert found.samples.flags.c_contiguous
        assert not found.clipped
        assert np.abs(found.samples).max() <= 1

    @pytest.mark.parametrize("suffix", LOSSLESS)
    def test_lossless_formats_give_the_samples(self, tmp_path, whole, suffix):
        found = load(put(tmp_path / f"a.{suffix}", whole[suffix]), AudioRule(RATE))
        np.testing.assert_allclose(found.samples[0], music(), atol=2**-15)

    @pytest.mark.parametrize("suffix", ["mp3", "ogg", "opus"])
    def test_lossy_formats_give_the_tone(self, tmp_path, whole, suffix):
        rate = rate_of(suffix)
        samples = load(put(tmp_path / f"a.{suffix}", whole[suffix]), AudioRule(rate)).samples[0]
        peak = np.abs(np.fft.rfft(samples[: 2 * rate])).argmax() / 2
        assert peak == pytest.approx(220, abs=1)

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_the_name_does_not_matter(self, tmp_path, whole, suffix):
        plain = load(put(tmp_path / f"a.{suffix}", whole[suffix]), AudioRule(16000)).samples
        for name in ("no suffix", "wrong.txt", "Ünï – ♪.wav", "a.mp3"):
            assert load(put(tmp_path / name, whole[suffix]), AudioRule(16000)).samples.tobytes() == plain.tobytes()

    @pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
    def test_every_sample_format_has_the_same_scale(self, tmp_path, subtype):
        path = write(tmp_path / "a.wav", subtype=subtype)
        np.testing.assert_allclose(load(path, AudioRule(RATE)).samples[0], music(), atol=0.02)

    def test_24_bits_are_kept(self, tmp_path):
        path = write(tmp_path / "a.wav", subtype="PCM_24")
        np.testing.assert_allclose(load(path, AudioRule(RATE)).samples[0], music(), atol=2**-23)

    def test_decoding_in_blocks_changes_nothing(self, tmp_path, whole, monkeypatch):
        for suffix, data in whole.items():
            path = put(tmp_path / f"a.{suffix}", data)
            at_once, _, peak = decode(path)
            monkeypatch.setattr(sound_files, "BLOCK_SECONDS", 0.3)
            in_blocks, _, block_peak = decode(path)
            monkeypatch.undo()
            assert in_blocks.tobytes() == at_once.tobytes()
            assert block_peak == peak


class TestChannels:
    def test_mono_is_the_mean_of_stereo(self, tmp_path):
        left, right = music(), -0.5 * music()[::-1]
        path = write(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
        np.testing.assert_allclose(load(path, AudioRule(RATE)).samples, (left + right)[None] / 2, atol=1e-6)

    def test_stereo_stays_in_order(self, tmp_path):
        both = np.stack([music(), 0.1 * music()], axis=1)
        path = write(tmp_path / "a.flac", both, subtype="PCM_24")
        np.testing.assert_allclose(load(path, AudioRule(RATE, 2)).samples, both.T, atol=1e-6)

    def test_mono_for_a_stereo_encoder_is_doubled(self, tmp_path):
        samples = load(write(tmp_path / "a.wav"), AudioRule(RATE, 2)).samples
        assert samples.shape == (2, len(music()))
        assert (samples[0] == samples[1]).all()

    def test_surround_mixes_to_mono_by_the_mean(self, tmp_path):
        channels = np.stack([music() * level for level in (0.1, 0.2, 0.3, 0.4, 0.5, 0.9)], axis=1)
        path = write(tmp_path / "a.wav", channels, subtype="FLOAT")
        np.testing.assert_allclose(load(path, AudioRule(RATE)).samples[0], channels.mean(axis=1), atol=1e-6)

    def test_surround_is_refused_by_a_stereo_encoder(self, tmp_path):
        path = write(tmp_path / "a.wav", np.zeros((100, 6), np.float32))
        assert damage(path, AudioRule(RATE, 2)).problem == "6 channels, but the encoder takes stereo"


class TestResampling:
    @pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000])
    def test_a_tone_keeps_its_pitch_level_and_place(self, tmp_path, rate):
        t = np.arange(2 * rate) / rate
        path = write(tmp_path / "a.wav", (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32), rate, subtype="FLOAT")
        samples = load(path, AudioRule(16000)).samples[0]
        assert len(samples) == 32000
        wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32000) / 16000)
        np.testing.assert_allclose(samples[800:-800], wanted[800:-800], atol=1e-3)

    @pytest.mark.parametrize(("rate", "target"), [(44100, 16000), (22050, 16000), (8000, 22050)])
    def test_nothing_is_folded_down_and_nothing_dulled(self, tmp_path, rate, target):
        """Two thousandths of the level are lost at most up to nine tenths of the band; what lies beyond it is gone."""
        edge, t = min(rate, target) / 2, np.arange(2 * rate) / rate

        def level(frequency):
            path = write(
                tmp_path / "a.wav", (0.5 * np.sin(2 * np.pi * frequency * t)).astype(np.float32), rate, subtype="FLOAT"
            )
            samples = load(path, AudioRule(target)).samples[0]
            middle = samples[target // 4 : -target // 4]
            return float(np.sqrt(np.mean(np.square(middle, dtype=np.float64)))) / (0.5 / np.sqrt(2))

        for share in (0.5, 0.8, 0.88):
            assert level(share * edge) == pytest.approx(1, abs=2e-3)  # soxr's MQ loses 6e-3, its LQ most of it
        for share in (1.02, 1.2):
            if share * edge < rate / 2:
                assert level(share * edge) < 5e-7  # soxr's MQ and LQ leave 2e-6, linear interpolation far more

    def test_it_is_soxr_at_hq_and_no_other_quality(self, tmp_path):
        path = write(tmp_path / "a.wav", subtype="FLOAT")
        found = load(path, AudioRule(16000)).samples[0]
        apart = {
            quality: np.abs(found - soxr.resample(music(), RATE, 16000, quality=quality)).max()
            for quality in ("QQ", "LQ", "MQ", "HQ", "VHQ")
        }
        assert apart.pop("HQ") < 1e-6
        assert min(apart.values()) > 1e-4

    def test_the_same_rate_is_left_alone(self, tmp_path):
        path = write(tmp_path / "a.wav", subtype="FLOAT")
        assert load(path, AudioRule(RATE)).samples[0].tobytes() == music().tobytes()

    def test_what_is_shorter_than_a_new_sample_is_refused(self, tmp_path):
        path = write(tmp_path / "a.wav", music()[:1], 400_000)
        assert damage(path).problem == "too short to resample"

    def test_the_pipeline_names_what_shapes_the_samples(self):
        assert re.fullmatch(r"\d+; libsndfile [\d.]+; soxr [\d.]+ HQ", pipeline_name())


class TestLevels:
    def test_overshoot_is_clipped_and_counted(self, tmp_path):
        loud = music() * 3
        found = load(write(tmp_path / "a.wav", loud, subtype="FLOAT"), AudioRule(RATE))
        assert found.clipped
        np.testing.assert_array_equal(found.samples[0], np.clip(loud, -1, 1))

    def test_full_scale_is_not_clipped(self, tmp_path):
        square = np.where(np.arange(RATE) // 50 % 2, -1, 1).astype(np.float32)
        assert not load(write(tmp_path / "a.wav", square, subtype="FLOAT"), AudioRule(RATE)).clipped

    def test_ringing_of_the_resampler_is_no_clipping(self, tmp_path):
        square = np.where(np.arange(RATE) // 50 % 2, -1, 1).astype(np.float32)
        found = load(write(tmp_path / "a.wav", square, subtype="FLOAT"), AudioRule(16000))
        assert not found.clipped
        assert np.abs(found.samples).max() == 1

    def test_clipping_is_seen_in_one_channel(self, tmp_path):
        path = write(tmp_path / "a.wav", np.stack([3 * music(), -3 * music()], axis=1), subtype="FLOAT")
        found = load(path, AudioRule(RATE))
        assert found.clipped
        assert np.abs(found.samples).max() < 1e-6

    @pytest.mark.parametrize("peak", [30000.0, 127.0, 2.0**31])
    def test_integers_as_floats_are_refused(self, tmp_path, peak):
        found = damage(write(tmp_path / "a.wav", music() / np.abs(music()).max() * peak, subtype="DOUBLE"))
        assert re.fullmatch(r"samples far outside \[-1, 1\] \(peak .+\): is it unscaled\?", found.problem)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_samples_that_are_not_finite_are_refused_and_placed(self, tmp_path, bad):
        samples = np.stack([music(), music()], axis=1)
        samples[RATE * 3 // 2, 1] = bad
        found = damage(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
        assert found.problem == "samples that are not finite, the first at 1.50 s"
        assert found.seconds_recovered == 1.5

    def test_silence_is_sound(self, tmp_path):
        assert not load(write(tmp_path / "a.wav", np.zeros(RATE, np.float32)), AudioRule(16000)).samples.any()


class TestTruncation:
    @pytest.mark.parametrize("keep", [0.9, 0.5, 0.2])
    @pytest.mark.parametrize("suffix", FORMATS)
    def test_a_cut_file_is_refused_with_what_is_left(self, tmp_path, whole, suffix, keep):
        data = whole[suffix]
        found = damage(put(tmp_path / f"a.{suffix}", data[: int(len(data) * keep)]))
        assert found.problem
        # Ogg pages hold up to a second or two, of which none is decoded when it is cut.
        assert keep * SECONDS - 2 <= found.seconds_recovered <= keep * SECONDS + 0.3
        if suffix in LOSSLESS:
            assert found.seconds_recovered == pytest.approx(keep * SECONDS, abs=0.4)

    @pytest.mark.parametrize("suffix", sorted(set(FORMATS) - {"mp3"}))
    def test_one_lost_byte_is_noticed(self, tmp_path, whole, suffix):
        assert damage(put(tmp_path / f"a.{suffix}", whole[suffix][:-1])).seconds_recovered > SECONDS / 2

    def test_an_mp3_may_lack_the_padding_of_its_last_two_frames(self, tmp_path, whole):
        assert load(put(tmp_path / "a.mp3", whole["mp3"][:-1]), AudioRule(16000)).seconds > SECONDS - 0.06

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_a_header_alone_is_refused(self, tmp_path, whole, suffix):
        assert damage(put(tmp_path / f"a.{suffix}", whole[suffix][:44])).seconds_recovered < 0.01

    def test_a_file_without_samples_is_refused(self, tmp_path):
        assert damage(write(tmp_path / "a.wav", np.zeros(0, np.float32))).problem == "no samples"

    @pytest.mark.parametrize("suffix", ["wav", "au", "aiff"])
    def test_the_missing_bytes_are_counted(self, tmp_path, whole, suffix):
        data = whole[suffix]
        found = damage(put(tmp_path / f"a.{suffix}", data[:-1000]))
        holds, due = map(int, re.search(r"chunk holds (\d+) of (\d+) bytes", found.problem).groups())
        assert due - holds == pytest.approx(1000, abs=4)

    @pytest.mark.parametrize("size", [0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF])
    def test_a_wav_from_a_pipe_is_whole(self, tmp_path, whole, size):
        data = whole["wav"]
        at = data.index(b"data") + 4
        piped = data[:4] + size.to_bytes(4, "little") + data[8:at] + size.to_bytes(4, "little") + data[at + 4 :]
        found = load(put(tmp_path / "a.wav", piped), AudioRule(RATE))
        np.testing.assert_allclose(found.samples[0], music(), atol=2**-15)

    def test_other_chunks_after_the_samples_are_no_damage(self, tmp_path, whole):
        data = (
            whole["wav"] + b"LIST" + (26).to_bytes(4, "little") + b"INFOISFT" + (14).to_bytes(4, "little") + bytes(14)
        )
        data = data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:]
        assert load(put(tmp_path / "a.wav", data), AudioRule(RATE)).seconds == SECONDS


class TestNotAudio:
    def test_an_au_without_a_header_is_not_played_as_raw_bytes(self, tmp_path):
        page = b"<html><body>404 Not Found</body></html>" * 200
        assert damage(put(tmp_path / "a.au", page)).problem == "it is a web page saved as audio: fetch it again"
        assert damage(put(tmp_path / "b.au", b"404 Not Found" * 500)).problem == "it is text, not sound: fetch it again"
        assert "it has no header" in damage(put(tmp_path / "c.au", bytes(range(256)) * 50)).problem

    def test_an_empty_file(self, tmp_path):
        found = damage(put(tmp_path / "a.mp3", b""))
        assert (found.problem, found.seconds_recovered) == ("the file is empty (0 bytes)", 0)

    def test_a_missing_file(self, tmp_path):
        assert damage(tmp_path / "a.mp3").problem == "the file is missing"

    def test_a_folder(self, tmp_path):
        (tmp_path / "a.mp3").mkdir()
        assert damage(tmp_path / "a.mp3").problem == "it is not a file"

    def test_a_dangling_link(self, tmp_path):
        (tmp_path / "a.mp3").symlink_to(tmp_path / "gone.mp3")
        assert damage(tmp_path / "a.mp3").problem == "the file is missing"

    @pytest.mark.parametrize("head", [b"<!DOCTYPE html>", b"\n <html>", b'<?xml version="1.0"?>'])
    def test_a_web_page_is_named_as_one(self, tmp_path, head):
        page = head + b"<body>404 Not Found</body></html>" * 200
        assert damage(put(tmp_path / "a.mp3", page)).problem == "it is a web page saved as audio: fetch it again"

    @pytest.mark.parametrize("suffix", [".m4a", ".wma", ".MP4"])
    def test_what_libsndfile_lacks_is_named(self, tmp_path, suffix, monkeypatch):
        monkeypatch.setattr(av_decoder, "form", lambda: "")
        found = damage(put(tmp_path / f"a{suffix}", b"\0\0\0 ftypM4A \0\0\0\0M4A mp42isom" * 100))
        assert found.problem.startswith("it is MPEG-4 (AAC or ALAC, as in .m4a)")

    @pytest.mark.parametrize("suffix", FORMATS)
    @pytest.mark.parametrize("data", [b"just text\n" * 500, bytes(5000), np.random.default_rng(0).bytes(5000)])
    def test_anything_else(self, tmp_path, suffix, data):
        assert damage(put(tmp_path / f"a.{suffix}", data)).seconds_recovered == 0


class TestGarbageInside:
    @pytest.mark.parametrize("size", [1, 700, 3000])
    @pytest.mark.parametrize("suffix", ["flac", "ogg", "opus"])
    @pytest.mark.parametrize("how", ["over", "inserted", "removed"])
    def test_formats_with_checksums_are_never_taken_for_whole(self, tmp_path, whole, suffix, how, size):
        data, garbage = whole[suffix], np.random.default_rng(size).bytes(size)
        for part in (0.3, 0.6, 0.97):
            at = int(len(data) * part)
            changed = {
                "over": data[:at] + garbage + data[at + size :],
                "inserted": data[:at] + garbage + data[at:],
                "removed": data[:at] + data[at + size :],
            }[how]
            found = damage(put(tmp_path / f"a.{suffix}", changed))
            assert found.seconds_recovered <= SECONDS + 0.1

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        part=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), suffix=st.sampled_from(["ogg", "opus", "flac"])
    )
    def test_one_flipped_bit_gives_the_same_samples_or_an_error(self, tmp_path, whole, part, bit, suffix):
        data = bytearray(whole[suffix])
        data[int(part * len(data))] ^= 1 << bit
        sound, _, _ = decode(put(tmp_path / f"sound.{suffix}", whole[suffix]))
        try:
            found, _, _ = decode(put(tmp_path / f"a.{suffix}", bytes(data)))
        except DamagedAudioError:
            return
        np.testing.assert_array_equal(found, sound)

    def test_an_mp3_is_refused_where_the_decoder_gives_up(self, tmp_path, whole):
        data, garbage = whole["mp3"], np.random.default_rng(0).bytes(4000)
        found = damage(put(tmp_path / "a.mp3", data[: len(data) // 2] + garbage + data[len(data) // 2 :]))
        assert "are no MPEG frame" in found.problem
        assert 1 < found.seconds_recovered < 3

    def test_an_mp3_with_frames_overwritten_is_short(self, tmp_path, whole):
        data, garbage = whole["mp3"], np.random.default_rng(0).bytes(1000)
        changed = data[: len(data) // 2] + garbage + data[len(data) // 2 + 2000 :]
        assert damage(put(tmp_path / "a.mp3", changed)).seconds_recovered < SECONDS

    def test_an_mp3_with_frames_taken_out_is_short(self, tmp_path, whole):
        data = whole["mp3"]
        starts = mpeg_2_frames(data)
        found = damage(put(tmp_path / "a.mp3", data[: starts[20]] + data[starts[30] :]))
        assert "short of its header" in found.problem

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_garbage_after_the_end_is_no_damage(self, tmp_path, whole, suffix):
        plain = load(put(tmp_path / f"b.{suffix}", whole[suffix]), AudioRule(16000)).samples
        changed = put(tmp_path / f"a.{suffix}", whole[suffix] + np.random.default_rng(0).bytes(3000))
        assert load(changed, AudioRule(16000)).samples.tobytes() == plain.tobytes()

    @pytest.mark.parametrize("suffix", ["ogg", "opus"])
    def test_an_ogg_chain_is_refused_and_not_half_heard(self, tmp_path, whole, suffix):
        found = damage(put(tmp_path / f"a.{suffix}", whole[suffix] * 2))
        assert "chain of Ogg streams" in found.problem
        assert found.seconds_recovered == pytest.approx(SECONDS, abs=0.5)

    def test_the_damaged_ogg_page_is_placed(self, tmp_path, whole):
        data = bytearray(whole["ogg"])
        last = data.rindex(b"OggS")
        data[last + 100] ^= 1
        found = damage(put(tmp_path / "a.ogg", bytes(data)))
        assert found.problem == f"the Ogg page that ends at byte {len(data)} is damaged: its checksum fails"

    def test_a_missing_last_ogg_page_is_noticed(self, tmp_path, whole):
        data = whole["ogg"]
        assert damage(put(tmp_path / "a.ogg", data[: data.rindex(b"OggS")])).problem == "its last Ogg page is missing"


def counts_frames(path: Path) -> bool:
    frames = walk(path.read_bytes())
    return frames is not None and frames.counted > 0


class TestMp3WithoutACount:
    """libsndfile guesses the length of an MP3 without a Xing or Info tag from its first frame's bit rate."""

    RATE = 44100

    def variable(self, path: Path) -> bytes:
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * self.RATE)
        quiet = np.random.default_rng(1).uniform(-1e-4, 1e-4, 10 * self.RATE)
        samples = np.concatenate([noise, quiet]).astype(np.float32)
        return write(path, samples, self.RATE, bitrate_mode="VARIABLE", compression_level=0.2).read_bytes()

    def constant(self, path: Path) -> bytes:
        return write(path, music(self.RATE), self.RATE, bitrate_mode="CONSTANT").read_bytes()

    def test_the_tag_is_found(self, tmp_path):
        for make in (self.variable, self.constant):
            data = make(tmp_path / "a.mp3")
            assert counts_frames(tmp_path / "a.mp3")
            start = mp3_frames(data)[1]
            assert not counts_frames(put(tmp_path / "a.mp3", data[start:]))

    def test_a_constant_bit_rate_is_whole(self, tmp_path):
        data = self.constant(tmp_path / "a.mp3")
        frames = mp3_frames(data)
        samples, rate, _ = decode(put(tmp_path / "b.mp3", data[frames[1] :]))
        assert (len(samples), rate) == ((len(frames) - 1) * 1152, self.RATE)

    def test_a_variable_bit_rate_is_heard_to_its_end(self, tmp_path):
        data = self.variable(tmp_path / "a.mp3")
        frames = mp3_frames(data)
        path = put(tmp_path / "b.mp3", data[frames[1] :])
        assert soundfile.info(path).frames < 8 * self.RATE  # else this test shows nothing
        samples, _, _ = decode(path)
        assert len(samples) == (len(frames) - 1) * 1152
        tagged, _, _ = decode(tmp_path / "a.mp3")
        assert np.abs(samples[3 * self.RATE :]).max() < 0.01
        offset = len(samples) - len(tagged)
        assert abs(offset) <= 2 * 1152
        power = np.square(samples[:, 0][: 2 * self.RATE]).mean()
        assert power == pytest.approx(np.square(tagged[:, 0][: 2 * self.RATE]).mean(), rel=0.05)

    @pytest.mark.parametrize("channels", [1, 2])
    @pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
    def test_every_rate_is_heard_to_its_end(self, tmp_path, rate, channels):
        samples = np.repeat(music(rate)[:, None], channels, axis=1)
        path = write(tmp_path / "a.mp3", samples, rate)
        starts = mp3_frames(path.read_bytes()) if rate >= 32000 else None
        after = starts[1] if starts else path.read_bytes().index(path.read_bytes()[:2], 48)
        bare = put(tmp_path / "b.mp3", path.read_bytes()[after:])
        assert not counts_frames(bare)
        found = decode(bare)[0]
        assert 0 <= len(found) - len(samples) < 4 * 1152
        # A second stretch of silence before it moves nothing.
        plain = soundfile.read(bare, dtype="float32", always_2d=True)[0].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(found[: len(plain)], plain[: len(found)], atol=1e-3)

    @pytest.mark.parametrize("counted", [True, False])
    @pytest.mark.parametrize("size", [10, 2_000_000])
    def test_a_leading_id3_tag_is_skipped(self, tmp_path, counted, size):
        data = self.constant(tmp_path / "a.mp3")
        data = data if counted else data[mp3_frames(data)[1] :]
        picture = b"\xff\xfb\x90\x00" * (size // 4)  # looks like frames
        length = bytes(len(picture) >> shift & 0x7F for shift in (21, 14, 7, 0))
        path = put(tmp_path / "b.mp3", b"ID3\x04\x00\x00" + length + picture + data)
        assert counts_frames(path) == counted
        plain = decode(put(tmp_path / "c.mp3", data))[0]
        np.testing.assert_allclose(decode(path)[0], plain, atol=1e-6)

    def test_a_trailing_id3_tag_is_skipped(self, tmp_path):
        data = self.variable(tmp_path / "a.mp3")
        data = data[mp3_frames(data)[1] :]
        plain = decode(put(tmp_path / "b.mp3", data))[0]
        tagged = decode(put(tmp_path / "c.mp3", data + b"TAG" + b"title".ljust(125)))[0]
        np.testing.assert_allclose(tagged, plain, atol=1e-6)

    def test_text_has_no_count(self, tmp_path):
        assert not counts_frames(put(tmp_path / "a.mp3", b"no frames in here"))
        assert not counts_frames(put(tmp_path / "b.mp3", b"ID3"))


def test_the_content_hash_is_that_of_sha256sum(tmp_path):
    path = put(tmp_path / "a", np.random.default_rng(0).bytes(3_000_000))
    assert subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout[:64] == content_hash(
        path
    )


def test_the_package_gives_its_public_names():
    import benchmark.audio

    assert benchmark.audio.load is load
    assert (benchmark.audio.AudioRule, benchmark.audio.DamagedAudioError) == (AudioRule, DamagedAudioError)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = benchmark.audio.nothing
