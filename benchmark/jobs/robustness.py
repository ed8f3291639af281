"""The robustness view: how far a probe's scores on test move when the audio of test, and nothing else, is deformed.

The probes are those of the normal run, trained on clean audio; nothing is selected by what they score here. Each item
is scored clean and deformed by the same probes, so the interval is that of the change itself, over items and seeds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.audio.deformations import Deformation
from benchmark.embeddings.store import EmbeddingStore
from benchmark.embeddings.tracks import Damage, Track
from benchmark.errors import UserError
from benchmark.jobs.job import Existing, Job
from benchmark.jobs.scoring import LeftOut, leave_out, score_split
from benchmark.system.long_lists import SHOWN
from probes.data import SplitArrays
from probes.statistics.intervals import change
from results.markdown import folded
from results.sections.scores import Drop, Robustness, Score
from tasks.metrics.table import bounds

if TYPE_CHECKING:
    from benchmark.jobs.splits import JobData
    from probes.training.probe import TrainedProbe


def deformed_job(job: Job, deformation: Deformation) -> Job:
    """Return the job with the store of the deformed audio's embeddings, a space of their own."""
    space = replace(job.store.space, deformation=deformation)
    return replace(job, source=EmbeddingStore(job.home, space), existing=Existing())


def tracks_to_deform(jobs: Sequence[Job], damaged: Collection[Path]) -> list[Track]:
    """Return the sound test tracks of jobs that share a space: nothing else is ever deformed."""
    return [
        track
        for job in jobs
        for track, split in zip(job.data.tracks, job.data.items.splits, strict=True)
        if split == "test" and track.path not in damaged
    ]


def refuse_unusable(job: Job, deformation: Deformation, damaged: Sequence[Damage]) -> None:
    """Refuse a deformation that leaves too little of some track: clean and deformed are scored on the same tracks.

    Raises:
        UserError: There are such tracks; they are named.
    """
    if not damaged:
        return
    lines = [folded(f"{damage.track_id} ({damage.path}): {damage.problem}") for damage in damaged[:SHOWN]]
    lines = [f"  {line}" for line in lines]
    if len(damaged) > SHOWN:
        lines.append(f"  … and {len(damaged) - SHOWN} more")
    raise UserError(
        f"{len(damaged)} test track(s) cannot be embedded with {job.encoder.name} under --deform {deformation.text}",
        "make it smaller, or leave it out. No probe was trained; every embedding that was made is kept",
        lines,
    )


def deformed_splits(splits: JobData, deformation: Deformation) -> JobData:
    """Return the splits with the embeddings of deformed audio; only those of test are there."""
    # A split that is held in a file must not overwrite another.
    scratch = splits.scratch / f"{deformation.kind}{deformation.amount:g}"
    scratch.mkdir(exist_ok=True)
    return replace(splits, job=deformed_job(splits.job, deformation), scratch=scratch)


def robustness(
    splits: JobData,
    test: SplitArrays,
    probes: Sequence[TrainedProbe],
    clean: Mapping[str, Score],
    left_out: LeftOut,
    seed: int,
) -> Robustness:
    """Score the probes on deformed test audio, beside their clean scores.

    Args:
        splits: See :func:`deformed_splits`.
        test: Its embeddings of test.
        probes: The selected probes.
        clean: Their scores on clean test audio.
        left_out: These without each block; see :func:`~benchmark.jobs.scoring.leave_out`.
        seed: Seed of the blocks.

    Raises:
        UserError: A probe's outputs are not finite.
    """
    job, labels, groups = splits.job, splits.items.labels, splits.groups("test")
    card, deformation = job.card, job.store.space.deformation
    assert deformation is not None
    outputs = [probe.predict(test.embeddings) for probe in probes]
    beside = None
    if all(np.isfinite(output).all() for output in outputs):  # else score_split refuses them
        beside = leave_out(card, test.targets, outputs, labels, groups, seed=seed)
    split = f"test ({deformation.text})"
    scores = score_split(card, test.targets, outputs, labels, groups, seed=seed, split=split, left_out=beside)
    assert beside is not None
    drops = {}
    for metric, score in scores.items():
        moved = change(beside.scores[metric], left_out.scores[metric], beside.blocks, bounds(metric))
        drops[metric] = Drop(
            value=score.value, low=score.low, high=score.high, drop=score.value - clean[metric].value,
            drop_low=None if moved is None else moved.low, drop_high=None if moved is None else moved.high,
            question=score.question,
        )  # fmt: skip
    places = job.store.places()
    clipped = sum(places[splits.keys[i]].clipped for i in splits.items.rows("test"))
    return Robustness(
        spec=deformation.text, version=deformation.version, space=job.store.space.key, clipped=clipped, metrics=drops
    )
