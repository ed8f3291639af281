"""The published model through the harness: 30 s clips from MP3 to embedding, in seconds of audio a second.

    python tests/perf/mule_pipeline.py [--clips 20] [--precision fp32,bf16] [--rounds 3]

Clips are generated; weights are random and of the full size, which changes no count of operations. Decoding runs in
workers as in any run; the rate is that of ``bench embed`` without loading weights. The floor is the arithmetic: 8.5
GFLOP a slice of 3 s, one slice every 2 s, at the rate of a large matrix product measured in the same process.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from benchmark.audio.index import AudioIndex
from benchmark.embeddings.extract import extract
from benchmark.embeddings.space import space_of
from benchmark.embeddings.store import EmbeddingStore
from benchmark.embeddings.tracks import Track
from benchmark.encoders.published.mule.convert import save
from benchmark.encoders.published.mule.encoder import Mule
from benchmark.encoders.published.mule.network import SlowFastNFNet
from benchmark.system.machine import workers_of

SLICE_OPERATIONS, SECONDS, SLICES = 8.5e9, 30, 15


def product_rate(dtype: torch.dtype) -> float:
    """Return the rate of a matrix product of 2048, the median of single ones, in operations a second."""
    a, b = torch.randn(2, 2048, 2048).to(dtype)
    times = []
    for _ in range(15):
        started = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - started)
    return 2 * 2048**3 / statistics.median(times)


def clips(folder: Path, count: int) -> list[Track]:
    """Write ``count`` stereo MP3 clips of noisy chords and return them as tracks."""
    rng, tracks = np.random.default_rng(0), []
    t = np.arange(SECONDS * 44100) / 44100
    for i in range(count):
        tones = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(80, 2000, 6)) * 0.1
        stereo = np.stack([tones, tones], 1) + 0.02 * rng.normal(size=(len(t), 2))
        path = folder / f"{i}.mp3"
        soundfile.write(path, stereo.astype(np.float32), 44100)
        tracks.append(Track(str(i), "clips", path))
    return tracks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--precision", default="fp32,bf16")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = SlowFastNFNet()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(0, 0.05)
        save(network, folder / "weights.safetensors", {"source_sha256": "0" * 64})
        tracks = clips(folder, given.clips)
        for precision in given.precision.split(","):
            encoder = Mule(folder / "weights.safetensors").with_precision(precision)  # type: ignore[arg-type]
            encoder.to("cpu")
            rates, floors = [], []
            for i in range(given.rounds):
                floors.append(product_rate(torch.float32 if precision == "fp32" else torch.bfloat16))
                home = folder / f"home-{precision}-{i}"
                store = EmbeddingStore(home, space_of(encoder, None, None))
                started = time.perf_counter()
                extract(encoder, tracks, store, AudioIndex(home), workers=workers_of(None), batch_size=32, device="cpu")
                rates.append(given.clips * SECONDS / (time.perf_counter() - started))
            floor = statistics.median(floors) / SLICE_OPERATIONS / SLICES * SECONDS
            rate = statistics.median(rates)
            print(
                f"{precision}: {rate:.1f} times real time (rounds {', '.join(f'{r:.1f}' for r in rates)}); arithmetic "
                f"floor {floor:.0f} at {statistics.median(floors) / 1e9:.0f} GFLOP/s; ratio {rate / floor:.2f}"
            )
    own, workers = (
        resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"peak memory {own:.2f} GiB, and {workers:.2f} GiB in the largest worker")


if __name__ == "__main__":
    main()
