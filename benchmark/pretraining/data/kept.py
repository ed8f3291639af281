"""What of a store is kept when it is prepared again: finished shards that are what the source would make now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmark.errors import UserError
from benchmark.pretraining.data.folder import full_disk, remove_from, unlink
from benchmark.pretraining.data.hashes import FileHashes
from benchmark.pretraining.data.shards import (
    DESCRIPTION,
    Shard,
    TornIndexError,
    digest_of,
    read_index,
    wave_name,
    write_index,
)
from benchmark.pretraining.data.sources import Source
from benchmark.system.files import content_hash


def kept_shards(plan: Source, out: Path, frontend: str, *, waveforms: bool, redo: bool) -> tuple[int, int]:
    """Return how many tracks of the plan lie in how many finished shards, after removing shards of another plan.

    Shards that lack waveforms are kept: :func:`benchmark.pretraining.data.waves.add_waveforms` makes these.

    Args:
        plan: What is to be prepared.
        out: The store.
        frontend: The version of the front end.
        waveforms: Whether the store is to have waveforms.
        redo: Remove what differs.

    Raises:
        UserError: Finished shards are of another source, or have waveforms that are not asked for, and ``redo`` is not
            asked for.
        OSError: A file cannot be read.
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
        wave = _wave_kept(shard, out, hashes, waveforms=waveforms, redo=redo)
        rows = tuple(
            replace(row, mtime_ns=track.path.stat().st_mtime_ns, labels=track.labels)
            for row, track in zip(shard.rows, plan.tracks[position:], strict=False)
        )
        if relabelled or rows != shard.rows or wave != shard.wave:
            if relabelled or wave != shard.wave:
                unlink(out / DESCRIPTION)
            with full_disk(out):
                write_index(out, replace(shard, rows=rows, labels=digest, wave=wave))
        if not wave:
            unlink(out / wave_name(shard.name))  # of a run that was killed before it was noted, or not wanted
        kept.append(len(shard.rows))
        ended = shard.last
    if sum(kept) == len(plan.tracks) and not ended:
        kept.pop()  # it was closed by a track that was taken away since a run was interrupted
    remove_from(out, len(kept))
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


def _wave_kept(shard: Shard, out: Path, hashes: FileHashes, *, waveforms: bool, redo: bool) -> str:
    """Return the sha256 of the waveforms of a shard that are kept; empty where it has none, or they go.

    Raises:
        UserError: They would go, and ``redo`` is not asked for.
    """
    if not shard.wave:
        return ""
    path = out / wave_name(shard.name)
    sound = path.is_file() and hashes.has(path, shard.wave)
    if waveforms and sound:
        return shard.wave
    if not redo:
        if waveforms:
            raise UserError(f"{path} is missing or is not what was written", "Give --redo to make it again")
        raise UserError(
            f"the store {out} has waveforms, and --waveforms is not given",
            "Give --waveforms to keep them, --redo to remove them, or another --out",
        )
    return ""


def _labels_differ(shard: Shard, plan: Source, position: int, digest: str) -> bool:
    tracks = plan.tracks[position : position + len(shard.rows)]
    return shard.labels != digest or any(
        row.labels != track.labels for row, track in zip(shard.rows, tracks, strict=True)
    )
