"""What a reader must know of a record beside others, ready for a page: see :mod:`results.notes`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from results import notes
from results.markdown import escaped
from results.record import Record


def column_notes(ours: Sequence[Record]) -> dict[tuple[str, str], str]:
    """Say by (task, encoder) how a record differs from others of its column, and what it left out."""
    by_task: defaultdict[str, list[Record]] = defaultdict(list)
    for record in ours:
        by_task[record.task.id].append(record)
    return {
        (task, name): "; ".join(map(escaped, told))
        for column in by_task.values()
        for (task, name, _), told in notes.column_notes(column).items()
        if told
    }


def encoder_notes(ours: Sequence[Record]) -> dict[tuple[str, str], str]:
    """Say by ("", encoder) when the cells of a row were made by different states of the encoder."""
    return {("", encoder): escaped(told) for encoder, told in notes.encoder_notes(ours).items()}
