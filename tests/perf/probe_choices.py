"""What pruning and bf16 cost in scores: searches of five seeds one way and the other, on the same splits.

    python tests/perf/probe_choices.py pruning CASE...    with pruning against without
    python tests/perf/probe_choices.py precision CASE...  in bf16 against fp32

A case is ``mc`` or ``ml`` (generated; the quick protocol) or a card (its own protocol, embeddings of ``--encoder``).
Differences are of the selected probe of each search on test, with the interval of the second and a paired one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from probe_engine import KINDS, generated, score_of, searched

from probes.data import SplitArrays
from probes.protocol import Protocol, protocol_for
from probes.statistics.intervals import Jackknifed, blocks_of, compare, score_interval
from probes.training.trainer import ScoreFunction
from tasks.metrics import scores


@dataclass(frozen=True)
class Case:
    """What searches are compared on: a generated kind, or a card with real embeddings."""

    name: str
    splits: dict[str, SplitArrays]
    score: ScoreFunction
    protocol: Protocol
    kind: str
    labels: list[str]
    metric: str
    groups: list[str] | None


def generated_case(kind: str) -> Case:
    """Return the quick protocol on generated data."""
    task, count, metric = KINDS[kind]
    labels = [str(i) for i in range(count)]
    return Case(kind, generated(kind), score_of(kind), protocol_for("quick", kind), task, labels, metric, None)


def cases(arguments: argparse.Namespace) -> Iterator[Case]:
    """Yield generated kinds, and cards with the embeddings of an encoder."""
    from benchmark.encoders.registry import resolve
    from benchmark.jobs.embed import embed
    from benchmark.jobs.items import prepare
    from benchmark.jobs.options import Options
    from benchmark.jobs.plan import plan_jobs
    from benchmark.jobs.scoring import objective
    from benchmark.jobs.splits import open_job_data
    from benchmark.system.home import home_folder
    from benchmark.system.progress import Silent
    from tasks import registry

    options = Options(home=home_folder(arguments.home), results=Path("results"), overwrite="always")
    for name in arguments.cases:
        if name in KINDS:
            yield generated_case(name)
            continue
        data = prepare(registry.find(name, options.home), options, Silent())
        for job in plan_jobs(resolve(arguments.encoder, options.home), data, options):
            embed([job], options.embedding, Silent())
            with open_job_data(job, {}) as scored:
                splits = {split: scored.arrays(split) for split in ("train", "valid", "test")}
                task, labels = job.card, scored.items.labels
                yield Case(
                    f"{job.encoder.name} on {task.id}", splits,
                    lambda targets, outputs, task=task, labels=labels: objective(task, targets, outputs, labels),
                    job.data.protocol, task.kind, labels, task.metrics[0], scored.groups("test"),
                )  # fmt: skip


def pruning(arguments: argparse.Namespace) -> None:
    """Print steps and test scores with and without pruning, over five seeds."""
    for case in cases(arguments):
        _compare(case, arguments.first, ("halving", "fp32"), ("none", "fp32"))


def precision(arguments: argparse.Namespace) -> None:
    """Print test scores of searches in bf16 beside those in fp32, over five seeds."""
    for case in cases(arguments):
        _compare(case, arguments.first, ("halving", "bf16"), ("halving", "fp32"))


def _compare(case: Case, first: int, *ways: tuple[str, str]) -> None:
    """Print what the first way (pruner and precision) spends and scores beside the second."""
    test, shares, differences, worse = case.splits["test"], [], [], 0
    blocks = blocks_of(len(test), case.groups, seed=0)
    weights = blocks.weights()
    for seed in range(first, first + 5):
        outputs, steps = [], []
        for pruner, precision in ways:
            found, _, _ = searched(
                case.protocol, case.splits, (case.kind, len(case.labels), case.score),
                seed=seed, precision=precision, pruner=pruner,
            )  # fmt: skip
            assert found.probe is not None
            outputs.append(found.probe.predict(test.embeddings))
            steps.append(found.steps_run)
        values = [float(scores.scores(case.metric, test.targets, each, case.labels)) for each in outputs]
        ours, theirs = (
            Jackknifed(
                np.array([value]),
                np.asarray(scores.scores(case.metric, test.targets, each, case.labels, weights))[None],
            )
            for value, each in zip(values, outputs, strict=True)
        )
        contrast = compare(ours, theirs, blocks, scores.bounds(case.metric))
        alone = score_interval(theirs, blocks, scores.bounds(case.metric))
        assert contrast is not None
        assert alone is not None
        paired, low, high = (contrast.interval.low, contrast.interval.high), alone.low, alone.high
        shares.append(steps[0] / steps[1])
        differences.append(values[0] - values[1])
        worse += values[0] < low
        print(
            f"{case.name} seed {seed}: {steps[0]:,} of {steps[1]:,} steps ({shares[-1]:.2f}), test {case.metric} "
            f"{values[0]:.4f} against {values[1]:.4f} ({low:.4f} to {high:.4f}), {differences[-1]:+.4f} "
            f"({paired[0]:+.4f} to {paired[1]:+.4f})",
            flush=True,
        )
    print(
        f"{case.name}: share of steps {np.median(shares):.2f} (median), {np.mean(shares):.2f} (mean), difference "
        f"{np.mean(differences):+.4f} (mean), below the interval of the second in {worse} of 5",
        flush=True,
    )


def main() -> None:
    """Compare what was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for work in (pruning, precision):
        command = commands.add_parser(work.__name__)
        command.add_argument("cases", nargs="+")
        command.add_argument("--first", type=int, default=0, help="the first of five seeds")
        command.add_argument("--home", type=Path)
        command.add_argument("--encoder", default="logmel")
        command.set_defaults(work=work)
    arguments = parser.parse_args()
    arguments.work(arguments)


if __name__ == "__main__":
    main()
