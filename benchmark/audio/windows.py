"""Windows of a track, which an encoder embeds one by one: all equally long; the last ends where the track ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class WindowRule:
    """How a track is cut, in samples.

    Attributes:
        window: Length of a window; ``None`` takes the whole track as one.
        hop: Distance between starts.
        minimum: Shortest input: a shorter track is lengthened to it.
        padding: How it is lengthened.
    """

    window: int | None
    hop: int
    minimum: int
    padding: Padding


class TooShortError(ValueError):
    """A track under the minimum of an encoder that refuses to lengthen audio."""


def window_starts(samples: int, window: int, hop: int) -> list[int]:
    """Return the starts of all windows in a track of ``samples``, which is at least one window long.

    Every ``hop`` from 0 while a whole window fits, and one more that ends with the track when samples would be left.
    """
    starts = list(range(0, samples - window + 1, hop))
    if starts[-1] + window < samples:
        starts.append(samples - window)
    return starts


def cut(samples: np.ndarray, rule: WindowRule) -> list[np.ndarray]:
    """Return the windows [channels, n] of ``samples`` [channels, N] as views, all of one length.

    A track shorter than a window is one window of its own length, after it was lengthened to the rule's minimum.

    Raises:
        TooShortError: The track is under the minimum and the rule refuses to lengthen it.
    """
    have = samples.shape[1]
    if have < rule.minimum:
        if rule.padding == "refuse":
            raise TooShortError(f"{have} samples, but the encoder takes at least {rule.minimum}")
        samples = lengthen(samples, rule.minimum, rule.padding)
        have = rule.minimum
    if rule.window is None or have <= rule.window:
        return [samples]
    return [samples[:, start : start + rule.window] for start in window_starts(have, rule.window, rule.hop)]


def lengthen(samples: np.ndarray, length: int, padding: Padding) -> np.ndarray:
    """Return ``samples`` [channels, N] at ``length`` samples: repeated from the start, or followed by zeros."""
    if padding == "repeat":
        times = -(-length // samples.shape[1])
        return np.tile(samples, (1, times))[:, :length]
    return np.pad(samples, ((0, 0), (0, length - samples.shape[1])))


Padding = Literal["repeat", "zero", "refuse"]
