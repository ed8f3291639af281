"""The front end of MULE: log-mel frames of a waveform, slices, standardisation.

Pure functions, in the order of their use::

    waveform = mule_waveform(samples, rate)         # benchmark.audio.mule_waveform, while decoding: 16 kHz mono
    inputs = track_inputs(waveforms)                # torch, [B, n] -> [B, S, 96, 300]: slices of whole tracks
    inputs = window_inputs(waveforms)               # torch, [B, n] -> [B, 1, 96, n // 160]: windows of a task

Where the published pipeline fails or is undefined, this one answers as follows:

- Under 300 frames (2.99 s) it gives nothing, fails, or takes a slice of accidental length. Here the waveform is
  repeated from its start up to 3.0 s: that keeps the level and the spectrum that the standardisation sees (zeros would
  shift both), and it is the padding that the other encoders declare. 2.99 s and more are taken as they are.
- Beyond 15 minutes it fails, and it hears 30 minutes at most. Here a file of any length is one log-mel.
- Frames 8000, 16000, ... (80 s, 160 s, ...) are never the centre of a slice. They are not here either.
- Of one slice it cannot form a mean. Here that slice is the mean.
- The paper's windows for NSynth, 100 or 400 frames, are in no published configuration. Here such a window is one slice
  of all its frames, and its log-mel is computed from the window alone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from benchmark.encoders.handcrafted.spectra import mel_filters

SAMPLE_RATE = 16_000

HOP = 160  # samples: frames are 10 ms apart
WINDOW = 400  # samples of a periodic Hann window
N_FFT = 2048  # the mel filters are defined on the bins of this transform
BANDS = 96
COMPRESSION = 1e4

SLICE = 300  # frames
SLICE_HOP = 200  # frames between centres
CHUNK = 8000  # frames: centres lie strictly inside such a chunk
LEAST_DEVIATION = 0.01

#: The shortest waveform of SLICE frames; a shorter one is repeated up to REPEATED samples (3.0 s).
SHORTEST, REPEATED = (SLICE - 1) * HOP, SLICE * HOP

#: Power at the 401 bins of a transform of 800 points says all about 400 samples: see :func:`band_matrix`.
POINTS = 2 * WINDOW

#: Frames computed at once: small enough for a CPU's cache, large enough to keep a GPU busy.
CPU_BLOCK, GPU_BLOCK = 512, 2**14


def track_inputs(waveforms: torch.Tensor) -> torch.Tensor:
    """Return the standardised slices [B, S, 96, 300] of equally long tracks [B, n] at 16 kHz, repeated where short."""
    return standardised(track_slices(log_mel(lengthened(waveforms))))


def window_inputs(waveforms: torch.Tensor) -> torch.Tensor:
    """Return one standardised slice [B, 1, 96, n // 160] for each of B windows [B, n] at 16 kHz that a task cuts."""
    return standardised(slices_for_window(log_mel(waveforms)))


def lengthened(waveforms: torch.Tensor) -> torch.Tensor:
    """Return waveforms [B, n], repeated from the start up to 3.0 s where they have under 300 frames (2.99 s).

    Raises:
        ValueError: There are no samples.
    """
    samples = waveforms.shape[-1]
    if samples == 0:
        raise ValueError("a waveform without samples")
    if samples >= SHORTEST:
        return waveforms
    return waveforms.repeat(1, -(-REPEATED // samples))[:, :REPEATED]


def log_mel(waveforms: torch.Tensor) -> torch.Tensor:
    """Return log10(1 + 10000 * mel power) of waveforms [B, n] at 16 kHz: float32 [B, 96, 1 + n // 160], same device.

    Frame t is centred on sample 160 * t of the waveform, mirrored at its ends. It is 400 samples under a periodic Hann
    window, zero-padded to 2048. 96 triangular filters, equally spaced in HTK mels over 0 to 8 kHz and of Euclidean
    length 1, are applied to its power.

    The transform is computed in float64: in float32 the quiet bands beside loud ones are wrong by up to 3e-5. A device
    that has no float64 (Apple's) leaves the work to the CPU.

    Raises:
        ValueError: ``waveforms`` is not [B, n] with n > 200, which mirroring needs.
    """
    if waveforms.ndim != 2 or waveforms.shape[1] <= WINDOW // 2:
        raise ValueError(f"waveforms [B, n > {WINDOW // 2}] are wanted, not {list(waveforms.shape)}")
    if waveforms.device.type == "mps":
        return log_mel(waveforms.cpu()).to(waveforms.device)
    device = waveforms.device
    # Of the padding of 1024 samples, frames see the 200 that their window reaches; its zeros hide the rest.
    padded = functional.pad(waveforms.float(), (WINDOW // 2, WINDOW // 2), mode="reflect")
    frames = padded.unfold(1, WINDOW, HOP)
    batch, count = frames.shape[:2]
    window = torch.hann_window(WINDOW, periodic=True, dtype=torch.float64, device=device)
    bands = _band_matrix(device)
    mels = torch.empty((batch, BANDS, count), dtype=torch.float32, device=device)
    block = max(1, (CPU_BLOCK if device.type == "cpu" else GPU_BLOCK) // max(batch, 1))
    for start in range(0, count, block):
        spectrum = torch.fft.rfft(frames[:, start : start + block] * window, n=POINTS)
        power = spectrum.real.square().add_(spectrum.imag.square())
        mel = (power @ bands).mul_(COMPRESSION).add_(1).log10_()
        mels[:, :, start : start + block] = mel.transpose(1, 2)
    return mels


@lru_cache(maxsize=8)
def _band_matrix(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(band_matrix()).to(device)


@lru_cache(maxsize=1)
def band_matrix() -> np.ndarray:
    """Return the matrix, float64 [401, 96], from the power of an 800-point transform to mel power on 2048 points.

    The power spectrum of 400 samples is a cosine series in their autocorrelation at lags 0 to 399. So 401 of its values
    give the autocorrelation, and that gives the value at any other frequency: both steps are linear, and so is the sum
    over a mel band. The short transform costs a third of the long one; in float64 nothing is lost.
    """
    lags = np.arange(WINDOW)
    filters = mel_filters(SAMPLE_RATE, N_FFT, BANDS, 0, SAMPLE_RATE / 2).astype(np.float64)
    filters /= np.sqrt(np.square(filters).sum(axis=0))
    long, short = np.arange(N_FFT // 2 + 1), np.arange(POINTS // 2 + 1)
    to_power = np.where(lags == 0, 1, 2) * np.cos(2 * np.pi / N_FFT * (np.outer(long, lags) % N_FFT))
    both_sides = np.where((short == 0) | (short == POINTS // 2), 1, 2) / POINTS
    to_lags = np.cos(2 * np.pi / POINTS * (np.outer(lags, short) % POINTS)) * both_sides
    return (filters.T @ to_power @ to_lags).T.copy()


def slice_starts(frames: int) -> list[int]:
    """Return the first frames of the slices of a log-mel of ``frames`` frames, at least 300.

    Centres are the multiples of 200 strictly inside each chunk of 8000 frames, moved down to 150 frames before the end
    where they are closer to it; a slice reaches from 150 frames before its centre to 150 behind. So the first slice
    starts at frame 50 (or earlier, under 350 frames), and none is centred on frame 0, 8000, 16000, ...

    >>> slice_starts(1131)
    [50, 250, 450, 650, 831]

    Raises:
        ValueError: There are fewer than 300 frames: see :func:`lengthened`.
    """
    if frames < SLICE:
        raise ValueError(f"{frames} frames, but a slice takes {SLICE}")
    centres = (centre for centre in range(SLICE_HOP, frames, SLICE_HOP) if centre % CHUNK)
    return [min(centre - SLICE // 2, frames - SLICE) for centre in centres]


def track_slices(features: torch.Tensor) -> torch.Tensor:
    """Return the slices [B, S, 96, 300] of log-mels [B, 96, T] of whole tracks: see :func:`slice_starts`."""
    starts = slice_starts(features.shape[-1])
    return torch.stack([features[:, :, start : start + SLICE] for start in starts], dim=1)


def slices_for_window(features: torch.Tensor) -> torch.Tensor:
    """Return the log-mels [B, 96, T] of a task's windows as one slice each: [B, 1, 96, T - 1], without the last frame.

    A window of s seconds has 100 * s + 1 frames, since frames are centred on both of its ends; s = 1.0 gives the 100
    frames and s = 4.0 the 400 frames of the paper. A lone frame is kept.
    """
    return features[:, None, :, : max(1, features.shape[-1] - 1)]


def standardised(slices: torch.Tensor) -> torch.Tensor:
    """Return slices [..., 96, T] with mean 0 and (population) deviation 1 over all cells of each.

    A deviation under 0.01 counts as 0.01, so that silence is all zeros; one that is not finite counts as 1.
    """
    deviation = slices.std(dim=(-2, -1), correction=0, keepdim=True).nan_to_num(1.0, 1.0, 1.0)
    return (slices - slices.mean(dim=(-2, -1), keepdim=True)) / deviation.clamp(min=LEAST_DEVIATION)
