"""The waveform that MULE's features are computed from, as its published pipeline decodes a file; without torch.

An encoder names its rule in ``decoding``; the rule is part of the key of its embeddings.
"""

from __future__ import annotations

import numpy as np

from benchmark.audio.resampling import Floats, kaiser_best, swresample
from benchmark.system.machine import one_blas_thread

SAMPLE_RATE = 16_000
DECODED_RATE = 44_100  # every file passes through it
FULL_SCALE = 2**16  # of 16-bit samples; so the loudest sample of one channel is 0.5


def mule_waveform(samples: Floats, rate: int) -> Floats:
    """Bring a decoded file to the waveform that MULE's features are computed from.

    The published rules: each channel is resampled to 44.1 kHz by FFmpeg's resampler and rounded to 16 bits; the
    integers are divided by 65536 and *summed* over channels, so that a mono file is half as loud as a stereo file of
    two such channels; the sum is resampled to 16 kHz with the filter ``kaiser_best``. A file at 44.1 kHz skips the
    first step; one at 16 kHz skips neither.

    Args:
        samples: float32 [n, channels] at full scale 1, as soundfile decodes them; beyond full scale they clip.
        rate: Their rate in Hz.

    Returns:
        float32 [ceil(m * 16000 / 44100)] where m = ceil(n * 44100 / rate).

    Raises:
        ValueError: ``samples`` is not [n, channels] with at least one of each, or the rate is not positive.
    """
    if samples.ndim != 2 or 0 in samples.shape:
        raise ValueError(f"samples [n, channels] are wanted, not {list(samples.shape)}")
    with one_blas_thread():
        mixed = _in_16_bits(samples[:, 0], rate)
        for channel in samples.T[1:]:
            mixed += _in_16_bits(channel, rate)
        return kaiser_best(mixed, DECODED_RATE, SAMPLE_RATE)


def _in_16_bits(channel: Floats, rate: int) -> Floats:
    """Return a channel at 44.1 kHz in steps of 2**-16, from -0.5 to just under 0.5."""
    levels = swresample(channel, rate, DECODED_RATE)  # a copy, always
    levels *= np.float32(2**15)
    np.rint(levels, out=levels)
    np.clip(levels, -(2**15), 2**15 - 1, out=levels)
    levels /= np.float32(FULL_SCALE)
    return levels
