"""Probes while training: the current network as an encoder on a task of the benchmark, with few trials."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benchmark.encoders.base import Encoder
from benchmark.jobs.items import prepare
from benchmark.jobs.options import Options
from benchmark.jobs.plan import plan_jobs
from benchmark.jobs.runner import run_many
from benchmark.pretraining.encoder import encoder_of
from benchmark.pretraining.training.trainer import Probe, Trainer
from benchmark.system.progress import Reporter, Silent
from benchmark.system.terminal import said_by
from tasks import registry

RESULTS = "results"
TRIALS = 4


def make_probe(
    trainer: Trainer,
    run: Path,
    tasks: Sequence[str],
    *,
    home: Path,
    report: Reporter,
    device: str = "cpu",
    trials: int = TRIALS,
    data_roots: Sequence[str] = (),
) -> Probe:
    """Return what evaluates the trainer's network on ``tasks``, into the run's own results folder.

    Scores on valid are what is logged, so that nobody chooses a step by a test score; the records in ``RUN/results``
    hold both. Embeddings of each step are deleted behind it.

    Raises:
        UserError: A task is unknown, or (as TaskError) its audio is not here: before any training.
    """
    options = Options(home=home, results=run / RESULTS, trials=trials, device=device, data_roots=tuple(data_roots))
    found = [task for name in tasks for task in registry.find(name, home, tuple(data_roots))]
    prepare(found, options, report)

    def probe(step: int) -> Mapping[str, float]:
        network = copy.deepcopy(trainer.network).cpu().eval()
        encoder = encoder_of(trainer.recipe.network, network, f"{run.resolve().name}@{step}")
        values: dict[str, float] = {}
        try:
            for outcome in run_many([encoder], found, options):
                task = outcome.record.task
                score = outcome.record.scores.valid[task.metrics[0]]
                values[f"probe/{task.id}/valid/{task.metrics[0]}"] = score.value
        except Exception as error:  # days of training are not to end with a look at them
            report.say(f"The probe at step {step} failed, training continues: {said_by(error)}")
        else:
            told = ", ".join(f"{name.removeprefix('probe/')} {value:.3f}" for name, value in values.items())
            report.say(f"Probe at step {step}: {told}")
        finally:
            with suppress(Exception):
                _forget(encoder, found, options)
        return values

    return probe


def _forget(encoder: Encoder, tasks: Sequence[registry.Task], options: Options) -> None:
    """Delete the embeddings of a network that nobody will ask for again."""
    asked = prepare(tasks, options, Silent())
    for job in plan_jobs([encoder], asked, options, Silent(), records=False):
        shutil.rmtree(job.store.folder, ignore_errors=True)
