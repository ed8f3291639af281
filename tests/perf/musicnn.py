"""MusiCNN through the harness: 30 s clips from MP3 to embedding, in seconds of audio a second.

    python tests/perf/musicnn.py [--clips 20] [--rounds 3] [--threads 2]

Clips are generated; weights are random and of the full size, which changes no count of operations. Decoding runs in
workers as in any run. Beside it stand the rate by the processor time of this process (workers aside), which a busy
machine moves less, and that of front end and network alone, on windows that are there already. The arithmetic is 2.8
GFLOP a window of 2.992 s, one window after the other.
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
from benchmark.encoders.published.musicnn.convert import save
from benchmark.encoders.published.musicnn.encoder import MusicnnEncoder
from benchmark.encoders.published.musicnn.frontend import SAMPLE_RATE, WINDOW
from benchmark.encoders.published.musicnn.network import Musicnn
from benchmark.system.machine import workers_of

SECONDS, WINDOWS = 30, 20


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


def network_rate(encoder: MusicnnEncoder) -> float:
    """Return the rate of front end and network on windows in memory, in seconds of audio a second."""
    windows = 0.1 * torch.randn(WINDOWS, 1, WINDOW)
    encoder.embed(windows)
    started = time.perf_counter()
    encoder.embed(windows)
    return WINDOWS * WINDOW / SAMPLE_RATE / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = Musicnn()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(0, 0.05)
        save(network, folder / "weights.safetensors", "0" * 64)
        tracks = clips(folder, given.clips)
        encoder = MusicnnEncoder(folder / "weights.safetensors")
        encoder.to("cpu")
        rates, alone, processor = [], [], []
        for i in range(given.rounds):
            alone.append(network_rate(encoder))
            home = folder / f"home-{i}"
            store = EmbeddingStore(home, space_of(encoder, None, None))
            started, worked = time.perf_counter(), time.process_time()
            extract(encoder, tracks, store, AudioIndex(home), workers=workers_of(None), batch_size=32, device="cpu")
            rates.append(given.clips * SECONDS / (time.perf_counter() - started))
            processor.append(given.clips * SECONDS / (time.process_time() - worked))
        for what, found in (("from MP3", rates), ("per second of processor", processor), ("without decoding", alone)):
            rounds = ", ".join(f"{rate:.0f}" for rate in found)
            print(f"{what}: {statistics.median(found):.0f} times real time (rounds {rounds})")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
