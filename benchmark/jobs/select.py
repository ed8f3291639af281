"""Selection: which layer, which settings, which probes. It sees train and valid; the ids of test are sealed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from benchmark.errors import UserError
from benchmark.jobs.keys import study_name
from benchmark.jobs.scoring import objective
from benchmark.jobs.splits import JobData
from benchmark.system.progress import Reporter
from probes.data import TrainValid
from probes.protocol import ProbeSpec
from probes.search.search import search
from probes.search.storage import SearchStudy, StorageError, open_study
from probes.search.ties import first_within, tolerance
from probes.search.trials import SearchResult
from probes.statistics.baselines import Ridge, fit_ridge, permuted
from probes.training.probe import TrainedProbe
from probes.training.state import Training
from probes.training.trainer import ScoreFunction, Trainer
from results.store import STUDIES


@dataclass(frozen=True)
class Selection:
    """What came of train and valid.

    Attributes:
        spec: What all probes have in common.
        result: Of the search.
        probes: The selected probe, once a seed.
        diverged: Seeds with which it had no finite validation score.
        permuted: It once more, trained on permuted labels; ``None`` where that diverged.
        ridge: A ridge regression on the same embeddings.
        data: Train and valid.
        layer: Name of the layer, ``mix`` or ``all``; ``None`` where the encoder has none.
        layer_number: Its index, where it is one.
        layers: Validation score of a ridge on each layer, where the layer was chosen by it.
        floor_seconds: What the search's products take at the measured rate.
        search_seconds: What the search took.
    """

    spec: ProbeSpec
    result: SearchResult
    probes: tuple[TrainedProbe, ...]
    diverged: tuple[int, ...]
    permuted: TrainedProbe | None
    ridge: Ridge
    data: TrainValid
    layer: str | None
    layer_number: int | None
    layers: Mapping[str, float] | None
    floor_seconds: float
    search_seconds: float


def select(splits: JobData, keys: list[str], device: str, report: Reporter) -> Selection:
    """Search on train and valid, then retrain the selected probe.

    Args:
        splits: The items of a job and their embeddings.
        keys: The content hash of every item's audio, for the name of the study.
        device: torch's name of the device.
        report: Is told of progress.

    Raises:
        UserError: Every trial diverged, or the search cannot be kept.
    """
    job, plan = splits.job, splits.job.search
    card, protocol, labels = job.card, job.data.protocol, splits.items.labels

    def score(targets: np.ndarray, outputs: np.ndarray) -> float:
        return objective(card, targets, outputs, labels)

    title = f"Probing {splits.title}"
    wanted, seeds = plan.trials, plan.seeds
    with _told(title, report), report.stage(title, wanted + seeds + 1, "probes") as advance:
        layer, number, data, layers = _layer(splits, score)
        mixed = len(job.source.space.layers or ()) if layer == "mix" else None
        spec = protocol.spec(card.kind, len(labels), mixed)
        ridge = fit_ridge(card.kind, len(labels), data, score)
        trainer = Trainer(spec, data, score, device=device, precision=plan.precision)
        rate = trainer.products.rate()
        started = time.monotonic()

        def told(done: int, _: int) -> None:
            advance(done, f"{done / max(time.monotonic() - started, 1e-3):.1f} trials/s")

        with _study(splits, keys) as study:
            kept = sum(trial.state.is_finished() for trial in study.trials)
            if kept:
                report.say(f"{title} continues at trial {min(kept, wanted)} of {wanted}.")
            result = search(
                trainer, protocol, study,
                trials=wanted, seed=plan.seed, sampler=plan.sampler, pruner=plan.pruner,
                progress=told,
            )  # fmt: skip
        searched = time.monotonic() - started
        retrained = _retrain(trainer, result, seeds, plan.seed)
        probes = tuple(probe for probe in retrained.values() if probe is not None)
        diverged = tuple(seed for seed, probe in retrained.items() if probe is None)
        for seed in diverged:
            report.say(
                f"{title}: the selected probe diverged with the seed {seed}, which the record names and leaves out"
            )
        advance(wanted + seeds)
        chance = _permuted(splits, trainer, result, data)
        advance(wanted + seeds + 1)
    floor = result.operations / rate
    report.say(
        f"{title}: {wanted} trials, {result.steps_run:,} steps in {searched:.1f} s; "
        f"their matrix products take {floor:.1f} s at the {rate / 1e9:,.0f} GFLOP/s of this machine"
    )
    return Selection(spec, result, probes, diverged, chance, ridge, data, layer, number, layers, floor, searched)


@contextmanager
def _told(title: str, report: Reporter) -> Iterator[None]:
    """Turn what may go wrong into the user's words."""
    try:
        yield
    except StorageError as error:
        raise UserError(f"{title}: {error.what}", error.do) from error
    except FloatingPointError as error:
        raise UserError(
            f"{title}: {error}",
            "Bound what the encoder gives ('bench encoders check' looks at its scale), or ask for more with --trials",
        ) from error
    except KeyboardInterrupt:
        report.say(
            f"Stopped while {title[0].lower()}{title[1:]}: embeddings, finished trials and finished records are kept. "
            "The same command continues (with --overwrite always it starts again)."
        )
        raise


@contextmanager
def _study(splits: JobData, keys: list[str]) -> Iterator[SearchStudy]:
    job = splits.job
    name = study_name(job, keys, splits.fold)
    if job.search.fresh:  # begin anew, and leave what is there alone
        name += f"-{uuid.uuid4().hex[:8]}"
    folder = None if job.search.fresh else job.results / STUDIES
    with open_study(job.search.storage, folder, name) as study:
        yield study


def _layer(
    splits: JobData, score: ScoreFunction
) -> tuple[str | None, int | None, TrainValid, Mapping[str, float] | None]:
    """Return the layer's name and index, the embeddings of it, and how a ridge did on each where that decided."""
    layers = splits.job.source.space.layers
    wanted = splits.job.search.layer
    if layers is None or wanted is None or wanted in ("all", "mix"):
        return (None if layers is None else wanted), None, split_data(splits, None), None
    if wanted != "auto":
        number = layers.index(wanted)
        return layers[number], number, split_data(splits, number), None
    card, outputs = splits.job.card, len(splits.items.labels)
    scores = {
        name: fit_ridge(card.kind, outputs, split_data(splits, i), score).valid_score for i, name in enumerate(layers)
    }
    number = first_within(list(scores.values()), tolerance(len(splits.items.rows("valid"))))
    return layers[number], number, split_data(splits, number), scores


def split_data(splits: JobData, layer: int | None) -> TrainValid:
    """Return train and valid, of one layer or whole, with the ids of test sealed."""
    items = splits.items
    sealed = frozenset(items.track_ids[i] for i in items.rows("test"))
    return TrainValid(splits.arrays("train", layer), splits.arrays("valid", layer), sealed)


def _retrain(trainer: Trainer, result: SearchResult, seeds: int, first: int) -> dict[int, TrainedProbe | None]:
    """Return the selected probe with each seed, ``None`` where it diverged; the first one the search has trained."""
    wanted = range(first, first + seeds)
    known: dict[int, TrainedProbe | None] = {} if result.probe is None else {result.probe.seed: result.probe}
    trainings: list[Training] = [trainer.begin(result.settings, seed) for seed in wanted if seed not in known]
    trainer.complete(trainings)
    known |= {training.seed: None if training.diverged else trainer.finish(training) for training in trainings}
    return {seed: known[seed] for seed in wanted}


def _permuted(splits: JobData, trainer: Trainer, result: SearchResult, data: TrainValid) -> TrainedProbe | None:
    """Return the selected probe trained on permuted labels: what chance, and choosing on valid, give."""
    chance = trainer.with_targets(permuted(data.train.targets, splits.job.search.seed, splits.groups("train")))
    training = chance.begin(result.settings, splits.job.search.seed)
    chance.complete([training])
    return None if training.diverged else chance.finish(training)
