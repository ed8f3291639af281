"""Signal processing of hand-crafted encoders: frames, spectra, mel bands, cosine transforms, spectral peaks, tuning.

Pure functions on float32 arrays of one waveform at a time, so that a row of a batch never depends on its neighbours:
the shape of every matrix product is that of one window. Frequencies are in Hz, pitches in MIDI semitones (A4 = 440 Hz
= 69), power is relative to a full-scale sine (a sine of amplitude 1 at a bin's centre has power 1, 0 dB).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

#: -100 dB: under 16-bit dither, so that digital silence and an empty band give a finite logarithm.
POWER_FLOOR = 1e-10


class Peaks(NamedTuple):
    """Local maxima of a spectrogram, K of them: the frame that holds each, its pitch and its power."""

    frame: Integers
    pitch: Floats
    power: Floats


def hann(n: int) -> Floats:
    """Return a periodic Hann window of ``n`` samples, scaled for :func:`power_spectrum` (it sums to 2)."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    return np.asarray(window * (2 / window.sum()), np.float32)


def frame(waveform: Floats, n: int, hop: int) -> Floats:
    """Cut a waveform [N] into frames [T, n] (a view), ``hop`` samples apart.

    Frames lie inside the waveform: the last N - n - (T - 1) * hop samples are left out. A waveform shorter than one
    frame gets zeros on both sides, since a repetition would add spectral lines that the sound does not have.
    """
    missing = n - len(waveform)
    if missing > 0:
        waveform = np.pad(waveform, (missing // 2, missing - missing // 2))
    return np.lib.stride_tricks.sliding_window_view(waveform, n)[::hop]


def power_spectrum(frames: Floats, window: Floats) -> Floats:
    """Return the power [T, n // 2 + 1] of frames [T, n] under ``window`` [n] (of :func:`hann`)."""
    spectrum = np.fft.rfft(frames * window, axis=-1)
    power: Floats = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    return power


def log_power(power: Floats) -> Floats:
    """Return log10(:data:`POWER_FLOOR` + power): bels re a full-scale sine, -10 for silence.

    A logarithm, and not log(1 + c * power): a gain then adds one constant to every band, which a probe can learn to
    ignore. Bels, and not decibels: the numbers stay of the order of 1, as a probe likes its inputs.
    """
    return np.asarray(np.log10(power + np.float32(POWER_FLOOR)))


def hz_to_mel(hz: float) -> float:
    """Return the HTK mel of a frequency: 2595 * log10(1 + hz / 700)."""
    return float(2595 * np.log10(1 + hz / 700))


def mel_filters(sample_rate: int, n_fft: int, bands: int, low: float, high: float) -> Floats:
    """Return triangular filters [n_fft // 2 + 1, bands], each with a peak of 1 (not of equal area).

    The corners of the triangles are equally spaced on the HTK mel scale between ``low`` and ``high`` Hz.

    Raises:
        ValueError: A band so narrow that no bin falls into it: fewer bands, or a longer ``n_fft``.
    """
    mels = np.linspace(hz_to_mel(low), hz_to_mel(high), bands + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    hz = np.fft.rfftfreq(n_fft, 1 / sample_rate)[:, None]
    rising = (hz - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - hz) / (corners[2:] - corners[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling))
    empty = np.flatnonzero(~filters.any(axis=0))
    if len(empty):
        raise ValueError(f"{len(empty)} of {bands} mel bands hold no bin of an FFT of {n_fft}: take fewer bands")
    return filters.astype(np.float32)


def dct_basis(n: int, count: int) -> Floats:
    """Return the first ``kept`` columns [n, kept] of the orthonormal DCT-II of length ``n``."""
    angle = np.pi / n * (np.arange(n)[:, None] + 0.5) * np.arange(count)
    basis = np.sqrt(2 / n) * np.cos(angle)
    basis[:, 0] /= np.sqrt(2)
    return np.asarray(basis, np.float32)


def deltas(features: Floats, reach: int = 2) -> Floats:
    """Return the slope per frame of features [T, D]: the regression of the HTK book (eq. 5.16) over ±``reach`` frames.

    The first and last frames are repeated beyond the ends, so that T stays and one frame has slope 0.
    """
    count = len(features)
    padded = np.pad(features, ((reach, reach), (0, 0)), mode="edge")
    slope = np.zeros_like(features)
    for step in range(1, reach + 1):
        ahead = padded[reach + step : reach + step + count]
        behind = padded[reach - step : reach - step + count]
        slope += np.float32(step) * (ahead - behind)
    return slope / np.float32(2 * sum(step * step for step in range(1, reach + 1)))


def mean_and_deviation(features: Floats) -> Floats:
    """Return the mean and the (population) standard deviation over time of features [T, D], end to end: [2 * D]."""
    mean = features.mean(axis=0)
    return np.concatenate([mean, np.sqrt(np.square(features - mean).mean(axis=0))])


def hz_to_pitch(hz: NDArray[np.floating]) -> Floats:
    """Return frequencies in Hz as MIDI pitches in (fractional) semitones."""
    return (69 + 12 * np.log2(hz / 440)).astype(np.float32)


def spectral_peaks(power: Floats, hz_per_bin: float, low: float, high: float, depth: float) -> Peaks:
    """Find the local maxima of a spectrogram [T, F] between ``low`` and ``high`` Hz.

    A parabola through the log power of a maximum and its two neighbours places it between the bins (Smith and Serra
    1987). Peaks more than ``depth`` dB under the loudest of their frame, or under :data:`POWER_FLOOR`, are left out.
    """
    first, last = max(1, int(np.ceil(low / hz_per_bin))), min(power.shape[1] - 2, int(high / hz_per_bin))
    inside = power[:, first : last + 1]
    loudest = inside.max(axis=1, keepdims=True)
    threshold = np.maximum(loudest * np.float32(10 ** (-depth / 10)), np.float32(POWER_FLOOR))
    is_peak = inside > threshold
    is_peak &= inside > power[:, first - 1 : last]
    is_peak &= inside >= power[:, first + 1 : last + 2]
    row, column = np.nonzero(is_peak)
    column += first
    tiny = np.finfo(np.float32).tiny
    before, at, after = (np.log(np.maximum(power[row, column + step], tiny)) for step in (-1, 0, 1))
    curvature = before - 2 * at + after
    offset = np.float32(0.5) * (before - after) / np.minimum(curvature, np.float32(-1e-6))
    offset = np.clip(offset, np.float32(-0.5), np.float32(0.5))
    height = np.exp(at - np.float32(0.25) * (before - after) * offset)
    return Peaks(row, hz_to_pitch((column + offset) * hz_per_bin), height)


def tuning(pitch: Floats, weight: Floats) -> float:
    """Return the distance in semitones, in [-0.5, 0.5], of peaks [K] from the grid of equal temperament at A4 = 440 Hz.

    It is the weighted circular mean of the fractional parts, 0 for no peaks.
    """
    angle = np.float32(2 * np.pi) * (pitch - np.rint(pitch))
    sine, cosine = (weight * np.sin(angle)).sum(), (weight * np.cos(angle)).sum()
    return float(np.arctan2(sine, cosine) / (2 * np.pi))


def semitone_map(peaks: Peaks, weight: Floats, frames: int, low: int, high: int) -> Floats:
    """Sum weights [K] of peaks into semitones ``low`` to ``high`` - 1: [frames, high - low].

    A peak between two semitones is shared by them in proportion, so that a small error of pitch is a small error here.
    """
    count = high - low
    position = np.clip(peaks.pitch - np.float32(low), np.float32(0), np.float32(count - 1))
    below = position.astype(np.int64)
    share = position - below
    above = np.minimum(below + 1, count - 1)
    cell = np.concatenate([peaks.frame * count + below, peaks.frame * count + above])
    shares = np.concatenate([weight * (1 - share), weight * share])
    return np.bincount(cell, weights=shares, minlength=frames * count).reshape(frames, count).astype(np.float32)


def fold_octaves(low: int, high: int) -> Floats:
    """Return the matrix [high - low, 12] that adds semitones up into pitch classes (0 = C)."""
    return np.eye(12, dtype=np.float32)[np.arange(low, high) % 12]


def sum_harmonics(low: int, high: int, harmonics: int, decay: float) -> Floats:
    """Return the matrix [high - low, high - low] that gives each semitone to the notes that it may be a partial of.

    A spectral line of weight 1 adds ``decay`` ** (h - 1) to the note h times lower, for h = 1 to ``harmonics``, shared
    by the two nearest semitones (after Gomez 2006). The result is a salience of notes rather than of partials.
    """
    count = high - low
    matrix = np.zeros((count, count))
    line = np.arange(count)
    for h in range(1, harmonics + 1):
        note = line - 12 * np.log2(h)
        below = np.floor(note).astype(int)
        for semitone, share in ((below, 1 - (note - below)), (below + 1, note - below)):
            inside = (semitone >= 0) & (semitone < count)
            matrix[line[inside], semitone[inside]] += share[inside] * decay ** (h - 1)
    return matrix.astype(np.float32)


def lengths(features: Floats) -> Floats:
    """Return the Euclidean lengths [T, 1] of the rows of features [T, D]."""
    return np.asarray(np.sqrt(np.square(features).sum(axis=1, keepdims=True)))


def over(features: Floats, scale: Floats) -> Floats:
    """Return features [T, D] / scale [T, 1]; rows with a scale of zero stay as they are."""
    return np.asarray(features / np.where(scale > 0, scale, np.float32(1)), np.float32)


def unit_rows(features: Floats) -> Floats:
    """Return features [T, D] with rows of Euclidean length 1; a row of zeros stays as it is."""
    return over(features, lengths(features))
