"""Deformations: what each does to samples, how they are written, and what cannot be meant."""

import hashlib
import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.audio.decode import AudioRule, load
from benchmark.audio.deformations import (
    BIT_RATES,
    MP3_DELAY,
    VERSIONS,
    Deformation,
    NothingLeftError,
    deform,
    mp3_rate,
    parse,
    texts,
)
from benchmark.audio.pool import decode_all
from benchmark.audio.reader import decode_one
from benchmark.errors import UserError

CONTENT = hashlib.sha256(b"a file").hexdigest()
ALL = "gain=-20,noise=20dB,shift=50ms,mp3=64k,lowpass=1kHz"


def music(n: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return smooth noise, float32 [channels, n]: it has one clear alignment with itself."""
    rng = np.random.default_rng(seed)
    made = [np.convolve(rng.normal(size=n), np.hanning(24) / 12, "same")[:n] for _ in range(channels)]
    return (0.3 * np.stack(made)).astype(np.float32)


def done(text: str, samples: np.ndarray, rate: int = 16_000, content: str = CONTENT) -> np.ndarray:
    return deform(samples, rate, parse(text)[0], content)[0]


def level(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


def late(made: np.ndarray, samples: np.ndarray) -> int:
    """Return by how many samples ``made`` is behind ``samples``, from their cross-correlation."""
    size = 2 ** int(np.ceil(np.log2(made.shape[1] + samples.shape[1])))
    found = np.fft.irfft(np.fft.rfft(made[0], size) * np.conj(np.fft.rfft(samples[0], size)))
    best = int(np.argmax(found))
    return best if best < size // 2 else best - size


class TestParse:
    def test_reads_several_with_their_units_in_order(self):
        found = parse(" gain=-20, noise=20dB,shift=0.05s ,mp3=64kbps,lowpass=4kHz,GAIN = 6 db")
        assert [each.text for each in found] == [
            "gain=-20dB", "noise=20dB", "shift=50ms", "mp3=64k", "lowpass=4000Hz", "gain=6dB",
        ]  # fmt: skip
        assert all(each.version == VERSIONS[each.kind] for each in found)

    @given(st.sampled_from(["gain={:g}", "noise={:g}dB", "shift={:g}ms", "lowpass={:g}Hz"]), st.floats(20, 60))
    @settings(max_examples=50, deadline=None)
    def test_reads_what_it_writes(self, form, amount):
        (found,) = parse(form.format(amount))
        assert parse(found.text) == (found,)

    def test_zero_has_no_sign(self):
        assert parse("gain=-0") == parse("gain=0dB")
        assert parse("gain=-0")[0].text == "gain=0dB"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("gian=-20", "no deformation 'gian': did you mean 'gain'"),
            ("nois=3", "did you mean 'noise'"),
            ("gain=-20,,mp3=64k", "no deformation '': write one of gain=-20"),
            ("", "write one of"),
            ("reverb=1", "'reverb': write one of"),
            ("gain", "--deform gain: this is no deformation with its amount: write it as gain=-20"),
            ("gain=", "write it as gain=-20"),
            ("gain=loud", "write it as gain=-20"),
            ("gain=nan", "write it as"),
            ("gain=inf", "write it as"),
            ("noise=20=dB", "write it as noise=20dB"),
            ("gain=-20Hz", "gain does not take the unit 'Hz': give db"),
            ("shift=50", "shift does not take an amount without a unit: give ms or s: shift=50ms"),
            ("shift=50 m", "the unit 'm'"),
            ("mp3=64", "an amount without a unit"),
            ("mp3=65k", "no MP3 has this bit rate: give one of 8, 16, 24"),
            ("mp3=9999k", "give mp3 from 8 to 320 k"),
            ("gain=1e9", "give gain from -120 to 60 dB"),
            ("noise=-1000", "give noise from -60 to 120"),
            ("shift=2e6s", "give shift from"),
            ("lowpass=0Hz", "give lowpass from 20 to 96000 Hz"),
            ("gain=-20,gain=-20dB", "names gain=-20dB twice"),
            ("shift=1s,shift=1000ms", "names shift=1000ms twice"),
        ],
    )
    def test_refuses_what_cannot_be_meant(self, text, message):
        with pytest.raises(UserError, match=message.replace("(", r"\(")):
            parse(text)

    def test_texts_for_keys_do_not_depend_on_order(self):
        assert texts(parse("shift=1s,gain=0")) == texts(parse("gain=0,shift=1s"))
        assert texts(parse("gain=0")) != texts([Deformation("gain", 0.0, 99)])


class TestGain:
    def test_changes_the_level_and_nothing_else(self):
        samples = music(8000, 2)
        assert level(done("gain=-20", samples)) == pytest.approx(level(samples) - 20, abs=1e-4)
        assert done("gain=0", samples).tobytes() == samples.tobytes()

    def test_beyond_full_scale_it_clips_and_says_so(self):
        samples = music(8000)
        made, clipped = deform(samples, 8000, parse("gain=40")[0], CONTENT)
        assert clipped
        assert np.abs(made).max() == 1
        assert not deform(samples, 8000, parse("gain=-1")[0], CONTENT)[1]


class TestNoise:
    @pytest.mark.parametrize("snr", [-10, 0, 20])
    def test_lies_at_the_ratio_to_the_track(self, snr):
        samples = 0.1 * music(80_000, 2)
        noise = done(f"noise={snr}", samples) - samples
        assert level(samples) - level(noise) == pytest.approx(snr, abs=0.1)
        assert abs(np.corrcoef(noise)[0, 1]) < 0.02  # channels are independent
        assert abs(np.corrcoef(noise[0, 1:], noise[0, :-1])[0, 1]) < 0.02  # white

    def test_belongs_to_the_content(self):
        samples = music(1000)
        assert done("noise=3", samples).tobytes() == done("noise=3", samples).tobytes()
        other = hashlib.sha256(b"another").hexdigest()
        assert np.abs(done("noise=3", samples) - done("noise=3", samples, content=other)).max() > 0.01

    def test_silence_stays_silent(self):
        assert not done("noise=0", np.zeros((1, 100), np.float32)).any()


class TestShift:
    def test_begins_later_by_the_rate(self):
        samples = music(16_000, 2)
        np.testing.assert_array_equal(done("shift=50ms", samples), samples[:, 800:])
        np.testing.assert_array_equal(done("shift=50ms", samples, rate=8000), samples[:, 400:])
        assert done("shift=0ms", samples).tobytes() == samples.tobytes()

    def test_a_negative_one_puts_silence_before(self):
        samples = music(100)
        made = done("shift=-1ms", samples)
        assert made.shape == (1, 116)
        assert not made[:, :16].any()
        np.testing.assert_array_equal(made[:, 16:], samples)

    @pytest.mark.parametrize("n", [1, 799, 800])
    def test_must_leave_something(self, n):
        with pytest.raises(NothingLeftError, match=f"800 samples later, and has {n}"):
            done("shift=50ms", music(900)[:, :n])
        assert done("shift=50ms", music(801)).shape == (1, 1)


class TestMp3:
    @pytest.mark.parametrize("rate", BIT_RATES)
    def test_every_bit_rate_is_coded_as_asked_and_comes_back_in_place(self, rate, monkeypatch):
        files = []
        read = soundfile.read
        monkeypatch.setattr(
            soundfile, "read", lambda file, **how: (files.append(file.getvalue()), read(file, **how))[1]
        )
        samples = music(rate // 2)
        for bit_rate in BIT_RATES[rate]:
            made = done(f"mp3={bit_rate}k", samples, rate)
            assert made.shape == samples.shape
            assert late(made, samples) == 0, bit_rate
            assert not np.array_equal(made, samples)
            frame = files[-1][files[-1].index(b"\xff") :]
            version_1, numbers = (frame[1] & 0x18) == 0x18, BIT_RATES[44100 if (frame[1] & 0x18) == 0x18 else 16000]
            assert version_1 == (rate >= 32_000)
            assert numbers[(frame[2] >> 4) - 1] == bit_rate  # index 0 is the free format
            assert soundfile.info(io.BytesIO(files[-1])).samplerate == rate

    def test_the_delay_is_that_of_files_without_a_tag(self):
        """At 16 kbit/s no frame has room for the tag that tells the delay; libsndfile then gives it back."""
        file, samples = io.BytesIO(), music(16_000)
        soundfile.write(
            file, samples.T, 16_000, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT",
            compression_level=144 / 152,
        )  # fmt: skip
        file.seek(0)
        assert late(soundfile.read(file, dtype="float32", always_2d=True)[0].T, samples) == MP3_DELAY

    def test_fewer_bits_lose_more(self):
        samples = music(32_000, 2)
        lost = [float(np.square(done(f"mp3={bits}k", samples) - samples).mean()) for bits in (160, 64, 24)]
        assert lost[0] < lost[1] < lost[2]

    @pytest.mark.parametrize(
        ("rate", "bit_rate", "at"),
        [
            (16_000, 64, 16_000), (44_100, 64, 44_100), (8000, 128, 16_000), (16_000, 192, 32_000),
            (10_000, 64, 11_025), (96_000, 320, 48_000), (44_100, 8, 24_000), (13_000, 8, 16_000),
            (22_050, 320, 32_000),
        ],
    )  # fmt: skip
    def test_rates_that_have_no_such_mp3_go_to_the_next_that_does(self, rate, bit_rate, at):
        assert mp3_rate(rate, bit_rate) == at
        samples = music(rate)
        made = done(f"mp3={bit_rate}k", samples, rate)
        assert made.shape == samples.shape
        assert late(made, samples) == 0

    def test_a_library_that_writes_none_is_named(self, monkeypatch):
        def refuse(*_args, **_kwargs):
            raise TypeError("write() got an unexpected keyword argument 'bitrate_mode'")

        monkeypatch.setattr(soundfile, "write", refuse)
        with pytest.raises(UserError, match=r"--deform mp3=64k: libsndfile .* writes no such MP3"):
            done("mp3=64k", music(100))


class TestLowPass:
    def test_takes_what_is_above_and_leaves_what_is_below(self):
        time = np.arange(16_000) / 16_000
        low, high = (np.sin(2 * np.pi * f * time).astype(np.float32)[None] * 0.4 for f in (200, 3000))
        made = done("lowpass=1000Hz", low + high)
        np.testing.assert_allclose(made[:, 1000:-1000], low[:, 1000:-1000], atol=1e-3)

    @pytest.mark.parametrize("frequency", [8000, 20_000])
    def test_above_what_the_rate_holds_nothing_changes(self, frequency):
        samples = music(500)
        assert done(f"lowpass={frequency}Hz", samples).tobytes() == samples.tobytes()


class TestAll:
    @pytest.mark.parametrize(
        "text", ["gain=-20", "noise=20", "shift=-3ms", "mp3=64k", "mp3=320k", "mp3=8k", "lowpass=1kHz"]
    )
    @pytest.mark.parametrize("n", [1, 2, 7, 31, 600])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_the_shortest_tracks(self, text, n, channels):
        samples = music(600, channels)[:, :n]
        made = done(text, samples, 11_000)
        assert made.shape == (channels, n + (33 if "shift" in text else 0))
        assert made.dtype == np.float32
        assert np.isfinite(made).all()

    @pytest.mark.parametrize("text", ALL.split(","))
    def test_leaves_its_input_alone_and_gives_contiguous_samples_in_range(self, text):
        samples = np.clip(40 * music(4000, 2), -1, 1)
        before = samples.copy()
        made = done(text, samples)
        np.testing.assert_array_equal(samples, before)
        assert made.flags.c_contiguous
        assert np.abs(made).max() <= 1
        assert not np.shares_memory(made, samples) or text.startswith("shift")
        assert done(text, samples).tobytes() == made.tobytes()


class TestDecoding:
    @pytest.fixture
    def songs(self, tmp_path):
        paths = [tmp_path / f"{i}.flac" for i in range(3)]
        for i, path in enumerate(paths):
            soundfile.write(path, music(4000, seed=i).T, 8000)
        return paths

    @pytest.mark.parametrize(("text", "workers"), [("noise=20", 1), ("mp3=64k", 0), ("gain=-20", 0), ("shift=50ms", 0)])
    def test_what_is_decoded_is_deformed(self, songs, text, workers):
        rule, (deformation,) = AudioRule(8000), parse(text)
        for path, one in zip(songs, decode_all(songs, rule, workers, deformation), strict=True):
            assert one.hashed == decode_one(path, rule).hashed
            expected = deform(load(path, rule).samples, 8000, deformation, one.hashed.key)[0]
            assert one.audio.samples.tobytes() == expected.tobytes()
            assert one.audio.seconds == 0.5  # of the file

    def test_a_track_of_which_nothing_is_left_is_damaged_and_keeps_its_identity(self, songs):
        found = decode_one(songs[0], AudioRule(8000), parse("shift=500ms")[0])
        assert found.audio is None
        assert found.problem == "shift=500ms leaves nothing of it: it begins 4000 samples later, and has 4000"
        assert found.hashed == decode_one(songs[0], AudioRule(8000)).hashed
