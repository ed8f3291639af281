"""The waveforms of shards that were finished without them: their files are decoded again, and nothing else is made."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from benchmark.errors import UserError
from benchmark.pretraining.data.features import Found, features_of
from benchmark.pretraining.data.shards import GrowingFile, Row, Shard, finished, wave_name, write_index
from benchmark.pretraining.data.sources import Source, SourceTrack
from benchmark.system.progress import Reporter


def add_waveforms(plan: Source, out: Path, workers: int, report: Reporter) -> int:
    """Write the waveforms of all finished shards of ``out`` that lack them; return of how many tracks.

    A run that is killed continues behind the last shard that has them.

    Args:
        plan: What the store is made from, of which its shards are the first part.
        out: The store.
        workers: Decoding processes.
        report: Progress.

    Raises:
        UserError: A file is not what it was when its log-mel was made, or cannot be read.
        OSError: The disk is full or not writable.
    """
    todo: list[tuple[Shard, list[SourceTrack]]] = []
    position = 0
    for shard in finished(out):
        own = plan.tracks[position : position + len(shard.rows)]
        position += len(shard.rows)
        if not shard.wave:
            todo.append((shard, [track for row, track in zip(shard.rows, own, strict=True) if not row.left_out]))
    tracks = [track for _, own in todo for track in own]
    if not tracks:
        return 0
    done = 0
    with (
        report.stage("waveforms", len(tracks), "tracks") as advance,
        # Its log-mel is there, so that it is long enough.
        closing(features_of(tracks, workers, 0, log_mels=False, waveforms=True)) as features,
    ):
        for shard, own in todo:
            with ExitStack() as cleanup:
                file = GrowingFile(out / wave_name(shard.name))
                cleanup.callback(file.discard)
                held = [row for row in shard.rows if not row.left_out]
                for row, track in zip(held, own, strict=True):
                    found = next(features)
                    _refuse_another(row, found, track, out)
                    assert found.waveform is not None
                    file.write(found.waveform)
                    done += 1
                    advance(done)
                write_index(out, replace(shard, wave=file.finish()))
    return len(tracks)


def _refuse_another(row: Row, found: Found, track: SourceTrack, out: Path) -> None:
    """See whether the waveform is the one of which the log-mel of a track was made.

    Raises:
        UserError: It is not.
    """
    if (found.row.sha256, found.row.frames) != (row.sha256, row.frames):
        why = found.row.left_out or f"{found.row.frames} frames are heard of it, and {row.frames} were"
        raise UserError(
            f"the file of {row.track_id!r} is not what its log-mel was made of ({why}): {track.path}",
            f"Give --redo to make {out} again from there on, or another --out to keep it",
        )
