"""The command that compares three encoders or more, or records: bench compare A B C."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmark.errors import UserError
from benchmark.jobs.column import Column
from benchmark.jobs.pairs import KeptPairs
from benchmark.jobs.ranking import Ranking, ranked
from benchmark.jobs.result_checks import results_of
from benchmark.reports.compare import refuse_unknown, task_ids
from benchmark.system.progress import Reporter
from benchmark.system.tables import table
from results import store
from results.intervals import span
from results.markdown import escaped
from results.notes import column_notes
from results.record import Record
from results.together import Together, place_of

SCHEMA_VERSION = 1
"""Of the JSON."""


def compare_all(
    named: Sequence[str],
    tasks: Sequence[str],
    *,
    together: Together,
    report: Reporter,
    metric: str | None = None,
    home: Path | None = None,
    as_json: bool = False,
) -> str:
    """Return the rank groups of encoders or records on the tasks that two of them have.

    Args:
        named: Encoders by their ids in records, or JSON files of records.
        tasks: Ids, aliases, globs or groups; none for every task that two of them have.
        together: The records.
        report: Where progress goes.
        metric: The metric; ``None`` for the primary one of each task.
        home: The data home, where what came of pairs is kept.
        as_json: Return JSON.

    Raises:
        UserError: A name that fits nothing or is given twice, or no task that two of them have.
        RecordError: A record that cannot be read.
    """
    chosen, where = chosen_records(named, together)
    if metric is not None and not any(metric in record.task.metrics for record in chosen):
        known = sorted({each for record in chosen for each in record.task.metrics})
        raise UserError(f"no task to be compared has a metric {metric!r}", f"name one of {', '.join(known)}")
    wanted = task_ids(tasks, chosen) if tasks else None
    notes: list[str] = []
    columns = [
        Column(records, where, KeptPairs(home), metric=metric)
        for records in _by_task(chosen, wanted, metric, notes)
    ]  # fmt: skip
    if not columns:
        raise UserError(
            "no two of them have a task to be compared on", "run them on one: bench run -e ENCODER -t TASK", notes
        )
    found = ranked(columns, report)
    for column in columns:
        apart = column_notes(column.records)
        notes += [f"{task}, {name}: {'; '.join(told)}." for (task, name, _), told in apart.items() if told]
        limit = column.records[0].limit
        notes += [f"{column.task}: all runs are limited to {limit} items (--limit)."] if limit is not None else []
    if as_json:
        names = list(dict.fromkeys(record.name for record in chosen))
        content = {"schema_version": SCHEMA_VERSION, "encoders": names, "columns": list(map(asdict, found))}
        return json.dumps({**content, "notes": notes}, indent=2)
    return _text(found, {place_of(record)[:2]: record for column in columns for record in column.records}, notes)


def chosen_records(named: Sequence[str], together: Together) -> tuple[list[Record], Together]:
    """Return the records that names or files stand for, and where they lie.

    An encoder stands for its records of the tasks of the files, where files are named, else for all.

    Raises:
        UserError: A name that fits nothing or is given twice, or a file that is no record of a whole run.
        RecordError: A record that cannot be read.
    """
    files = [Path(name) for name in named if name.endswith(".json")]
    encoders = [name for name in named if not name.endswith(".json")]
    for name in encoders:
        refuse_unknown(name, together.records, together.where)
    twice = sorted({name for name in named if list(named).count(name) > 1})
    if twice:
        raise UserError(f"{twice[0]} is named twice", "name each encoder or record once")
    records: list[Record] = []
    folders, own = dict(together.folders), set()
    for file in files:
        record, folder = store.read(file), results_of(file)
        if folder is None or record.curve is not None:
            why = "is a point of a learning curve" if folder is not None else "lies in no results folder"
            raise UserError(f"{file} {why}", "name a record below runs/ of a results folder, or an encoder")
        named_too = record.name in encoders
        same = {each.run_key for each in together.records if named_too and place_of(each) == place_of(record)}
        same |= {each.run_key for each in records if each.task.id == record.task.id}
        if record.run_key in same:
            raise UserError(f"{file} is a run that is named twice", "name each run once")
        if named_too or place_of(record) in own:
            # Two runs of one encoder: their run keys tell them apart.
            section = record.encoder.model_copy(update={"id": f"{record.encoder.id}~{record.run_key[:8]}"})
            record = record.model_copy(update={"encoder": section})
        own.add(place_of(record))
        folders[place_of(record)] = folder
        records.append(record)
    of_files = {record.task.id for record in records}
    records += [
        record
        for record in together.records
        if record.name in encoders and (not files or record.task.id in of_files)
    ]  # fmt: skip
    return records, Together(tuple(records), folders, together.examples, together.where)


def _by_task(
    records: Sequence[Record], tasks: Sequence[str] | None, metric: str | None, notes: list[str]
) -> list[list[Record]]:
    """Return the records of each task to compare: full ones where two are there, else of the largest common limit."""
    by_task: defaultdict[str, defaultdict[int | None, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if tasks is None or record.task.id in tasks:
            by_task[record.task.id][record.limit].append(record)
    found = []
    for task, by_limit in sorted(by_task.items()):
        limits = sorted((limit for limit, each in by_limit.items() if len(each) > 1), key=lambda limit: limit or 10**12)
        chosen = by_limit[limits[-1]] if limits else []
        if metric is not None and chosen and metric not in chosen[0].task.metrics:
            notes.append(f"{task} is not compared: it has no {metric}, but {', '.join(chosen[0].task.metrics)}.")
            continue
        left = sorted(record.name for each in by_limit.values() for record in each if record not in chosen)
        if left:
            why = "only runs with the same limit are comparable" if len(left) > 1 or chosen else "no other has a record"
            notes.append(f"{task}: {', '.join(left)} is not compared, {why}.")
        found += [chosen] if chosen else []
    return found


def _text(found: Sequence[Ranking], records: Mapping[tuple[str, str], Record], notes: Sequence[str]) -> str:
    parts = []
    for each in found:
        names = [*each.ranks, *sorted(name for task, name in records if task == each.task and name not in each.ranks)]
        above: defaultdict[str, list[str]] = defaultdict(list)
        level: defaultdict[str, list[str]] = defaultdict(list)
        for pair in each.separations:
            if pair.separated:
                above[pair.first].append(pair.second)
            else:
                level[pair.first].append(pair.second)
                level[pair.second].append(pair.first)
        rows = []
        for name in names:
            score = records[each.task, name].scores.test[each.metric]
            rank = each.ranks.get(name)
            told = ", ".join(map(escaped, above[name])) or "-", ", ".join(map(escaped, level[name])) or "-"
            rows.append(
                [
                    "-" if rank is None else rank,
                    escaped(name),
                    f"{score.value:z.3f}",
                    span(score.low, score.high),
                    *told,
                ]
            )
        headers = ["rank", "encoder", "score", "95 % interval", "better than", "not separated from"]
        parts.append(f"{escaped(each.task)}, {escaped(each.metric)}")
        parts.append(table(rows, headers, ["better than", "not separated from"], ["95 % interval"], markdown=True))
        parts += ["\n".join(f"- {escaped(note)}" for note in each.notes)] if each.notes else []
    said = [
        "Two encoders are separated where the paired test over items (or groups) and seeds of the probe says so: p "
        "under .05, adjusted by Holm over all pairs of a task. Those that are not separated share a rank, in no order.",
        *notes,
    ]
    return "\n\n".join([*parts, "\n".join(f"- {escaped(note)}" for note in said)])
