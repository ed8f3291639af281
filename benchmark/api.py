"""``benchmark.run``: one encoder on one task, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.audio.deformations import parse
from benchmark.encoders.base import Encoder, Precision
from benchmark.encoders.registry import resolve
from benchmark.errors import UserError
from benchmark.jobs.job import Sampler
from benchmark.jobs.options import Options, Overwrite
from benchmark.jobs.runner import run_many
from benchmark.system.home import home_folder
from results.record import Record
from tasks import registry


def run(
    encoder: str | Encoder,
    task: str | Path,
    *,
    trials: int | None = None,
    seed: int = 0,
    seeds: int | None = None,
    limit: int | None = None,
    device: str = "auto",
    batch_size: int = 32,
    workers: int | None = None,
    home: Path | str | None = None,
    results: Path | str = "results",
    overwrite: Overwrite = "missing",
    allow_damaged: int = 0,
    allow_missing: int = 0,
    data_roots: Sequence[str] = (),
    precision: Precision | None = None,
    own_windows: bool = False,
    encoder_args: Mapping[str, object] | Sequence[str] = (),
    protocol: str = "paper",
    sampler: Sampler = "tpe",
    pruner: str | None = None,
    storage: str | None = None,
    probe_precision: Precision = "fp32",
    layer: str | None = None,
    export: Path | str | None = None,
    deform: str | None = None,
) -> Record:
    """Evaluate one encoder on one task and return the record, which is also written below ``results``.

    Args:
        encoder: A name (``logmel``, ``file.py:Class``, ``hf:id?layer=7``, ``emb:features.npz``, ...; see
            :mod:`benchmark.encoders.spec`) or an :class:`~benchmark.Encoder` object.
        task: A task id or alias, or the path of a card.
        trials: Probe settings to try; the protocol's number by default.
        seed: Seed of the search and of the first retrained probe.
        seeds: How often the selected probe is retrained, with seeds from ``seed`` upwards.
        limit: Use a seeded sample of about so many items; the record is marked and enters no leaderboard.
        device: ``cpu``, ``cuda``, ..., or ``auto``.
        batch_size: Windows in a batch of the encoder.
        workers: Decoding processes.
        home: Data home; ``$BENCH_HOME`` or the platform's cache folder by default.
        results: Folder of the records.
        overwrite: ``missing`` keeps a record of the same run, ``always`` runs again, ``never`` refuses to replace one.
        allow_damaged: How many damaged tracks may be left out.
        allow_missing: How many tracks of a dataset may be missing.
        data_roots: ``COLLECTION=DIR``, where datasets lie.
        precision: ``fp32`` or ``bf16``, for encoders that have a choice.
        own_windows: Where the encoder cannot take the task's windows, use its own; the record says so.
        protocol: ``paper``, ``quick``, ``open``, ``jukemir`` or ``published:MODEL``.
        sampler: ``tpe``, ``random``, or ``grid`` where the protocol has one.
        pruner: ``halving`` ends hopeless trials early, ``none`` trains all to their end, as a grid does by default.
        storage: URL of an Optuna storage that several machines may share; a journal below ``results`` by default.
        probe_precision: What the probe's matrix products are computed in.
        layer: For encoders with layers: ``auto`` (the default), a name or number, ``mix`` or ``all``.
        export: Folder for the trained probe, as safetensors and ONNX.
        deform: Deformations of the test audio for the robustness view; see :mod:`benchmark.audio.deformations`.
        encoder_args: Options for the encoder that is named, such as ``{"layer": 7}`` or ``["layer=7"]``.

    Raises:
        UserError: Something that the caller can mend; so does ``tasks.errors.TaskError`` for tasks and data.
    """
    options = Options(
        home=home_folder(home),
        results=Path(results),
        trials=trials,
        seed=seed,
        seeds=seeds,
        limit=limit,
        device=device,
        batch_size=batch_size,
        workers=workers,
        overwrite=overwrite,
        allow_damaged=allow_damaged,
        allow_missing=allow_missing,
        data_roots=tuple(data_roots),
        precision=precision,
        own_windows=own_windows,
        protocol=protocol,
        sampler=sampler,
        pruner=pruner,
        storage=storage,
        probe_precision=probe_precision,
        layer=layer,
        export=None if export is None else Path(export),
        deform=() if deform is None else parse(deform),
    )
    encoders, tasks = (
        resolve(encoder, options.home, precision, encoder_args),
        registry.find(str(task), options.home, options.data_roots),
    )
    if len(encoders) != 1 or len(tasks) != 1:
        raise UserError(
            f"benchmark.run takes one encoder and one task, not {len(encoders)} and {len(tasks)}: "
            "benchmark.jobs.runner.run_many takes several"
        )
    return run_many(encoders, tasks, options)[0].record
