"""The sections of a record, from a job, its data and its selection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmark.audio.inspection import CUT
from benchmark.audio.lengths import far_shorter
from benchmark.encoders.base import Encoder
from benchmark.encoders.parameters import parameter_count
from benchmark.encoders.remote import RemoteEncoder
from benchmark.jobs.job import Job
from benchmark.jobs.left_out import left_out
from benchmark.jobs.scoring import objective_name
from benchmark.jobs.splits import JobData, subset_seed
from benchmark.jobs.variants import precision_of
from results.record import FoldSection
from results.sections.inputs import (
    CurvePoint,
    Damaged,
    DataSection,
    EncoderSection,
    EnvironmentSection,
    TaskSection,
)
from results.sections.scores import Scores
from results.sections.selection import ProbeSection, RunnerUp, SearchSection, SeedsSection, Trial
from tasks.items import SPLITS

if TYPE_CHECKING:
    from benchmark.jobs.select import Selection


def task_section(job: Job) -> TaskSection:
    """Return which task was answered."""
    task, card = job.data.task, job.card
    return TaskSection(
        id=card.id,
        title=card.title,
        version=card.version,
        kind=card.kind,
        metrics=list(card.metrics),
        collection=task.collection,
        group=task.group,
        fingerprint=job.data.fingerprint,
    )


def encoder_section(job: Job) -> EncoderSection:
    """Return which encoder answered, and how it was fed."""
    space = job.source.space
    return EncoderSection(
        id=job.encoder.name,
        version=space.version,
        fingerprint=space.fingerprint,
        dim=space.width,
        sample_rate=space.sample_rate,
        channels=space.channels,
        window_seconds=space.window_seconds,
        hop_seconds=space.hop_seconds,
        space=space.key,
        own_windows=job.own_windows,
        fitted_on=space.fitted_on,
        precision=precision_of(job.encoder),
        parameters=parameter_count(job.encoder),
        environment=environment_section(job.encoder),
    )


def environment_section(encoder: Encoder) -> EnvironmentSection | None:
    """Return the environment of another interpreter that runs an encoder; ``None`` where this one does."""
    if not isinstance(encoder, RemoteEncoder):
        return None
    software = encoder.software
    return EnvironmentSection(
        name=software.name,
        python=software.python,
        packages=software.packages,
        digest=software.digest,
        main=dict(software.main),
    )


def probe_section(job: Job, selection: Selection) -> ProbeSection:
    """Return the selected probe."""
    settings, probes, spec = selection.result.settings, selection.probes, selection.spec
    mixing = [list(probe.mixing) for probe in probes if probe.mixing is not None]
    return ProbeSection(
        hidden=list(settings.hidden),
        dropout=settings.dropout,
        dropout_place=spec.dropout_place,
        batch_size=settings.batch_size,
        loss=spec.loss,
        learning_rate=settings.learning_rate,
        warm_rate=settings.warm_rate,
        l2=settings.l2,
        steps=settings.steps,
        standardise=settings.standardise,
        parameters=probes[0].parameters,
        best_steps=[probe.best_step for probe in probes],
        steps_run=[probe.steps_run for probe in probes],
        precision=job.search.precision,
        layer=selection.layer,
        mixing=mixing or None,
    )


def search_section(job: Job, selection: Selection) -> SearchSection:
    """Return the search: every trial, and the budget spent."""
    result = selection.result
    trials = [
        Trial(
            number=trial.number,
            state=trial.state,
            hidden=list(trial.settings.hidden),
            dropout=trial.settings.dropout,
            batch_size=trial.settings.batch_size,
            learning_rate=trial.settings.learning_rate,
            l2=trial.settings.l2,
            steps=trial.settings.steps,
            standardise=trial.settings.standardise,
            score=trial.score if np.isfinite(trial.score) else None,
            best_step=trial.best_step,
            steps_run=trial.steps_run,
            seconds=round(trial.seconds, 3),
        )
        for trial in result.trials
    ]
    return SearchSection(
        section=job.data.protocol.section,
        protocol_version=job.data.protocol.version,
        sampler=job.search.sampler,
        pruner=job.search.pruner,
        objective=objective_name(job.card),
        selected=result.selected,
        trials=trials,
        steps_run=result.steps_run,
        steps_asked=sum(trial.settings.steps for trial in result.trials),
        operations=result.operations,
        floor_seconds=round(selection.floor_seconds, 3),
        layers=None if selection.layers is None else dict(selection.layers),
        tolerance=result.tolerance,
        runner_up=None
        if (second := result.runner_up) is None
        else RunnerUp(
            number=second.number, score=second.score, lead=result.trials[result.selected].score - second.score
        ),
    )


def curve_point(splits: JobData) -> CurvePoint | None:
    """Return the part of train that the record is about, where it is not all of it."""
    subset = splits.job.subset
    if subset is None:
        return None
    return CurvePoint(
        fraction=subset.fraction,
        repeat=subset.repeat,
        seed=subset_seed(splits.job, subset),
        items=len(splits.items.rows("train")),
        lost=list(splits.lost),
    )


def fold_section(splits: JobData, selection: Selection, scores: Scores, seeds: SeedsSection) -> FoldSection:
    """Return what came of one fold.

    Args:
        splits: The items, with the fold as test.
        selection: What came of its train and valid.
        scores: On its valid and test.
        seeds: Of its probes.
    """
    job = splits.job
    folds = job.data.items.folds
    assert splits.fold is not None
    return FoldSection(
        name=splits.fold,
        valid=folds[(folds.index(splits.fold) + 1) % len(folds)],
        counts=splits.items.counts(),
        scores=scores,
        probe=probe_section(job, selection),
        search=search_section(job, selection),
        seeds=seeds,
    )


def data_section(splits: JobData, near: int | None = None) -> DataSection:
    """Return what was scored, and what was left out or looks wrong; ``near`` items of test have a near-duplicate."""
    items, job, seen = splits.items, splits.job, None
    if job.source.reads_audio:
        places = job.store.places()
        seen = [places[key] for key in splits.keys]
    return DataSection(
        fingerprint=content_of(splits),
        counts=dict.fromkeys(SPLITS, len(items)) if items.folds else items.counts(),
        labels=list(items.labels),
        groups=None if items.groups is None else len(set(items.groups)),
        shared_groups=_shared(items.groups, items.splits),
        shared_audio=None if seen is None else _shared_audio(splits),
        audio_seconds=None if seen is None else round(sum(place.seconds for place in seen), 3),
        clipped=None
        if seen is None
        else [name for name, place in zip(items.track_ids, seen, strict=True) if place.clipped],
        missing=list(job.data.missing),
        allow_missing=job.allow_missing,
        damaged=[
            Damaged(
                track_id=damage.track_id,
                file=damage.path.name,
                problem=damage.problem,
                seconds_recovered=round(damage.seconds_recovered, 3),
            )
            for damage in splits.damaged
        ],
        allow_damaged=job.allow_damaged,
        short=[] if seen is None else _short(items.track_ids, [place.seconds for place in seen]),
        cut_inside_frame=[name for name in items.track_ids if CUT in splits.notes.get(name, "")],
        left_out=left_out(
            job.card,
            job.data.whole or job.data.items,
            job.data.missing,
            {damage.track_id for damage in splits.damaged},
        ),
        near_duplicates=near,
    )


def _short(names: Sequence[str], seconds: Sequence[float]) -> list[str]:
    """Return the tracks that are far shorter than the others."""
    return [names[row] for row in far_shorter(np.array(seconds))]


def content_of(splits: JobData) -> str:
    """Return the fingerprint of the audio, or of the given rows, that is scored."""
    return hashlib.sha256("".join(splits.keys).encode()).hexdigest()


def _shared(names: Sequence[str] | None, splits: Sequence[str]) -> list[str]:
    """Return the names that occur in test and also in train or valid; of folds, those in more than one."""
    if names is None:
        return []
    parts: dict[str, set[str]] = {}
    for name, split in zip(names, splits, strict=True):
        parts.setdefault(name, set()).add(split)
    folds = not set(splits) <= set(SPLITS)
    return sorted(name for name, its in parts.items() if len(its) > 1 and (folds or "test" in its))


def _shared_audio(splits: JobData) -> list[str]:
    """Return the test tracks whose very audio is also in train or valid."""
    shared = set(_shared(splits.keys, splits.items.splits))
    items = splits.items
    rows = zip(items.track_ids, items.splits, splits.keys, strict=True)
    return [name for name, split, key in rows if key in shared and (split == "test" or items.folds)]
