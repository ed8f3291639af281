"""Resampling as published pipelines did it, where another filter would give another embedding.

Two windowed-sinc resamplers, each with the filter of a well-known program:

- :func:`kaiser_best`: resampy 0.4 under librosa 0.9, filter ``kaiser_best`` (equal within float32 rounding);
- :func:`swresample`: FFmpeg's default resampler (equal within one step of 16 bits).

For everything else :mod:`benchmark.audio.decode` has soxr. Rates are whole numbers, so the position of an output sample
between two input samples takes finitely many values, its *phases*. The filter is evaluated once for each, in float64,
and all samples are matrix products of float32: one row holds the input around a few phases, one column is a phase.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

#: The filter ``kaiser_best`` of resampy 0.4: zero crossings on each side, table entries between two of them, the beta
#: of its Kaiser window, and where it rolls off as a fraction of the lower Nyquist frequency.
ZEROS, PRECISION, BETA, ROLLOFF = 50, 2**13, 12.984585247040, 0.9173473712608761

#: FFmpeg's filter: taps where it does not reduce the rate, the beta of its Kaiser window, and its cut-off.
SWR_TAPS, SWR_BETA, SWR_CUTOFF = 32, 9.0, 0.97

#: Phases in one matrix product: more make rows that overlap less, and products with more zeros in them.
COLUMNS = 32


@dataclass(frozen=True)
class Filter:
    """The taps of a resampler from ``step`` input samples to P output samples, for each of P phases.

    Output q * P + p is the sum over j of ``taps[p, j]`` * input[q * step + p * step // P + j - ``before``].
    """

    taps: Doubles
    step: int
    before: int


@dataclass(frozen=True)
class _Products:
    """A :class:`Filter` as matrices: row r of a product reads input r * ``step`` + offset onwards.

    Attributes:
        matrices: Pairs of an offset and float32 [input samples, phases], in order of the phases.
        phases: Output samples in a row, over all matrices.
        step: Input samples from one row to the next; no matrix is longer, so that BLAS takes the rows as they lie.
        before: Input samples before the first that the first row needs.
        reach: Input samples from the start of a row to the end of what it reads.
    """

    matrices: tuple[tuple[int, Floats], ...]
    phases: int
    step: int
    before: int
    reach: int


def kaiser_best(samples: Floats, rate: int, target: int) -> Floats:
    """Resample a waveform as ``librosa.resample`` 0.9 did by default, with resampy's filter ``kaiser_best``.

    Beyond its ends the waveform is zero. The energy is not rescaled. Where n * target / rate is not whole, the last
    sample is zero: resampy gives the whole part of that length, and librosa appends a zero to have it rounded up.

    Args:
        samples: float32 [n].
        rate: Its rate in Hz.
        target: The wanted rate in Hz.

    Returns:
        float32 [ceil(n * target / rate)].

    Raises:
        ValueError: ``samples`` is not one channel, or a rate is not positive.
    """
    samples = _checked(samples, rate, target)
    if rate == target:
        return samples.copy()
    products = _kaiser_best_products(*_ratio(rate, target))
    filled, length = len(samples) * target // rate, -(-len(samples) * target // rate)
    resampled = np.zeros(length, np.float32)
    resampled[:filled] = _apply(products, [np.zeros(products.before, np.float32), samples], filled)
    return resampled


def swresample(samples: Floats, rate: int, target: int) -> Floats:
    """Resample a waveform as FFmpeg's swresample does by default.

    The waveform is mirrored at its ends, about the first sample and behind the last. FFmpeg itself is followed where
    it knows the phases exactly, which it does for all usual pairs of rates (up to 1024 phases).

    Args:
        samples: float32 [n].
        rate: Its rate in Hz.
        target: The wanted rate in Hz.

    Returns:
        float32 [ceil(n * target / rate)].

    Raises:
        ValueError: ``samples`` is not one channel, or a rate is not positive.
    """
    samples = _checked(samples, rate, target)
    if rate == target or len(samples) == 0:
        return samples.copy()
    products = _swresample_products(*_ratio(rate, target))
    before, after = products.before, products.before + 2
    head = np.pad(samples[: before + 1], (before, 0), mode="reflect")[:before]
    tail = np.pad(samples[-after:], (0, after), mode="symmetric")[-after:]
    return _apply(products, [head, samples, tail], -(-len(samples) * target // rate))


def kaiser_best_filter(step: int, phases: int) -> Filter:
    """Return the taps of :func:`kaiser_best` from ``step`` to ``phases`` samples, which have no common divisor.

    The filter is a table of one wing, read by linear interpolation. Two traits of the original are kept, since they
    move samples by up to 1e-3: tap i lies i * int(scale * PRECISION) entries from the first, so that a filter that
    reduces the rate is a little narrower than the ratio asks for; and the tap at the very end is left out.
    """
    entries = ZEROS * PRECISION
    position = np.arange(entries + 1)
    window = np.i0(BETA * np.sqrt(1 - (position / entries) ** 2)) / np.i0(BETA)
    scale = min(1.0, phases / step)
    table = scale * ROLLOFF * window * np.sinc(ROLLOFF * position / PRECISION)
    slope = np.diff(table, append=table[-1])
    stride = int(scale * PRECISION)
    if stride < 1:
        raise ValueError(f"cannot reduce a rate {step / phases:.0f} times: the filter's table is too coarse")
    taps_a_side = (entries + 1) // stride
    fraction = scale * (np.arange(phases) * step % phases) / phases

    def wing(distance: Doubles) -> Doubles:
        """Return the taps [phases, taps_a_side] of a wing whose first lies ``distance`` [phases] from its middle."""
        exact = distance * PRECISION
        offset = exact.astype(np.int64)[:, None]
        tap = np.arange(taps_a_side)
        entry = np.minimum(offset + tap * stride, entries)
        weights = table[entry] + (exact[:, None] - offset) * slope[entry]
        return np.where(tap < (entries + 1 - offset) // stride, weights, 0)

    taps = np.concatenate([wing(fraction)[:, ::-1], wing(scale - fraction)], axis=1)
    return Filter(taps, step, taps_a_side - 1)


def swresample_filter(step: int, phases: int) -> Filter:
    """Return the taps of :func:`swresample` from ``step`` to ``phases`` samples, which have no common divisor.

    A Kaiser-windowed sinc as long as its number of taps, whose taps sum to 1 in every phase.
    """
    cutoff = min(SWR_CUTOFF * phases / step, 1.0)
    count = math.ceil(SWR_TAPS / cutoff)
    middle = (count - 1) // 2
    distance = np.arange(count) - middle - (np.arange(phases) * step % phases / phases)[:, None]
    window = np.i0(SWR_BETA * np.sqrt(np.maximum(1 - (2 * distance / count) ** 2, 0)))
    taps = np.sinc(cutoff * distance) * window
    return Filter(taps / taps.sum(axis=1, keepdims=True), step, middle)


def _checked(samples: Floats, rate: int, target: int) -> Floats:
    if samples.ndim != 1:
        raise ValueError(f"samples of one channel [n] are wanted, not {list(samples.shape)}")
    if rate < 1 or target < 1:
        raise ValueError(f"cannot resample from {rate} Hz to {target} Hz")
    return np.asarray(samples, np.float32)


def _ratio(rate: int, target: int) -> tuple[int, int]:
    divisor = math.gcd(rate, target)
    return rate // divisor, target // divisor


@lru_cache(maxsize=8)
def _kaiser_best_products(step: int, phases: int) -> _Products:
    return _products(kaiser_best_filter(step, phases))


@lru_cache(maxsize=8)
def _swresample_products(step: int, phases: int) -> _Products:
    return _products(swresample_filter(step, phases))


def _products(design: Filter) -> _Products:
    phases, count = design.taps.shape
    longest = count + COLUMNS * design.step // phases + 1
    periods = max(-(-longest // design.step), -(-COLUMNS // phases))
    starts = np.arange(phases * periods) * design.step // phases
    matrices = []
    for first in range(0, len(starts), COLUMNS):
        group = starts[first : first + COLUMNS]
        matrix = np.zeros((group[-1] - group[0] + count, len(group)), np.float32)
        for column, start in enumerate(group - group[0]):
            matrix[start : start + count, column] = design.taps[(first + column) % phases]
        matrices.append((int(group[0]), matrix))
    reach = max(offset + len(matrix) for offset, matrix in matrices)
    return _Products(tuple(matrices), len(starts), design.step * periods, design.before, reach)


def _apply(products: _Products, parts: Sequence[Floats], length: int) -> Floats:
    """Return ``length`` output samples of the input in ``parts``; the first starts ``before`` samples early."""
    rows = -(-length // products.phases)
    padded = np.zeros(max((rows - 1) * products.step + products.reach, sum(map(len, parts))), np.float32)
    np.concatenate(parts, out=padded[: sum(map(len, parts))])
    resampled = np.empty((rows, products.phases), np.float32)
    column = 0
    for offset, matrix in products.matrices:
        count, width = matrix.shape
        windows = np.lib.stride_tricks.as_strided(
            padded[offset:], (rows, count), (products.step * padded.itemsize, padded.itemsize), writeable=False
        )
        resampled[:, column : column + width] = windows @ matrix
        column += width
    return resampled.reshape(-1)[:length]
