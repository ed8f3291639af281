"""bfloat16 where the processor or the GPU has no instructions for it: it works, and slowly. How slowly is measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from functools import cache

from benchmark.system.processor import processor_flags
from benchmark.system.progress import Reporter

#: Flags of processors of which one is enough.
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
SIDE, ROUNDS = 384, 5


def tell_slow_bf16(device: str, report: Reporter) -> None:
    """Say that bf16 is slow on a device that has no instructions for it, and by which factor.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``, ...
        report: Is told.
    """
    if device == "cpu":
        sentence = slow_on_processor(processor_flags())
    elif device.startswith("cuda"):
        sentence = _slow_on_gpu(device)
    else:
        sentence = None
    if sentence is not None:
        report.say(f"{sentence} fp32 is the default.")


def slow_on_processor(flags: Iterable[str]) -> str | None:
    """Return a sentence where a processor with these flags has no bf16; ``None`` where it has, or nothing is known."""
    has = set(flags)
    if not has or has & BF16_FLAGS:
        return None
    factor = bf16_factor("cpu")
    return (
        f"The processor has no bf16 instructions: a matrix product in bf16 takes {factor:.1f} times as long as in fp32."
    )


def _slow_on_gpu(device: str) -> str | None:
    import torch

    if torch.cuda.get_device_capability(device) >= (8, 0) or torch.version.hip:
        return None
    factor = bf16_factor(device)
    return f"The GPU has no bf16 instructions: a matrix product in bf16 takes {factor:.1f} times as long as in fp32."


@cache
def bf16_factor(device: str) -> float:
    """Return how many times as long a matrix product takes in bf16 as in fp32: medians of alternating products.

    On a CPU in one thread, and in its own seconds, so that other work on the machine decides nothing.
    """
    import torch

    clock = time.thread_time if device == "cpu" else time.perf_counter
    products = {kind: torch.ones(SIDE, SIDE, dtype=kind, device=device) for kind in (torch.float32, torch.bfloat16)}
    seconds: dict[torch.dtype, list[float]] = {kind: [] for kind in products}
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(ROUNDS + 1):  # the first prepares what the others use
            for kind, values in products.items():
                started = clock()
                float((values @ values)[0, 0])  # which waits for the device
                seconds[kind].append(clock() - started)
    finally:
        torch.set_num_threads(before)
    medians = {kind: statistics.median(found[1:]) for kind, found in seconds.items()}
    return medians[torch.bfloat16] / medians[torch.float32]
