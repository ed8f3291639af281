"""What a reader of scores must know of what was scored: leaks, items left out or used with a doubt, limits."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.audio.lengths import RULE
from results.intervals import interval_notes, map_note
from results.partial import format_left_out
from results.record import Record

SHOWN = 20  # names


def remarks(record: Record) -> list[str]:
    """Return what a reader of a record's scores must know of what was scored, a sentence each."""
    data, what = record.data, f"{record.name} on {record.task.id}"
    notes = [f"{what}: {note}" for note in [*interval_notes(record), *map_note(record)]]
    if record.folds:
        metric = record.task.metrics[0]
        values = ", ".join(f"{fold.name}: {fold.scores.test[metric].value:.3f}" for fold in record.folds)
        notes.append(f"{what}: each item is scored by the probe of its fold; {metric} by fold: {values}")
    if data.cut_inside_frame:
        names = _first(data.cut_inside_frame)
        notes.append(f"{what}: {len(data.cut_inside_frame)} file(s) end inside an MPEG frame and were used: {names}")
    if data.short:
        notes.append(f"{what}: {len(data.short)} track(s) are {RULE} length and were used: {_first(data.short)}")
    if data.partial:
        notes.append(
            f"{what} is partial, {format_left_out(data)}. The record names them; the leaderboard keeps it apart"
        )
    elif data.missing:
        notes.append(f"{what}: counts that differ from the card's, named in the record")
    if data.shared_groups:
        notes.append(f"{what}: {len(data.shared_groups)} group(s) of test are also in train or valid: a leak")
    if data.shared_audio:
        notes.append(f"{what}: {len(data.shared_audio)} test track(s) have the very audio of a train or valid track")
    if data.near_duplicates:
        notes.append(
            f"{what}: {data.near_duplicates} test item(s) are nearly the same as one of train: a leak? "
            f"'bench data audit {record.task.id} --encoder {record.encoder.id}' names them"
        )
    if record.limit is not None:
        notes.append(f"{what}: limited to {record.limit} items; this record enters no leaderboard")
    return notes


def _first(names: Sequence[str]) -> str:
    """Return the first of many names."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
