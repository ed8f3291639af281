"""Seconds and memory of a step of pre-training, against the arithmetic floor.

    python tests/perf/pretraining_step.py [--network sf-nfnet-tiny] [--objective simclr] [--batch 64] [--steps 5]
                                          [--threads 2] [--chunk 16] [--precision fp32] [--device cpu]

The floor is the operations of forward and backward (counted on one crop, all convolutions and matrix products) over the
rate of a large matrix product, which is measured between the steps: on a busy machine trust the ratio, and its best.
Operations of chunked contrastive steps include their second forward in the seconds, not in the floor.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.pretrain import make_fabric
from benchmark.pretraining.strategies.contract import Data
from benchmark.pretraining.training import recipes
from benchmark.pretraining.training.trainer import Trainer

SIZE = 2048
LABELS = 500


def operations(trainer: Trainer) -> float:
    """Return the operations of forward and backward for one crop."""
    crop = torch.rand(2, 96, trainer.recipe.frames, device=trainer.fabric.device)
    with FlopCounterMode(display=False) as counter:
        trainer.model(crop).sum().backward()
    trainer.optimizer.zero_grad(set_to_none=True)
    return counter.get_total_flops() / 2


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations a second of one product of two large matrices."""
    left, right = (torch.randn(SIZE, SIZE, device=device, dtype=dtype) for _ in range(2))
    left @ right
    synchronise(device)
    started = time.perf_counter()
    left @ right
    synchronise(device)
    return 2 * SIZE**3 / (time.perf_counter() - started)


def peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=["sf-nfnet-tiny", "sf-nfnet-f0"], default="sf-nfnet-tiny")
    parser.add_argument("--objective", choices=["simclr", "supervised"], default="simclr")
    parser.add_argument("--batch", type=int, default=64, help="pairs (simclr) or crops (supervised)")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--chunk", type=int)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--checkpoint-activations", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    name = "tiny-simclr" if given.objective == "simclr" else "tiny-sup"
    if given.network == "sf-nfnet-f0":
        name = "musicset-ularge" if given.objective == "simclr" else "musicset-sup"
    overrides = [f"batch={given.batch}", f"precision={given.precision}", f"frames={given.frames}"]
    overrides += [f"chunk={given.chunk}"] if given.chunk else []
    overrides += [f"checkpoint_activations={given.checkpoint_activations}", f"compile={given.compile}"]
    recipe = recipes.load(name, overrides)
    trainer = Trainer(recipe, make_fabric(recipe, given.device), Data(labels=LABELS))
    device, half = trainer.fabric.device, given.precision == "bf16"
    per_crop = operations(trainer)
    crops = given.batch * (2 if given.objective == "simclr" else 1)
    rng = np.random.default_rng(0)
    first, second = rng.random((2, given.batch, 96, given.frames), dtype=np.float32)
    labels = (rng.random((given.batch, LABELS)) < 0.02).astype(np.float32)
    simclr = given.objective == "simclr"
    seconds, rates, cpu = [], [], []
    for step in range(given.steps + 1):
        rates.append(matrix_rate(device, torch.bfloat16 if half else torch.float32))
        batch = Batch(step, np.arange(given.batch), first, second if simclr else None, None if simclr else labels)
        started, processed = time.perf_counter(), time.process_time()
        trainer.gradients(batch)
        trainer.update(step)
        synchronise(device)
        if step or given.steps == 1:  # the first one allocates
            seconds.append(time.perf_counter() - started)
            cpu.append(time.process_time() - processed)
    floors = [crops * per_crop / rate for rate in rates[-len(seconds) :]]
    ratios = [second / floor for second, floor in zip(seconds, floors, strict=True)]
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    print(f"{given.network}, {given.objective}, {crops} crops of {given.frames} frames, {given.precision}, {device}")
    print(f"  parameters          {parameters:,} with the head")
    print(f"  operations a crop   {per_crop / 1e9:.3f} GFLOP, forward and backward")
    print(f"  matrix product      {statistics.median(rates) / 1e9:.0f} GFLOP/s (best {max(rates) / 1e9:.0f})")
    print(f"  seconds a step      {statistics.median(seconds):.3f} (best {min(seconds):.3f}, CPU {min(cpu):.3f})")
    print(f"  floor               {statistics.median(floors):.3f} s; step / floor {statistics.median(ratios):.1f}, "
          f"best {min(seconds) / (crops * per_crop / max(rates)):.1f}")  # fmt: skip
    print(f"  crops a second      {crops / statistics.median(seconds):.1f}, best {crops / min(seconds):.1f}")
    print(f"  peak memory         {peak_bytes(device) / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
