"""Plain PyTorch loops of multi-view self-supervision: what a step of BYOL, Barlow Twins, VICReg and clustering costs.

    python tests/perf/pretraining_multiview.py [--strategy byol] [--batch 64] [--frames 100] [--steps 9] [--threads 1]

Each loop is what one would write for that method alone, with torch's own batch normalisation: both views go through the
network in one batch, the teacher sees them without gradients, Adam, the norm of the gradient, the loss read at every
step. The strategy's steps alternate with them. Figures are medians; on a busy machine trust the ratios.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.encoders.published.mule.frontend import standardised
from benchmark.encoders.published.mule.network import TINY, SlowFastNFNet
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.pretrain import make_fabric
from benchmark.pretraining.training import recipes
from benchmark.pretraining.training.trainer import Trainer

#: Widths of the heads, those of the tiny recipes.
HIDDEN, OUTPUT, PREDICTOR, BOTTLENECK, PROTOTYPES = 128, 256, 64, 64, 128
RATE, CLIP = 1e-3, 5.0

#: A step: both views [N, ...] to the loss.
Step = Callable[[Tensor, Tensor], float]


class LogMelNetwork(nn.Module):
    """The small network of the paper of MULE, from raw log-mels."""

    def __init__(self) -> None:
        super().__init__()
        self.body = SlowFastNFNet(TINY)

    def forward(self, crops: Tensor) -> Tensor:
        return self.body(standardised(crops))


def mlp(*widths: int) -> nn.Sequential:
    """Return linear layers without biases, with batch normalisation and ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1], bias=False))


def momentum_at(step: int, steps: int, start: float) -> float:
    return 1 - (1 - start) * (math.cos(math.pi * step / steps) + 1) / 2


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - momentum)


def descend(loss: Tensor, module: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), CLIP)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def byol(network: nn.Module, dim: int, steps: int) -> Step:
    student, predictor = nn.Sequential(network, mlp(dim, HIDDEN, HIDDEN, OUTPUT)), mlp(OUTPUT, PREDICTOR, OUTPUT)
    teacher = copy.deepcopy(student).requires_grad_(False)
    both = nn.ModuleList([student, predictor])
    optimizer, at = torch.optim.Adam(both.parameters(), RATE), iter(range(steps))

    def step(first: Tensor, second: Tensor) -> float:
        views = torch.cat([first, second])
        predicted = functional.normalize(predictor(student(views)), dim=1)
        with torch.no_grad():
            one, other = functional.normalize(teacher(views), dim=1).chunk(2)
        distances = 2 - 2 * (predicted * torch.cat([other, one])).sum(1)
        found = descend(2 * distances.mean(), both, optimizer)
        follow(teacher, student, momentum_at(next(at), steps, 0.99))
        return found

    return step


def barlow(network: nn.Module, dim: int, steps: int) -> Step:
    student = nn.Sequential(network, mlp(dim, HIDDEN, HIDDEN, OUTPUT))
    optimizer = torch.optim.Adam(student.parameters(), RATE)

    def step(first: Tensor, second: Tensor) -> float:
        one, other = student(torch.cat([first, second])).chunk(2)
        one = (one - one.mean(0)) / one.std(0, correction=0)
        other = (other - other.mean(0)) / other.std(0, correction=0)
        correlations = one.T @ other / len(one)
        diagonal = correlations.diagonal()
        across = correlations.square().sum() - diagonal.square().sum()
        return descend((1 - diagonal).square().sum() + 5e-3 * across, student, optimizer)

    return step


def vicreg(network: nn.Module, dim: int, steps: int) -> Step:
    student = nn.Sequential(network, mlp(dim, HIDDEN, HIDDEN, OUTPUT))
    optimizer = torch.optim.Adam(student.parameters(), RATE)

    def step(first: Tensor, second: Tensor) -> float:
        one, other = student(torch.cat([first, second])).chunk(2)
        loss = 25 * functional.mse_loss(one, other)
        for view in (one, other):
            centred = view - view.mean(0)
            covariance = centred.T @ centred / (len(view) - 1)
            diagonal = covariance.diagonal()
            loss = loss + 25 * functional.relu(1 - (diagonal + 1e-4).sqrt()).mean() / 2
            loss = loss + (covariance.square().sum() - diagonal.square().sum()) / OUTPUT
        return descend(loss, student, optimizer)

    return step


class Prototypes(nn.Module):
    """Cosines with prototypes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(PROTOTYPES, BOTTLENECK))

    def forward(self, rows: Tensor) -> Tensor:
        return functional.normalize(rows, dim=1) @ functional.normalize(self.weight, dim=1).T


def clustering(network: nn.Module, dim: int, steps: int) -> Step:
    student = nn.Sequential(network, mlp(dim, HIDDEN, HIDDEN, BOTTLENECK), Prototypes())
    teacher = copy.deepcopy(student).requires_grad_(False)
    optimizer, at = torch.optim.Adam(student.parameters(), RATE), iter(range(steps))
    centre = torch.zeros(PROTOTYPES)

    def step(first: Tensor, second: Tensor) -> float:
        views = torch.cat([first, second])
        guessed = functional.log_softmax(student(views) / 0.1, dim=1)
        with torch.no_grad():
            logits = teacher(views)
            one, other = functional.softmax((logits - centre) / 0.04, dim=1).chunk(2)
        found = descend(-(torch.cat([other, one]) * guessed).sum(1).mean(), student, optimizer)
        follow(teacher, student, momentum_at(next(at), steps, 0.99))
        centre.lerp_(logits.mean(0), 0.1)
        return found

    return step


PLAIN: dict[str, Callable[[nn.Module, int, int], Step]] = {
    "byol": byol, "barlow": barlow, "vicreg": vicreg, "clustering": clustering,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategy", choices=sorted(PLAIN), action="append", help="default: all")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    first, second = np.random.default_rng(0).random((2, given.batch, 96, given.frames), dtype=np.float32)
    views = torch.from_numpy(first), torch.from_numpy(second)
    for name in given.strategy or sorted(PLAIN):
        torch.manual_seed(0)
        network = LogMelNetwork().to(memory_format=torch.channels_last)
        plain = PLAIN[name](network, TINY.dim, given.steps + 1)
        words = ["network=sf-nfnet-tiny", f"batch={given.batch}", f"frames={given.frames}"]
        recipe = recipes.load(f"tiny-{name}", words)
        trainer = Trainer(recipe, make_fabric(recipe, "cpu"))

        def ours(index: int, trainer: Trainer = trainer) -> None:
            trainer.gradients(Batch(index, np.arange(given.batch), first, second, None))
            trainer.update(index)

        cpu: dict[str, list[float]] = {"plain": [], "strategy": []}
        for index in range(given.steps + 1):
            for kind, step in (("plain", lambda: plain(*views)), ("strategy", lambda: ours(index))):  # noqa: B023
                started = time.process_time()
                step()
                if index:  # the first one allocates
                    cpu[kind].append(time.process_time() - started)
        found = {kind: f"{statistics.median(times):.3f} (best {min(times):.3f})" for kind, times in cpu.items()}
        ratio = statistics.median(o / p for o, p in zip(cpu["strategy"], cpu["plain"], strict=True))
        print(f"{name:10} CPU s a step: plain {found['plain']}, strategy {found['strategy']}; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
