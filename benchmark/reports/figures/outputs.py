"""The predictions that a picture needs, or why they are not there."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.reports.figures.choice import record_words
from results.markdown import folded
from results.predictions import Predictions, read_split
from results.record import Record, RecordError
from results.together import Together


def with_outputs(together: Together, notes: list[str], *kinds: str) -> Iterator[tuple[Record, Predictions]]:
    """Yield the records of some kinds of tasks with their predictions on test; what is left out is added to ``notes``.

    Args:
        together: The records.
        notes: Sentences on those whose predictions are missing or damaged.
        *kinds: Kinds of tasks; none for all.
    """
    for record in together.records:
        if kinds and record.task.kind not in kinds:
            continue
        try:
            held = read_split(together.folder_of(record), record)
        except RecordError as error:
            notes.append(f"{record_words(record)} is not drawn: {folded(str(error))}")
            continue
        yield record, held


def other_kinds(together: Together, what: str, *kinds: str) -> list[str]:
    """Say which tasks are of another kind than those that a picture is of."""
    others = sorted({folded(record.task.id) for record in together.records if record.task.kind not in kinds})
    return [f"{what}: {', '.join(others)} {'is' if len(others) == 1 else 'are'} of another kind."] if others else []
