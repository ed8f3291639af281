"""What the harness adds to an encoder's own time, and how busy it keeps the encoder: decoding, cutting, storing.

    python tests/perf/harness_overhead.py [--tracks 500] [--speeds 20,100] [--workers 2] [--device-like]

Files are FLACs of 30 s at 44.1 kHz. The encoder is a dummy: it computes spectra of its windows and then sleeps until
``1 / speed`` seconds a second of the track have gone by, as an encoder of that many times real time would. ``added`` is
(wall-clock time - the encoder's own) / the encoder's own; ``busy`` is the encoder's share from its first call on.
``--device-like`` leaves the computing out, as where the work is on a GPU.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmark import Encoder
from benchmark.audio.index import AudioIndex
from benchmark.embeddings.extract import extract
from benchmark.embeddings.space import space_of
from benchmark.embeddings.store import EmbeddingStore
from benchmark.embeddings.tracks import Track
from benchmark.system.machine import threads_for

SECONDS, RATE = 30, 44_100


class Dummy(Encoder):
    """Takes a known time for every window, and remembers when it was called and how long it was at work."""

    name, sample_rate, dim, arrays = "dummy", 16_000, 8, "numpy"
    window_seconds, hop_seconds, minimum_seconds = 3.0, 2.0, 0.1
    not_in_fingerprint = ("own", "first")

    def __init__(self, speed: float, computes: bool) -> None:
        self.speed, self.computes = speed, computes
        self.own, self.first = 0.0, 0.0

    def embed(self, waveforms: np.ndarray) -> np.ndarray:
        started = time.perf_counter()
        self.first = self.first or started
        if self.computes:
            bands = np.abs(np.fft.rfft(waveforms[:, 0], n=48_000)[:, :24_000]).reshape(len(waveforms), 8, -1).mean(2)
        else:
            bands = waveforms[:, 0, :8]
        # A track of 30 s has 15 windows: each stands for 2 s of it.
        time.sleep(max(0.0, len(waveforms) * 2 / self.speed - (time.perf_counter() - started)))
        self.own += time.perf_counter() - started
        return bands.astype(np.float32)


def songs(folder: Path, count: int) -> list[Track]:
    """Write ``count`` files of different content."""
    time_axis = np.arange(SECONDS * RATE) / RATE
    hiss = np.random.default_rng(0).normal(size=(SECONDS + 1) * RATE)
    tracks = []
    for i in range(count):
        tone = 0.3 * np.sin(2 * np.pi * (110 + i) * time_axis) * (1 + np.sin(2 * np.pi * 2 * time_axis)) / 2
        path = folder / f"{i:04d}.flac"
        soundfile.write(path, tone + 0.02 * hiss[i : i + SECONDS * RATE], RATE)
        tracks.append(Track(path.stem, "songs", path))
    return tracks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=500)
    parser.add_argument("--speeds", default="20,100")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device-like", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tracks = songs(Path(folder), given.tracks)
        for speed in map(float, given.speeds.split(",")):
            home = Path(folder) / f"home-{speed:g}"
            encoder = Dummy(speed, not given.device_like)
            store, index = EmbeddingStore(home, space_of(encoder, None, None)), AudioIndex(home)
            heard = 0

            def progress(_: float, encoder: Dummy = encoder) -> None:
                nonlocal heard
                heard += 1
                if heard == 1:  # what the check before many tracks has used is the harness's doing
                    encoder.own = encoder.first = 0.0

            started = time.perf_counter()
            with threads_for(encoder.arrays):
                extract(
                    encoder, tracks, store, index, workers=given.workers, batch_size=given.batch_size, device="cpu",
                    progress=progress,
                )  # fmt: skip
            ended = time.perf_counter()
            wall, busy = ended - started, encoder.own / (ended - encoder.first)
            print(
                f"{given.tracks} tracks at {speed:g} times real time: {wall:.1f} s, the encoder's own "
                f"{encoder.own:.1f} s; added {100 * (wall - encoder.own) / encoder.own:.1f} %, busy {100 * busy:.1f} % "
                f"(first call after {encoder.first - started:.2f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
