"""The command that compares two encoders: bench compare."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmark.errors import UserError
from benchmark.jobs.result_checks import refuse_altered
from benchmark.system.progress import Reporter, Terminal
from benchmark.system.tables import table
from probes.statistics import comparison as statistics
from results.comparison import (
    Comparison,
    MetricDifference,
    RecordPair,
    align,
    condition_notes,
    pair_records,
    refusal,
    render,
    row_notes,
)
from results.markdown import escaped
from results.predictions import Predictions, read_split
from results.record import Record
from results.together import Together, place_of, read_together
from tasks.errors import TaskError
from tasks.metrics.scores import scores_of
from tasks.metrics.table import bounds

#: Columns that a narrow terminal does without, the least needed first.
SPARE = ("p (these probes)", "these probes", "p")


def compare(
    first: str,
    second: str,
    tasks: Sequence[str],
    *,
    results: Path | Together,
    metric: str | None = None,
    permutations: int | None = None,
    seed: int = 0,
    as_json: bool = False,
) -> str:
    """Return how two encoders differ on the tasks that both have records of."""
    comparison = compare_records(first, second, tasks, results, metric, permutations, seed, Terminal())
    if as_json:
        return comparison.model_dump_json(indent=2)
    spare = (*SPARE, escaped(comparison.first), escaped(comparison.second))
    return render(comparison, partial(table, spare=spare, markdown=True))


def compare_records(
    first: str,
    second: str,
    tasks: Sequence[str],
    results: Path | Together,
    metric: str | None,
    permutations: int | None,
    seed: int,
    report: Reporter,
) -> Comparison:
    """Compare the saved predictions of two encoders.

    Args:
        first: Id of an encoder with records.
        second: Id of another.
        tasks: Ids, aliases, globs or groups; none for every task that both have.
        results: Folder of the records, or those of several folders.
        metric: Look at this metric alone, and correct for it; otherwise at all, and correct for the primary ones.
        permutations: How many, for the test of these very probes; ``None`` for 2,000.
        seed: Seed of permutations, and of the blocks of a jackknife where items are many.
        report: Where progress goes.

    Raises:
        UserError: A name that fits nothing, no task that both have, or records that must not be compared.
        RecordError: Records or predictions that are missing or cannot be read.
    """
    if permutations is not None and permutations < 1:
        raise UserError(f"--permutations is {permutations}", "give 1 at least")
    together = results if isinstance(results, Together) else read_together([results])
    records = together.records
    refuse_unknown(first, records, together.where)
    refuse_unknown(second, records, together.where)
    if first == second:
        raise UserError(f"{first} is compared with itself", "name two encoders")
    pairs, notes = pair_records(records, first, second, task_ids(tasks, records) if tasks else None)
    pairs = _with_metric(pairs, metric, notes)
    if not pairs:
        raise UserError(
            f"{first} and {second} have no task to be compared on",
            "Run one of them on a task of the other: bench run -e ENCODER -t TASK",
            notes,
        )
    _refuse_incomparable(pairs, together)
    rows: list[MetricDifference] = []
    with report.stage(f"Comparing {first} and {second}", len(pairs), "tasks") as advance:
        for number, pair in enumerate(pairs, start=1):
            found = _aligned(pair, together)
            assert not isinstance(found, str)
            here, there = found
            metrics = [metric] if metric else pair.first.task.metrics
            rows += _rows(pair, here, there, metrics, permutations or statistics.PERMUTATIONS, seed)
            notes += condition_notes(pair)
            shown = [each.name for each in (pair.first, pair.second) if place_of(each) in together.examples]
            notes += [f"{pair.first.task.id}: the record of {name} is an example, no run of yours." for name in shown]
            if pair.first.limit is not None:
                notes.append(f"{pair.first.task.id}: both runs are limited to {pair.first.limit} items (--limit).")
            notes += row_notes(rows[-len(metrics) :])
            advance(number)
    adjusted = iter(statistics.holm([row.p_holm for row in rows if row.p_holm is not None]))
    rows = [row if row.p_holm is None else row.model_copy(update={"p_holm": next(adjusted)}) for row in rows]
    of = metric or "the primary metric of each task"
    family = f"p (Holm) is adjusted for the {len(pairs)} task(s) compared, on {of}."
    return Comparison(first=first, second=second, family=family, seed=seed, rows=rows, notes=notes)


def task_ids(names: Sequence[str], records: Sequence[Record]) -> list[str]:
    """Return the ids of the tasks that ``names`` ask for: ids or globs of recorded tasks, else whatever names a task.

    Raises:
        UserError: A name that fits nothing.
    """
    from tasks import registry

    known = sorted({record.task.id for record in records})
    ids: list[str] = []
    for name in (part.strip() for text in names for part in text.split(",")):
        if not name:
            continue
        matches = [task for task in known if task == name or fnmatch.fnmatchcase(task, name)]
        matches = matches or sorted({record.task.id for record in records if record.task.group == name})
        if not matches:
            try:
                matches = [task.card.id for task in registry.find(name)]
            except TaskError as error:
                near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
                hint = f" Recorded tasks with such a name: {', '.join(near)}" if near else ""
                raise UserError(error.what, f"{error.do}{hint}") from None
        ids += matches
    return list(dict.fromkeys(ids))


def refuse_unknown(encoder: str, records: Sequence[Record], results: Path | str) -> None:
    """Refuse an encoder without a record.

    Raises:
        UserError: There is none; the message names those that are near.
    """
    known = sorted({record.name for record in records})
    if encoder in known:
        return
    if not known:
        raise UserError(f"there are no records in {results}", "give --results, or run bench run -e ENCODER -t TASK")
    near = difflib.get_close_matches(encoder, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"name one of {', '.join(known)}"
    raise UserError(f"no record of an encoder {encoder!r} in {results}", hint)


def _with_metric(pairs: Sequence[RecordPair], metric: str | None, notes: list[str]) -> list[RecordPair]:
    """Return the pairs whose task has the metric asked for; the others are noted."""
    if metric is None:
        return list(pairs)
    known = sorted({name for pair in pairs for name in pair.first.task.metrics})
    if pairs and metric not in known:
        near = difflib.get_close_matches(metric, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"name one of {', '.join(known)}"
        raise UserError(f"no task to be compared has a metric {metric!r}", hint)
    without = [pair.first.task.id for pair in pairs if metric not in pair.first.task.metrics]
    if without:
        notes.append(f"Not compared, having no {metric}: {', '.join(without)}.")
    return [pair for pair in pairs if metric in pair.first.task.metrics]


def _refuse_incomparable(pairs: Sequence[RecordPair], together: Together) -> None:
    """Read the predictions of all pairs, one after another, before hours are spent on some of them.

    Raises:
        UserError: Pairs that must not be compared, each with its reason.
        RecordError: Predictions that are missing or cannot be read, or are not those of the record's scores.
    """
    problems = {}
    for pair in pairs:
        found = _aligned(pair, together)
        if not isinstance(found, str):
            for record in (pair.first, pair.second):
                refuse_altered(together.folder_of(record), record)
        if isinstance(found, str):
            problems[pair.first.task.id] = found
    if problems:
        told = [f"  {task}: {problem}" for task, problem in problems.items()]
        rest = ",".join(pair.first.task.id for pair in pairs if pair.first.task.id not in problems)
        advice = "run them again on the same data" + (f", or compare the others: --task {rest}" if rest else "")
        raise UserError("these records must not be compared", advice, told)


def _aligned(pair: RecordPair, together: Together) -> tuple[Predictions, Predictions] | str:
    """Return the test predictions of a pair, the second in the order of the first, or why they do not go together."""
    problem = refusal(pair)
    if problem:
        return problem
    here = read_split(together.folder_of(pair.first), pair.first)
    there = align(here, read_split(together.folder_of(pair.second), pair.second))
    return there if isinstance(there, str) else (here, there)


def _rows(
    pair: RecordPair,
    here: Predictions,
    there: Predictions,
    metrics: Sequence[str],
    permutations: int,
    seed: int,
) -> list[MetricDifference]:
    task = pair.first.task

    def values(targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> dict[str, np.ndarray]:
        return scores_of(metrics, targets, outputs, here.labels, weights)

    try:
        found = statistics.differences(
            values, here.targets, here.outputs, there.outputs, here.groups,
            bounds={metric: bounds(metric) for metric in metrics}, permutations=permutations, seed=seed,
        )  # fmt: skip
    except ValueError as error:
        raise UserError(
            f"{task.id} cannot be compared: {error}", "Leave it out: name the other tasks with --task"
        ) from error
    return [
        MetricDifference(
            task=task.id,
            metric=metric,
            first=difference.first,
            second=difference.second,
            difference=difference.value,
            question=difference.question,
            low=difference.low,
            high=difference.high,
            p=difference.p,
            items_low=difference.items_low,
            items_high=difference.items_high,
            items_p=difference.items_p,
            probes=(len(here.outputs), len(there.outputs)),
            p_holm=difference.p if metric == metrics[0] else None,  # its place in the family, until all are known
            permutations=difference.permutations,
            exact=difference.exact,
            items=len(here.track_ids),
            clusters=difference.clusters,
            clustered=here.groups is not None,
            limit=pair.first.limit,
        )
        for metric, difference in found.items()
    ]
