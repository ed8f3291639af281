"""``bench pretrain prepare``: audio to a store of log-mels, and of waveforms and captions, parallel and resumable.

Tracks are taken in order of their ids and shards closed by size. So a run that was killed continues after its last
finished shard, and ends with the bytes of an unbroken one. What a log-mel is, and what is left out by rule, says
:mod:`benchmark.pretraining.data.features`.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.audio.pool import NO_LIMIT
from benchmark.errors import UserError
from benchmark.pretraining.data.features import SHORTEST_SECONDS, features_of, frontend_name
from benchmark.pretraining.data.finishing import caption_digest, finish, write_left_out
from benchmark.pretraining.data.folder import alone, full_disk, unlink
from benchmark.pretraining.data.kept import kept_shards
from benchmark.pretraining.data.shards import (
    DESCRIPTION,
    FRAMES_PER_SECOND,
    LEFT_OUT,
    ShardWriter,
    finished,
    read_index,
)
from benchmark.pretraining.data.sources import Source, read_source
from benchmark.pretraining.data.waves import add_waveforms
from benchmark.system.machine import workers_of
from benchmark.system.progress import Reporter, Silent

if TYPE_CHECKING:
    from benchmark.pretraining.data.store import Store


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
    waveforms: bool = False
    waveforms_made: int = 0
    captioned: int = 0

    def summary(self) -> str:
        """Return it in words."""
        labels = f", {self.labels} labels" if self.labels else ""
        more = (", with waveforms" if self.waveforms else "") + (
            f", captions of {self.captioned} tracks" if self.captioned else ""
        )
        left_out = f"; {self.left_out} left out, see {self.path / 'left_out.csv'}" if self.left_out else ""
        parts = [f"{self.made} made now"] if self.made else []
        parts += [f"waveforms of {self.waveforms_made} made now"] if self.waveforms_made else []
        made = f"{', '.join(parts)} in {self.seconds:.0f} s" if parts else "all of it was there"
        tracks = f"{self.tracks} tracks" + (f" in {self.pieces} pieces" if self.pieces is not None else "")
        return f"{self.path}: {tracks}, {self.audio_seconds / 3600:.1f} hours{labels}{more}; {made}{left_out}"


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
    waveforms: bool = False,
    captions: Path | None = None,
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
        waveforms: Keep waveforms too; a store that lacks them gets them, and nothing else is made again.
        captions: A file of captions; a store that lacks them gets them.
        report: Progress and the summary.

    Raises:
        UserError: The source cannot be used, it is not what the store was made from, the store has waveforms or
            captions that would be lost, no track is usable, more are left out than may be, a file vanished or changed
            while it was read, the disk is full, or another process is at work. Finished shards are kept.
    """
    report, started = report or Silent(), time.monotonic()
    _refuse_seconds(shortest, cut)
    plan = read_source(source, labels, report, captions)
    frontend, wanted = frontend_name(shortest), _Wanted(shortest, cut, workers_of(workers), waveforms, redo)
    with alone(out):
        try:
            kept, shards = kept_shards(plan, out, frontend, waveforms=waveforms, redo=redo)
        except OSError as error:
            raise UserError(f"cannot compare {out} with {source}: {error}", "Run the same command again") from None
        store = _whole(plan, out, wanted) if kept == len(plan.tracks) else None
        waved = 0
        if store is None:
            with full_disk(out):
                if waveforms:
                    waved = add_waveforms(plan, out, wanted.workers, report)
                unlink(out / DESCRIPTION)
                _make(plan, kept, shards, out, wanted, report)
                _refuse_loss(plan, out, allow_left_out)
                finish(out, plan.labels, cut, plan.captions)
            store = _whole(plan, out, replace(wanted, redo=False))
            assert store is not None
        done = Prepared(
            out, store.fingerprint, store.whole_tracks, None if cut is None else store.tracks, store.seconds_total,
            len(store.labels or ()), store.left_out, len(plan.tracks) - kept, time.monotonic() - started,
            store.has_waveforms, waved, len(plan.captions or ()),
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


@dataclass(frozen=True)
class _Wanted:
    shortest: float
    cut: float | None
    workers: int
    waveforms: bool
    redo: bool


def _whole(plan: Source, out: Path, wanted: _Wanted) -> Store | None:
    """Return the finished store of all that is planned, if it is there, cut so and, for ``redo``, whole.

    Raises:
        UserError: It is damaged, or has other captions, and ``redo`` is not asked for.
    """
    from benchmark.pretraining.data.store import open_store

    if not (out / DESCRIPTION).exists():
        return None
    try:
        store = open_store(out)
    except UserError:
        if wanted.redo:
            return None
        raise
    digest = None if plan.captions is None else caption_digest(plan.captions)
    if store.has_captions and store.caption_digest != digest and not wanted.redo:
        raise UserError(
            f"the store {out} has captions, and "
            + ("--captions is not given" if digest is None else "those of --captions are others"),
            "Give the file that it has them from, --redo to replace or remove them, or another --out",
        )
    same = store.whole_tracks + store.left_out == len(plan.tracks) and store.labels == plan.labels
    asked = (store.cut_seconds, store.has_waveforms, store.caption_digest) == (wanted.cut, wanted.waveforms, digest)
    return store if same and asked else None


def _make(plan: Source, kept: int, shards: int, out: Path, wanted: _Wanted, report: Reporter) -> None:
    """Write the shards of all tracks behind the first ``kept``, which lie in so many shards."""
    tracks, started, heard = plan.tracks[kept:], time.monotonic(), 0.0
    if not tracks:
        return
    if wanted.workers == 0:
        report.say(NO_LIMIT)
    with (
        report.stage("prepare", len(plan.tracks), "tracks") as advance,
        ShardWriter(out, shards, frontend_name(wanted.shortest), plan.labels, waveforms=wanted.waveforms) as writer,
        closing(features_of(tracks, wanted.workers, wanted.shortest, waveforms=wanted.waveforms)) as features,
    ):
        for done, (row, log_mel, waveform) in enumerate(features, start=kept + 1):
            if log_mel is None:
                writer.leave_out(row)
            else:
                writer.add(row, log_mel, waveform)
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
