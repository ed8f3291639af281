"""Common parts of packaged encoders: the name, windows given as options, and calls whose output goes to stderr."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.encoders.declarations import check_windows
from benchmark.encoders.options import variant_name
from benchmark.encoders.spec import EncoderSpec
from benchmark.errors import UserError
from benchmark.system.stdout import stdout_to_stderr
from tasks.files import expanded

#: Options that every packaging takes.
WINDOW_OPTIONS = ("window", "hop", "minimum")


@dataclass(frozen=True)
class Windows:
    """How audio is cut, in seconds: a window (``None``: the whole track), the hop, and the shortest input."""

    seconds: float | None
    hop: float | None
    minimum: float | None


def windows_of(
    spec: EncoderSpec, seconds: float | None, minimum: float | None, maximum: float | None = None
) -> Windows:
    """Return the windows of the options ``window`` (seconds, or ``track``), ``hop`` and ``minimum``, or the defaults.

    Args:
        spec: The encoder as the user named it.
        seconds: The window where the user gives none; ``None`` takes whole tracks.
        minimum: The shortest input where the user gives none; ``None`` means one window.
        maximum: The longest input that the encoder takes.

    Raises:
        UserError: A value that is not above 0, or a combination that cannot be.
    """
    window = spec.option("window", float | Literal["track"], seconds)
    length = None if window == "track" else window
    hop, least = spec.option("hop", float), spec.option("minimum", float)
    for key, value in (("window", length), ("hop", hop), ("minimum", least)):
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"the encoder {spec.text!r} has {key}={value:g}", "give seconds above 0")
    if length is None and hop is not None:
        raise UserError(f"the encoder {spec.text!r} takes whole tracks, so hop={hop:g} has no meaning", "leave it out")
    if maximum is not None and length is not None and length > maximum:
        raise UserError(
            f"the encoder {spec.text!r} takes at most {maximum:g} s, not window={length:g}",
            "give a shorter window",
        )
    if least is None:
        least = minimum if minimum is None or length is None else min(minimum, length)
    elif length is not None and least > length:
        raise UserError(
            f"the encoder {spec.text!r} has minimum={least:g}, above its window of {length:g} s",
            "give a smaller minimum, or a longer window",
        )
    check_windows(length, hop, least, None, f"the encoder {spec.text!r} has ")
    return Windows(length, hop, least)


def name_of(spec: EncoderSpec, target: str, leave_out: tuple[str, ...] = ()) -> str:
    """Return the encoder's name in records: its kind, what it was made from, and the options that the user gave.

    Args:
        spec: The encoder as the user named it.
        target: A hub id, a module, or a file's name; never a folder of this machine.
        leave_out: Options that change no number.
    """
    shown: Mapping[str, str] = {key: value for key, value in spec.options.items() if key not in leave_out}
    name = f"{spec.kind}:{target}"
    return variant_name(name, shown) if shown else name


def existing_file(spec: EncoderSpec, path: str, what: str) -> Path:
    """Return the path of a file that the user named.

    Raises:
        UserError: It is not there.
    """
    file = expanded(path)
    if not file.is_file():
        raise UserError(f"no {what} at {file}, which the encoder {spec.text!r} names", "check the path")
    return file


@contextmanager
def printing_aside() -> Iterator[None]:
    """Send what foreign code prints to stderr: stdout holds results."""
    with stdout_to_stderr():
        yield
