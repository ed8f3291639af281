"""The run: plan, embed, search on train and valid, score test once, write the record."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.audio.deformations import parse
from benchmark.audio.index import AudioIndex
from benchmark.embeddings.extract import Extraction, extract
from benchmark.embeddings.fitting import fit
from benchmark.embeddings.tracks import Damage, Track, missing_tracks
from benchmark.encoders.base import Encoder, Precision, copy_of
from benchmark.encoders.precomputed.encoder import Precomputed
from benchmark.encoders.registry import resolve
from benchmark.errors import UserError
from benchmark.jobs.estimate import whole_track_memory
from benchmark.jobs.existing import refuse_standing
from benchmark.jobs.items import ask
from benchmark.jobs.job import Asked, Pair
from benchmark.jobs.keys import place_of
from benchmark.jobs.left_out import tell
from benchmark.jobs.options import Options, Overwrite, Sampler
from benchmark.jobs.plan import make_pairs, train_of
from benchmark.jobs.robustness import deformed_pair, refuse_unusable, tracks_to_deform
from benchmark.system.home import home_folder, refuse_unwritable
from benchmark.system.long_lists import shown
from benchmark.system.machine import device_of, threads_for, workers_of
from benchmark.system.progress import Reporter, Silent
from results.record import Record, RecordError
from tasks import registry
from tasks.errors import TaskError
from tasks.registry import Task


@dataclass(frozen=True)
class Outcome:
    """What became of one pair: its record, where it lies, and whether it was there before.

    ``displaced`` is where the record of another run went that lay there.
    """

    record: Record
    path: Path
    kept: bool
    displaced: Path | None = None


class UnfinishedError(UserError):
    """Some of several pairs failed. The message names them; ``outcomes`` are those of the others, which are written."""

    def __init__(self, message: str, outcomes: Sequence[Outcome]) -> None:
        super().__init__(message)
        self.outcomes = tuple(outcomes)


@dataclass
class Embedded:
    """What the embedding stage did, by space: damage by file, and seconds. What is too short for one is not for all."""

    damaged: dict[str, dict[Path, Damage]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    embedded: dict[str, int] = field(default_factory=dict)


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


def run_many(
    encoders: Sequence[Encoder], tasks: Sequence[Task], options: Options, report: Reporter | None = None
) -> list[Outcome]:
    """Evaluate every encoder on every task: all audio first, so that damage shows before any probe is trained.

    A pair that fails in the search or after it does not keep the others from being finished.

    Raises:
        UserError: See :func:`run`.
        UnfinishedError: Of several pairs some failed; the others are finished and written.
    """
    report = report or Silent()
    refuse_unwritable(options.home, "--home")
    refuse_unwritable(options.results, "--results")
    asked = prepare(tasks, options, report, audio=needs_audio(encoders))
    pairs = make_pairs(encoders, asked, options, report)
    refuse_standing(pairs)
    open_pairs = [pair for pair in pairs if pair.kept is None]
    if open_pairs:
        device_of(options.device)
    if options.export is not None:
        from benchmark.jobs.export import check_export

        check_export(options.export, open_pairs)
    embedded = embed(open_pairs, options, report)
    outcomes: list[Outcome] = []
    failed: list[str] = []
    for pair in pairs:
        if pair.kept is not None:
            outcomes.append(Outcome(pair.kept, place_of(pair, options), kept=True))
            continue
        from benchmark.jobs.evaluate import evaluate

        key = pair.source.space.key
        damaged, seconds = embedded.damaged.get(key, {}), embedded.seconds.get(key, 0.0)  # nothing, where given
        try:
            record, path, displaced = evaluate(pair, damaged, seconds, options, report)
        except (UserError, RecordError, TaskError) as error:
            if len(pairs) == 1:
                raise
            failed.append(f"{_name(pair)}: {error}")
            report.say(f"Failed, the others go on: {failed[-1]}")
        else:
            outcomes.append(Outcome(record, path, kept=False, displaced=displaced))
    if failed:
        lines = "".join(f"\n  {each}" for each in failed)
        raise UnfinishedError(
            f"{len(failed)} of {len(pairs)} pairs of encoder and task failed:{lines}\n"
            "The others are finished and their records written: the same command tries the failed ones alone.",
            outcomes,
        )
    return outcomes


def _name(pair: Pair) -> str:
    """Return a pair in words."""
    part = f" ({pair.part.fraction:g} of train, repeat {pair.part.repeat})" if pair.part else ""
    return f"{pair.encoder.name} on {pair.asked.task.card.id}{part}"


def needs_audio(encoders: Iterable[Encoder]) -> bool:
    """Say whether any of ``encoders`` hears audio: embeddings that are given do not."""
    return any(not isinstance(encoder, Precomputed) for encoder in encoders)


def prepare(tasks: Sequence[Task], options: Options, report: Reporter, *, audio: bool = True) -> list[Asked]:
    """Return the tasks with their items; a built-in collection is rendered at its first use.

    Args:
        tasks: The tasks.
        options: What the user chose.
        report: Is told of the rendering, and of what is missing.
        audio: Whether audio is needed; without, annotations are all that must be there.
    """
    asked = []
    for task in tasks:
        with report.stage(f"Preparing {task.collection}", 1, "clips") as advance:
            items = task.items(
                options.home, lambda done, total: advance(done, total=total), data_roots=options.data_roots, audio=audio
            )
        asked.append(ask(task, items, options, audio=audio))
        tell(task.card, items, asked[-1].missing, (), report)
    return asked


def embed(pairs: Iterable[Pair], options: Options, report: Reporter) -> Embedded:
    """Embed what the pairs miss, each space once for all of its tasks; given embeddings are there already.

    Test is embedded once more under each of ``options.deform``, unless a space's damage ends the run.

    Raises:
        UserError: More damaged tracks than ``options.allow_damaged`` in any one task: every one of them is listed. A
            deformation leaves too little of a track, or the encoder could not be fitted.
    """
    embedded = Embedded()
    by_space: dict[str, list[Pair]] = {}
    for pair in (pair for pair in pairs if pair.given is None):
        by_space.setdefault(pair.space.key, []).append(pair)
    for key, sharing in by_space.items():
        working = _Working(sharing[0])
        tracks = [track for pair in sharing for track in pair.asked.tracks]
        extraction = _embed_space(working, sharing[0], tracks, options, report)
        embedded.seconds[key] = extraction.seconds
        embedded.embedded[key] = extraction.embedded
        damaged = embedded.damaged[key] = {damage.path: damage for damage in extraction.damaged}
        if not any(_too_many(pair, damaged, options) for pair in sharing):
            embedded.seconds[key] += _embed_deformed(working, sharing, damaged, options, report)
    _refuse_damage(by_space, embedded.damaged, options)
    return embedded


@dataclass
class _Working:
    """The encoder at work for the pairs of one space; one that is fitted, fitted when it is first needed."""

    pair: Pair
    fitted: Encoder | None = None

    def encoder(self, index: AudioIndex, options: Options, report: Reporter) -> Encoder:
        pair = self.pair
        if not pair.encoder.fitted:
            return pair.encoder
        if self.fitted is None:
            encoder, (ids, paths) = copy_of(pair.encoder), train_of(pair.asked)
            fit(
                encoder, pair.space, pair.store.folder, pair.asked.task.card.id, ids, paths, index,
                workers=workers_of(options.workers), report=report,
            )  # fmt: skip
            self.fitted = encoder
        return self.fitted


def _embed_deformed(
    working: _Working, sharing: Sequence[Pair], damaged: Mapping[Path, Damage], options: Options, report: Reporter
) -> float:
    """Embed the test tracks of pairs that share a space under each deformation, and return the seconds it took."""
    seconds = 0.0
    tracks = tracks_to_deform(sharing, damaged)
    for deformation in options.deform:
        pair = deformed_pair(sharing[0], deformation, options.home)
        extraction = _embed_space(working, pair, tracks, options, report)
        refuse_unusable(pair, deformation, extraction.damaged)
        seconds += extraction.seconds
    return seconds


def _embed_space(
    working: _Working, first: Pair, tracks: Sequence[Track], options: Options, report: Reporter
) -> Extraction:
    from filelock import FileLock, Timeout

    todo = missing_tracks(tracks, first.store, AudioIndex(options.home))
    if not todo:
        return Extraction()
    first.store.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(first.store.folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report.say(f"Another process is embedding with {first.encoder.name}: waiting for it, to share its work.")
        lock.acquire()
    with lock:
        index = AudioIndex(options.home)  # what another process has done while this one waited
        todo = missing_tracks(tracks, first.store, index)
        return _extract(working, first, todo, index, options, report)


def _extract(
    working: _Working, pair: Pair, todo: Sequence[Track], index: AudioIndex, options: Options, report: Reporter
) -> Extraction:
    if not todo:  # another process has done it
        return Extraction()
    encoder, name = working.encoder(index, options, report), pair.encoder.name
    if pair.space.deformation is not None:
        name += f" under {pair.space.deformation.text}"
    memory = whole_track_memory(todo, pair.space)
    if memory:
        report.say(memory)
    started = time.monotonic()
    done, audio_seconds = 0, 0.0
    with report.stage(f"Embedding with {name}", len(todo), "tracks") as advance:

        def progress(seconds: float) -> None:
            nonlocal done, audio_seconds
            done, audio_seconds = done + 1, audio_seconds + seconds
            advance(done, f"{audio_seconds / max(time.monotonic() - started, 1e-3):,.0f} s of audio a second")

        try:
            with threads_for(encoder.arrays):
                extraction = extract(
                    encoder,
                    todo,
                    pair.store,
                    index,
                    workers=workers_of(options.workers),
                    batch_size=options.batch_size,
                    device=device_of(options.device, encoder.arrays),
                    progress=progress,
                    say=report.say,
                )
        except KeyboardInterrupt:
            left = len(missing_tracks(todo, pair.store, AudioIndex(options.home)))
            report.say(f"Stopped while embedding with {name}: {len(todo) - left} of {len(todo)} tracks are kept.")
            raise
    if extraction.embedded:
        rate = extraction.audio_seconds / max(extraction.seconds, 1e-9)
        report.say(
            f"Embedded {extraction.embedded} tracks ({extraction.audio_seconds / 60:.1f} min) with {name} in "
            f"{extraction.seconds:.1f} s, {rate:,.0f} s of audio a second"
        )
    return extraction


def _too_many(pair: Pair, damaged: Mapping[Path, Damage], options: Options) -> bool:
    return len(set(pair.asked.items.audio).intersection(damaged)) > options.allow_damaged


def _refuse_damage(
    by_space: Mapping[str, Sequence[Pair]], damaged: Mapping[str, Mapping[Path, Damage]], options: Options
) -> None:
    worst: dict[Path, Damage] = {}
    refused = False
    for pair in (pair for sharing in by_space.values() for pair in sharing):
        own = damaged[pair.space.key]
        worst.update({path: own[path] for path in pair.asked.items.audio if path in own})
        refused = refused or _too_many(pair, own, options)
    if not refused:
        return
    lines = [
        f"{damage.path}: {damage.problem} ({damage.seconds_recovered:.2f} s recovered)" for damage in worst.values()
    ]
    raise UserError(
        f"{len(lines)} damaged track(s), and --allow-damaged is {options.allow_damaged}:\n"
        + "\n".join(shown(lines, options.home / "damaged.txt"))
        + f"\nNo probe was trained; every sound track's embedding is kept. Mend or replace the files and run again, or "
        f"leave them out with --allow-damaged {len(lines)} (the record will name them)."
    )
