"""Stage 1 of a run: embed the tracks that no embedding is there of, each space once for all of its tasks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.audio.index import AudioIndex
from benchmark.audio.pool import NO_LIMIT
from benchmark.embeddings.extract import Extraction, extract
from benchmark.embeddings.fitting import fit
from benchmark.embeddings.tracks import Damage, Track
from benchmark.encoders.base import Encoder, copy_of
from benchmark.encoders.remote import device_for
from benchmark.errors import UserError
from benchmark.jobs.estimate import whole_track_memory
from benchmark.jobs.job import Job
from benchmark.jobs.left_out import NAMED, place_of
from benchmark.jobs.options import EmbedSettings
from benchmark.jobs.robustness import deformed_job, refuse_unusable, tracks_to_deform
from benchmark.jobs.variants import precision_of
from benchmark.system.long_lists import shown
from benchmark.system.machine import kind_of, threads_for, workers_of
from benchmark.system.precision import tell_slow_bf16
from benchmark.system.progress import Reporter


@dataclass
class Embedded:
    """What the embedding stage did, by space: damage by file, and seconds. What is too short for one is not for all."""

    damaged: dict[str, dict[Path, Damage]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    embedded: dict[str, int] = field(default_factory=dict)


def embed(jobs: Iterable[Job], settings: EmbedSettings, report: Reporter) -> Embedded:
    """Embed the tracks that jobs need and that are not in the store, each space once for all of its tasks.

    Test is embedded once more under each deformation of the jobs, unless a space's damage ends the run.

    Raises:
        UserError: More damaged tracks than a job allows: every one of them is listed. A
            deformation leaves too little of a track, or the encoder could not be fitted.
    """
    embedded = Embedded()
    by_space: dict[str, list[Job]] = {}
    for job in jobs:
        if not job.source.reads_audio:
            continue
        by_space.setdefault(job.store.space.key, []).append(job)
    if any(precision_of(sharing[0].encoder) == "bf16" for sharing in by_space.values()):
        tell_slow_bf16(kind_of(settings.device), report)
    for key, sharing in by_space.items():
        working = _Working(sharing[0])
        tracks = [track for job in sharing for track in job.data.tracks]
        extraction = _embed_space(working, sharing[0], tracks, settings, report)
        embedded.seconds[key] = extraction.seconds
        embedded.embedded[key] = extraction.embedded
        damaged = embedded.damaged[key] = {damage.path: damage for damage in extraction.damaged}
        if not any(_too_many(job, damaged) for job in sharing):
            embedded.seconds[key] += _embed_deformed(working, sharing, damaged, settings, report)
    _refuse_damage(by_space, embedded.damaged, settings.home)
    return embedded


@dataclass
class _Working:
    """The encoder at work for the jobs of one space; one that is fitted, fitted when it is first needed."""

    job: Job
    fitted: Encoder | None = None

    def encoder(self, index: AudioIndex, settings: EmbedSettings, report: Reporter) -> Encoder:
        job = self.job
        if not job.encoder.fitted:
            return job.encoder
        if self.fitted is None:
            encoder, (ids, paths) = copy_of(job.encoder), job.data.train
            fit(
                encoder, job.store.space, job.store.folder, job.card.id, ids, paths, index,
                workers=workers_of(settings.workers), report=report,
            )  # fmt: skip
            self.fitted = encoder
        return self.fitted


def _embed_deformed(
    working: _Working, sharing: Sequence[Job], damaged: Mapping[Path, Damage], settings: EmbedSettings, report: Reporter
) -> float:
    """Embed the test tracks of jobs that share a space under each deformation, and return the seconds it took."""
    seconds = 0.0
    tracks = tracks_to_deform(sharing, damaged)
    for deformation in sharing[0].deform:
        job = deformed_job(sharing[0], deformation)
        extraction = _embed_space(working, job, tracks, settings, report)
        refuse_unusable(job, deformation, extraction.damaged)
        seconds += extraction.seconds
    return seconds


def _embed_space(
    working: _Working, first: Job, tracks: Sequence[Track], settings: EmbedSettings, report: Reporter
) -> Extraction:
    from filelock import FileLock, Timeout

    todo = first.store.missing(tracks, AudioIndex(settings.home))
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
        index = AudioIndex(settings.home)  # what another process has done while this one waited
        todo = first.store.missing(tracks, index)
        kept = len({track.path for track in tracks}) - len(todo)
        if todo and kept > 0:
            report.say(f"Embedding with {first.encoder.name} continues at {kept:,} of {kept + len(todo):,} tracks.")
        return _extract(working, first, todo, index, settings, report)


def _extract(
    working: _Working, job: Job, todo: Sequence[Track], index: AudioIndex, settings: EmbedSettings, report: Reporter
) -> Extraction:
    if not todo:  # another process has done it
        return Extraction()
    if workers_of(settings.workers) == 0 and job.store.space.deformation is None:
        report.say(NO_LIMIT)
    encoder, name = working.encoder(index, settings, report), job.encoder.name
    if job.store.space.deformation is not None:
        name += f" under {job.store.space.deformation.text}"
    memory = whole_track_memory(todo, job.store.space)
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
                    job.store,
                    index,
                    workers=workers_of(settings.workers),
                    batch_size=settings.batch_size,
                    device=device_for(encoder, settings.device),
                    progress=progress,
                    say=report.say,
                )
        except KeyboardInterrupt:
            left = len(job.store.missing(todo, AudioIndex(settings.home)))
            report.say(f"Stopped while embedding with {name}: {len(todo) - left} of {len(todo)} tracks are kept.")
            raise
    if extraction.embedded:
        rate = extraction.audio_seconds / max(extraction.seconds, 1e-9)
        report.say(
            f"Embedded {extraction.embedded} tracks ({extraction.audio_seconds / 60:.1f} min) with {name} in "
            f"{extraction.seconds:.1f} s, {rate:,.0f} s of audio a second"
        )
    return extraction


def _too_many(job: Job, damaged: Mapping[Path, Damage]) -> bool:
    return len(set(job.data.items.audio).intersection(damaged)) > job.allow_damaged


def _refuse_damage(
    by_space: Mapping[str, Sequence[Job]], damaged: Mapping[str, Mapping[Path, Damage]], home: Path
) -> None:
    worst: dict[Path, Damage] = {}
    places: dict[Path, str] = {}
    refused, allowed = False, 0
    for job in (job for sharing in by_space.values() for job in sharing):
        own = damaged[job.store.space.key]
        for row, path in enumerate(job.data.items.audio):
            if path in own:
                worst[path] = own[path]
                places.setdefault(path, f"{job.card.id}: {place_of(job.card, job.data.items, row)}")
        refused, allowed = refused or _too_many(job, own), job.allow_damaged
    if not refused:
        return
    lines = [
        f"{damage.path}: {damage.problem} ({_recovered(damage)}{places[damage.path]})" for damage in worst.values()
    ]
    raise UserError(
        f"{len(lines)} damaged track(s), and --allow-damaged is {allowed}",
        f"mend or replace the files and run again, or leave them out with --allow-damaged {len(lines)} (the record "
        "will name them)",
        [
            *shown(lines, home / "damaged.txt"),
            *_missing_too(by_space),
            "No probe was trained; every sound track's embedding is kept.",
        ],
    )


def _missing_too(by_space: Mapping[str, Sequence[Job]]) -> list[str]:
    """Return the items that are missing and allowed to be, so that all that a run leaves out is known at once."""
    missing = {job.card.id: job.data.missing for sharing in by_space.values() for job in sharing if job.data.missing}
    return [
        f"Missing in {task}, as --allow-missing allows: {', '.join(map(repr, ids[:NAMED]))}"
        + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")
        for task, ids in missing.items()
    ]


def _recovered(damage: Damage) -> str:
    return f"{damage.seconds_recovered:.2f} s recovered; " if damage.seconds_recovered else ""
