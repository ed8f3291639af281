"""How many seconds of audio the front end of MULE prepares in a second, step by step, on one thread.

python tests/perf/mule_frontend.py [--rounds 5] [--seconds 30] [--batch 8] [--device cpu]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmark.audio.mule_waveform import mule_waveform
from benchmark.audio.resampling import kaiser_best, swresample
from benchmark.encoders.published.mule.frontend import log_mel, standardised, track_slices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)

    def report(name: str, seconds: float, step: Callable[[], object]) -> None:
        step()
        times = []
        for _ in range(args.rounds):
            started = time.perf_counter()
            step()
            if args.device.startswith("cuda"):
                torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
        print(f"{name:<36}{seconds / min(times):10,.0f} times real time")

    cd, wide, narrow = (
        rng.uniform(-0.5, 0.5, (args.seconds * rate, 2)).astype(np.float32) for rate in (44100, 48000, 16000)
    )
    with threadpool_limits(1):
        report("kaiser_best 44.1 -> 16 kHz", args.seconds, lambda: kaiser_best(cd[:, 0], 44100, 16000))
        report("swresample 16 -> 44.1 kHz", args.seconds, lambda: swresample(narrow[:, 0], 16000, 44100))
        report("mule_waveform, stereo 44.1 kHz", args.seconds, lambda: mule_waveform(cd, 44100))
        report("mule_waveform, stereo 48 kHz", args.seconds, lambda: mule_waveform(wide, 48000))
        report("mule_waveform, mono 16 kHz", args.seconds, lambda: mule_waveform(narrow[:, :1], 16000))
    waveforms = torch.from_numpy(rng.uniform(-0.5, 0.5, (args.batch, args.seconds * 16000)).astype(np.float32))
    waveforms = waveforms.to(args.device)
    features = log_mel(waveforms)
    seconds = args.batch * args.seconds
    report(f"log_mel on {args.device}", seconds, lambda: log_mel(waveforms))
    report(f"slices, standardised on {args.device}", seconds, lambda: standardised(track_slices(features)))


if __name__ == "__main__":
    main()
