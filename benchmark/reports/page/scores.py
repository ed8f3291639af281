"""Tables of scores: the board of all encoders and tasks, status beside the paper, and each task on its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from benchmark.reports.page.tables import NONE, Cell, Column, Table, number, score
from benchmark.reports.seen import seen_of
from results.leaderboard.board import is_near
from results.partial import is_partial
from results.record import Record
from results.together import Together, place_of

if TYPE_CHECKING:
    from benchmark.jobs.ranking import Ranking
    from results.status import Status


def row_name(record: Record, together: Together) -> str:
    """Return what names a record's row: the encoder with its variant, its limit, and whether it is an example."""
    limit = f" · {record.limit} items" if record.limit is not None else ""
    return f"{record.name}{limit}{' ◇' if place_of(record) in together.examples else ''}"


def by_task(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return records by the id of their task, in order."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.task.id, []).append(record)
    return dict(sorted(found.items()))


def board(together: Together, rankings: Sequence[Ranking]) -> Table:
    """Return the table of all encoders and tasks: the primary metric of each, with intervals and rank groups.

    Args:
        together: The records.
        rankings: Rank groups of tasks.
    """
    tasks = by_task(together.records)
    ranks = {ranking.task: ranking.ranks for ranking in rankings}
    best = {task: _best(records) for task, records in tasks.items()}
    rows: dict[tuple[str, int], dict[str, Cell]] = {}
    for record in together.records:
        row = rows.setdefault((row_name(record, together), record.limit or 0), {})
        row[record.task.id] = _cell(record, ranks.get(record.task.id, {}), best[record.task.id])
    columns = [Column("encoder")]
    for task, records in tasks.items():
        metrics = dict.fromkeys(record.task.metrics[0] for record in records)
        columns.append(Column(task, True, f"{records[0].task.title}: {', '.join(metrics)}"))
    order = sorted(rows, key=lambda name: (name[1] > 0, -_mean(rows[name]) if _whole(rows, tasks) else 0, name))
    lines = tuple((Cell(name), *(rows[name, limit].get(task, Cell(NONE)) for task in tasks)) for name, limit in order)
    return Table("Scores on test, one column a task", tuple(columns), lines)


def _whole(rows: Mapping[tuple[str, int], Mapping[str, Cell]], tasks: Mapping[str, object]) -> bool:
    """Say whether every full run's row has every cell, so that a mean over the columns can order them."""
    return all(len(cells) == len(tasks) for (_, limit), cells in rows.items() if not limit)


def _mean(cells: Mapping[str, Cell]) -> float:
    return sum(cell.value or 0.0 for cell in cells.values()) / max(1, len(cells))


def _best(records: Iterable[Record]) -> float:
    """Return the best score of a column: partial and limited runs decide none."""
    whole = [record for record in records if record.limit is None and not is_partial(record)]
    return max((record.scores.test[record.task.metrics[0]].value for record in whole), default=float("inf"))


def _cell(record: Record, ranks: Mapping[str, int], best: float) -> Cell:
    found = record.scores.test[record.task.metrics[0]]
    full = record.limit is None and not is_partial(record)
    near = full and is_near(found.value, best)
    rank = ranks.get(record.name, 0) if full else 0
    word = "partial" if is_partial(record) else ""
    return score(found.value, found.low, found.high, best=near, rank=rank, word=word)


def beside_published(statuses: Sequence[Status]) -> Table:
    """Return the table of scores beside published ones."""
    columns = (
        Column("encoder"), Column("task"), Column("metric"), Column("status"), Column("measured", True),
        Column("published", True), Column("difference", True, "measured less published"), Column("why"),
        Column("published in"),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(each.encoder), Cell(each.task), Cell(each.metric), Cell("", word=each.word),
            score(each.measured, each.low, each.high), score(each.published),
            number(each.difference, f"{each.difference:+.3f}"), Cell(each.reason or NONE), Cell(each.source),
        )
        for each in statuses
    )  # fmt: skip
    return Table("Scores beside published ones", columns, rows)


def task_table(task: str, records: Sequence[Record], together: Together, ranking: Ranking | None) -> Table:
    """Return the scores of one task: each encoder's on test in every metric, beside valid and the baselines."""
    columns = (
        Column("encoder"), Column("metric"), Column("test", True, "mean over the retrained probes, 95 % interval"),
        Column("rank", True, "rank group: encoders that the paired test does not separate share one"),
        Column("std", True, "deviation over the retrained probes"), Column("valid", True, "the probe was chosen by it"),
        Column("constant", True, "a constant output"), Column("permuted", True, "a probe of permuted labels"),
        Column("ridge", True, "a ridge regression on the same embeddings"), Column("items", True, "of test"),
        Column("what else"),
    )  # fmt: skip
    rows, seen = [], seen_of(records)
    for record in records:
        floors = (record.floors.constant, record.floors.permuted, record.floors.ridge)
        for place, (metric, found) in enumerate(record.scores.test.items()):
            valid = record.scores.valid[metric]
            full = record.limit is None and not is_partial(record)
            rank = ranking.ranks.get(record.name) if ranking and full and place == 0 else None
            rows.append(
                (
                    Cell(row_name(record, together)), Cell(metric), score(found.value, found.low, found.high),
                    number(rank), number(found.std if len(found.seeds) > 1 else None),
                    score(valid.value, valid.low, valid.high),
                    *(
                        Cell(NONE) if floor is None
                        else score(floor[metric].value, floor[metric].low, floor[metric].high)
                        for floor in floors
                    ),
                    number(record.data.counts.get("test")),
                    Cell(_remark(record, metric, (record.task.id, record.name) in seen)),
                )
            )  # fmt: skip
    return Table(f"Scores on {task}", columns, tuple(rows))


def _remark(record: Record, metric: str, seen: bool) -> str:
    told = ["partial"] if is_partial(record) else []
    told += ["seen in pre-training"] if seen else []
    told += ["loses to the ridge"] if metric in record.floors.loses_to_ridge else []
    return ", ".join(told) or NONE


def pairs_table(ranking: Ranking) -> Table:
    """Return who is separated from whom in one task."""
    columns = (
        Column("higher"), Column("lower"), Column("difference", True), Column("p", True),
        Column("p (Holm)", True, "corrected for all pairs of the task"), Column("separated"),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(each.first), Cell(each.second), score(each.difference, each.low, each.high),
            number(each.p, _probability(each.p)), number(each.p_holm, _probability(each.p_holm)),
            Cell("yes" if each.separated else "no"),
        )
        for each in ranking.separations
    )  # fmt: skip
    return Table(f"Pairs of encoders on {ranking.task}, {ranking.metric}", columns, rows, ranking.notes)


def _probability(p: float | None) -> str:
    return NONE if p is None else "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def label_table(task: str, metric: str, records: Sequence[Record], together: Together) -> Table | None:
    """Return the score of each label by encoder; ``None`` where the metric has none."""
    held = [(record, record.scores.test[metric].labels) for record in records if metric in record.scores.test]
    known = [(record, labels) for record, labels in held if labels]
    if not known:
        return None
    names = dict.fromkeys(name for _, labels in known for name in labels)
    columns = (Column("label"), *(Column(row_name(record, together), True) for record, _ in known))
    rows = tuple((Cell(name), *(score(labels.get(name)) for _, labels in known)) for name in names)
    left = {name for record, _ in known for name in record.scores.test[metric].left_out}
    notes = (f"Without a score on this split: {', '.join(sorted(left))}.",) if left else ()
    return Table(f"{metric} of each label of {task}, mean over the probes", columns, rows, notes)
