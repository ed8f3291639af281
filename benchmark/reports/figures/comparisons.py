"""The comparisons of pre-training strategies that lie beside records, cut down to what a picture is asked of."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.pretraining.comparison.summary import Strategy, Summary, read
from results.markdown import folded
from results.record import RecordError
from results.together import Together

NONE = (
    "There is no comparison of pre-training strategies beside these records: bench pretrain compare RECIPE... --data "
    "STORE --tasks TASK --budget steps=N --out DIR makes one.",
)


def comparisons(together: Together, notes: list[str]) -> Iterator[Summary]:
    """Yield the comparison of each results folder, with the strategies and tasks that there are records of.

    Args:
        together: The records.
        notes: Is given a sentence for each comparison that cannot be read.
    """
    records = (*together.records, *together.curves)
    tasks, encoders = {record.task.id for record in records}, {record.encoder.id for record in records}
    for folder in dict.fromkeys(together.folder_of(record) for record in together.records):
        try:
            found = read(folder)
        except RecordError as error:
            notes.append(f"The comparison in {folded(str(folder))} is not drawn: {folded(str(error))}")
            continue
        if found is not None:
            yield _chosen(found, tasks, encoders)


def _chosen(found: Summary, tasks: set[str], encoders: set[str]) -> Summary:
    strategies = [each for each in found.strategies if any(run.name in encoders for run in each.runs)]
    names = {each.name for each in strategies}
    return found.model_copy(
        update={
            "strategies": strategies,
            "tasks": [each for each in found.tasks if each.id in tasks],
            "scores": [each for each in found.scores if each.strategy in names and each.task in tasks],
            "differences": [
                each for each in found.differences if {each.first, each.second} <= names and each.task in tasks
            ],
            "points": [each for each in found.points if each.strategy in names and each.task in tasks],
        }
    )


def name_of(strategy: Strategy) -> str:
    """Return a strategy's name, inert and in one line."""
    return folded(strategy.name)
