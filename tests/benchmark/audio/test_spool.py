"""Long tracks: samples that come in pieces are what they are at once, and cost a process no memory."""

import errno
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from benchmark.audio import spool
from benchmark.audio.decode import AudioRule, DamagedAudioError, decode, load
from benchmark.audio.pool import decode_all
from benchmark.audio.reader import decode_one, packed, unpacked
from benchmark.audio.spool import Spool, file_of, forget_name, release
from benchmark.audio.windows import WindowRule, cut
from benchmark.errors import UserError
from tests.benchmark.sound_bytes import mp3, noise, sound


def at_once(path: Path, rule: AudioRule) -> np.ndarray:
    """Return what resampling all samples of a file at once gives."""
    samples, rate, _ = decode(path, 1 if rule.channels == 1 else None)
    if samples.shape[1] < rule.channels:
        samples = np.repeat(samples, 2, axis=1)
    if rate != rule.sample_rate:
        samples = soxr.resample(samples, rate, rule.sample_rate, quality="HQ")
    return np.clip(samples, -1, 1).T


@pytest.fixture
def everything_long(monkeypatch):
    monkeypatch.setattr(spool, "IN_MEMORY", 1000)


class TestPieces:
    @pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 44056])
    @pytest.mark.parametrize("rule", [AudioRule(16000), AudioRule(44100, 2), AudioRule(48000), AudioRule(22050, 2)])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_they_are_what_all_samples_at_once_are(self, tmp_path, rate, rule, channels):
        path = tmp_path / "a.flac"
        soundfile.write(path, 4 * noise(rate, 23.7, channels), rate, subtype="PCM_16")
        found = load(path, rule)
        assert found.samples.tobytes() == np.ascontiguousarray(at_once(path, rule)).tobytes()

    @pytest.mark.parametrize(("kind", "options"), [("WAV", {}), ("MP3", {}), ("OGG", {}), ("AIFF", {}), ("CAF", {})])
    def test_of_every_format(self, tmp_path, kind, options):
        path = tmp_path / "a"
        path.write_bytes(sound(kind, 44100, 21.3, 2, **options))
        rule = AudioRule(16000)
        assert load(path, rule).samples.tobytes() == np.ascontiguousarray(at_once(path, rule)).tobytes()

    @pytest.mark.parametrize("samples", [1, 2, 5, 100])
    def test_of_a_few_samples(self, tmp_path, samples):
        path = tmp_path / "a.wav"
        soundfile.write(path, noise()[:samples], 44100, subtype="FLOAT")
        for rule in (AudioRule(44100), AudioRule(48000, 2)):
            assert load(path, rule).samples.tobytes() == np.ascontiguousarray(at_once(path, rule)).tobytes()

    def test_of_a_stream_that_does_not_count_its_frames(self, tmp_path):
        path = tmp_path / "a.mp3"
        path.write_bytes(mp3(seconds=25, tag=False, mode="VARIABLE"))
        assert load(path, AudioRule(16000)).samples.tobytes() == at_once(path, AudioRule(16000)).tobytes()


class TestInAFile:
    @pytest.mark.parametrize("channels", [1, 2])
    @pytest.mark.parametrize("sizes", [(600, 600, 5), (1001,), (1, 2, 3), ()])
    def test_it_gives_back_what_came(self, tmp_path, everything_long, channels, sizes):
        pieces = [noise(seconds=1)[:size].repeat(channels, axis=1) for size in sizes]
        with Spool(channels, tmp_path) as held:
            for piece in pieces:
                held.add(piece)
            found = held.samples()
        wanted = np.concatenate([np.zeros((0, channels), np.float32), *pieces]).T
        np.testing.assert_array_equal(found, wanted)
        assert (file_of(found) is not None) == (sum(sizes) * channels > 1000)

    def test_it_stays_when_its_name_has_gone(self, tmp_path, everything_long):
        with Spool(1, tmp_path) as held:
            held.add(noise(seconds=1))
            found = held.samples()
        assert len(list(tmp_path.iterdir())) == 1
        forget_name(found)
        release(found)
        assert list(tmp_path.iterdir()) == []
        np.testing.assert_array_equal(found, noise(seconds=1).T)

    def test_nothing_is_left_of_a_file_that_is_damaged(self, tmp_path, everything_long):
        (tmp_path / "kept").mkdir()
        path = tmp_path / "a.flac"
        path.write_bytes(sound("FLAC")[:-500])
        with pytest.raises(DamagedAudioError):
            load(path, AudioRule(16000), tmp_path / "kept")
        assert list((tmp_path / "kept").iterdir()) == []

    def test_a_full_disk_is_no_damage(self, tmp_path, everything_long, monkeypatch):
        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
        path = tmp_path / "a.wav"
        path.write_bytes(sound())
        with pytest.raises(UserError, match=rf"in {tmp_path} while it is embedded: No space left on device"):
            decode_one(path, AudioRule(16000), None, tmp_path)

    def test_it_goes_from_process_to_process_as_a_file(self, tmp_path, everything_long):
        path = tmp_path / "a.wav"
        path.write_bytes(sound())
        decoded = decode_one(path, AudioRule(16000), None, tmp_path)
        answer = packed(decoded)
        assert answer[0].audio.samples.size == 0
        found = unpacked(answer)
        assert found.audio.samples.tobytes() == decoded.audio.samples.tobytes()
        assert found.hashed == decoded.hashed
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("workers", [0, 2])
    def test_workers_and_files_change_nothing(self, tmp_path, monkeypatch, workers):
        folder = tmp_path / "kept"
        folder.mkdir()
        paths = []
        for i, seconds in enumerate((70, 0.5, 90)):
            paths.append(tmp_path / f"{i}.wav")
            soundfile.write(paths[-1], noise(8000, seconds, seed=i), 8000)
        rule = AudioRule(16000)
        plain = [load(path, rule).samples.tobytes() for path in paths]
        if workers == 0:
            monkeypatch.setattr(spool, "IN_MEMORY", 2**20)
        else:  # in the workers the limit is what it is
            paths.append(tmp_path / "long.wav")
            soundfile.write(paths[-1], np.zeros(8000 * 60 * 36, np.int16), 8000, subtype="PCM_U8")
        for path, found, wanted in zip(paths, decode_all(paths, rule, workers, folder=folder), plain, strict=False):
            assert found.audio.samples.tobytes() == wanted, path
        (last,) = decode_all(paths[-1:], rule, workers, folder=folder)
        last = last.audio.samples
        assert isinstance(last, np.memmap)
        assert list(folder.iterdir()) == []

    def test_windows_are_cut_from_it(self, tmp_path, monkeypatch):
        path = tmp_path / "a.flac"
        soundfile.write(path, noise(8000, 60, 2), 8000)
        for window in (None, 16000, 48000):
            rule = WindowRule(window, 8000, 0, "repeat")
            plain = cut(load(path, AudioRule(16000, 2)).samples, rule)
            with monkeypatch.context() as patch:
                patch.setattr(spool, "IN_MEMORY", 1000)
                long = cut(load(path, AudioRule(16000, 2), tmp_path).samples, rule)
            assert [one.tobytes() for one in long] == [one.tobytes() for one in plain]


def test_the_length_of_a_track_costs_no_memory(tmp_path, everything_long):
    peaks = []
    for seconds in (60, 240):
        path = tmp_path / f"{seconds}.flac"
        soundfile.write(path, np.zeros((44100 * seconds, 2), np.int16), 44100)
        tracemalloc.start()
        found = load(path, AudioRule(16000), tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.seconds == seconds
    assert max(peaks) < 30e6  # ten seconds of stereo, as they are and mixed; four minutes would be 85 MB
    assert peaks[1] < 1.2 * peaks[0]


class TestBounds:
    @pytest.mark.parametrize("rate", [1, 7, 999, 768_001, 2_000_000])
    def test_a_rate_that_is_none_of_audio(self, tmp_path, rate):
        path = tmp_path / "a.wav"
        path.write_bytes(sound("WAV", rate, 1000 / rate))
        with pytest.raises(DamagedAudioError, match=f"its header says {rate} Hz, which is no rate of audio"):
            load(path, AudioRule(16000))

    @pytest.mark.parametrize("rate", [1000, 4000, 768_000])
    def test_a_rate_that_may_be(self, tmp_path, rate):
        path = tmp_path / "a.wav"
        path.write_bytes(sound("WAV", rate, 0.1))
        assert load(path, AudioRule(16000)).seconds == pytest.approx(0.1)

    @pytest.mark.parametrize(("channels", "problem"), [(64, ""), (65, "65 channels"), (1000, "1000 channels")])
    def test_channels(self, tmp_path, channels, problem):
        path = tmp_path / "a.wav"
        soundfile.write(path, np.zeros((100, channels), np.int16), 8000)
        if problem:
            with pytest.raises(DamagedAudioError, match=problem):
                load(path, AudioRule(16000))
        else:
            assert load(path, AudioRule(8000)).samples.shape == (1, 100)

    def test_a_length_that_would_take_days(self, tmp_path):
        path = tmp_path / "a.flac"
        data = sound("FLAC")
        packed_total = int.from_bytes(data[18:26], "big") >> 36 << 36 | (1 << 36) - 1
        path.write_bytes(data[:18] + packed_total.to_bytes(8, "big") + data[26:])
        with pytest.raises(DamagedAudioError, match=r"its header says 433 hours, and no more than 24 are taken"):
            load(path, AudioRule(16000))
