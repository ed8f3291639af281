"""What the hand-written parts of probe training gain over what torch offers, step by step, in one thread.

    taskset -c 1 python tests/perf/probe_libraries.py [--rounds 9]

Each way makes the same steps from the same weights: ``ours`` (written-out gradients, oneDNN's products, the fused
kernel of Adam on slices), ``optimiser`` (ours, with one ``torch.optim.Adam(fused=True)`` of two groups a probe),
``mm`` (ours, with ``torch.mm``), ``baddbmm`` (ours, with one ``torch.baddbmm`` a layer), ``autograd`` (an ``nn.Module``
and ``torch.optim.Adam(fused=True)`` a probe, one after the other) and ``vmap`` (``torch.func``'s gradient over stacked
parameters). Seconds are CPU seconds of one step of all probes, medians over rounds that take turns.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from probes.data import SplitArrays, TrainValid
from probes.protocol import ProbeSpec, Settings
from probes.training import mlp
from probes.training.batched import BatchedTrainings
from probes.training.concurrency import ThreadBudget
from probes.training.trainer import Trainer

DIM, CLASSES, STEPS = 1728, 24, 20
#: Name: hidden units, probes in a batch, rows of a minibatch.
CASES = {"linear x 8": ((), 8, 64), "linear x 1": ((), 1, 64), "512 units x 1": ((512,), 1, 256)}


def fresh(hidden: tuple[int, ...], count: int, rows: int, steps: int) -> tuple[Trainer, BatchedTrainings]:
    """Return a trainer and a batch of its trainings that have made no step."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2000, DIM)).astype(np.float32), rng.integers(CLASSES, size=2000)
    ids = tuple(map(str, range(2000)))
    data = TrainValid(
        SplitArrays(ids[:1800], x[:1800], y[:1800]), SplitArrays(ids[1800:], x[1800:], y[1800:]), frozenset()
    )
    spec = ProbeSpec("multiclass", CLASSES, "cross_entropy", look_every=10**6, schedule="constant")
    trainer = Trainer(spec, data, lambda *_: 0.0)
    settings = [Settings(1e-4 * (k + 1), 1e-5, steps, True, hidden, 0.0, rows) for k in range(count)]
    trainings = [trainer.begin(each, 0) for each in settings]
    return trainer, BatchedTrainings(spec, trainer.inputs, trainer.products, "cpu", trainings)


def ours(hidden: tuple[int, ...], count: int, rows: int) -> Callable[[], None]:
    """Return a function that makes :data:`STEPS` steps as the product does."""
    _, batched = fresh(hidden, count, rows, 10**6)
    budget = ThreadBudget(1)
    return lambda: batched.run(STEPS, budget)


def optimiser(hidden: tuple[int, ...], count: int, rows: int) -> Callable[[], None]:
    """Return the same with a ``torch.optim.Adam`` over all probes, two parameter groups each."""
    _, batched = fresh(hidden, count, rows, 10**6)
    groups = []
    for k in range(count):
        kernels, biases = batched.probes.part(slice(k, k + 1)).parameters()
        groups += [{"params": kernels, "weight_decay": 2e-5}, {"params": biases, "weight_decay": 0.0}]
    adam = torch.optim.Adam(groups, lr=1e-4, eps=1e-7, fused=True)

    def update(k: int, step: int, decayed: list[torch.Tensor], free: list[torch.Tensor], row: int) -> None:
        for group, grads in zip(adam.param_groups[2 * k :], (decayed, free), strict=False):
            group["lr"] = 1e-4 * (k + 1)
            for parameter, grad in zip(group["params"], grads, strict=True):
                parameter.grad = grad[row : row + 1]
        if k == count - 1:
            adam.step()

    batched._update = update  # type: ignore[method-assign]
    budget = ThreadBudget(1)
    return lambda: batched.run(STEPS, budget)


def with_mm(hidden: tuple[int, ...], count: int, rows: int) -> Callable[[], None]:
    """Return ours without oneDNN's products."""
    trainer, batched = fresh(hidden, count, rows, 10**6)
    trainer.products._onednn = None
    budget = ThreadBudget(1)
    return lambda: batched.run(STEPS, budget)


def with_baddbmm(hidden: tuple[int, ...], count: int, rows: int) -> Callable[[], None]:
    """Return ours with one batched product a layer over the probes."""
    run = ours(hidden, count, rows)

    def linear(x, kernel, bias, _, *, rectified):
        each = x.expand(len(kernel), *x.shape) if x.ndim == 2 else x.transpose(0, 1)
        y = torch.baddbmm(bias.unsqueeze(1), each, kernel.transpose(1, 2)).transpose(0, 1)
        return y.relu() if rectified else y

    def matmul_tn(grad, x, _):
        each = x.expand(grad.shape[1], *x.shape) if x.ndim == 2 else x.transpose(0, 1)
        return torch.bmm(grad.permute(1, 2, 0), each)

    def batched() -> None:
        kept = mlp._linear, mlp._matmul_tn
        mlp._linear, mlp._matmul_tn = linear, matmul_tn
        try:
            run()
        finally:
            mlp._linear, mlp._matmul_tn = kept

    return batched


def autograd(hidden: tuple[int, ...], count: int, rows: int) -> Callable[[], None]:
    """Return a plain module and optimiser a probe, one after the other, on minibatches drawn once for all."""
    trainer, _ = fresh(hidden, count, rows, 10**6)
    stream = trainer.inputs.stream(rows, 0, 0, raw=False, standard=True)
    modules, optimisers = [], []
    for k in range(count):
        widths = [DIM, *hidden, CLASSES]
        layers: list[torch.nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
        modules.append(torch.nn.Sequential(*layers[:-1]))
        parameters = list(modules[-1].parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim == 2], "weight_decay": 2e-5},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        ]
        optimisers.append(torch.optim.Adam(groups, lr=1e-4 * (k + 1), eps=1e-7, fused=True))

    def run() -> None:
        for _ in range(STEPS):
            minibatch = next(stream)
            x = minibatch.inputs(standardised=True)
            for module, adam in zip(modules, optimisers, strict=True):
                adam.zero_grad()
                F.cross_entropy(module(x), minibatch.targets).backward()
                adam.step()

    return run


def vmap(hidden: tuple[int, ...], count: int, rows: int) -> Callable[[], None]:
    """Return ours with the gradient of ``torch.func`` over stacked parameters."""
    run = ours(hidden, count, rows)

    def loss(kernels, biases, x, targets):
        for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            x = F.linear(x, kernel, bias)
            if i < len(kernels) - 1:
                x = F.relu(x)
        return F.cross_entropy(x, targets)

    each = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1)), in_dims=(0, 0, None, None))

    def gradients(probes, x, targets, masks, spec, products):
        return each(probes.kernels, probes.biases, x, targets)

    def replaced() -> None:
        from probes.training import batched

        kept, batched.gradients = batched.gradients, gradients
        try:
            run()
        finally:
            batched.gradients = kept

    return replaced


WAYS = {
    "ours": ours, "optimiser": optimiser, "mm": with_mm, "baddbmm": with_baddbmm, "autograd": autograd, "vmap": vmap,
}  # fmt: skip


def main() -> None:
    """Print a table of ratios to ours, a line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    for name, case in CASES.items():
        works = {way: make(*case) for way, make in WAYS.items()}
        seconds: dict[str, list[float]] = {way: [] for way in works}
        for i in range(rounds + 1):
            for way, work in works.items():
                started = time.process_time()
                work()
                if i:
                    seconds[way].append((time.process_time() - started) / STEPS)
        base = np.array(seconds["ours"])
        shown = [f"{way} {np.median(np.array(times) / base):.2f}" for way, times in seconds.items() if way != "ours"]
        print(f"{name}: ours {1e3 * np.median(base):.2f} ms a step; times that: {', '.join(shown)}", flush=True)


if __name__ == "__main__":
    main()
