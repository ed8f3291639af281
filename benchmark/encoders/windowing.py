"""Windows of an encoder: its own, or those of the task."""

from __future__ import annotations

from benchmark.audio.windows import WindowRule
from benchmark.encoders.base import Encoder
from benchmark.encoders.declarations import check_windows
from benchmark.errors import UserError


class WindowError(UserError):
    """An encoder that cannot take the windows of a task."""


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
            f"maximum of {most} s",
            "make the window lie between the two",
        )
    if window_seconds is not None:
        shortest = seconds if minimum is None and seconds is not None else (minimum or 0.0)
        longest = most if most is not None else float("inf")
        if not shortest <= window_seconds <= longest:
            raise WindowError(
                f"the task asks for windows of {window_seconds:g} s, but the encoder {encoder.name!r} takes "
                f"{shortest:g} to {longest:g} s",
                "choose another encoder for it",
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
            f"the encoder {encoder.name!r} has a window of {seconds} s and a hop of {hop} s at {rate} Hz",
            "make both at least one sample",
        )
    return WindowRule(window, step, least, encoder.padding)
