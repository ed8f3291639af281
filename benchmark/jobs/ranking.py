"""Rank groups of a column: encoders that the paired test does not separate share a rank.

Every two encoders of a task are compared as ``bench compare`` does, over items and seeds, and Holm's correction is over
all pairs of the column. A rank is one more than the number of encoders above, where an encoder is above another only if
everyone of its group is separated from everyone of the other's; so no difference inside the noise is shown as an order.
That a test separates two of a group whom a third joins is said in a note.

What came of each pair is kept in the data home (:mod:`benchmark.jobs.pairs`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

from benchmark.jobs.column import Column, Names
from benchmark.jobs.pairs import KeptPairs, PairResult
from benchmark.system.progress import Reporter, Silent
from probes.statistics.comparison import holm
from results.comparison import SIGNIFICANT
from results.partial import is_partial
from results.record import Record
from results.together import Together

NAMED = 5  # encoders or pairs named of a longer list


@dataclass(frozen=True)
class Separation:
    """Two encoders of a column, and whether the paired test separates them.

    Attributes:
        first: The record's name of the one with the higher score (of equal ones, the first by name).
        second: That of the other.
        difference: What the first has over the second.
        low: Lower end of the 95 % interval of the difference to be expected; ``None``, as the other end and p values
            are, where the metric is undefined without some one item or group.
        high: Its upper end.
        p: Two-sided p value of the difference.
        p_holm: p adjusted over all pairs of the column.
        separated: Whether ``p_holm`` is under .05.
    """

    first: str
    second: str
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    separated: bool


@dataclass(frozen=True)
class Ranking:
    """The rank groups of one column.

    Attributes:
        task: Id of the task.
        metric: The metric.
        ranks: Rank by the record's name, 1 first and equal for those not separated; a record that cannot be compared
            has none.
        separations: All pairs, in order of their ranks.
        notes: What has no rank and why, and what a group hides.
    """

    task: str
    metric: str
    ranks: Mapping[str, int]
    separations: tuple[Separation, ...]
    notes: tuple[str, ...]


def rankings(
    together: Together, home: Path | None = None, tasks: Sequence[str] | None = None, report: Reporter | None = None
) -> tuple[Ranking, ...]:
    """Return the rank groups of each task's primary metric, in order of task.

    Limited runs and points of learning curves are left out. Partial runs have no rank, nor have records that must not
    be compared with most of their column, or whose predictions cannot be read; a note says so.

    Args:
        together: The records.
        home: The data home, in which pairs are kept; ``None`` for the usual one.
        tasks: Ids of tasks; ``None`` for all.
        report: Where progress goes.
    """
    by_task: defaultdict[str, list[Record]] = defaultdict(list)
    for record in together.records:
        if record.limit is None and record.curve is None and (tasks is None or record.task.id in tasks):
            by_task[record.task.id].append(record)
    kept, columns = KeptPairs(home), []
    for _, records in sorted(by_task.items()):
        whole = [record for record in records if not is_partial(record)]
        left = {record.name: "partial" for record in records if is_partial(record)}
        columns += [Column(whole, together, kept, left=left)] if whole else []
    return ranked(columns, report or Silent())


def ranked(columns: Sequence[Column], report: Reporter) -> tuple[Ranking, ...]:
    """Return the rank groups of columns, in their order; where nothing is to be compared, nothing is told."""
    total, done, found = sum(len(column.missing) for column in columns), 0, []
    with report.stage("Comparing runs", total, "pairs") if total else nullcontext(_still) as advance:
        for column in columns:
            count = len(column.missing)
            found.append(_ranking(column, column.compare(partial(_further, advance, done))))
            done += count
    return tuple(found)


def _still(_: float) -> None:
    """Tell nothing."""


def _further(advance: Callable[[float], None], before: int, number: int) -> None:
    advance(before + number)


def _ranking(column: Column, pairs: Mapping[Names, PairResult]) -> Ranking:
    """Return the rank groups of one column from what came of its pairs."""
    values = {record.name: record.scores.test[column.metric].value for record in column.records}
    separations = _separations(pairs, values)
    tested = {name for each in separations if each.p is not None for name in (each.first, each.second)}
    notes = _without_rank(column.lost)
    if pairs and not tested:
        what = f"{column.metric} is undefined without some one item or group of test"
        notes.append(f"no rank: no pair was tested, as {what}.")
    alone = len(column.records) == 1
    ranks = rank_groups(
        {name: value for name, value in values.items() if name in tested or alone},
        {(each.first, each.second) for each in separations if each.separated},
    )
    notes += _hidden(separations, ranks)
    order = sorted(separations, key=lambda each: (-values[each.first], -values[each.second], each.first, each.second))
    return Ranking(column.task, column.metric, ranks, tuple(order), tuple(notes))


def rank_groups(values: Mapping[str, float], separated: set[Names]) -> dict[str, int]:
    """Return the rank of each name, best first.

    In order of their values, a new group begins where everyone before is separated from everyone after.

    >>> rank_groups({"a": 0.9, "b": 0.8, "c": 0.5}, {("a", "c"), ("b", "c")})
    {'a': 1, 'b': 1, 'c': 3}

    Args:
        values: The score by name.
        separated: Pairs of names, the higher first.
    """
    names = sorted(values, key=lambda name: (-values[name], name))
    place = {name: number for number, name in enumerate(names)}
    # The last place that someone not separated from each name has: no group may end before it.
    reach = list(range(len(names)))
    for first, second in combinations(names, 2):
        if (first, second) not in separated:
            reach[place[first]] = max(reach[place[first]], place[second])
    ranks, begin, end = {}, 0, -1
    for number, name in enumerate(names):
        if number > end:
            begin = number
        end = max(end, reach[number])
        ranks[name] = begin + 1
    return ranks


def _separations(pairs: Mapping[Names, PairResult], values: Mapping[str, float]) -> list[Separation]:
    """Return the pairs, the higher score first, with Holm's correction over all that have a p value."""
    tested = [pair for pair, found in pairs.items() if found.p is not None]
    adjusted = dict(zip(tested, holm([float(pairs[pair].p or 0.0) for pair in tested]), strict=True))
    found = []
    for (a, b), result in pairs.items():
        first, second, of = (a, b, result) if (-values[a], a) <= (-values[b], b) else (b, a, result.turned())
        p = adjusted.get((a, b))
        separated = p is not None and p < SIGNIFICANT
        found.append(Separation(first, second, of.difference, of.low, of.high, of.p, p, separated))
    return found


def _without_rank(lost: Mapping[str, str]) -> list[str]:
    """Say who has no rank, and why, a line a reason."""
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for name, why in lost.items():
        by_reason[why].append(name)
    return [f"no rank: {_named(names)} ({why})." for why, names in by_reason.items()]


def _hidden(separations: Iterable[Separation], ranks: Mapping[str, int]) -> list[str]:
    """Say which encoders share a rank although the test separates them."""
    told = [f"{each.first} from {each.second}" for each in separations
            if each.separated and ranks[each.first] == ranks[each.second]]  # fmt: skip
    joined = "of one rank though separated, for others lie between that are not separated from them"
    return [f"{joined}: {_named(told)}."] if told else []


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
