"""What workers predict: pure functions of waveforms at 16 kHz, at 100 frames a second.

Which targets Wu et al. 2021 took, and their settings, could not be found: these six are ours, in the manner of PASE
(Pascual et al. 2019), whose waveform, spectrum, cepstrum and prosody are joined here by chroma and tempogram. None is
standardised: :mod:`benchmark.pretraining.strategies.workers.statistics` does that. Silence gives finite numbers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmark.encoders.handcrafted.spectra import dct_basis
from benchmark.pretraining.strategies.workers.crops import HOP, POINTS, SAMPLE_RATE, SHORT, Crops, hann_on

#: Samples of the frames of chroma: 128 ms, to tell the semitones of a bass apart.
LONG = 2048
MEL_BANDS, CEPSTRUM_BANDS, COEFFICIENTS = 96, 64, 20
#: -100 dB.
AMPLITUDE_FLOOR = 1e-5
#: MIDI pitches that chroma hears: C2 (65 Hz) to B7 (3951 Hz).
LOWEST_PITCH, HIGHEST_PITCH = 36, 107
#: Frames of a tempogram's autocorrelation (2.56 s), and its lags: 375 down to 47 beats a minute.
TEMPO_FRAMES, TEMPO_LAGS, TEMPO_BINS = 256, (16, 128), 32
#: Lags of a pitch in samples: 1000 down to 60 Hz.
PITCH_LAGS = (16, 267)
#: Octaves are counted from here: the middle of these lags, in Hz.
PITCH_CENTRE = 245.0
#: What a pitch an octave lower must be better by (Boersma 1993 has 0.01; lags here are whole samples).
OCTAVE_COST = 0.03
#: The least periodicity that has a pitch.
VOICED = 0.5


def waveform(crops: Crops) -> Tensor:
    """Return the 160 samples from each frame's centre on: [N, 160, T]."""
    return crops.waveforms.reshape(-1, crops.frames, HOP).transpose(1, 2)


def log_mel(crops: Crops) -> Tensor:
    """Return log10(1e-10 + power) of 96 mel bands, 30 Hz to 8 kHz (HTK scale, peaks of 1): [N, 96, T], in bels."""
    return crops.log_bands(MEL_BANDS)


def mfcc(crops: Crops) -> Tensor:
    """Return coefficients 0 to 19 of the orthonormal cosine transform of 64 log-mel bands: [N, 20, T]."""
    return _cosines(crops.waveforms.device) @ crops.log_bands(CEPSTRUM_BANDS)


def chroma(crops: Crops) -> Tensor:
    """Return the amplitude of 12 pitch classes (0 = C) over the largest of the frame: [N, 12, T], silence is 0.

    A bin is shared by the two nearest semitones of equal temperament at A4 = 440 Hz.
    """
    found = _pitch_classes(crops.waveforms.device) @ crops.power(LONG).sqrt()
    return found / found.amax(1, keepdim=True).clamp_min(AMPLITUDE_FLOOR)


def tempogram(crops: Crops) -> Tensor:
    """Return how the onsets around each frame repeat: [N, 32, T], the autocorrelation over its value at lag 0.

    Onsets are the mean over mel bands of what rises from the frame before. Their 2.56 s around a frame, zeros beyond
    the crop, under a Hann window; lags of 0.16 to 1.28 s, pooled by triangles into 32 bins of equal ratio.
    """
    onsets = functional.pad(log_mel(crops).diff(dim=2).clamp_min_(0).mean(1), (1, 0))
    lagged = local_autocorrelation(onsets) @ _tempo_bins(onsets.device)
    return lagged.transpose(1, 2)


def local_autocorrelation(onsets: Tensor) -> Tensor:
    """Return the autocorrelation of onsets [N, T] around each frame over its value at lag 0: [N, T, 256 lags].

    Where nothing rises, it is 0.
    """
    half = TEMPO_FRAMES // 2
    window = torch.hann_window(TEMPO_FRAMES, device=onsets.device)
    around = functional.pad(onsets, (half, half - 1)).unfold(1, TEMPO_FRAMES, 1) * window
    spectrum = torch.fft.rfft(around, n=2 * TEMPO_FRAMES)
    power = spectrum.real.square().add_(spectrum.imag.square())
    lagged = torch.fft.irfft(power, n=2 * TEMPO_FRAMES)[..., :TEMPO_FRAMES]
    return lagged / lagged[..., :1].clamp_min(1e-9)


def prosody(crops: Crops) -> Tensor:
    """Return pitch, periodicity, RMS amplitude and the rate of zero crossings of frames of 64 ms: [N, 4, T].

    Music has no one fundamental frequency: the pitch is that of the strongest repetition, the highest peak of the
    autocorrelation over that of the window (Boersma 1993) between 60 and 1000 Hz, in octaves from 245 Hz; it is 0 where
    the periodicity, the height of that peak, is under 0.5. PASE interpolates the logarithm of F0 over unvoiced frames,
    and has a flag for them; the periodicity takes the flag's place.
    """
    pitch, periodicity = _strongest_repetition(crops)
    mirrored = functional.pad(crops.waveforms[:, None], (SHORT // 2, SHORT // 2), mode="reflect")
    rms = functional.avg_pool1d(mirrored.square(), SHORT, HOP)[:, 0, : crops.frames].sqrt()
    positive = mirrored >= 0
    crossed = functional.pad(positive[..., 1:] != positive[..., :-1], (1, 0)).to(mirrored.dtype)
    rate = functional.avg_pool1d(crossed, SHORT, HOP)[:, 0, : crops.frames]
    return torch.stack([torch.where(periodicity >= VOICED, pitch, 0), periodicity, rms, rate], dim=1)


def _strongest_repetition(crops: Crops) -> tuple[Tensor, Tensor]:
    """Return the pitch [N, T] in octaves from 245 Hz, and the periodicity [N, T] from 0 to 1."""
    low, high = PITCH_LAGS
    lagged = torch.fft.irfft(crops.power(SHORT).transpose(1, 2), n=POINTS)
    # One lag more on both sides, for the parabola. Quieter than -100 dB, all goes to 0.
    scale = lagged[..., :1].clamp_min(1e-12)
    near = lagged[..., low - 1 : high + 2] / (scale * _window_repetition(lagged.device))
    cost = OCTAVE_COST * torch.log2(torch.arange(low, high + 1, device=lagged.device))
    middle = near[..., 1:-1]
    is_peak = (middle > near[..., :-2]) & (middle >= near[..., 2:])  # the slope behind lag 0 is none
    best = torch.where(is_peak, middle - cost, -torch.inf).argmax(-1, keepdim=True)
    before, at, after = (near.gather(-1, best + step)[..., 0] for step in (0, 1, 2))
    curvature = (before - 2 * at + after).clamp_max(-1e-6)
    shift = (0.5 * (before - after) / curvature).clamp(-0.5, 0.5)
    pitch = torch.log2(SAMPLE_RATE / PITCH_CENTRE / (low + best[..., 0] + shift))
    height = (at - 0.25 * (before - after) * shift).clamp(0, 1)
    return pitch, torch.where(is_peak.any(-1), height, 0.0)


@lru_cache(maxsize=4)
def _cosines(device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(dct_basis(CEPSTRUM_BANDS, COEFFICIENTS).T)).to(device)


@lru_cache(maxsize=4)
def _pitch_classes(device: torch.device) -> Tensor:
    """Return float32 [12, 1025]: the share of each bin in each pitch class."""
    bins = np.arange(1, POINTS // 2 + 1)
    pitches = 69 + 12 * np.log2(bins * SAMPLE_RATE / POINTS / 440)
    semitones = np.arange(LOWEST_PITCH, HIGHEST_PITCH + 1)
    shares = np.maximum(0, 1 - np.abs(pitches - semitones[:, None]))
    matrix = np.zeros((12, POINTS // 2 + 1), np.float32)
    np.add.at(matrix[:, 1:], semitones % 12, shares.astype(np.float32))
    return torch.from_numpy(matrix).to(device)


@lru_cache(maxsize=4)
def _tempo_bins(device: torch.device) -> Tensor:
    """Return float32 [256, 32]: triangles over the lags, each of sum 1, their peaks at equal ratios."""
    corners = np.geomspace(*TEMPO_LAGS, TEMPO_BINS + 2)
    lags = np.arange(TEMPO_FRAMES)[:, None]
    rising = (lags - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - lags) / (corners[2:] - corners[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    return torch.from_numpy((triangles / triangles.sum(0)).astype(np.float32)).to(device)


@lru_cache(maxsize=4)
def _window_repetition(device: torch.device) -> Tensor:
    """Return the autocorrelation of the short window over its value at lag 0, at the lags of a pitch and one beyond."""
    window = hann_on(SHORT, torch.device("cpu")).double()
    lagged = torch.fft.irfft(torch.fft.rfft(window, n=POINTS).abs().square(), n=POINTS)
    found = lagged[PITCH_LAGS[0] - 1 : PITCH_LAGS[1] + 2] / lagged[0]
    return found.float().to(device)
