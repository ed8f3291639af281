"""The probe engine against its aims: rates, batches, searches, pruning, a whole grid, and large data.

    python tests/perf/probe_engine.py rounds            rates of 512-unit rounds, in fp32 and bf16
    python tests/perf/probe_engine.py batches           16 linear probes together against 16 one after another
    python tests/perf/probe_engine.py quick mc|ml       16 trials and 3 seeds of the quick protocol, and its floor
    python tests/perf/probe_engine.py grid mc|ml [N]    jukemir's 216 points (or every N-th, extrapolated)
    python tests/perf/probe_engine.py scale N           seconds and memory of a million row-steps on N x 1728
    python tests/perf/probe_engine.py nsynth            what 400,000 steps of the NSynth protocol take

``mc`` is 1,500 x 1728 with 24 classes, ``ml`` 10,000 x 1728 with 50 labels; both are generated here.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from probes.data import SplitArrays, TrainValid
from probes.protocol import ProbeSpec, Protocol, Settings, protocol_for
from probes.search.pruning import PRUNERS
from probes.search.search import search
from probes.search.storage import open_study
from probes.search.trials import SearchResult
from probes.statistics.baselines import fit_ridge
from probes.training.concurrency import run_concurrently
from probes.training.trainer import Trainer
from tasks.metrics import scores as metrics

DIM = 1728
KINDS = {"ml": ("multilabel", 50, "map"), "mc": ("multiclass", 24, "accuracy")}


def generated(kind: str, seed: int = 0) -> dict[str, SplitArrays]:
    """Return train, valid and test (80, 10 and 10 %): a linear teacher with noise, or classes around centres."""
    rng = np.random.default_rng(seed)
    if kind == "ml":
        n = 10_000
        teacher = rng.normal(size=(DIM, 50)) / np.sqrt(DIM)
        x = rng.normal(size=(n, DIM)).astype(np.float32)
        y = (rng.random((n, 50)) < 1 / (1 + np.exp(-(2.0 * x @ teacher - 3.0)))).astype(np.float32)
        for row in np.flatnonzero(y.sum(1) == 0):
            y[row, rng.integers(50)] = 1
    else:
        n = 1_500
        centres = rng.normal(size=(24, DIM)) * 0.25
        y = rng.integers(24, size=n)
        x = (centres[y] + rng.normal(size=(n, DIM))).astype(np.float32)
    bounds = {"train": (0, int(0.8 * n)), "valid": (int(0.8 * n), int(0.9 * n)), "test": (int(0.9 * n), n)}
    return {name: SplitArrays(tuple(str(i) for i in range(a, b)), x[a:b], y[a:b]) for name, (a, b) in bounds.items()}


def score_of(kind: str):
    """Return the score function of a kind."""
    _, count, metric = KINDS[kind]
    labels = [str(i) for i in range(count)]
    return lambda targets, outputs: float(metrics.scores(metric, targets, outputs, labels))


def searched(
    protocol: Protocol, splits: dict[str, SplitArrays], asked, *, seed: int = 0, precision: str = "fp32", **options
) -> tuple[SearchResult, Trainer, float]:
    """Return a search, its trainer and its seconds; its journal is on disk, as a user's is.

    ``asked`` is a generated kind, or kind of task, number of outputs and score function.
    """
    data = TrainValid(splits["train"], splits["valid"], frozenset(splits["test"].ids))
    kind, outputs, score = (*KINDS[asked][:2], score_of(asked)) if isinstance(asked, str) else asked
    spec = protocol.spec(kind, outputs)
    with tempfile.TemporaryDirectory() as folder, open_study(None, Path(folder), "perf") as study:
        started = time.perf_counter()
        trainer = Trainer(spec, data, score, precision=precision)
        found = search(trainer, protocol, study, trials=protocol.trials, seed=seed, **options)
        return found, trainer, time.perf_counter() - started


def step_of_a_slot(trainer: Trainer, settings: Settings, steps: int, rounds: int) -> float:
    """Return the median over rounds of the seconds of one step of one training, where every slot has one."""
    trainings = [trainer.begin(settings, seed) for seed in range(trainer.slots())]
    seconds = []
    for i in range(rounds + 1):
        works = [partial(trainer.advance, [each], [(i + 1) * steps]) for each in trainings]
        started = time.perf_counter()
        for _ in run_concurrently(works, [1.0] * len(works), len(works)):
            pass
        seconds.append((time.perf_counter() - started) / steps / len(works))
    return float(np.median(seconds[1:]))


def median_step(trainer: Trainer, settings: list[Settings], steps: int, rounds: int) -> float:
    """Return the median over rounds of the seconds of one step of all ``settings`` together."""
    trainings = [trainer.begin(each, 0) for each in settings]
    trainer.advance(trainings, [5] * len(trainings))
    seconds = []
    for i in range(rounds):
        started = time.perf_counter()
        trainer.advance(trainings, [5 + (i + 1) * steps] * len(trainings))
        seconds.append((time.perf_counter() - started) / steps)
    return float(np.median(seconds))


def rounds(_: argparse.Namespace) -> None:
    """Print how near 512-unit steps come to the rate of a large product, and what bf16 gains."""
    splits = generated("ml")
    data = TrainValid(splits["train"], splits["valid"], frozenset())
    settings = Settings(1e-3, 1e-5, 10**6, standardise=True)
    steps = {}
    for precision in ("fp32", "bf16"):
        spec = ProbeSpec("multilabel", 50, "binary_cross_entropy", look_every=10**6)
        trainer = Trainer(spec, data, score_of("ml"), precision=precision)
        rate = trainer.products.rate(0.5)
        steps[precision] = step_of_a_slot(trainer, settings, 100, 9)
        share = trainer.operations(settings) / steps[precision] / rate
        plain = torch.mm(torch.ones(256, DIM), torch.ones(DIM, 512)) is not None and _mm_rate()
        print(
            f"{precision}: {1e3 * steps[precision]:.2f} ms a step, {share:.2f} of this precision's own rate of "
            f"{rate / 1e9:.0f} GFLOP/s, {trainer.operations(settings) / steps[precision] / plain:.2f} of torch.mm's "
            f"{plain / 1e9:.0f} in fp32"
        )
    print(f"bf16 against fp32: {steps['fp32'] / steps['bf16']:.2f} times the steps a second")


def _mm_rate() -> float:
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    a @ b
    seconds = []
    for _ in range(9):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return 2 * 2048**3 / float(np.median(seconds))


def _plain_step(n: int, classes: int, batch: int, steps: int) -> float:
    """Return the seconds of one step of a plain torch loop with fused Adam on a linear probe."""
    x, y = torch.randn(n, DIM), torch.randint(classes, (n,))
    layer = torch.nn.Linear(DIM, classes)
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-3, fused=True)
    order = torch.randperm(n)

    def step(i: int) -> None:
        rows = order[(i * batch) % n :][:batch]
        loss = torch.nn.functional.cross_entropy(layer(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    for i in range(10):
        step(i)
    started = time.perf_counter()
    for i in range(steps):
        step(i)
    return (time.perf_counter() - started) / steps


def batches(_: argparse.Namespace) -> None:
    """Print what 16 linear probes gain from training together."""
    torch.set_num_threads(1)  # as the engine does for probes of this size
    rng = np.random.default_rng(0)
    for name, n, classes, batch in (("GTZAN", 443, 10, 443), ("24 classes", 1200, 24, 64), ("NSynth", 20_000, 112, 64)):
        x = rng.normal(size=(n + 100, DIM)).astype(np.float32)
        y = rng.integers(classes, size=n + 100)
        ids = tuple(map(str, range(n + 100)))
        data = TrainValid(SplitArrays(ids[:n], x[:n], y[:n]), SplitArrays(ids[n:], x[n:], y[n:]), frozenset())
        spec = ProbeSpec("multiclass", classes, "cross_entropy", look_every=10**6)
        settings = [Settings(1e-4 * (i + 1), 0.0, 10**6, False, (), 0.0, batch) for i in range(16)]
        ratios = {"fp32": [], "bf16": []}
        for _ in range(5):
            alone = 16 * _plain_step(n, classes, batch, 60)
            for precision, found in ratios.items():
                trainer = Trainer(spec, data, lambda *_: 0.0, precision=precision)
                found.append(alone / median_step(trainer, settings, 30, 3))
        told = ", ".join(f"{precision} {np.median(found):.2f} times" for precision, found in ratios.items())
        print(f"{name} (1728 -> {classes}, batch {batch}), 16 together against 16 in a row: {told}")


def quick(arguments: argparse.Namespace) -> None:
    """Print time, floor and scores of a quick search with three seeds, for 512 units and linear."""
    kind = arguments.kind
    splits, score = generated(kind), score_of(kind)
    test = splits["test"]
    data = TrainValid(splits["train"], splits["valid"], frozenset(test.ids))
    ridge = fit_ridge(KINDS[kind][0], KINDS[kind][1], data, score)
    print(f"ridge: test {score(test.targets, ridge.predict(test.embeddings)):.4f}")
    for hidden in ((512,), ()):
        protocol = protocol_for("quick", kind, hidden=hidden, dropout=0.5 if hidden else 0.0)
        found, trainer, seconds = searched(protocol, splits, kind, pruner=arguments.pruner)
        rate = trainer.products.rate(0.5)
        started = time.perf_counter()
        trainings = [trainer.begin(found.settings, seed) for seed in range(3)]
        trainer.complete(trainings)
        probes = [trainer.finish(training) for training in trainings]
        more = time.perf_counter() - started
        scores = [score(test.targets, probe.predict(test.embeddings)) for probe in probes]
        floor = found.operations / rate
        print(
            f"{kind} {'512 units' if hidden else 'linear'}: search {seconds:.1f} s, {seconds / floor:.2f} times its "
            f"floor ({found.steps_run:,} steps, {floor:.1f} s at {rate / 1e9:.0f} GFLOP/s), 3 seeds {more:.1f} s, "
            f"test {np.mean(scores):.4f}"
        )


def grid(arguments: argparse.Namespace) -> None:
    """Print what jukemir's grid takes, with its early stopping."""
    kind, every = arguments.kind, arguments.every
    splits, score = generated(kind), score_of(kind)
    protocol = protocol_for("jukemir", kind)
    if every == 1:
        found, _, seconds = searched(
            replace(protocol, trials=216), splits, kind, precision=arguments.precision, sampler="grid", pruner="none"
        )
        best, steps, count = found.trials[found.selected], found.steps_run, 216
    else:
        data = TrainValid(splits["train"], splits["valid"], frozenset())
        trainer = Trainer(protocol.spec(*KINDS[kind][:2]), data, score, precision=arguments.precision)
        points = protocol.grid_settings()[arguments.first :: every]
        started, count = time.perf_counter(), len(points)
        trainings = [trainer.begin(settings, 0) for settings in points]
        trainer.complete(trainings)
        seconds, best, steps = time.perf_counter() - started, None, sum(each.step for each in trainings)
        floor = sum(trainer.operations(each.settings) * each.step for each in trainings) / trainer.products.rate(0.5)
        print(f"{seconds / floor:.2f} times their floor of {floor:.0f} s")
        for each in trainings:
            print(f"  {each.settings}: {each.step:,} steps, {each.seconds:.1f} s, best {each.best_score:.4f}")
    whole = seconds / count * 216 / 60
    print(f"{kind}: {count} of 216 points in {seconds / 60:.1f} min ({steps:,} steps), all: {whole:.1f} min")
    if best is not None:
        print(f"best {best.settings}, valid {best.score:.4f}")


def scale(arguments: argparse.Namespace) -> None:
    """Print seconds a million row-steps, and peak memory, on N x 1728 in a memory map."""
    n = arguments.rows
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        x = np.lib.format.open_memmap(Path(folder) / "x.npy", "w+", np.float32, (n, DIM))
        rng = np.random.default_rng(0)
        from probes.data import release

        for start in range(0, n, 10_000):
            x[start : start + 10_000] = rng.standard_normal((min(10_000, n - start), DIM), np.float32)
            x.flush()
            release(x)
        y = (rng.random((n, 50)) < 0.05).astype(np.float32)
        ids = tuple(map(str, range(n)))
        valid = SplitArrays(tuple(f"v{i}" for i in range(2000)), np.array(x[:2000]), y[:2000])
        spec = ProbeSpec("multilabel", 50, "binary_cross_entropy", look_every=10**6)
        started = time.perf_counter()
        trainer = Trainer(spec, TrainValid(SplitArrays(ids, x, y), valid, frozenset()), lambda *_: 0.0)
        ready = time.perf_counter() - started
        step = step_of_a_slot(trainer, Settings(1e-3, 1e-5, 10**6, standardise=True), 400, 3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{n:,} rows: {step / 256 * 1e6:.2f} s a million row-steps, {ready:.1f} s to begin, peak memory {peak:.2f} GiB"
    )


def nsynth(_: argparse.Namespace) -> None:
    """Print what the published NSynth training takes on this machine, from the measured step."""
    n, classes = 289_205 // 4, 112  # a quarter of the rows: a step costs the same
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, DIM), np.float32)
    y = rng.integers(classes, size=n)
    ids = tuple(map(str, range(n)))
    data = TrainValid(
        SplitArrays(ids[1000:], x[1000:], y[1000:]), SplitArrays(ids[:1000], x[:1000], y[:1000]), frozenset()
    )
    spec = ProbeSpec("multiclass", classes, "cross_entropy", look_every=10**6, warmup=5000)
    trainer = Trainer(spec, data, lambda *_: 0.0)
    step = median_step(trainer, [Settings(1e-4, 0.0, 10**6, False, (), 0.0, 64)], 500, 5)
    print(f"{1e3 * step:.2f} ms a step on one thread: 400,000 steps take {400_000 * step / 60:.1f} min")


def main() -> None:
    """Measure what was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for work in (rounds, batches, nsynth):
        commands.add_parser(work.__name__).set_defaults(work=work)
    for work in (quick, grid):
        command = commands.add_parser(work.__name__)
        command.add_argument("kind", choices=KINDS)
        command.set_defaults(work=work)
        if work is quick:
            command.add_argument("--pruner", choices=PRUNERS, default="halving")
        else:
            command.add_argument("every", type=int, nargs="?", default=1)
            command.add_argument("--first", type=int, default=0)
            command.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    large = commands.add_parser("scale")
    large.add_argument("rows", type=int)
    large.add_argument("--folder", type=Path)
    large.set_defaults(work=scale)
    arguments = parser.parse_args()
    arguments.work(arguments)


if __name__ == "__main__":
    main()
