"""The three built-in encoders: what they must hold to as encoders, and what each must know about sound."""

import numpy as np
import pytest

from benchmark.encoders.base import Encoder
from benchmark.encoders.handcrafted.chroma import Chroma
from benchmark.encoders.handcrafted.logmel import LogMel
from benchmark.encoders.handcrafted.mfcc import Mfcc

ENCODERS = [LogMel, Mfcc, Chroma]
MAJOR = (0, 4, 7)


def tone(pitches: list[float], rate: int, seconds: float = 3.0, level: float = 0.1, partials: int = 6) -> np.ndarray:
    """Return harmonic tones at MIDI ``pitches``, partials falling as 1 / h, float32 [1, 1, N]."""
    t = np.arange(int(seconds * rate)) / rate
    x = np.zeros(len(t))
    for pitch in pitches:
        for h in range(1, partials + 1):
            x += level / h * np.sin(2 * np.pi * h * 440 * 2 ** ((pitch - 69) / 12) * t + h)
    return x.astype(np.float32)[None, None]


def noise(rate: int, seconds: float = 3.0, level: float = 0.1, batch: int = 1) -> np.ndarray:
    rng = np.random.default_rng(7)
    return (level * rng.uniform(-1, 1, size=(batch, 1, int(seconds * rate)))).astype(np.float32)


def signal(rate: int) -> np.ndarray:
    """Return half a second each of two chords under a little noise: a fixed waveform for the golden values."""
    first, second = tone([45, 57, 60, 64], rate, 0.5), tone([41, 57, 60, 65], rate, 0.5)
    return np.concatenate([first, second], axis=2) + noise(rate, 1.0, 0.001)[:, :, : 2 * int(0.5 * rate)]


GOLDEN = {
    "logmel": [-6.012618, -2.084156, -4.449338, -7.428771, 1.785664, 0.118452, 1.364064, 0.490714],
    "mfcc": [-42.007092, 16.145535, 1.23169, 0.133849, 2.317017, 1.823994, 0.869484, 0.698292],
    "chroma": [0.455858, 0.378515, 0.341604, 0.542123, 0.373869, 0.620257, 0.167434, 0.204127, 0.164085, 0.297887],
}


@pytest.mark.parametrize("cls", ENCODERS)
class TestContract:
    def test_declares_what_it_returns(self, cls):
        encoder = cls()
        assert isinstance(encoder, Encoder)
        embedding = encoder.embed(noise(encoder.sample_rate, batch=2))
        assert embedding.shape == (2, encoder.dim)
        assert embedding.dtype == np.float32
        assert (encoder.window_seconds, encoder.hop_seconds, encoder.padding) == (3.0, 2.0, "repeat")
        assert encoder.fingerprint() == cls().fingerprint()

    @pytest.mark.parametrize("seconds", [0.1, 0.5, 1.7, 3.0])
    def test_a_row_does_not_depend_on_its_batch(self, cls, seconds):
        encoder = cls()
        rate = encoder.sample_rate
        batch = np.concatenate(
            [noise(rate, seconds, batch=3), tone([60, 64], rate, seconds), noise(rate, seconds, 0.9)]
        )
        together = encoder.embed(batch)
        alone = np.concatenate([encoder.embed(batch[i : i + 1]) for i in range(len(batch))])
        assert together.tobytes() == alone.tobytes()
        assert encoder.embed(batch[::-1])[::-1].tobytes() == together.tobytes()

    @pytest.mark.parametrize("seconds", [0.1, 0.11, 0.4, 3.0])
    def test_is_finite_whatever_it_hears(self, cls, seconds):
        encoder = cls()
        samples = int(np.ceil(seconds * encoder.sample_rate))
        hostile = np.zeros((8, 1, samples), np.float32)
        hostile[1] = 1
        hostile[2, 0, samples // 2] = 1
        hostile[3, 0, 0] = -1
        hostile[4] = np.random.default_rng(0).choice([-1, 1], size=samples)
        hostile[5, 0, ::2] = 1
        hostile[6] = 1e-30
        hostile[7] = np.where(np.arange(samples) < samples // 2, 0.0, 1e-5)
        assert np.isfinite(encoder.embed(hostile)).all()

    def test_ignores_strides_and_leaves_its_input(self, cls):
        encoder = cls()
        wide = np.repeat(noise(encoder.sample_rate, batch=2), 2, axis=2)
        kept = wide.copy()
        assert encoder.embed(wide[:, :, ::2]).tobytes() == encoder.embed(wide[:, :, ::2].copy()).tobytes()
        assert wide.tobytes() == kept.tobytes()


class TestGolden:
    """Values that a change of an encoder moves: change its ``version`` with them."""

    def test_logmel(self):
        assert LogMel.version == "1"
        embedding = LogMel().embed(signal(16000))[0]
        np.testing.assert_allclose(embedding[[0, 10, 40, 95, 96, 106, 136, 191]], GOLDEN["logmel"], rtol=1e-4)

    def test_mfcc(self):
        assert Mfcc.version == "1"
        embedding = Mfcc().embed(signal(16000))[0]
        np.testing.assert_allclose(embedding[[0, 1, 2, 19, 40, 41, 60, 61]], GOLDEN["mfcc"], rtol=1e-4)

    def test_chroma(self):
        assert Chroma.version == "1"
        embedding = Chroma().embed(signal(11025))[0]
        np.testing.assert_allclose(embedding[[0, 4, 5, 9, 21, 33, 45, 48, 52, 165]], GOLDEN["chroma"], rtol=1e-4)


class TestLogMel:
    def test_a_gain_moves_the_means_alone(self):
        loud, quiet = (LogMel().embed(noise(16000, level=level))[0] for level in (0.5, 0.05))
        np.testing.assert_allclose(loud[:96] - quiet[:96], 2, atol=1e-3)
        np.testing.assert_allclose(loud[96:], quiet[96:], atol=1e-3)

    def test_silence_is_the_floor(self):
        np.testing.assert_allclose(
            LogMel().embed(np.zeros((1, 1, 48000), np.float32))[0], [-10] * 96 + [0] * 96, atol=1e-5
        )

    def test_a_higher_sine_peaks_in_a_higher_band(self):
        bands = [int(LogMel().embed(tone([p], 16000, partials=1))[0, :96].argmax()) for p in range(48, 108, 12)]
        assert bands == sorted(set(bands))


class TestMfcc:
    def test_a_gain_moves_coefficient_zero_alone(self):
        loud, quiet = (Mfcc().embed(noise(16000, level=level))[0] for level in (0.5, 0.05))
        assert loud[0] - quiet[0] == pytest.approx(2 * np.sqrt(64), abs=1e-2)
        np.testing.assert_allclose(loud[1:], quiet[1:], atol=2e-3)

    def test_a_crescendo_has_a_positive_slope(self):
        swell = noise(16000) * np.logspace(-2, 0, 48000, dtype=np.float32)
        slope = Mfcc().embed(swell)[0, 20]
        frames_per_window = 150
        assert slope == pytest.approx(4 * 8 / frames_per_window, rel=0.05)


class TestChroma:
    def embed(self, pitches: list[float], **options) -> np.ndarray:
        return Chroma().embed(tone(pitches, 11025, **options))[0]

    def test_a440_is_a(self):
        embedding = self.embed([69], partials=1)
        assert embedding[9] > 0.99
        assert embedding[24:36].argmax() == 9
        assert embedding[12:24].max() < 0.01

    @pytest.mark.parametrize("pitch", range(28, 90, 3))
    def test_a_note_with_partials_is_its_pitch_class(self, pitch):
        embedding = self.embed([pitch], partials=8)
        assert embedding[24:36].argmax() == pitch % 12
        if pitch < 60:
            assert embedding[12:24].argmax() == pitch % 12

    @pytest.mark.parametrize("shift", range(1, 12))
    def test_a_transposed_chord_rotates_the_chroma(self, shift):
        root = self.embed([60, 64, 67], partials=3)
        moved = self.embed([60 + shift, 64 + shift, 67 + shift], partials=3)
        np.testing.assert_allclose(moved[:12], np.roll(root[:12], shift), atol=0.06)
        square = np.roll(root[48:].reshape(12, 12), (shift, shift), axis=(0, 1))
        np.testing.assert_allclose(moved[48:].reshape(12, 12), square, atol=0.06)

    @pytest.mark.parametrize("cents", [-40, -30, 15, 30, 40])
    def test_a_detuned_chord_stays_in_its_key(self, cents):
        tuned = self.embed([57, 61, 64])
        detuned = self.embed([57 + cents / 100, 61 + cents / 100, 64 + cents / 100])
        assert set(np.argsort(detuned[24:36])[-3:]) == {9, 1, 4}
        np.testing.assert_allclose(detuned, tuned, atol=0.05)

    @pytest.mark.parametrize("gain", [0.1, 0.5, 5.0])
    def test_a_gain_changes_nothing(self, gain):
        waveform = tone([45, 57, 61, 64], 11025) + noise(11025, level=0.01)
        encoder = Chroma()
        np.testing.assert_allclose(encoder.embed(waveform * np.float32(gain)), encoder.embed(waveform), atol=1e-3)

    def test_the_bass_is_heard_below_the_chord(self):
        embedding = self.embed([41, 72, 76, 79], partials=2)
        assert embedding[12:24].argmax() == 5

    def test_products_keep_the_order_of_chords(self):
        first, second = tone([60, 64, 67], 11025, 1.0), tone([62, 66, 69], 11025, 1.0)
        there = Chroma().embed(np.concatenate([first, second], axis=2))[0, 48:].reshape(12, 12)
        back = Chroma().embed(np.concatenate([second, first], axis=2))[0, 48:].reshape(12, 12)
        assert there[0, 2] > there[2, 0]
        assert back[0, 2] < back[2, 0]

    def test_silence_gives_zeros(self):
        assert not Chroma().embed(np.zeros((1, 1, 33075), np.float32)).any()
