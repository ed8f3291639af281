"""The command that holds our scores against published ones: bench compare --published."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from benchmark.errors import UserError
from benchmark.reports.compare import task_ids
from benchmark.reports.rank_groups import chosen_records
from benchmark.system.tables import table
from results.intervals import span
from results.markdown import escaped
from results.record import Record
from results.sources import PublishedSource, sources
from results.status import NARROW, NEAR, Status, base_id, statuses
from results.together import Together

SCHEMA_VERSION = 1
"""Of the JSON."""


def beside_published(
    named: Sequence[str],
    tasks: Sequence[str],
    *,
    together: Together,
    metric: str | None = None,
    as_json: bool = False,
) -> str:
    """Return the status of each score of our records that a published source has too.

    Args:
        named: Ids of encoders in records, or JSON files of records; none for all.
        tasks: Ids, aliases, globs or groups of tasks; none for all.
        together: The records.
        metric: This metric alone.
        as_json: Return JSON.

    Raises:
        UserError: A name that fits nothing, or nothing published of what is asked for.
    """
    records: Sequence[Record] = chosen_records(named, together)[0] if named else together.records
    wanted = task_ids(tasks, records) if tasks else None
    records = [record for record in records if wanted is None or record.task.id in wanted]
    found = [each for record in records for each in statuses(record) if metric in (None, each.metric)]
    missing = _without_record({record.encoder.id for record in records}, found, wanted, metric)
    if as_json:
        absent = [{"encoder": encoder, "task": task, "metric": each} for encoder, task, each in missing]
        content = {"schema_version": SCHEMA_VERSION, "scores": list(map(asdict, found)), "without_record": absent}
        return json.dumps(content, indent=2)
    if not found:
        names = ", ".join(sorted({record.name for record in records})) or "no record"
        published = ", ".join(f"{source.title} ({', '.join(_models(source))})" for source in sources())
        raise UserError(
            f"nothing is published of what was measured ({names} in {together.where}). There are scores of {published}",
            "run one of these encoders on a task of the paper: 'bench tasks' lists them",
        )
    return _text(found, missing)


def _models(source: PublishedSource) -> list[str]:
    """Return ids by which our records name the models that a source has scores of its own of."""
    rows = {
        row: None
        for published in source.tables.values()
        for (row, _, _), value in published.cells.items()
        if not value.reference
    }
    return [each for row in rows for each in source.encoders.get(row, () if source.encoders else (row,))]


def _without_record(
    encoders: Iterable[str], found: Sequence[Status], tasks: Sequence[str] | None, metric: str | None
) -> list[tuple[str, str, str]]:
    """Return encoder, task and metric of what is published of our encoders and not measured in any way."""
    measured = {(base_id(each.encoder), each.task, each.metric) for each in found}
    return [
        (encoder, task, each)
        for encoder in sorted({base_id(encoder) for encoder in encoders})
        for source in sources()
        for task, each in source.cells_of(encoder)
        if (encoder, task, each) not in measured and (tasks is None or task in tasks) and metric in (None, each)
    ]


def _text(found: Sequence[Status], missing: Sequence[tuple[str, str, str]]) -> str:
    rows = [
        [
            escaped(each.task),
            escaped(each.encoder),
            escaped(each.metric),
            f"{each.measured:z.3f}",
            span(each.low, each.high),
            f"{each.published:.3f}",
            f"{each.difference:+.3f}",
            each.word,
            escaped(each.reason) or "-",
            escaped(each.source),
        ]
        for each in found
    ]
    headers = [
        "task",
        "encoder",
        "metric",
        "ours",
        "95 % interval",
        "published",
        "difference",
        "status",
        "why",
        "source",
    ]
    shown = table(rows, headers, ["why", "source"], ["source", "95 % interval", "metric"], markdown=True)
    words = Counter(each.word for each in found)
    counts = ", ".join(f"{words[word]} {word}" for word in ("reproduced", "undecided", "off", "not comparable"))
    notes = [
        f"Reproduced: the published value lies inside our interval, or within {NEAR} of our score, and the interval is "
        f"at most ±{NARROW}. Undecided: it does, but the interval is wider. Off: it lies outside.",
    ]
    if missing:
        tasks = dict.fromkeys(f"{encoder} on {task}" for encoder, task, _ in missing)
        notes.append(f"Published, and not measured here: {', '.join(map(escaped, tasks))}.")
    return "\n\n".join([shown, f"{len(found)} published scores: {counts}.", "\n".join(f"- {note}" for note in notes)])
