"""The generated audio that encoders are checked on."""

from __future__ import annotations

import numpy as np


def sounds(count: int, samples: int, rate: int, channels: int) -> np.ndarray:
    """Return ``count`` different sounds, float32 [count, channels, samples] in [-1, 1]: chords over beats and hiss."""
    time_axis = np.arange(samples) / rate
    made = np.empty((count, channels, samples), np.float32)
    for i in range(count):
        rng = np.random.default_rng([i, 7])
        fundamental, beats = 110.0 * 2 ** (i * 5 / 12), 1.5 + 0.5 * i
        chord = sum(np.sin(2 * np.pi * fundamental * partial * time_axis) / partial for partial in (1, 1.25, 1.5, 2, 3))
        pulse = np.exp(-6 * ((time_axis * beats) % 1))
        for channel in range(channels):
            hiss = rng.normal(size=samples)
            made[i, channel] = np.clip((0.12 + 0.02 * channel) * chord * pulse + 0.03 * (1 + i) * hiss, -1, 1)
    return made


def silence(samples: int) -> np.ndarray:
    """Return ``samples`` zeros."""
    return np.zeros(samples, np.float32)


def noise(samples: int) -> np.ndarray:
    """Return noise of which every sample is -1 or 1: nothing in range is louder."""
    return np.random.default_rng(11).choice(np.array([-1, 1], np.float32), samples)


def clicks(samples: int) -> np.ndarray:
    """Return full-scale clicks of one sample, about 20 in all, in digital silence."""
    made = np.zeros(samples, np.float32)
    made[:: max(1, samples // 20)] = 1.0
    return made
