"""Windows: where an encoder looks. All windows of a track are equally long; the last one ends where the track ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.encoders.base import Encoder, Padding
from benchmark.encoders.declarations import check_windows
from benchmark.errors import UserError


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


class WindowError(UserError):
    """An encoder that cannot take the windows of a task."""


class TooShortError(ValueError):
    """A track under the minimum of an encoder that refuses to lengthen audio."""


def window_rule(encoder: Encoder, window_seconds: float | None, hop_seconds: float | None) -> WindowRule:
    """Return the rule for ``encoder``, with the task's window in place of its own where the task has one.

    Raises:
        WindowError: The encoder cannot take the task's window.
        UserError: It declares a window, hop or minimum that is not usable.
    """
    rate = encoder.sample_rate
    seconds, hop = encoder.window_seconds, encoder.hop_seconds
    minimum = encoder.minimum_seconds
    most = encoder.maximum_seconds
    if not (minimum or 0.0) <= (seconds or minimum or 0.0) <= (float("inf") if most is None else most):
        raise UserError(
            f"the encoder {encoder.name!r} declares a window of {seconds} s, but a minimum of {minimum} s and a "
            f"maximum of {most} s"
        )
    if window_seconds is not None:
        shortest = seconds if minimum is None and seconds is not None else (minimum or 0.0)
        longest = most if most is not None else float("inf")
        if not shortest <= window_seconds <= longest:
            raise WindowError(
                f"the task asks for windows of {window_seconds:g} s, but the encoder {encoder.name!r} takes "
                f"{shortest:g} to {longest:g} s: choose another encoder for it"
            )
        check_windows(window_seconds, hop_seconds, None, None, "the task asks for ")
        seconds, hop = window_seconds, hop_seconds
    if seconds is None and most is not None:  # the whole of a track up to the maximum, pieces of it beyond
        seconds, hop, minimum = most, None, minimum or 0.0
    if seconds is None:
        return WindowRule(None, 0, round((minimum or 0.0) * rate), encoder.padding)
    window, step = round(seconds * rate), round((hop if hop is not None else seconds) * rate)
    least = window if minimum is None else min(window, round(minimum * rate))
    if window < 1 or step < 1 or least < 0:
        raise UserError(
            f"the encoder {encoder.name!r} has a window of {seconds} s and a hop of {hop} s at {rate} Hz: "
            "both must be at least one sample"
        )
    return WindowRule(window, step, least, encoder.padding)


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
