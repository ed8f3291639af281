"""Stages 2 to 4 of a run: one job, from its embeddings to its record. Test is opened by :func:`_score_test` alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.audio.index import AudioIndex
from benchmark.embeddings.tracks import Damage
from benchmark.jobs import record as sections
from benchmark.jobs.job import Job
from benchmark.jobs.keys import run_key
from benchmark.jobs.left_out import tell
from benchmark.jobs.provenance import versions
from benchmark.jobs.robustness import deformed_splits, robustness
from benchmark.jobs.scoring import LeftOut, leave_out, score_split
from benchmark.jobs.select import Selection, select
from benchmark.jobs.splits import JobData, open_job_data
from benchmark.system.machine import device_of, hardware
from benchmark.system.progress import Reporter
from probes.statistics.baselines import constant_outputs, loses
from results import record as schema
from results import store as records
from tasks.metrics.table import bounds

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class _Scored:
    """What came of a split: scores by metric, and the outputs of each probe."""

    scores: dict[str, schema.Score]
    outputs: list[np.ndarray]


def evaluate(
    job: Job, damaged: Mapping[Path, Damage], embed_seconds: float, report: Reporter
) -> tuple[schema.Record, Path, Path | None]:
    """Search, retrain and score a job whose embeddings are in the store; write its record.

    Returns:
        The record, its file, and where the record of another run that lay there went.

    Raises:
        UserError: A split is empty or a metric undefined, embeddings are not usable, or nothing can be written.
    """
    with open_job_data(job, damaged) as splits:
        if splits.damaged:
            left = [damage.track_id for damage in splits.damaged]
            tell(job.card, job.data.whole or job.data.items, job.data.missing, left, report)
        return _evaluate(splits, embed_seconds, report)


def _evaluate(splits: JobData, embed_seconds: float, report: Reporter) -> tuple[schema.Record, Path, Path | None]:
    started = time.monotonic()
    job = splits.job
    card = job.card
    device, seed = device_of(job.search.device), job.search.seed
    keys = [key or "" for key in job.keys(AudioIndex(job.home))]  # a damaged file may have none
    selection = select(splits, keys, device, report)
    valid = _score_valid(splits, selection, seed)
    test, floors, robust = _score_test(splits, selection, seed)
    finished = time.monotonic()
    key, variant = run_key(job, keys), job.variant
    name = records.write_predictions(
        job.results, card.id, job.encoder.name, key,
        _predictions(splits, valid.outputs, test.outputs), job.limit, job.subset.name if job.subset else None,
        variant,
    )  # fmt: skip
    record = schema.Record(
        run_key=key,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        limit=job.limit,
        protocol=job.data.protocol.name,
        task=sections.task_section(job),
        encoder=sections.encoder_section(job),
        scores=schema.Scores(valid=valid.scores, test=test.scores),
        floors=floors,
        probe=sections.probe_section(job, selection),
        search=sections.search_section(job, selection),
        data=sections.data_section(splits),
        seeds=schema.SeedsSection(
            search=seed,
            probes=[probe.seed for probe in selection.probes],
            diverged=list(selection.diverged),
        ),
        versions=versions(),
        hardware=schema.HardwareSection(**hardware(device)),
        seconds=schema.SecondsSection(
            embed=round(embed_seconds, 3),
            search=round(selection.search_seconds, 3),
            probes=round(finished - started - selection.search_seconds, 3),
            total=round(embed_seconds + finished - started, 3),
        ),
        predictions=name,
        curve=sections.curve_point(splits),
        robustness=robust,
        variant=variant,
    )
    record = records.signed(job.results, record)
    path, displaced = records.displace(job.results, record)
    if job.export is not None:
        from benchmark.jobs.export import export_probe

        folder = export_probe(
            job.export, job, selection.probes, splits.items.labels, valid.scores, test.scores, versions(),
            layer=selection.layer_number,
        )  # fmt: skip
        report.say(f"The probe is in {folder}")
    scores = ", ".join(f"{metric} {score.value:.3f}" for metric, score in test.scores.items())
    report.say(f"Probed {job.encoder.name} on {card.id} in {finished - started:.1f} s: {scores}")
    for metric in floors.loses_to_ridge:
        assert floors.ridge is not None
        report.say(
            f"{card.id}: {metric} of the probe is below that of a ridge regression on the same embeddings "
            f"({floors.ridge[metric].value:.3f}) by more than the interval: search longer, or suspect the protocol"
        )
    return record, path, displaced


def _score_valid(splits: JobData, selection: Selection, seed: int) -> _Scored:
    valid = selection.data.valid
    outputs = [probe.predict(valid.embeddings) for probe in selection.probes]
    card, groups = splits.job.card, splits.groups("valid")
    scores = score_split(card, valid.targets, outputs, splits.items.labels, groups, seed=seed, split="valid")
    return _Scored(scores, outputs)


def _score_test(
    splits: JobData, selection: Selection, seed: int
) -> tuple[_Scored, schema.Floors, list[schema.Robustness]]:
    """Open test, for the first and only time, and score the selected probes and the floors on it.

    The probes are then scored once more on test under each deformation of its audio.
    """
    test = splits.arrays("test", selection.layer_number)
    card, labels, groups = splits.job.card, splits.items.labels, splits.groups("test")
    outputs = [probe.predict(test.embeddings) for probe in selection.probes]
    left_out = None
    if all(_finite(output) for output in outputs):  # else score_split refuses them
        left_out = leave_out(card, test.targets, outputs, labels, groups, seed=seed)
    scores = score_split(card, test.targets, outputs, labels, groups, seed=seed, split="test", left_out=left_out)
    assert left_out is not None

    def floor(found: np.ndarray, left_out: LeftOut | None = None) -> dict[str, schema.FloorScore]:
        scored = score_split(card, test.targets, [found], labels, groups, seed=seed, split="test", left_out=left_out)
        return {
            metric: schema.FloorScore(value=score.value, low=score.low, high=score.high)
            for metric, score in scored.items()
        }

    constant = constant_outputs(card.kind, selection.data.train.targets, len(labels), len(test))
    chance = None if selection.permuted is None else selection.permuted.predict(test.embeddings)
    ridge, beside = selection.ridge.predict(test.embeddings), None
    if _finite(ridge):
        beside = leave_out(card, test.targets, [ridge], labels, groups, seed=seed, seeded=False)
    floors = schema.Floors(
        constant=floor(constant),
        permuted=None if chance is None or not _finite(chance) else floor(chance),
        ridge=None if beside is None else floor(ridge, beside),
        ridge_penalty=None if beside is None else selection.ridge.penalty,
        loses_to_ridge=[]
        if beside is None
        else [
            metric
            for metric in card.metrics
            if loses(left_out.scores[metric], beside.scores[metric], left_out.blocks, bounds(metric))
        ],
    )
    robust = []
    for deformation in splits.job.deform:
        deformed = deformed_splits(splits, deformation)
        arrays = deformed.arrays("test", selection.layer_number)
        robust.append(robustness(deformed, arrays, selection.probes, scores, left_out, seed))
    return _Scored(scores, outputs), floors, robust


def _finite(outputs: np.ndarray) -> bool:
    return bool(np.isfinite(outputs).all())


def _predictions(splits: JobData, valid: Sequence[np.ndarray], test: Sequence[np.ndarray]) -> pyarrow.Table:
    """Return one row an item of valid and test: split, track_id, group, target, and the outputs of each probe."""
    import pyarrow as pa

    items = splits.items
    rows = np.concatenate([items.rows("valid"), items.rows("test")])
    targets = items.targets[rows]
    columns = {
        "split": [items.splits[i] for i in rows],
        "track_id": [items.track_ids[i] for i in rows],
        "group": pa.array([None if items.groups is None else items.groups[i] for i in rows], pa.string()),
        "target": list(targets) if targets.ndim > 1 else targets,
    }
    for i, (first, second) in enumerate(zip(valid, test, strict=True)):
        outputs = np.concatenate([first, second]).astype(np.float32)
        columns[f"outputs_{i}"] = pa.FixedSizeListArray.from_arrays(pa.array(outputs.ravel()), outputs.shape[1])
    return pa.table(columns).replace_schema_metadata({"labels": "\x1f".join(items.labels)})
