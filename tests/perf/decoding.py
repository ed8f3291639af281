"""Decoding as a stream against decoding at once: memory and CPU seconds. ``python tests/perf/decoding.py [MINUTES]``.

Each is done in a process of its own, on stereo FLAC and MP3 at 44.1 kHz, to mono at 16 kHz. Linux only: /proc tells
the peak of a process without that of the one that started it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

RATE = 44_100
PROGRAM = """
import re, sys, time
from pathlib import Path
import numpy as np, soundfile, soxr
from benchmark.audio.decode import AudioRule, decode, load
path = Path(sys.argv[2])
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before, started = peak(), time.process_time()
if sys.argv[1] == "stream":
    found = load(path, AudioRule(16000)).samples
else:
    samples, rate, _ = decode(path)
    found = np.clip(soxr.resample(samples, rate, 16000, quality="HQ"), -1, 1).T
seconds = time.process_time() - started
print(f"{peak() - before:.0f} {seconds:.3f} {found.shape[1]}")
"""


def main() -> None:
    """Print MB beyond the libraries and CPU seconds of each, and the ratio of the latter."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    minute = np.random.default_rng(0).normal(0, 0.05, (60 * RATE, 2)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("flac", "mp3"):
            path = Path(folder, f"a.{kind}")
            with soundfile.SoundFile(path, "w", RATE, 2) as file:
                for _ in range(round(minutes)):
                    file.write(minute)
            found = {}
            for how in ("whole", "stream", "stream", "whole"):
                command = [sys.executable, "-c", PROGRAM, how, str(path)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                memory, seconds, _ = map(float, done.stdout.split())
                found.setdefault(how, []).append((memory, seconds))
            for how, pairs in found.items():
                print(f"{kind} {how:6} {max(p[0] for p in pairs):6.0f} MB {min(p[1] for p in pairs):7.2f} CPU s")
            ratio = min(p[1] for p in found["stream"]) / min(p[1] for p in found["whole"])
            print(f"{kind} stream / whole: {ratio:.2f} of the CPU seconds")


if __name__ == "__main__":
    main()
