"""What looking at a file's bytes costs beside decoding it, in CPU seconds: ``python tests/perf/inspection.py``.

Files of two minutes in stereo are made by libsndfile; each is decoded and looked at in turn, several times.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import soundfile

from benchmark.audio.decode import decode
from benchmark.audio.inspection import inspect_file
from benchmark.audio.integrity import deep_problem

RATE, SECONDS, ROUNDS = 44_100, 120, 7
FORMATS = {"a.mp3": {}, "a.flac": {}, "a.wav": {}, "a.aiff": {}}


def cpu(work: Callable[[Path], object], path: Path) -> float:
    """Return the CPU seconds of ``work``."""
    before = time.process_time()
    work(path)
    return time.process_time() - before


def main() -> None:
    """Print the milliseconds of each and their ratio."""
    t = np.arange(RATE * SECONDS) / RATE
    rng = np.random.default_rng(0)
    music = np.stack([0.3 * np.sin(2 * np.pi * f * t) + 0.05 * rng.normal(size=len(t)) for f in (220, 330)], axis=1)
    print(f"{'file':8} {'decode ms':>10} {'look ms':>8} {'look':>7} {'deep':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for name, options in FORMATS.items():
            path = Path(folder, name)
            soundfile.write(path, music, RATE, **options)
            inspect_file(path), decode(path)
            whole = median(cpu(decode, path) for _ in range(ROUNDS))
            fast = median(cpu(inspect_file, path) for _ in range(ROUNDS))
            deep = median(cpu(deep_problem, path) for _ in range(3))
            print(f"{name:8} {1e3 * whole:10.1f} {1e3 * fast:8.2f} {fast / whole:7.2%} {deep / whole:7.2%}")


if __name__ == "__main__":
    main()
