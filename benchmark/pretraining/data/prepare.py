"""``bench pretrain prepare``: audio to a store of log-mels, in parallel and resumable.

Tracks are taken in order of their ids and shards closed by size. So a run that was killed continues after its last
finished shard, and ends with the bytes of an unbroken one. What a log-mel is, and what is left out by rule, says
:mod:`benchmark.pretraining.data.features`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from benchmark.audio.pool import NO_LIMIT
from benchmark.errors import UserError
from benchmark.pretraining.data.features import SHORTEST_SECONDS, features_of, frontend_name
from benchmark.pretraining.data.finishing import finish, write_left_out
from benchmark.pretraining.data.hashes import FileHashes
from benchmark.pretraining.data.shards import (
    DESCRIPTION,
    FRAMES_PER_SECOND,
    LEFT_OUT,
    Shard,
    ShardWriter,
    TornIndexError,
    digest_of,
    finished,
    read_index,
    shard_name,
    write_index,
)
from benchmark.pretraining.data.sources import Source, read_source
from benchmark.system.files import content_hash
from benchmark.system.home import refuse_unwritable
from benchmark.system.machine import workers_of
from benchmark.system.progress import Reporter, Silent

if TYPE_CHECKING:
    from benchmark.pretraining.data.store import Store

OURS = re.compile(
    r"shard-\d{5,}\.(f16|parquet)|store\.json|index\.npy|label_(starts|indices)\.npy|left_out\.csv|"
    r"tracks\.npy|\..*"
)


@dataclass(frozen=True)
class Prepared:
    """What a preparation left behind: the store, how many of its tracks were made now, and how long that took."""

    path: Path
    fingerprint: str
    tracks: int
    pieces: int | None
    audio_seconds: float
    labels: int
    left_out: int
    made: int
    seconds: float

    def summary(self) -> str:
        """Return it in words."""
        labels = f", {self.labels} labels" if self.labels else ""
        left_out = f"; {self.left_out} left out, see {self.path / 'left_out.csv'}" if self.left_out else ""
        made = f"{self.made} made now in {self.seconds:.0f} s" if self.made else "all of it was there"
        tracks = f"{self.tracks} tracks" + (f" in {self.pieces} pieces" if self.pieces is not None else "")
        return f"{self.path}: {tracks}, {self.audio_seconds / 3600:.1f} hours{labels}; {made}{left_out}"


def prepare(
    source: Path,
    out: Path,
    *,
    labels: Path | None = None,
    workers: int | None = None,
    redo: bool = False,
    shortest: float = SHORTEST_SECONDS,
    cut: float | None = None,
    allow_left_out: int | None = None,
    report: Reporter | None = None,
) -> Prepared:
    """Make the store ``out`` from a folder of audio or a manifest, or continue where an earlier run stopped.

    Args:
        source: See :func:`benchmark.pretraining.data.sources.read_source`.
        out: The folder of the store.
        labels: A label file.
        workers: Decoding processes; ``None`` for one a core, at most 8.
        redo: Where the source is not what the store was made from, make again what differs, and what lies behind it.
        shortest: Seconds under which a track is left out: a crop of a training must fit.
        cut: Seconds of the pieces that tracks are cut into, each of which is then drawn as a track is, for collections
            of few long tracks; ``None`` leaves them whole. It may change without anything being made again.
        allow_left_out: How many tracks may be left out; ``None`` for half of them.
        report: Progress and the summary.

    Raises:
        UserError: The source cannot be used, it is not what the store was made from, no track is usable, more are left
            out than may be, a file vanished or changed while it was read, the disk is full, or another process is at
            work. Finished shards are kept.
    """
    report, started = report or Silent(), time.monotonic()
    _refuse_seconds(shortest, cut)
    plan = read_source(source, labels, report)
    frontend = frontend_name(shortest)
    with _alone(out):
        try:
            kept, shards = _kept(plan, out, frontend, redo=redo)
        except OSError as error:
            raise UserError(f"cannot compare {out} with {source}: {error}", "Run the same command again") from None
        store = _whole(plan, out, cut, redo=redo) if kept == len(plan.tracks) else None
        if store is None:
            _unlink(out / DESCRIPTION)
            with _full_disk(out):
                _make(plan, kept, shards, out, workers_of(workers), shortest, report)
                _refuse_loss(plan, out, allow_left_out)
                finish(out, plan.labels, cut)
            store = _whole(plan, out, cut, redo=False)
            assert store is not None
        done = Prepared(
            out, store.fingerprint, store.whole_tracks, None if cut is None else store.tracks, store.seconds_total,
            len(store.labels or ()), store.left_out, len(plan.tracks) - kept, time.monotonic() - started,
        )  # fmt: skip
    report.say(done.summary())
    return done


def _refuse_seconds(shortest: float, cut: float | None) -> None:
    if not 0.02 <= shortest <= 3600:
        raise UserError(f"--shortest {shortest:g} cannot be", "give seconds from 0.02, two frames, to 3600")
    if cut is not None and not max(1.0, shortest) <= cut <= 1e6:
        raise UserError(f"--cut {cut:g} cannot be", f"give seconds from {max(1.0, shortest):g} to 1000000")


def _refuse_loss(plan: Source, out: Path, allowed: int | None) -> None:
    """See whether more tracks are left out than may be; finished shards stay."""
    rows = [row for shard in finished(out) for row in shard.rows if row.left_out]
    limit = len(plan.tracks) // 2 if allowed is None else allowed
    if len(rows) <= limit:
        return
    write_left_out(out, rows)
    short = sum(row.left_out.startswith("shorter than") for row in rows)
    advice = f"; {short} of them are short: --shortest SECONDS takes shorter ones" if short else ""
    raise UserError(
        f"{len(rows)} of the {len(plan.tracks)} tracks of {plan.path} would be left out, the first for being "
        f"{rows[0].left_out}{advice}. {out / LEFT_OUT} has the reasons of all, and what was made is kept",
        f"Mend them, or give --allow-left-out {len(rows)}",
    )


def _whole(plan: Source, out: Path, cut: float | None, *, redo: bool) -> Store | None:
    """Return the finished store of all that is planned, if it is there, cut so and, for ``redo``, whole."""
    from benchmark.pretraining.data.store import open_store

    if not (out / DESCRIPTION).exists():
        return None
    try:
        store = open_store(out)
    except UserError:
        if redo:
            return None
        raise
    same = store.whole_tracks + store.left_out == len(plan.tracks) and store.labels == plan.labels
    return store if same and store.cut_seconds == cut else None


def _kept(plan: Source, out: Path, frontend: str, *, redo: bool) -> tuple[int, int]:
    """Return how many tracks of the plan lie in how many finished shards, after removing shards of another plan.

    Raises:
        UserError: Finished shards are of another source, and ``redo`` is not asked for.
    """
    kept: list[int] = []  # tracks of each shard
    ended = True
    hashes, digest = FileHashes(out), digest_of(plan.labels)
    while True:
        number, position = len(kept), sum(kept)
        try:
            shard = read_index(out, number)
        except TornIndexError as error:
            problem, shard = str(error), None
        else:
            if shard is None:
                break
            problem = _difference(shard, plan, position, out, hashes, frontend)
        relabelled = shard is not None and not problem and _labels_differ(shard, plan, position, digest)
        if (problem or relabelled) and not redo:
            raise UserError(
                f"{out} was not made from what {plan.path} is now: {problem or 'the labels are others'}",
                "Give --redo to make again what differs and what lies behind it, or another --out to keep the store",
            )
        if problem or shard is None:
            kept = kept[:-1]  # the track that did not fit into it may be another now
            break
        rows = tuple(
            replace(row, mtime_ns=track.path.stat().st_mtime_ns, labels=track.labels)
            for row, track in zip(shard.rows, plan.tracks[position:], strict=False)
        )
        if relabelled or rows != shard.rows:
            if relabelled:
                _unlink(out / DESCRIPTION)
            with _full_disk(out):
                write_index(out, replace(shard, rows=rows, labels=digest))
        kept.append(len(shard.rows))
        ended = shard.last
    if sum(kept) == len(plan.tracks) and not ended:
        kept.pop()  # it was closed by a track that was taken away since a run was interrupted
    _remove_from(out, len(kept))
    return sum(kept), len(kept)


def _difference(shard: Shard, plan: Source, position: int, out: Path, hashes: FileHashes, frontend: str) -> str:
    """Return in what a finished shard is not what the plan would make, labels aside; or nothing."""
    tracks = plan.tracks[position : position + len(shard.rows)]
    path = out / f"{shard.name}.f16"
    if shard.frontend != frontend:
        return f"its front end is {shard.frontend!r}, and this one is {frontend!r}"
    if len(tracks) < len(shard.rows):
        return f"tracks were taken away, such as {shard.rows[len(tracks)].track_id!r}"
    for row, track in zip(shard.rows, tracks, strict=True):
        if (row.track_id, row.name) != (track.track_id, track.name):
            return f"where the store has {row.track_id!r} ({row.name}) there is {track.track_id!r} ({track.name})"
        stat = track.path.stat()
        same = (stat.st_size, stat.st_mtime_ns) == (row.size, row.mtime_ns)
        if not same and (stat.st_size != row.size or content_hash(track.path) != row.sha256):
            return f"the file of {row.track_id!r} has changed ({track.path})"
    if shard.last and position + len(tracks) < len(plan.tracks):
        return f"tracks were added, such as {plan.tracks[position + len(tracks)].track_id!r}"
    if not path.is_file() or not hashes.has(path, shard.sha256):
        return f"{path} is missing or is not what was written"
    return ""


def _labels_differ(shard: Shard, plan: Source, position: int, digest: str) -> bool:
    tracks = plan.tracks[position : position + len(shard.rows)]
    return shard.labels != digest or any(
        row.labels != track.labels for row, track in zip(shard.rows, tracks, strict=True)
    )


def _make(plan: Source, kept: int, shards: int, out: Path, workers: int, shortest: float, report: Reporter) -> None:
    """Write the shards of all tracks behind the first ``kept``, which lie in so many shards."""
    tracks, started, heard = plan.tracks[kept:], time.monotonic(), 0.0
    if not tracks:
        return
    if workers == 0:
        report.say(NO_LIMIT)
    with (
        report.stage("prepare", len(plan.tracks), "tracks") as advance,
        ShardWriter(out, shards, frontend_name(shortest), plan.labels) as writer,
        closing(features_of(tracks, workers, shortest)) as features,
    ):
        for done, (row, frames) in enumerate(features, start=kept + 1):
            if frames is None:
                writer.leave_out(row)
            else:
                writer.add(row, frames)
                heard += row.frames / FRAMES_PER_SECOND
            advance(done, f"{heard / (time.monotonic() - started):,.0f} times real time")
        left_out = writer.left_out
        writer.close(last=True)
    if read_index(out, 0) is None:
        write_left_out(out, left_out)
        raise UserError(
            f"none of the {len(plan.tracks)} tracks of {plan.path} can be used, so there is no store; the first is "
            f"{left_out[0].left_out}",
            f"see the reasons in {out / LEFT_OUT}, and mend the files or name others",
        )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the store's folder, which is made where it is not there.

    Raises:
        UserError: It cannot be written, holds other files, or another process is at work in it.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file", "give the folder that is to be the store")
    refuse_unwritable(out, "--out")
    foreign = sorted(path.name for path in out.iterdir() if not OURS.fullmatch(path.name)) if out.is_dir() else []
    if foreign:
        raise UserError(
            f"--out {out} holds files that are of no store ({', '.join(foreign[:3])})",
            "choose another folder",
        )
    with _full_disk(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"another process prepares {out}", "wait for it, or choose another --out") from None
    try:
        for path in out.glob(".*.tmp"):  # what a killed run left
            _unlink(path)
        yield
    finally:
        lock.release()


@contextmanager
def _full_disk(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write to {out}: {error.strerror or error}. Finished shards are kept",
            "make room and run the same command again",
        ) from error


def _remove_from(out: Path, number: int) -> None:
    """Remove all shards from ``number`` on, the last one first, so that a kill leaves an unbroken row of them."""
    found = {int(path.stem.removeprefix("shard-")) for path in out.glob("shard-*")}
    later = sorted((one for one in found if one >= number), reverse=True)
    if later:
        _unlink(out / DESCRIPTION)
    for one in later:
        _unlink(out / f"{shard_name(one)}.parquet")
        _unlink(out / f"{shard_name(one)}.f16")


def _unlink(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
