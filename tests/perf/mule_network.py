"""How fast the network of Musicset-ULarge embeds slices of 3 s that start every 2 s, without its front end.

    python tests/perf/mule_network.py [--threads 2] [--slices 15] [--rounds 7] [--sizes 1,2,4,8,15,32] [--compile]

Every round runs every variant once and a matrix product beside it: on a busy machine, trust the column that divides one
by the other, and the CPU clock (``--clock cpu --threads 1``) more than the wall clock.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch

from benchmark.encoders.published.mule import folding
from benchmark.encoders.published.mule.folding import FoldedConv, fold
from benchmark.encoders.published.mule.network import SlowFastNFNet

HOP_SECONDS = 2.0
SIZE = 2048


def by_pytorch(network: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the network with each convolution where PyTorch sends it: not always to oneDNN."""

    def run(x: torch.Tensor) -> torch.Tensor:
        folding._ONEDNN = False
        try:
            return network(x)
        finally:
            folding._ONEDNN = True

    return run


def contiguous(network: torch.nn.Module) -> torch.nn.Module:
    """Return a copy whose kernels are stored channels first (activations follow their kernels' layout)."""
    other = copy.deepcopy(network)
    for module in other.modules():
        if isinstance(module, FoldedConv):
            module.weight = module.weight.contiguous()
    return other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slices", type=int, default=15)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", default="1,2,4,8,32", help="other batch sizes for the folded network")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--compile", action="store_true", help="also torch.compile (a minute or more)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    now = time.perf_counter if given.clock == "wall" else time.process_time

    network = SlowFastNFNet().eval()
    for name, parameter in network.named_parameters():
        if name.endswith("skip_gain"):
            torch.nn.init.constant_(parameter, 0.5)
    folded = fold(network)
    half = fold(network).to(torch.bfloat16)
    variants: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], int]] = {
        "unfolded": (network, given.slices),
        "folded": (folded, given.slices),
        "folded, by PyTorch": (by_pytorch(folded), given.slices),
        "folded, channels first": (contiguous(folded), given.slices),
        "bfloat16": (half, given.slices),
    }
    for size in [int(text) for text in given.sizes.split(",") if text]:
        variants[f"folded, {size} at once"] = (folded, size)
        variants[f"bfloat16, {size} at once"] = (half, size)
    if given.compile:
        compiled = torch.compile(half)
        started = time.perf_counter()
        with torch.no_grad():
            compiled(torch.randn(given.slices, 96, given.frames))
        print(f"torch.compile took {time.perf_counter() - started:.0f} s")
        variants["bfloat16, compiled"] = (compiled, given.slices)

    left, right = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    rates: dict[str, list[float]] = {name: [] for name in variants}
    ratios: dict[str, list[float]] = {name: [] for name in variants}
    products = []
    with torch.no_grad():
        for turn in range(given.rounds + 1):
            for name, (run, size) in variants.items():
                x = torch.randn(size, 96, given.frames)
                started = now()
                left @ right
                between = now()
                run(x)
                product, seconds = between - started, now() - between
                if turn:
                    products.append(2 * SIZE**3 / product / 1e9)
                    rates[name].append(size * HOP_SECONDS / seconds)
                    ratios[name].append(size * HOP_SECONDS / seconds * product)
    print(f"{'A @ B':<26}{statistics.median(products):8.0f} GFLOP/s on {given.threads} threads ({given.clock} clock)")
    print(f"{'':<26}{'x real time':>12}{'best':>8}{'per A @ B':>12}")
    for name in variants:
        middle, best, ratio = statistics.median(rates[name]), max(rates[name]), statistics.median(ratios[name])
        print(f"{name:<26}{middle:12.1f}{best:8.1f}{ratio:12.2f}")
    difference = torch.cosine_similarity(half(left[:96, :300][None]), folded(left[:96, :300][None]))
    print(f"cosine of bfloat16 to float32 on noise: {float(difference):.6f}")


if __name__ == "__main__":
    main()
