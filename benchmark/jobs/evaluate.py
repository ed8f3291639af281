"""Stages 2 to 4 of a run: one job, from its embeddings to its record. Test is opened by :func:`_test_outputs` alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.audio.index import AudioIndex
from benchmark.embeddings.tracks import Damage
from benchmark.errors import UserError
from benchmark.jobs import record as sections
from benchmark.jobs.job import Job
from benchmark.jobs.keys import run_key
from benchmark.jobs.left_out import tell
from benchmark.jobs.near_duplicates import affordable, near_duplicates
from benchmark.jobs.outputs import Outputs, prediction_rows, score_test, score_valid
from benchmark.jobs.provenance import provenance_section, versions
from benchmark.jobs.resolved import configuration_section
from benchmark.jobs.robustness import deformed_splits, robustness
from benchmark.jobs.select import Selection, select
from benchmark.jobs.splits import JobData, in_item_order, open_job_data
from benchmark.system.machine import device_of, hardware
from benchmark.system.progress import Reporter
from probes.statistics.baselines import constant_outputs
from results import store as records
from results.record import FoldSection, Record
from results.sections.inputs import HardwareSection, SecondsSection
from results.sections.scores import Floors, Robustness, Scores
from results.sections.selection import SeedsSection

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class _Evaluation:
    """What came of the items of a job, with splits or of all folds.

    Attributes:
        selections: One; or one a fold, in order.
        scores: On valid and test.
        floors: What the probe is to be held against.
        robustness: Scores under deformations.
        predictions: The rows of valid and test, with outputs.
        seeds: Of the probes.
        folds: Each fold by itself.
        near: Items of test with a near-duplicate in train.
    """

    selections: tuple[Selection, ...]
    scores: Scores
    floors: Floors
    robustness: list[Robustness]
    predictions: pyarrow.Table
    seeds: SeedsSection
    folds: list[FoldSection]
    near: int | None


def evaluate(
    job: Job, damaged: Mapping[Path, Damage], embed_seconds: float, report: Reporter
) -> tuple[Record, Path, Path | None]:
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
        return _write(splits, embed_seconds, report)


def _write(splits: JobData, embed_seconds: float, report: Reporter) -> tuple[Record, Path, Path | None]:
    started = time.monotonic()
    job = splits.job
    card, device = job.card, device_of(job.search.device)
    keys = [key or "" for key in job.keys(AudioIndex(job.home))]  # a damaged file may have none
    evaluated = (_of_folds if splits.items.folds else _of_splits)(splits, keys, device, report)
    selection = evaluated.selections[0]
    finished, searched = time.monotonic(), sum(each.search_seconds for each in evaluated.selections)
    key, variant = run_key(job, keys), job.variant
    name = records.write_predictions(
        job.results, card.id, job.encoder.name, key, evaluated.predictions, job.limit,
        job.subset.name if job.subset else None, variant,
    )  # fmt: skip
    record = Record(
        run_key=key,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        limit=job.limit,
        protocol=job.data.protocol.name,
        task=sections.task_section(job),
        encoder=sections.encoder_section(job),
        scores=evaluated.scores,
        floors=evaluated.floors,
        probe=sections.probe_section(job, selection),
        search=sections.search_section(job, selection),
        data=sections.data_section(splits, evaluated.near),
        seeds=evaluated.seeds,
        versions=versions(),
        hardware=HardwareSection(**hardware(device)),
        seconds=SecondsSection(
            embed=round(embed_seconds, 3),
            search=round(searched, 3),
            probes=round(finished - started - searched, 3),
            total=round(embed_seconds + finished - started, 3),
        ),
        predictions=name,
        curve=sections.curve_point(splits),
        robustness=evaluated.robustness,
        variant=variant,
        folds=evaluated.folds,
        provenance=provenance_section(job),
        configuration=configuration_section(job),
    )
    record = records.signed(job.results, record)
    path, displaced = records.displace(job.results, record)
    valid, test = record.scores.valid, record.scores.test
    if job.export is not None:
        from benchmark.jobs.export import export_probe

        folder = export_probe(
            job.export, job, selection.probes, splits.items.labels, valid, test, versions(),
            layer=selection.layer_number, predictions=None if splits.items.folds else evaluated.predictions,
        )  # fmt: skip
        report.say(f"The probe is in {folder}")
    scores = ", ".join(f"{metric} {score.value:.3f}" for metric, score in test.items())
    report.say(f"Probed {job.encoder.name} on {card.id} in {finished - started:.1f} s: {scores}")
    for metric in record.floors.loses_to_ridge:
        assert record.floors.ridge is not None
        report.say(
            f"{card.id}: {metric} of the probe is below that of a ridge regression on the same embeddings "
            f"({record.floors.ridge[metric].value:.3f}) by more than the interval: search longer, or suspect the "
            "protocol"
        )
    return record, path, displaced


def _of_splits(splits: JobData, keys: list[str], device: str, report: Reporter) -> _Evaluation:
    """Select on train and valid, then open test."""
    selection = select(splits, keys, device, report)
    valid = score_valid(splits, _valid_outputs(selection))
    outputs = _test_outputs(splits, selection)
    test, left_out, floors = score_test(splits, outputs, selection.ridge.penalty)
    robust = []
    for deformation in splits.job.deform:
        deformed = deformed_splits(splits, deformation)
        arrays = deformed.arrays("test", selection.layer_number)
        robust.append(robustness(deformed, arrays, selection.probes, test, left_out, splits.job.search.seed))
    items = splits.items
    rows = {split: items.rows(split) for split in ("valid", "test")}
    table = prediction_rows(items, rows, {"valid": _valid_outputs(selection).probes, "test": outputs.probes})
    scores = Scores(valid=valid, test=test)
    return _Evaluation((selection,), scores, floors, robust, table, _seeds(splits, selection), [], outputs.near)


def _of_folds(splits: JobData, keys: list[str], device: str, report: Reporter) -> _Evaluation:
    """Select and open test fold by fold, each for itself; then score the items of all folds together.

    Raises:
        UserError: The selected probes of no seed converged in all folds.
    """
    items, seed = splits.items, splits.job.search.seed
    selections, tests, valids, folds = [], [], [], []
    for fold in items.folds:
        of_fold = splits.of_fold(fold)
        selection = select(of_fold, keys, device, report)
        valid, test = _valid_outputs(selection), _test_outputs(of_fold, selection)
        scores = Scores(valid=score_valid(of_fold, valid), test=score_test(of_fold, test, selection.ridge.penalty)[0])
        folds.append(sections.fold_section(of_fold, selection, scores, _seeds(of_fold, selection)))
        selections.append(selection)
        valids.append(valid)
        tests.append(test)
    common = [probe.seed for probe in selections[0].probes if all(probe.seed in fold.seeds.probes for fold in folds)]
    if not common:
        raise UserError(
            f"Probing {splits.title}: with no seed did the selected probes of all folds converge",
            "mend embeddings of an extreme scale, or ask for more with --trials and --seeds",
        )
    kept = [[fold.seeds.probes.index(number) for number in common] for fold in folds]
    order = [splits.items.of_fold(fold) for fold in items.folds]
    test = _joined(tests, kept, [part.rows("test") for part in order])
    valid = _joined(valids, kept, [part.rows("valid") for part in order])
    penalties = {selection.ridge.penalty for selection in selections}
    whole = replace(splits, items=replace(items, splits=("test",) * len(items)))
    test_scores, _, floors = score_test(whole, test, penalties.pop() if len(penalties) == 1 else None)
    valid_scores = score_valid(replace(splits, items=replace(items, splits=("valid",) * len(items))), valid)
    every = np.arange(len(items))
    table = prediction_rows(items, {"valid": every, "test": every}, {"valid": valid.probes, "test": test.probes})
    diverged = sorted({number for fold in folds for number in (*fold.seeds.probes, *fold.seeds.diverged)} - {*common})
    seeds = SeedsSection(search=seed, probes=common, diverged=diverged)
    scores = Scores(valid=valid_scores, test=test_scores)
    return _Evaluation(tuple(selections), scores, floors, [], table, seeds, folds, test.near)


def _joined(outputs: Sequence[Outputs], kept: Sequence[Sequence[int]], rows: Sequence[np.ndarray]) -> Outputs:
    """Return the outputs of all folds as one, in the order of the items.

    Args:
        outputs: Of each fold, on its own items.
        kept: Of each fold, the places of the probes of each seed that all folds have.
        rows: Of each fold, the rows of its own items among those of all.
    """

    def joined(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
        there = [part for part in parts if part is not None]
        return in_item_order(there, rows) if len(there) == len(parts) else None

    probes = [
        in_item_order([fold.probes[which[i]] for fold, which in zip(outputs, kept, strict=True)], rows)
        for i in range(len(kept[0]))
    ]
    return Outputs(
        probes,
        joined([fold.constant for fold in outputs]),
        joined([fold.permuted for fold in outputs]),
        joined([fold.ridge for fold in outputs]),
        None if None in (near := [fold.near for fold in outputs]) else sum(filter(None, near)),
    )


def _seeds(splits: JobData, selection: Selection) -> SeedsSection:
    return SeedsSection(
        search=splits.job.search.seed,
        probes=[probe.seed for probe in selection.probes],
        diverged=list(selection.diverged),
    )


def _valid_outputs(selection: Selection) -> Outputs:
    return Outputs([probe.predict(selection.data.valid.embeddings) for probe in selection.probes])


def _test_outputs(splits: JobData, selection: Selection) -> Outputs:
    """Open test, for the first and only time, and return what the selected probes and the floors say of it."""
    test, train = splits.arrays("test", selection.layer_number), selection.data.train
    look = affordable(len(test), len(train), test.embeddings.shape[1])
    return Outputs(
        [probe.predict(test.embeddings) for probe in selection.probes],
        constant_outputs(splits.job.card.kind, selection.data.train.targets, len(splits.items.labels), len(test)),
        None if selection.permuted is None else selection.permuted.predict(test.embeddings),
        selection.ridge.predict(test.embeddings),
        len(near_duplicates(train, test).pairs) if look else None,
    )
