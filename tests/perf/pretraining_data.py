"""How many crops a second a training is fed from a warm cache, and what log-mels cost as float16.

    python tests/perf/pretraining_data.py [--gigabytes 2] [--batch 512] [--threads 2] [--steps 40] [--audio FOLDER]

The store is of given log-mels in a temporary folder, read once before the clock starts. A pair counts as two crops.
``--audio`` prepares a folder of recordings, and prints how it goes and what float16 moves on it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmark.pretraining.data.finishing import write_store
from benchmark.pretraining.data.sampling import WITHIN_5_SECONDS, Sampler, stream
from benchmark.pretraining.data.shards import FRAME_BYTES
from benchmark.pretraining.data.store import Store, open_store

TRACK = 24_000  # frames: four minutes


def made(folder: Path, gigabytes: float, least: int) -> Store:
    tracks = max(least, round(gigabytes * 2**30 / FRAME_BYTES / TRACK))
    frames = round(gigabytes * 2**30 / FRAME_BYTES / tracks)
    noise = np.random.default_rng(0).uniform(0, 6, (frames + tracks, 96)).astype(np.float16)

    def features() -> Iterator[tuple[str, np.ndarray]]:
        for i in range(tracks):
            yield str(i), noise[i : i + frames]

    write_store(folder, features())
    return open_store(folder)


def rate(store: Store, args: argparse.Namespace, kind: dict[str, object]) -> None:
    sampler = Sampler(store, batch=args.batch, seed=0, **kind)
    crops = args.batch * (2 if kind.get("pairs") else 1)
    rates = []
    for round_ in range(args.rounds + 1):
        first = round_ * args.steps
        batches = stream(sampler, first, stop=first + args.steps, threads=args.threads)
        cpu, started = time.process_time(), time.perf_counter()
        for _ in batches:
            pass
        spent, cpu = time.perf_counter() - started, time.process_time() - cpu
        rates.append((args.steps * crops / spent, args.steps * crops / cpu))
    wall, core = (statistics.median(each) for each in zip(*rates[1:], strict=True))
    name = ", ".join(f"{key} {getattr(value, 'rule', value)}" for key, value in kind.items())
    print(f"{name:<40}{wall:10,.0f} crops a second, {core:10,.0f} a second of processor time")


def precision(folder: Path) -> None:
    import torch

    from benchmark.audio.decode import load
    from benchmark.encoders.published.mule.frontend import log_mel, standardised, track_slices
    from benchmark.pretraining.data.features import RULE
    from benchmark.pretraining.data.prepare import prepare
    from benchmark.system.progress import Terminal

    with tempfile.TemporaryDirectory() as out:
        done = prepare(folder, Path(out) / "store", workers=2, report=Terminal())
        print(f"prepared at {done.audio_seconds / done.seconds:,.0f} times real time with 2 workers")
        ids = open_store(Path(out) / "store").track_ids(range(min(done.tracks, 20)))
    moved, most = [], 0.0
    for track in ids:
        exact = log_mel(torch.from_numpy(load(folder / track, RULE).samples))
        most = max(most, float((exact.half().float() - exact).abs().max()))
        halves, slices = standardised(track_slices(exact.half().float())), standardised(track_slices(exact))
        moved.append(float((halves - slices).square().mean().sqrt()))
    print(
        f"float16 on {len(ids)} tracks: a log-mel moves by {most:.1e} at most, a standardised slice by "
        f"{statistics.median(moved):.1e} (root mean square; median), {max(moved):.1e} at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--audio", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = made(Path(folder) / "store", args.gigabytes, args.batch)
        print(f"{store.tracks} tracks, {store.seconds_total / 3600:.1f} hours; batches of {args.batch}")
        kinds: tuple[dict[str, object], ...] = (
            {"precision": "float32"},
            {"precision": "float32", "pairs": WITHIN_5_SECONDS},
            {"precision": "float16"},
        )
        for kind in kinds:
            rate(store, args, kind)
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB at peak, mapped shards included")
    if args.audio:
        precision(args.audio)


if __name__ == "__main__":
    main()
