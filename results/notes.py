"""What a reader must know of records that stand in one column or row of a table, in plain words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set

from results.intervals import interval_notes
from results.partial import format_left_out
from results.record import Record

#: What tells one run from all others: its key, and the folder's place of it.
Run = tuple[str, str, str]


def run_of(record: Record) -> Run:
    """Return what tells a run from others."""
    return record.task.id, record.name, record.run_key


#: What is said of a score where the encoder's training data holds the collection of the task.
SEEN = "the encoder was trained on this collection, says its card: seen in pre-training"


def column_notes(records: Sequence[Record], seen: Set[tuple[str, str]] = frozenset()) -> dict[Run, list[str]]:
    """Return for each run of one task how it differs from the others, and what is to be known of it alone.

    Args:
        records: The runs.
        seen: Task and row of those whose encoder has seen the task's collection in its training.
    """
    described = [conditions(record) for record in records]
    mixed = [len(set(values) - {""}) > 1 for values in zip(*described, strict=True)]
    notes = {}
    for record, values in zip(records, described, strict=True):
        parts = [value for value, differs in zip(values, mixed, strict=True) if differs and value]
        told = [f"not alike in this column, here: {', '.join(parts)}"] if parts else []
        of_training = [SEEN] if (record.task.id, record.name) in seen else []
        notes[run_of(record)] = [*told, *of_training, *own_notes(record)]
    return notes


def conditions(record: Record) -> tuple[str, ...]:
    """Return what must be alike in a column; an empty text where it is not known."""
    trials = len(record.search.trials)
    return (
        f"protocol {record.protocol}",
        f"protocol version {record.search.protocol_version}",
        f"sampler {record.search.sampler}",
        f"pruner {record.search.pruner}",
        f"{trials} trial{'s' * (trials != 1)}",
        f"probes in {record.probe.precision}",
        "" if record.probe.layer is None else f"layer {record.probe.layer}",
        f"task version {record.task.version}",
        f"task fingerprint {record.task.fingerprint[:12]}",
        "" if is_given(record) else f"audio {record.data.fingerprint[:12]}",
    )


def is_given(record: Record) -> bool:
    """Say whether the embeddings were given, so that no audio was looked at."""
    return record.data.audio_seconds is None


def own_notes(record: Record) -> list[str]:
    """Return what is to be known of a record, whatever stands beside it."""
    notes = []
    if is_given(record):
        notes.append("embeddings that were given: of which audio is not known")
    if record.encoder.own_windows:
        notes.append("the encoder's own windows in place of the task's")
    if record.folds:
        notes.append(f"{len(record.folds)} folds: each item is scored by the probe of its fold")
    notes += interval_notes(record)
    lost = record.floors.loses_to_ridge
    if lost:
        where = "" if list(lost) == record.task.metrics else f" in {', '.join(lost)}"
        notes.append(f"below a ridge on the same embeddings{where}")
    if any(name.startswith("(") for name in record.data.missing):  # "(413 fewer items of train than the card)"
        notes.append("counts differ from the card's")
    left = format_left_out(record.data)
    return [*notes, left] if left and left not in notes else notes


def encoder_notes(records: Sequence[Record]) -> dict[str, str]:
    """Say by the row's name where its cells were made by different states of the encoder."""
    states: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for record in (record for record in records if record.encoder.fitted_on is None):  # else one state a task
        state = f"version {record.encoder.version}, fingerprint {record.encoder.fingerprint[:12]}"
        states[record.name][state].append(record.task.id)
    return {name: _told(found) for name, found in states.items() if len(found) > 1}


def _told(states: Mapping[str, Sequence[str]]) -> str:
    parts = "; ".join(f"{state} on {', '.join(dict.fromkeys(tasks))}" for state, tasks in sorted(states.items()))
    return f"more than one state of this encoder in its row: {parts}"
