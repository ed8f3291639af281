"""Tuned chroma: statistics of pitch classes, the hand-crafted features of key and harmony."""

from __future__ import annotations

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.handcrafted.spectra import (
    Floats,
    fold_octaves,
    frame,
    hann,
    lengths,
    over,
    power_spectrum,
    semitone_map,
    spectral_peaks,
    sum_harmonics,
    tuning,
    unit_rows,
)


class Chroma(Encoder):
    """Statistics of 12 pitch classes (0 = C) over a window: 192 numbers that no gain moves (above -100 dB).

    11,025 Hz; Hann frames of 4096 samples (372 ms), 1024 apart (93 ms), a shorter sound centred between zeros. Spectral
    peaks from 26 to 3000 Hz, at most 60 dB under the loudest of their frame, weigh power ** 0.25 (the square root of
    the amplitude: partials count for more against fundamentals, and voices against drums). The tuning of the window is
    taken off their pitches before they are summed into 84 semitones (MIDI 20 to 103) and folded into pitch classes in
    three ways, a frame scaled to length 1:

    - all: every peak as it is;
    - low: peaks below about D3 (a logistic slope at MIDI 50, 2 semitones wide), where the bass says what the root is;
      scaled by 1 / (its length + 0.1 * the length of all), so that without a bass it goes to zero, not to the noise;
    - notes: squared harmonic sums (8 harmonics, weights 0.8 ** (h - 1)), so that a partial speaks for its fundamental.

    The embedding is [12 means of all, 12 of low, 12 of notes, 12 deviations of notes over time, 144 mean products of
    ``all`` in one frame (rows) and in the next (columns)]. The products say which pitch classes sound together and
    follow one another, which means alone cannot. Silence gives zeros.
    """

    name = "chroma"
    version = "1"
    sample_rate = 11025
    minimum_seconds = 0.1
    dim = 192
    arrays = "numpy"

    n_fft, hop = 4096, 1024
    low_hz, high_hz, depth = 26.0, 3000.0, 60.0
    lowest, highest = 20, 104
    compression = 0.25
    harmonics, decay = 8, 0.8
    bass_centre, bass_slope, bass_share = 50.0, 2.0, 0.1
    #: The tuning is heard above 110 Hz only: at 110 Hz a semitone is 2.4 bins, and lower peaks lie less exactly.
    tuning_from = 45.0

    def __init__(self) -> None:
        self._window = hann(self.n_fft)
        self._fold = fold_octaves(self.lowest, self.highest)
        semitones = np.arange(self.lowest, self.highest)[:, None]
        bass = 1 / (1 + np.exp((semitones - self.bass_centre) / self.bass_slope))
        self._fold_bass = self._fold * bass.astype(np.float32)
        self._sum_harmonics = sum_harmonics(self.lowest, self.highest, self.harmonics, self.decay)

    def embed(self, waveforms: Floats) -> Floats:
        """Embed waveforms, float32 [B, 1, N] at 11,025 Hz, as float32 [B, 192] in [0, 1]."""
        return np.stack([self._embed(waveform) for waveform in waveforms[:, 0]])

    def _embed(self, waveform: Floats) -> Floats:
        semitones = self._semitones(waveform)
        every, low = semitones @ self._fold, semitones @ self._fold_bass
        low = over(low, lengths(low) + np.float32(self.bass_share) * lengths(every))
        every = unit_rows(every)
        notes = unit_rows(np.square(unit_rows(semitones @ self._sum_harmonics)) @ self._fold)
        now, then = (every[:-1], every[1:]) if len(every) > 1 else (every, every)
        products = now.T @ then / np.float32(len(now))
        means = [chroma.mean(axis=0) for chroma in (every, low, notes)]
        return np.concatenate([*means, notes.std(axis=0), products.ravel()])

    def _semitones(self, waveform: Floats) -> Floats:
        """Return the weights of 84 tuned semitones per frame: [T, 84]."""
        power = power_spectrum(frame(waveform, self.n_fft, self.hop), self._window)
        peaks = spectral_peaks(power, self.sample_rate / self.n_fft, self.low_hz, self.high_hz, self.depth)
        weight = peaks.power ** np.float32(self.compression)
        deviation = tuning(peaks.pitch, weight * (peaks.pitch > self.tuning_from))
        tuned = peaks._replace(pitch=peaks.pitch - np.float32(deviation))
        return semitone_map(tuned, weight, len(power), self.lowest, self.highest)
