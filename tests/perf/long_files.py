"""Three hours of sound in a decoding worker: its memory. ``python tests/perf/long_files.py [MINUTES [FORM ...]]``.

Stereo FLAC, MP3 and, where PyAV is installed, M4A at 44.1 kHz, to mono at 16 kHz, through the pool that an extraction
has, one worker. Linux only: the peak of the worker is read from /proc, before and after the long file.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmark.audio.decode import AudioRule
from benchmark.audio.pool import DecodingPool

RATE = 44_100
MINUTE = np.random.default_rng(0).normal(0, 0.02, (60 * RATE, 2)).astype(np.float32)


def write(path: Path, minutes: int) -> None:
    """Write so many minutes of noise; M4A by PyAV."""
    if path.suffix != ".m4a":
        with soundfile.SoundFile(path, "w", RATE, 2) as file:
            for _ in range(minutes):
                file.write(MINUTE)
        return
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE)
        stream.layout = "stereo"
        for minute in range(minutes):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(MINUTE.T), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, minute * len(MINUTE)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def peak(pid: int) -> float:
    """Return the most memory that a process has had, in MB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    """Print for each form the worker's peak with libraries alone, what the long file added, and seconds."""
    minutes = int(sys.argv[1]) if len(sys.argv) > 1 else 180
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in sys.argv[2:] or ("flac", "mp3", "m4a"):
            long, short = folder / f"long.{kind}", folder / f"short.{kind}"
            try:
                write(short, 1)
                write(long, minutes)
            except ImportError:
                print(f"{kind}: PyAV is not installed")
                continue
            with DecodingPool(1, AudioRule(16000), None, folder=folder) as pool:
                pool.submit(short).result()
                (pid,) = [process.pid for process in pool._processes]
                before, started = peak(pid), time.perf_counter()
                decoded = pool.submit(long).result()
                seconds = time.perf_counter() - started
                assert decoded.audio is not None, decoded.problem
                print(
                    f"{kind}: {long.stat().st_size / 1e6:.0f} MB, {decoded.audio.seconds / 60:.0f} minutes: worker "
                    f"{before:.0f} MB with libraries and one minute, {peak(pid) - before:+.0f} MB, {seconds:.0f} s"
                )
            long.unlink()


if __name__ == "__main__":
    main()
