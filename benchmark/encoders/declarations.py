"""Checks of an encoder's declarations, such as a sample rate in kHz or a window in milliseconds.

The bounds are far outside what any encoder is fed with, and inside what a wrong unit or a slipped digit gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.errors import UserError

#: Hz. Telephones hear at 8,000; 768,000 is the highest rate that converters have.
RATES = (1_000, 768_000)
#: Numbers of an embedding, and of all layers of one.
MOST_DIM, MOST_WIDTH = 1_000_000, 10_000_000
#: Seconds of a window, and of the longest input that may be declared.
WINDOWS = (0.001, 3_600.0)
LONGEST = 86_400.0
#: Seconds between two windows, and that in windows: further apart, most of a track would not be heard.
LEAST_HOP, HOPS = 0.001, (1 / 1000, 20.0)

WHOLE_NUMBERS, SECONDS = ("sample_rate", "dim"), ("window_seconds", "hop_seconds", "minimum_seconds", "maximum_seconds")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_duration_or_none(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return value is None
    return isinstance(value, int | float) and 0 <= value < math.inf


def _are_names_or_none(value: object) -> bool:
    return value is None or (isinstance(value, tuple) and bool(value) and all(isinstance(name, str) for name in value))


#: Declarations, the check of each, and what it asks for.
RULES: tuple[tuple[tuple[str, ...], Callable[[object], bool], str], ...] = (
    (("name", "version"), _is_text, "a text"),
    (WHOLE_NUMBERS, _is_count, "a whole number above 0"),
    (SECONDS, _is_duration_or_none, "a number of seconds, or None"),
    (("layers",), _are_names_or_none, "a tuple of at least one name, or None"),
)

CHOICES: Mapping[str, tuple[object, ...]] = {
    "channels": (1, 2),
    "padding": ("repeat", "zero", "refuse"),
    "arrays": ("torch", "numpy"),
    "decoding": ("plain", "mule"),
    "fitted": (False, True),
}


def check_declarations(encoder: Encoder) -> None:
    """Check what the encoder declares; numbers of numpy become Python's.

    Raises:
        UserError: A declaration is missing, of the wrong kind, or cannot be meant; it is named.
    """
    what = f"the encoder {type(encoder).__name__}"
    for name in ("name", "sample_rate", "dim"):
        if getattr(encoder, name, None) is None:
            raise UserError(
                f"{what} does not declare {name}",
                "write it into the class ('bench encoders new mine.py' writes an example)",
            )
    for name in (*WHOLE_NUMBERS, *SECONDS, "channels", "fitted"):
        _make_plain(encoder, name, what)
    for names, is_valid, expected in RULES:
        for name in names:
            value = getattr(encoder, name)
            if not is_valid(value):
                raise UserError(f"{what} declares {name} = {value!r}", f"make it {expected}")
    for name, allowed in CHOICES.items():
        value = getattr(encoder, name)
        # True is 1 and 1.0 is too, but neither is a number of channels.
        if value not in allowed or type(value) is not type(allowed[0]):
            raise UserError(f"{what} declares {name} = {value!r}", f"make it one of {allowed}")
    if encoder.fitted and type(encoder).fit is Encoder.fit:
        raise UserError(f"{what} declares fitted = True and has no fit(waveforms) method", "define it")
    check_rate(encoder.sample_rate, f"{what} declares sample_rate = {encoder.sample_rate}")
    check_width(encoder.dim, len(encoder.layers or ("",)), f"{what} declares dim = {encoder.dim}")
    check_windows(
        encoder.window_seconds, encoder.hop_seconds, encoder.minimum_seconds, encoder.maximum_seconds,
        f"{what} declares ",
    )  # fmt: skip


def check_rate(rate: int, prefix: str) -> None:
    """Refuse a sample rate that no encoder has.

    Args:
        rate: Hz.
        prefix: The beginning of the message: what declares the value.

    Raises:
        UserError: It is below or above :data:`RATES`.
    """
    low, high = RATES
    if low <= rate <= high:
        return
    meant = f" (was {rate * 1000:,} meant, {rate} kHz?)" if low <= rate * 1000 <= high else ""
    raise UserError(f"{prefix}: this is no sample rate", f"write it in Hz, from {low:,} to {high:,}{meant}")


def check_width(dim: int, layers: int, prefix: str) -> None:
    """Refuse an embedding that is too wide, such as a length of audio that was taken for a width.

    Args:
        dim: Width D.
        layers: Number of layers L, 1 where there are none.
        prefix: The beginning of the message: what declares the value.

    Raises:
        UserError: D is above :data:`MOST_DIM`, or L * D above :data:`MOST_WIDTH`.
    """
    if dim > MOST_DIM:
        raise UserError(f"{prefix}: an embedding has at most {MOST_DIM:,} numbers", "average over time first")
    if dim * layers > MOST_WIDTH:
        raise UserError(
            f"{prefix} in each of {layers} layers: at most {MOST_WIDTH:,} numbers of a track are kept",
            "give fewer layers, or average over time first",
        )


def check_windows(
    window: float | None, hop: float | None, minimum: float | None, maximum: float | None, prefix: str
) -> None:
    """Refuse lengths, in seconds, that cannot be meant.

    Args:
        window: Length of a window; ``None`` takes whole tracks.
        hop: Distance between windows; ``None`` means one window.
        minimum: Shortest input.
        maximum: Longest input.
        prefix: The beginning of the message, before the name of the value.

    Raises:
        UserError: One is outside :data:`WINDOWS`, :data:`LONGEST`, or what a hop may be.
    """
    low, high = WINDOWS
    for name, value, least, most in (
        ("window_seconds", window, low, high), ("minimum_seconds", minimum, 0.0, high),
        ("maximum_seconds", maximum, low, LONGEST),
    ):  # fmt: skip
        if value is not None and not least <= value <= most:
            none = "" if name == "minimum_seconds" else "; None takes whole tracks, of any length"
            bounds = f"from {least:g} to {most:,g}{none}{_thousandth(value, most)}"
            raise UserError(f"{prefix}{name} = {value:g}", f"write it in seconds, {bounds}")
    if hop is None:
        return
    least, most = LEAST_HOP, math.inf
    if window is not None:
        least, most = max(LEAST_HOP, window * HOPS[0]), window * HOPS[1]
    if not least <= hop <= most:
        beside = "" if window is None else f" for windows of {window:g} s"
        raise UserError(
            f"{prefix}hop_seconds = {hop:g}",
            f"write it in seconds, from {least:g} to {most:g}{beside}{_thousandth(hop, most)}",
        )


def _thousandth(value: float, most: float) -> str:
    """Return the question whether milliseconds were written, where they could have been."""
    return f" (was {value / 1000:g} meant, {value:g} ms?)" if most < value <= 1000 * most else ""


def _make_plain(encoder: Encoder, name: str, what: str) -> None:
    value: Any = getattr(encoder, name)
    if isinstance(value, np.generic):
        try:
            setattr(encoder, name, value.item())
        except AttributeError:  # a property
            raise UserError(
                f"{what} declares {name} = {value!r}, a number of numpy",
                f"return {value.item()!r} instead",
            ) from None
