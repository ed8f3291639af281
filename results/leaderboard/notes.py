"""What a reader must know of a record beside others: how it differs from those of its column, and what it left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from results.intervals import interval_notes
from results.markdown import escaped
from results.partial import format_left_out
from results.record import Record


def column_notes(ours: Sequence[Record]) -> dict[tuple[str, str], str]:
    """Say by (task, encoder) how a record differs from others of its column, and what it left out."""
    by_task: defaultdict[str, list[Record]] = defaultdict(list)
    for record in ours:
        by_task[record.task.id].append(record)
    notes = {}
    for column in by_task.values():
        described = [_described(record) for record in column]
        mixed = [len(set(values) - {""}) > 1 for values in zip(*described, strict=True)]
        for record, values in zip(column, described, strict=True):
            parts = [value for value, differs in zip(values, mixed, strict=True) if differs and value]
            told = [f"not alike in this column, here: {', '.join(parts)}"] if parts else []
            told += _own_notes(record)
            if told:
                notes[(record.task.id, record.name)] = "; ".join(told)
    return notes


def _described(record: Record) -> tuple[str, ...]:
    """Return what must be alike in a column; nothing where it is not known."""
    return (
        f"protocol {escaped(record.protocol)}",
        f"protocol version {record.search.protocol_version}",
        f"sampler {escaped(record.search.sampler)}",
        f"pruner {escaped(record.search.pruner)}",
        f"{len(record.search.trials)} trial{'s' * (len(record.search.trials) != 1)}",
        f"probes in {record.probe.precision}",
        "" if record.probe.layer is None else f"layer {escaped(record.probe.layer)}",
        f"task version {record.task.version}",
        f"task fingerprint {escaped(record.task.fingerprint[:12])}",
        "" if _is_given(record) else f"audio {escaped(record.data.fingerprint[:12])}",
    )


def _is_given(record: Record) -> bool:
    """Say whether the embeddings were given, so that no audio was looked at."""
    return record.data.audio_seconds is None


def _own_notes(record: Record) -> list[str]:
    """Say what a reader must know of a record, whatever stands beside it."""
    notes = []
    if _is_given(record):
        notes.append("embeddings that were given: of which audio is not known")
    if record.encoder.own_windows:
        notes.append("the encoder's own windows in place of the task's")
    if record.folds:
        notes.append(f"{len(record.folds)} folds: each item is scored by the probe of its fold")
    notes += [escaped(note) for note in interval_notes(record)]
    lost = record.floors.loses_to_ridge
    if lost:
        where = "" if list(lost) == record.task.metrics else f" in {escaped(', '.join(lost))}"
        notes.append(f"below a ridge on the same embeddings{where}")
    if any(name.startswith("(") for name in record.data.missing):  # "(413 fewer items of train than the card)"
        notes.append("counts differ from the card's")
    left = escaped(format_left_out(record.data))
    return [*notes, left] if left and left not in notes else notes


def encoder_notes(ours: Sequence[Record]) -> dict[tuple[str, str], str]:
    """Say by ("", encoder) when the cells of a row were made by different states of the encoder."""
    states: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for record in (record for record in ours if record.encoder.fitted_on is None):  # else one state a task
        state = escaped(f"version {record.encoder.version}, fingerprint {record.encoder.fingerprint[:12]}")
        states[record.name][state].append(escaped(record.task.id))
    return {
        ("", encoder): "more than one state of this encoder in its row: "
        + "; ".join(f"{state} on {', '.join(tasks)}" for state, tasks in sorted(found.items()))
        for encoder, found in states.items()
        if len(found) > 1
    }
