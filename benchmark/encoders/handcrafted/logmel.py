"""Log-mel statistics: the simplest description of a timbre, and a baseline of every encoder."""

from __future__ import annotations

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.handcrafted.spectra import (
    Floats,
    frame,
    hann,
    log_power,
    mean_and_deviation,
    mel_filters,
    power_spectrum,
)


class LogMel(Encoder):
    """Mean and standard deviation over time of 96 log-mel bands: [96 means, 96 deviations].

    16 kHz; Hann frames of 1024 samples (64 ms), 320 apart (20 ms); 96 triangular bands with a peak of 1, HTK mel
    scale, 30 to 8000 Hz. The unit is the bel re a full-scale sine, log10(1e-10 + power): a gain of 20 dB adds 2 to the
    means and leaves the deviations, down to the floor at -10 (-100 dB). Audio shorter than a frame is centred between
    zeros.
    """

    name = "logmel"
    version = "1"
    sample_rate = 16000
    minimum_seconds = 0.1
    dim = 192
    arrays = "numpy"

    n_fft, hop, bands, low, high = 1024, 320, 96, 30.0, 8000.0

    def __init__(self) -> None:
        self._window = hann(self.n_fft)
        self._filters = mel_filters(self.sample_rate, self.n_fft, self.bands, self.low, self.high)

    def embed(self, waveforms: Floats) -> Floats:
        """Embed waveforms, float32 [B, 1, N] at 16 kHz, as float32 [B, 192] in bels."""
        return np.stack([self._embed(waveform) for waveform in waveforms[:, 0]])

    def _embed(self, waveform: Floats) -> Floats:
        power = power_spectrum(frame(waveform, self.n_fft, self.hop), self._window)
        return mean_and_deviation(log_power(power @ self._filters))
