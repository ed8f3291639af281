"""Run pytest again and again in forks of one process that has the large libraries loaded: what a mutant's copy does.

    python forks.py

Reads lines of JSON, ``{"arguments": [...], "seconds": 240}``, and answers each with ``ended``, or ``late`` where the
tests took longer and were killed. Only libraries are loaded before the fork, never the packages under test.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress

LIBRARIES = (
    "numpy", "torch", "scipy.stats", "scipy.sparse", "pandas", "pyarrow.parquet", "optuna", "sklearn.metrics",
    "sklearn.linear_model", "sklearn.preprocessing", "hypothesis", "pydantic", "soundfile", "soxr", "pytest",
)  # fmt: skip


def main() -> None:
    """Answer until standard input ends."""
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _test(asked["arguments"])
        print("ended" if _wait(child, asked["seconds"]) else "late", flush=True)


def _test(arguments: list[str]) -> None:
    """Run pytest in a process group of its own, silently, and end the process."""
    import pytest

    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    status = 1
    try:
        status = int(pytest.main(arguments))
    finally:
        os._exit(status)


def _wait(child: int, seconds: float) -> bool:
    """Wait for a child, and kill its process group where it takes longer; say whether it ended by itself."""
    end = time.monotonic() + seconds
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.02)
    return True


if __name__ == "__main__":
    main()
