"""Keep stdout for results: what an encoder or a library prints goes to stderr."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send to stderr what is written to stdout meanwhile: by Python, by C code, and by processes that are started.

    It holds for the whole process, so it belongs around the calls of foreign code and not around our own results.
    """
    with _descriptor_1_to_2(), redirect_stdout(sys.stderr):
        yield


@contextmanager
def _descriptor_1_to_2() -> Iterator[None]:
    before = sys.stdout
    _flush(before)
    try:
        original = os.dup(1)
    except OSError:  # closed: there is nothing to keep clean
        yield
        return
    try:
        os.dup2(2, 1)
    except OSError:  # stderr is closed: what would be said there is not said
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
    try:
        yield
    finally:
        _flush(before)  # code that kept the old sys.stdout wrote into its buffer
        os.dup2(original, 1)
        os.close(original)


def _flush(stream: object) -> None:
    """Flush Python's buffer of ``stream`` and those of C, which would otherwise come out after the switch."""
    with suppress(AttributeError, OSError, ValueError):
        stream.flush()  # type: ignore[attr-defined]
    with suppress(AttributeError, OSError, TypeError):  # no C library of that shape: then there is no C buffer to fear
        ctypes.CDLL(None).fflush(None)
