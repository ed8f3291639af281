"""The networks of a comparison, probed by the ordinary run on its tasks and on parts of train; what of it failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmark.encoders.base import Encoder
from benchmark.encoders.registry import resolve_one
from benchmark.errors import message_for_user
from benchmark.jobs.job import TaskItems
from benchmark.jobs.options import Options
from benchmark.jobs.runner import Outcome, UnfinishedError, run_many
from benchmark.system.progress import Reporter
from probes.statistics.subsets import fraction_rows
from results.record import Record

#: Fractions of train of a limited-data curve, below all of it, and how many samples are drawn of each.
FRACTIONS, SAMPLES = (0.01, 0.05, 0.1, 0.2), 4


@dataclass
class Probing:
    """Probes networks on tasks.

    Attributes:
        data: The tasks with their items.
        options: Of every run.
        report: Where progress goes.
        failures: A line for each pair of network and task that failed.
        notes: What of curves is left out, and why.
    """

    data: Sequence[TaskItems]
    options: Options
    report: Reporter
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def opened(self, folder: Path) -> Encoder:
        """Return the network in a run's folder as an encoder.

        Raises:
            UserError: It is none.
        """
        return resolve_one(f"pretrained:{folder}", self.options.home_folder)

    def probe(self, encoder: Encoder) -> dict[str, Record]:
        """Return the record of an encoder on each task; records of the same run are kept."""
        return {record.task.id: record for record in self._run(encoder, self.data)}

    def curve(self, encoder: Encoder) -> dict[str, list[Record]]:
        """Return the records of an encoder on parts of train, by task."""
        found: dict[str, list[Record]] = {}
        for each in self.data:
            fractions, notes = feasible(each, self.options.seed)
            self.notes += [note for note in notes if note not in self.notes]
            if fractions:
                found[each.task.card.id] = self._run(encoder, [each], fractions)
        return found

    def _run(self, encoder: Encoder, data: Sequence[TaskItems], fractions: Sequence[float] = ()) -> list[Record]:
        options, outcomes = self.options, list[Outcome]()
        if fractions:
            options = replace(options, train_fraction=fractions, repeats=SAMPLES)
        try:
            outcomes = run_many([encoder], [each.task for each in data], options, self.report)
        except UnfinishedError as error:
            outcomes = list(error.outcomes)
            self.failures += [row.strip() for row in error.rows]
        except Exception as error:  # one network, or one task, is not to cost the others
            said = message_for_user(error)
            if said is None:
                raise
            self.failures.append(f"{encoder.name} on {', '.join(each.task.card.id for each in data)}: {said}")
        return [outcome.record for outcome in outcomes]


def feasible(data: TaskItems, seed: int) -> tuple[tuple[float, ...], list[str]]:
    """Return the fractions of train of which every sample can train a probe, and a sentence on each that cannot.

    Args:
        data: A task with its items.
        seed: Seed of the run, from which the samples have theirs.
    """
    items, task = data.items, data.task.card
    if items.folds:
        return (), [f"{task.id} has folds: parts of train are about one split, so it has no limited-data curve."]
    rows = items.rows("train")
    groups = None if items.groups is None else [items.groups[row] for row in rows]
    fractions, notes = [], []
    for fraction in FRACTIONS:
        try:
            for sample in range(SAMPLES):
                fraction_rows(items.targets[rows], groups, task.kind, fraction, seed + sample)
        except ValueError as error:
            notes.append(f"{task.id} has no point at {fraction:.0%} of train: {error}.")
        else:
            fractions.append(fraction)
    return tuple(fractions), notes
