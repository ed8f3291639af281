"""The predictions that a picture needs, or why they are not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmark.reports.figures.choice import record_words
from benchmark.reports.figures.figure import Request
from results.markdown import folded
from results.predictions import Predictions, read_split
from results.record import Record, RecordError
from results.store import predictions_path
from results.together import Together


class Outputs:
    """Predictions that were read for one kind of picture, and are kept for the next while all together are small."""

    def __init__(self, most: int = 2**28) -> None:
        """Keep at most ``most`` bytes of arrays."""
        self._left = most
        self._held: dict[tuple[Path, str], Predictions] = {}

    def of(self, folder: Path, record: Record) -> Predictions:
        """Return the predictions of a record on test.

        Raises:
            RecordError: They are missing or damaged.
        """
        key = predictions_path(folder, record), f"{record.run_key} {record.predictions_sha256}"
        if key in self._held:
            return self._held[key]
        held = read_split(folder, record)
        size = held.targets.nbytes + sum(outputs.nbytes for outputs in held.outputs)
        if size <= self._left:
            self._left -= size
            self._held[key] = held
        return held


def with_outputs(
    together: Together, request: Request, notes: list[str], *kinds: str
) -> Iterator[tuple[Record, Predictions]]:
    """Yield the records of some kinds of tasks with their predictions on test; what is left out is added to ``notes``.

    Args:
        together: The records.
        request: Which may hold predictions that were read before.
        notes: Sentences on those whose predictions are missing or damaged.
        *kinds: Kinds of tasks; none for all.
    """
    outputs = request.outputs or Outputs(0)
    for record in together.records:
        if kinds and record.task.kind not in kinds:
            continue
        try:
            held = outputs.of(together.folder_of(record), record)
        except RecordError as error:
            notes.append(f"{record_words(record)} is not drawn: {folded(str(error))}")
            continue
        yield record, held


def other_kinds(together: Together, what: str, *kinds: str) -> list[str]:
    """Say which tasks are of another kind than those that a picture is of."""
    others = sorted({folded(record.task.id) for record in together.records if record.task.kind not in kinds})
    return [f"{what}: {', '.join(others)} {'is' if len(others) == 1 else 'are'} of another kind."] if others else []
