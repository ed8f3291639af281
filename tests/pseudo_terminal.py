"""Run a command in a pseudo-terminal of so many columns, as a person sees it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence

SECONDS = 120  # for one command, however little of the processor it gets


def seen(command: Sequence[str], columns: int, environment: Mapping[str, str], cwd: str | None = None) -> str:
    """Return what a command prints to a terminal; its errors go to a pipe.

    Args:
        command: Its words.
        columns: Of the terminal.
        environment: Variables beside those of this process; ``COLUMNS`` and ``LINES`` are never passed on.
        cwd: The current folder.

    Raises:
        TimeoutError: It did not end within :data:`SECONDS`; it is ended.
        AssertionError: It ended with an error.
    """
    variables = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")} | dict(environment)
    ours, theirs = os.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE, env=variables, cwd=cwd
        ) as process:
            os.close(theirs)
            theirs = -1
            try:
                text = _read(ours, process)
            finally:
                process.kill()  # nothing if it has ended
            assert process.stderr is not None
            errors = process.stderr.read().decode()
    finally:
        os.close(ours)
        if theirs != -1:
            os.close(theirs)
    assert process.returncode == 0, errors
    return text.decode().replace("\r\n", "\n")


def _read(descriptor: int, process: subprocess.Popen[bytes]) -> bytes:
    """Read until the process has closed its side, and wait for its end."""
    pieces: list[bytes] = []
    end = time.monotonic() + SECONDS
    with contextlib.suppress(OSError):  # EIO: so reads the end of a pseudo-terminal
        while select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
            piece = os.read(descriptor, 65536)
            if not piece:
                break
            pieces.append(piece)
    try:
        process.wait(max(0.1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{process.args!r} did not end within {SECONDS} s") from None
    return b"".join(pieces)
