"""``random``: a fixed random projection of log-mel frames, the baseline of an untrained network."""

from __future__ import annotations

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.handcrafted.logmel import LogMel
from benchmark.encoders.handcrafted.spectra import (
    Floats,
    frame,
    hann,
    log_power,
    mean_and_deviation,
    mel_filters,
    power_spectrum,
)


class RandomProjection(Encoder):
    """Mean and standard deviation over time of 256 random features of log-mel frames: the honest floor of learning.

    The frames are those of ``logmel`` (96 bands in bels, every 20 ms). Each is centred and scaled by two constants,
    (x + 5) / 2 for bands between about -10 and 0 bels, multiplied by a matrix [96, 256] of normal numbers with variance
    1 / 96, and goes through ReLU. The embedding is [256 means, 256 deviations].

    The matrix is drawn from Philox with :attr:`seed` and rounded to multiples of 2 ** -12, which hides the last digits
    of a platform's logarithm. It is an attribute, so that a generator that drew others would change the fingerprint.
    """

    name = "random"
    version = "1"
    sample_rate = LogMel.sample_rate
    minimum_seconds = LogMel.minimum_seconds
    features = 256
    dim = 2 * features
    arrays = "numpy"
    notes = ("Nothing here was learnt or tuned; the matrix is the same on every machine.",)

    seed = 1
    centre, spread = np.float32(-5.0), np.float32(2.0)

    def __init__(self) -> None:
        self._window = hann(LogMel.n_fft)
        self._filters = mel_filters(self.sample_rate, LogMel.n_fft, LogMel.bands, LogMel.low, LogMel.high)
        self._matrix = projection(self.seed, LogMel.bands, self.features)

    def embed(self, waveforms: Floats) -> Floats:
        """Embed waveforms, float32 [B, 1, N] at 16 kHz, as float32 [B, 512]."""
        return np.stack([self._embed(waveform) for waveform in waveforms[:, 0]])

    def _embed(self, waveform: Floats) -> Floats:
        power = power_spectrum(frame(waveform, LogMel.n_fft, LogMel.hop), self._window)
        bands = (log_power(power @ self._filters) - self.centre) / self.spread
        return mean_and_deviation(np.maximum(bands @ self._matrix, np.float32(0)))


def projection(seed: int, rows: int, columns: int) -> Floats:
    """Return a matrix [rows, columns] of normal numbers with variance 1 / rows, multiples of 2 ** -12."""
    generator = np.random.Generator(np.random.Philox(seed))
    normal = generator.standard_normal((rows, columns)) / np.sqrt(rows)
    return np.asarray(np.rint(normal * 4096) / 4096, np.float32)
