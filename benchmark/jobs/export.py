"""The probe of a job as files in a folder of its own, and the folder of a probe that was exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import UserError
from benchmark.jobs.job import Job
from benchmark.jobs.variants import precision_of
from benchmark.system.extras import install_command
from results.sections.scores import Score
from results.store import slug

if TYPE_CHECKING:
    import pyarrow

    from probes.training.probe import TrainedProbe

WEIGHTS_LICENCE = "The probe is made of the task's annotations and the encoder's embeddings: their licences apply."


def export_folder(directory: Path, job: Job) -> Path:
    """Return the folder of a job's probe: ``DIR/<task>/<encoder>``."""
    return directory / slug(job.card.id) / slug(job.encoder.name)


def check_export(directory: Path, jobs: Sequence[Job]) -> None:
    """Refuse an export that could not be written, before anything is trained.

    Raises:
        UserError: onnx is not installed, or the folder of a job holds something else.
    """
    from probes.export.files import ProbeFileError, refuse_occupied, require_onnx

    try:
        require_onnx()
    except ProbeFileError as error:
        raise UserError(error.what, f"Install it:\n  {install_command('export')}") from None
    try:
        for job in jobs:
            refuse_occupied(export_folder(directory, job), job.card.id, job.encoder.name)
    except ProbeFileError as error:
        raise UserError(error.what, error.do) from None


def export_probe(
    directory: Path,
    job: Job,
    probes: Sequence[TrainedProbe],
    labels: Sequence[str],
    valid: Mapping[str, Score],
    test: Mapping[str, Score],
    versions: Mapping[str, str],
    *,
    layer: int | None = None,
    predictions: pyarrow.Table | None = None,
) -> Path:
    """Write the probe that scored best on valid among the seeds, and return its folder.

    Args:
        directory: What the user named; see :func:`export_folder`.
        job: Encoder and task.
        probes: The retrained probes.
        labels: Names of the outputs.
        valid: Scores on valid, with one value a probe.
        test: Scores on test, likewise.
        versions: Of what computed the record.
        layer: Index of the encoder's layer that the probe takes, where it takes one of several.
        predictions: What the record keeps of valid and test; calibration and thresholds are chosen on valid.

    Raises:
        UserError: It cannot be written.
    """
    from benchmark.jobs.probe_page import page_of
    from probes.export.card import EncoderPart, MeanPart, ProbeCard, TaskPart
    from probes.export.decisions import calibration_of, thresholds_of
    from probes.export.files import ProbeFileError, best_of, export

    card, chosen = job.card, best_of(probes)
    probe, space = probes[chosen], job.source.space
    windows = None if job.own_windows or not job.source.reads_audio else card.window_seconds
    described = {"key": space.key} if not job.source.reads_audio else job.store.space.describe()
    splits = {} if predictions is None else _splits(predictions, chosen)
    activation = probe.function.activation
    calibration = thresholds = None
    if splits:
        calibration = calibration_of(card.kind, activation, labels, splits)
        thresholds = thresholds_of(card.kind, activation, labels, calibration, splits)
    licence = " ".join(filter(None, [f"Annotations: {card.licence}" if card.licence else "", WEIGHTS_LICENCE]))
    try:
        described_probe = ProbeCard(
            kind=card.kind,
            activation=activation,
            labels=tuple(labels),
            metrics=card.metrics,
            task=TaskPart(id=card.id, title=card.title, version=card.version, fingerprint=job.data.fingerprint),
            encoder=EncoderPart(
                id=job.encoder.name,
                text=job.encoder.text or job.encoder.name,
                version=space.version,
                fingerprint=space.fingerprint,
                precision=precision_of(job.encoder),
                window_seconds=windows,
                hop_seconds=None if windows is None else card.hop_seconds,
                layer=layer,
                space=described,
            ),
            protocol=job.data.protocol.name,
            seed=probe.seed,
            settings={name: _plain(value) for name, value in asdict(probe.settings).items()},
            scores={
                split: {metric: score.seeds[chosen] for metric, score in scores.items()}
                for split, scores in (("valid", valid), ("test", test))
            },
            versions=dict(versions),
            licence=licence,
            items={split: len(targets) for split, (targets, _) in splits.items()},
            means={
                split: {
                    metric: MeanPart(value=score.value, low=score.low, high=score.high, seeds=len(score.seeds))
                    for metric, score in scores.items()
                }
                for split, scores in (("valid", valid), ("test", test))
            },
            calibration=calibration,
            thresholds=thresholds,
        )
        return export(probe.function, described_probe, export_folder(directory, job), page_of(described_probe))
    except ProbeFileError as error:
        raise UserError(error.what, error.do) from None


def _splits(predictions: pyarrow.Table, chosen: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return targets and outputs of a probe by split, from the rows that a record keeps."""
    names = np.array(predictions["split"].to_pylist())
    targets = np.array(predictions["target"].to_pylist())
    outputs = np.array(predictions[f"outputs_{chosen}"].to_pylist(), np.float32)
    return {split: (targets[names == split], outputs[names == split]) for split in ("valid", "test")}


def _plain(value: object) -> float | int | bool | str | None:
    """Return a setting as the card holds it: widths as ``512x512``."""
    if isinstance(value, tuple):
        return "x".join(map(str, value)) or "none"
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def find_probe(directory: Path) -> Path:
    """Return the folder of the one probe in or below ``directory``.

    Raises:
        UserError: There is none, or there are several.
    """
    from probes.export.files import CARD

    if (directory / CARD).is_file():
        return directory
    if not directory.is_dir():
        raise UserError(
            f"no probe at {directory}: there is no such folder",
            f"check the path, or write one with: bench run -e ENCODER -t TASK --export {directory}",
        )
    folders = sorted(path.parent for path in directory.glob(f"*/*/{CARD}")) or sorted(
        path.parent for path in directory.glob(f"*/{CARD}")
    )
    if not folders:
        raise UserError(
            f"no probe at {directory}",
            f"Write one with: bench run -e ENCODER -t TASK --export {directory}",
        )
    if len(folders) > 1:
        raise UserError(
            f"{directory} holds {len(folders)} probes",
            f"name one of them, --probe {folders[0]}, or",
            [f"  {path}" for path in folders[1:]],
        )
    return folders[0]
