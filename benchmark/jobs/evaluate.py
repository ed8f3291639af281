"""One encoder on one task, from the store to a record. Test is opened in one place, :func:`_score_test`, once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.audio.deformations import Deformation
from benchmark.audio.index import AudioIndex
from benchmark.embeddings.tracks import Damage
from benchmark.jobs import record as sections
from benchmark.jobs.job import Pair
from benchmark.jobs.keys import run_key
from benchmark.jobs.left_out import tell
from benchmark.jobs.options import Options
from benchmark.jobs.provenance import versions
from benchmark.jobs.robustness import deformed_material, robustness
from benchmark.jobs.scoring import LeftOut, leave_out, score_split
from benchmark.jobs.select import Selection, select
from benchmark.jobs.splits import Material, gather
from benchmark.jobs.variants import variant_of
from benchmark.system.machine import device_of, hardware
from benchmark.system.progress import Reporter
from probes.statistics.baselines import constant_outputs, loses
from results import record as schema
from results import store as records
from tasks.metrics.scores import bounds

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class _Scored:
    """What came of a split: scores by metric, and the outputs of each probe."""

    scores: dict[str, schema.Score]
    outputs: list[np.ndarray]


def evaluate(
    pair: Pair, damaged: Mapping[Path, Damage], embed_seconds: float, options: Options, report: Reporter
) -> tuple[schema.Record, Path, Path | None]:
    """Search, retrain and score a pair whose embeddings are in the store; write its record.

    Returns:
        The record, its file, and where the record of another run that lay there went.

    Raises:
        UserError: A split is empty or a metric undefined, embeddings are not usable, or nothing can be written.
    """
    with gather(pair, damaged, options) as material:
        if material.damaged:
            left = [damage.track_id for damage in material.damaged]
            tell(pair.asked.task.card, pair.asked.whole or pair.asked.items, pair.asked.missing, left, report)
        return _evaluate(material, embed_seconds, options, report)


def _evaluate(
    material: Material, embed_seconds: float, options: Options, report: Reporter
) -> tuple[schema.Record, Path, Path | None]:
    started = time.monotonic()
    pair = material.pair
    card = pair.asked.task.card
    device = device_of(options.device)
    keys = [key or "" for key in pair.keys(AudioIndex(options.home))]  # a damaged file may have none
    selection = select(material, keys, options, device, report)
    valid = _score_valid(material, selection, options.seed)
    test, floors, robust = _score_test(material, selection, options.seed, options.deform, options.home)
    finished = time.monotonic()
    key, variant = run_key(pair, keys, options), variant_of(pair, options)
    name = records.write_predictions(
        options.results, card.id, pair.encoder.name, key,
        _predictions(material, valid.outputs, test.outputs), options.limit, pair.part.name if pair.part else None,
        variant,
    )  # fmt: skip
    record = schema.Record(
        run_key=key,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        limit=options.limit,
        protocol=pair.asked.protocol.name,
        task=sections.task_section(pair),
        encoder=sections.encoder_section(pair),
        scores=schema.Scores(valid=valid.scores, test=test.scores),
        floors=floors,
        probe=sections.probe_section(selection, options),
        search=sections.search_section(pair, selection, options),
        data=sections.data_section(material, options),
        seeds=schema.SeedsSection(
            search=options.seed,
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
        curve=sections.curve_point(material, options),
        robustness=robust,
        variant=variant,
    )
    record = records.signed(options.results, record)
    path, displaced = records.displace(options.results, record)
    if options.export is not None:
        from benchmark.jobs.export import export_probe

        folder = export_probe(
            options.export, pair, selection.probes, material.items.labels, valid.scores, test.scores, options,
            versions(), encoder_text=pair.encoder.text or None, protocol=pair.asked.protocol.name,
            layer=selection.layer_number,
        )  # fmt: skip
        report.say(f"The probe is in {folder}")
    scores = ", ".join(f"{metric} {score.value:.3f}" for metric, score in test.scores.items())
    report.say(f"Probed {pair.encoder.name} on {card.id} in {finished - started:.1f} s: {scores}")
    for metric in floors.loses_to_ridge:
        assert floors.ridge is not None
        report.say(
            f"{card.id}: {metric} of the probe is below that of a ridge regression on the same embeddings "
            f"({floors.ridge[metric].value:.3f}) by more than the interval: search longer, or suspect the protocol"
        )
    return record, path, displaced


def _score_valid(material: Material, selection: Selection, seed: int) -> _Scored:
    valid = selection.data.valid
    outputs = [probe.predict(valid.embeddings) for probe in selection.probes]
    card, groups = material.pair.asked.task.card, material.groups("valid")
    scores = score_split(card, valid.targets, outputs, material.items.labels, groups, seed=seed, split="valid")
    return _Scored(scores, outputs)


def _score_test(
    material: Material, selection: Selection, seed: int, deformations: Sequence[Deformation], home: Path
) -> tuple[_Scored, schema.Floors, list[schema.Robustness]]:
    """Open test, for the first and only time, and score the selected probes and the floors on it.

    The probes are then scored once more on test under each deformation of its audio.
    """
    test = material.arrays("test", selection.layer_number)
    card, labels, groups = material.pair.asked.task.card, material.items.labels, material.groups("test")
    outputs = [probe.predict(test.embeddings) for probe in selection.probes]
    left_out = None
    if all(_finite(output) for output in outputs):  # else score_split refuses them
        left_out = leave_out(card, test.targets, outputs, labels, groups, seed=seed)
    scores = score_split(card, test.targets, outputs, labels, groups, seed=seed, split="test", left_out=left_out)
    assert left_out is not None

    def floor(found: np.ndarray, left_out: LeftOut | None = None) -> dict[str, schema.FloorScore]:
        scored = score_split(card, test.targets, [found], labels, groups, seed=seed, split="test", left_out=left_out)
        return {
            metric: schema.FloorScore(value=each.value, low=each.low, high=each.high) for metric, each in scored.items()
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
    for deformation in deformations:
        deformed = deformed_material(material, deformation, home)
        arrays = deformed.arrays("test", selection.layer_number)
        robust.append(robustness(deformed, arrays, selection.probes, scores, left_out, seed))
    return _Scored(scores, outputs), floors, robust


def _finite(outputs: np.ndarray) -> bool:
    return bool(np.isfinite(outputs).all())


def _predictions(material: Material, valid: Sequence[np.ndarray], test: Sequence[np.ndarray]) -> pyarrow.Table:
    """Return one row an item of valid and test: split, track_id, group, target, and the outputs of each probe."""
    import pyarrow as pa

    items = material.items
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
