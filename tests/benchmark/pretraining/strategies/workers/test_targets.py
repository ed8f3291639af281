"""Targets of workers against librosa, against the hand-crafted encoders, and on signals with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.encoders.handcrafted.spectra import dct_basis, frame, hann, log_power, mel_filters, power_spectrum
from benchmark.pretraining.strategies.workers import targets
from benchmark.pretraining.strategies.workers.crops import HOP, SHORT, Crops
from benchmark.pretraining.strategies.workers.table import WORKERS

RATE, FRAMES = 16_000, 120
#: Frames that no mirrored end reaches into.
INSIDE = slice(8, FRAMES - 8)


def chord(*hz: float, frames: int = FRAMES, gain: float = 0.2) -> np.ndarray:
    times = np.arange(frames * HOP) / RATE
    return (gain * sum(np.sin(2 * np.pi * each * times + each) for each in hz)).astype(np.float32)


def noise(seed: int = 0, frames: int = FRAMES) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, frames * HOP).astype(np.float32)


def clicks(every: int, frames: int = 400) -> np.ndarray:
    """Return bursts of noise, one every ``every`` frames."""
    return noise(frames=frames) * ((np.arange(frames * HOP) // HOP) % every < 2)


def crops(*waveforms: np.ndarray) -> Crops:
    return Crops(torch.from_numpy(np.stack(waveforms)))


def target(name: str, *waveforms: np.ndarray) -> Tensor:
    return WORKERS[name].target(crops(*waveforms))


@pytest.mark.parametrize("name", list(WORKERS))
def test_shapes_are_those_of_the_table_and_rows_do_not_mix(name: str) -> None:
    first, second = noise(1), chord(220.0)
    both = target(name, first, second)
    assert both.shape == (2, WORKERS[name].width, FRAMES)
    assert both.dtype == torch.float32
    torch.testing.assert_close(both[1:], target(name, second), rtol=1e-4, atol=1e-4)
    assert both[0].std() > 1e-3


@pytest.mark.parametrize("name", list(WORKERS))
@pytest.mark.parametrize("silence", [0.0, 1e-9])
def test_silence_is_finite_and_constant(name: str, silence: float) -> None:
    found = target(name, np.full(FRAMES * HOP, silence, np.float32))
    assert torch.isfinite(found).all()
    assert found.std(dim=2).max() < 1e-5
    if name in ("chroma", "tempogram"):
        assert found.abs().max() < 1e-3


def test_crops_that_are_no_frames_are_refused() -> None:
    for shape in ((2, 1601), (1600,), (1, 960)):
        with pytest.raises(ValueError, match="are wanted"):
            Crops(torch.zeros(shape))


def test_a_frame_is_the_samples_from_its_centre_on() -> None:
    samples = np.arange(FRAMES * HOP, dtype=np.float32)
    assert target("waveform", samples)[0, :, 3].tolist() == samples[480:640].tolist()


def test_cepstra_and_bands_are_those_of_the_hand_crafted_encoders() -> None:
    """Frames that begin half a window before their centre are the hand-crafted ones; 2048 points give finer bands."""
    samples = noise(2)
    frames = np.pad(frame(samples, SHORT, HOP), ((0, 0), (SHORT // 2, SHORT // 2)))
    window = np.pad(hann(SHORT), SHORT // 2)
    power = power_spectrum(frames, window)
    for name, bands in (("log-mel", 96), ("mfcc", 64)):
        expected = log_power(power @ mel_filters(RATE, 2048, bands, 30.0, 8000.0))
        if name == "mfcc":
            expected = expected @ dct_basis(64, 20)
        # The hand-crafted frame t lies between samples 160 t and 160 t + 1024: its centre is 512 further on.
        shifted = target(name, np.roll(samples, HOP * 4 - SHORT // 2))[0, :, 4 : 4 + len(expected)].T
        np.testing.assert_allclose(shifted[4:-4].numpy(), expected[4 : len(shifted) - 4], rtol=1e-3, atol=2e-4)


class TestAgainstLibrosa:
    """librosa computes the same from other code; frames at the ends are mirrored otherwise and left out."""

    @pytest.fixture
    def librosa(self):
        return pytest.importorskip("librosa")

    def test_log_mel_and_mfcc(self, librosa):
        samples = noise(3) + chord(300.0, 1234.0)
        for name, bands in (("log-mel", 96), ("mfcc", 64)):
            power = np.abs(librosa.stft(samples, n_fft=2048, win_length=1024, hop_length=HOP, pad_mode="reflect")) ** 2
            filters = librosa.filters.mel(
                sr=RATE, n_fft=2048, n_mels=bands, fmin=30.0, fmax=8000.0, htk=True, norm=None
            )
            expected = np.log10(filters @ (power * (2 / 512) ** 2) + 1e-10)
            if name == "mfcc":
                expected = librosa.feature.mfcc(S=expected, n_mfcc=20)
            np.testing.assert_allclose(target(name, samples)[0].numpy(), expected[:, :FRAMES], rtol=1e-3, atol=1e-3)

    def test_rms_and_zero_crossings(self, librosa):
        samples = noise(4) * np.linspace(0.1, 1, FRAMES * HOP, dtype=np.float32)
        found = target("prosody", samples)[0].numpy()
        rms = librosa.feature.rms(y=samples, frame_length=1024, hop_length=HOP)[0]
        np.testing.assert_allclose(found[2, INSIDE], rms[INSIDE], rtol=1e-4)
        rate = librosa.feature.zero_crossing_rate(samples, frame_length=1024, hop_length=HOP)[0]
        np.testing.assert_allclose(found[3, INSIDE], rate[INSIDE], atol=1.01 / 1024)  # librosa has no crossing before

    def test_local_autocorrelation_is_its_tempogram(self, librosa):
        onsets = np.zeros(300, np.float32)
        onsets[5:290:25] = np.linspace(1, 2, 12)
        onsets[1:-1] += np.random.default_rng(0).random(298) * 0.1
        found = targets.local_autocorrelation(torch.from_numpy(onsets)[None])[0].numpy()
        expected = librosa.feature.tempogram(onset_envelope=onsets, win_length=256, norm=None).T
        np.testing.assert_allclose(found, (expected / expected[:, :1])[:300], atol=1e-4)

    def test_chroma_agrees_on_chords(self, librosa):
        """Its filters are of another form: the same classes stand out."""
        for hz in ((261.63, 329.63, 392.0), (220.0, 277.18, 329.63, 440.0), (146.83, 174.61, 220.0)):
            samples = chord(*hz) + 0.05 * noise(5)
            found = target("chroma", samples)[0, :, INSIDE].mean(1).numpy()
            other = librosa.feature.chroma_stft(y=samples, sr=RATE, n_fft=2048, hop_length=HOP, tuning=0.0, norm=np.inf)
            assert np.corrcoef(found, other[:, INSIDE].mean(1))[0, 1] > 0.9
            assert set(np.argsort(found)[-3:]) == set(np.argsort(other.mean(1))[-3:])

    def test_pitch_agrees_on_a_voice(self, librosa):
        times = np.arange(FRAMES * HOP) / RATE
        phase = 2 * np.pi * np.cumsum(180 + 40 * np.sin(2 * np.pi * 1.5 * times)) / RATE
        voice = sum(np.sin(k * phase) / k for k in range(1, 9)).astype(np.float32) * 0.1
        found = 245 * 2 ** target("prosody", voice)[0, 0, INSIDE].numpy()
        expected = librosa.yin(voice, fmin=60, fmax=1000, sr=RATE, frame_length=1024, hop_length=HOP)[INSIDE]
        assert np.median(np.abs(12 * np.log2(found / expected))) < 0.3  # semitones


@pytest.mark.parametrize("hz", [65.0, 110.0, 245.0, 440.0, 777.7, 940.0])
def test_pitch_of_a_tone(hz: float) -> None:
    pitch, periodicity, rms, crossings = target("prosody", chord(hz))[0, :, INSIDE].mean(1).tolist()
    assert 245 * 2**pitch == pytest.approx(hz, rel=0.012)
    assert periodicity > 0.95
    assert rms == pytest.approx(0.2 / np.sqrt(2), rel=0.05)
    assert crossings == pytest.approx(2 * hz / RATE, rel=0.05)


def test_noise_has_no_pitch() -> None:
    pitch, periodicity = target("prosody", noise(6))[0, :2]
    assert (periodicity < 0.5).float().mean() > 0.95
    assert (pitch[periodicity < 0.5] == 0).all()


@pytest.mark.parametrize("note", range(12))
def test_chroma_of_a_note_stands_out(note: int) -> None:
    found = target("chroma", chord(440 * 2 ** ((note + 60 - 69) / 12)))[0, :, INSIDE]
    assert (found.argmax(0) == note).all()
    assert found.amax(0).tolist() == pytest.approx([1.0] * found.shape[1])
    louder = target("chroma", 3 * chord(440 * 2 ** ((note + 60 - 69) / 12)))[0, :, INSIDE]
    torch.testing.assert_close(found, louder, rtol=0, atol=1e-4)


@pytest.mark.parametrize("every", [25, 40, 60])
def test_tempogram_of_clicks_has_their_distance(every: int) -> None:
    found = target("tempogram", clicks(every))[0, :, 150:250].mean(1).numpy()
    centres = np.geomspace(16, 128, 34)[1:-1]
    # The distance, or a multiple of it: a repetition repeats.
    assert min(abs(np.log2(centres[found.argmax()] / (every * k))) for k in (1, 2, 3)) < np.log2(8) / 33
    assert found.max() > 3 * np.median(found)
