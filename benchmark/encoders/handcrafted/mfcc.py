"""Mel-frequency cepstral coefficients: the hand-made features that timbre has been described with since the 1980s."""

from __future__ import annotations

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.handcrafted.spectra import (
    Floats,
    dct_basis,
    deltas,
    frame,
    hann,
    log_power,
    mean_and_deviation,
    mel_filters,
    power_spectrum,
)


class Mfcc(Encoder):
    """Mean and standard deviation over time of 20 MFCCs and their deltas: [20 + 20 means, 20 + 20 deviations].

    16 kHz; Hann frames of 1024 samples (64 ms), 320 apart (20 ms); 64 triangular bands with a peak of 1, HTK mel
    scale, 30 to 8000 Hz; log10(1e-10 + power) re a full-scale sine; orthonormal DCT-II, coefficients 0 (loudness) to
    19, no lifter. Deltas are slopes per frame over ±2 frames; there are no delta-deltas. A gain moves coefficient 0
    alone. Audio shorter than a frame is centred between zeros.
    """

    name = "mfcc"
    version = "1"
    sample_rate = 16000
    minimum_seconds = 0.1
    dim = 80
    arrays = "numpy"

    n_fft, hop, bands, low, high = 1024, 320, 64, 30.0, 8000.0
    coefficients = 20

    def __init__(self) -> None:
        self._window = hann(self.n_fft)
        self._filters = mel_filters(self.sample_rate, self.n_fft, self.bands, self.low, self.high)
        self._basis = dct_basis(self.bands, self.coefficients)

    def embed(self, waveforms: Floats) -> Floats:
        """Embed waveforms, float32 [B, 1, N] at 16 kHz, as float32 [B, 80]."""
        return np.stack([self._embed(waveform) for waveform in waveforms[:, 0]])

    def _embed(self, waveform: Floats) -> Floats:
        power = power_spectrum(frame(waveform, self.n_fft, self.hop), self._window)
        cepstra = log_power(power @ self._filters) @ self._basis
        return mean_and_deviation(np.concatenate([cepstra, deltas(cepstra)], axis=1))
