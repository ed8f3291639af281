"""Rank groups of a column: encoders that the paired test does not separate share a rank.

Every two encoders of a task are compared as ``bench compare`` does, over items and seeds, and Holm's correction is over
all pairs of the column. A rank is one more than the number of encoders above, where an encoder is above another only if
everyone of its group is separated from everyone of the other's; so no difference inside the noise is shown as an order.
That a test separates two of a group whom a third joins is said in a note.

A score is computed without each block of items once an encoder, not once a pair, and what came of each pair is kept in
the data home (:mod:`benchmark.jobs.pairs`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmark.jobs.pairs import KeptPairs, PairResult, pair_key
from benchmark.jobs.result_checks import refuse_altered
from benchmark.system.progress import Reporter, Silent
from probes.statistics.comparison import holm
from probes.statistics.intervals import Blocks, Jackknifed, blocks_of, compare
from results.comparison import SIGNIFICANT, RecordPair, align, refusal
from results.partial import is_partial
from results.predictions import Predictions, read_split
from results.record import Record, RecordError
from results.store import predictions_path
from results.together import Together
from tasks.metrics.scores import scores_of
from tasks.metrics.table import bounds

SEED = 0
"""Of how items are dealt into blocks where they are many: that of ``bench compare``."""

NAMED = 5  # pairs named of a longer list


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

    Limited runs, points of learning curves and partial runs have no rank, nor have records that must not be compared
    with most of their column, or whose predictions cannot be read; a note says so.

    Args:
        together: The records.
        home: The data home, in which pairs are kept; ``None`` for the usual one.
        tasks: Ids of tasks; ``None`` for all.
        report: Where progress goes.
    """
    columns: defaultdict[str, list[Record]] = defaultdict(list)
    for record in together.records:
        if record.limit is None and record.curve is None and (tasks is None or record.task.id in tasks):
            columns[record.task.id].append(record)
    report, kept = report or Silent(), KeptPairs(home)
    found = []
    with report.stage("Comparing all pairs", len(columns), "tasks") as advance:
        for number, (task, records) in enumerate(sorted(columns.items()), start=1):
            notes = [f"{record.name} is partial: it has no rank." for record in records if is_partial(record)]
            whole = [record for record in records if not is_partial(record)]
            found += [ranking(task, whole, together, kept, notes=notes)] if whole else []
            advance(number)
    return tuple(found)


def ranking(
    task: str,
    records: Sequence[Record],
    together: Together,
    kept: KeptPairs,
    *,
    metric: str | None = None,
    notes: Iterable[str] = (),
) -> Ranking:
    """Return the rank groups of records of one task.

    Args:
        task: Id of the task.
        records: Its records, one a name.
        together: Where they lie.
        kept: Pairs that were compared before.
        metric: The metric; ``None`` for the primary one.
        notes: What to say before all else.
    """
    told = list(notes)
    records = _comparable(sorted(records, key=lambda record: record.name), told)
    metric = metric or records[0].task.metrics[0]
    pairs = _compared(records, metric, together, kept, told)
    values = {record.name: record.scores.test[metric].value for record in records}
    separations = _separations(pairs, values)
    tested = {name for each in separations if each.p is not None for name in (each.first, each.second)}
    if pairs and not tested:
        told.append(f"no rank: {metric} is undefined without some one item or group of test, so no pair was tested.")
    ranked = {name: value for name, value in values.items() if name in tested or len(records) == 1}
    ranks = rank_groups(ranked, {(each.first, each.second) for each in separations if each.separated})
    told += _hidden(separations, ranks)
    order = sorted(separations, key=lambda each: (-values[each.first], -values[each.second], each.first, each.second))
    return Ranking(task, metric, ranks, tuple(order), tuple(told))


def rank_groups(values: Mapping[str, float], separated: set[tuple[str, str]]) -> dict[str, int]:
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


def _comparable(records: Sequence[Record], notes: list[str]) -> list[Record]:
    """Return the records that may be compared with each other: of several such sets the largest, of equals the newest.

    What the others differ in is added to ``notes``.
    """
    sets: defaultdict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        sets[record.task.fingerprint, *record.task.metrics].append(record)
    most = max(sets.values(), key=lambda each: (len(each), each[0].task.version, max(one.created for one in each)))
    for record in records:
        if record not in most:
            notes.append(f"{record.name} has no rank: {refusal(RecordPair(most[0], record))}.")
    return most


def _compared(
    records: Sequence[Record], metric: str, together: Together, kept: KeptPairs, notes: list[str]
) -> dict[tuple[str, str], PairResult]:
    """Return what came of each pair of records, by both names in order; a record without predictions has no pair.

    Which record has none, and why, is added to ``notes``.
    """
    if len(records) < 2:
        return {}
    task, there = records[0].task.id, []
    for record in records:
        if predictions_path(together.folder_of(record), record).is_file():
            there.append(record)
        else:
            notes.append(f"{record.name} has no rank: its predictions are missing.")
    known = kept.read(task, metric)
    keys = {(a.name, b.name): pair_key(a, b, metric) for a, b in combinations(there, 2)}
    column = _Column(metric, together)
    new: dict[str, PairResult] = {}
    lost: dict[str, str] = {}
    for a, b in combinations(there, 2):
        if keys[a.name, b.name] not in known and not {a.name, b.name} & set(lost):
            found = column.compared(a, b, lost)
            new |= {} if found is None else {keys[a.name, b.name]: found}
    if new:
        kept.add(task, metric, new)
    notes += [f"{name} has no rank: {why}." for name, why in lost.items()]
    return {pair: (known | new)[key] for pair, key in keys.items() if not set(pair) & set(lost)}


class _Column:
    """The scores of each record of a column without each block of items, computed once where they are asked for."""

    def __init__(self, metric: str, together: Together) -> None:
        self._metric, self._together = metric, together
        self._first: Predictions | None = None
        self._found: dict[tuple[str, tuple[str, ...]], Jackknifed] = {}
        self._blocks: dict[tuple[str, ...], Blocks] = {}
        self._orders: dict[str, tuple[str, ...]] = {}

    def compared(self, a: Record, b: Record, lost: dict[str, str]) -> PairResult | None:
        """Compare two records; where one cannot be, say why in ``lost`` and return nothing."""
        for record in (a, b):
            if record.name not in self._orders and (problem := self._take(record)):
                lost[record.name] = problem
        if {a.name, b.name} & set(lost):
            return None
        orders = self._orders[a.name], self._orders[b.name]
        # What comes of a pair must not depend on the rest of the column, so another order than the pair's is not used.
        order = orders[0] if orders[0] == orders[1] else tuple(sorted(orders[0]))
        here, there = self._jackknifed(a, order), self._jackknifed(b, order)
        contrast = compare(here, there, self._blocks[order], bounds(self._metric))
        if contrast is None:
            return PairResult(float(here.values.mean() - there.values.mean()), None, None, None)
        return PairResult(contrast.value, contrast.interval.low, contrast.interval.high, contrast.p)

    def _take(self, record: Record) -> str:
        """Read a record's predictions; return why they are not to be compared with the others, or nothing."""
        folder = self._together.folder_of(record)
        try:
            refuse_altered(folder, record)
            held = read_split(folder, record)
            self._first = self._first or held
            problem = align(self._first, held)
            if isinstance(problem, str):
                return problem
            self._score(record, held)
        except RecordError:
            return "its predictions are not those of its scores, or are damaged (bench results verify says more)"
        except ValueError as error:  # the metric is undefined on them
            return str(error)
        self._orders[record.name] = held.track_ids
        return ""

    def _jackknifed(self, record: Record, order: tuple[str, ...]) -> Jackknifed:
        if (record.name, order) not in self._found:
            held = read_split(self._together.folder_of(record), record)
            place = {track_id: row for row, track_id in enumerate(held.track_ids)}
            self._score(record, held.take(np.array([place[track_id] for track_id in order])))
        return self._found[record.name, order]

    def _score(self, record: Record, held: Predictions) -> None:
        """Score predictions whole and without each block, in the order that they have."""
        order = held.track_ids
        blocks = self._blocks.get(order) or blocks_of(len(order), held.groups, seed=SEED)
        weights, targets = blocks.weights(), held.targets
        values, without = [], []
        for outputs in held.outputs:
            whole = scores_of([self._metric], targets, outputs, held.labels)
            parts = scores_of([self._metric], targets, outputs, held.labels, weights)
            values.append(float(whole[self._metric]))
            without.append(parts[self._metric])
        self._blocks[order] = blocks
        self._found[record.name, order] = Jackknifed(np.array(values), np.stack(without))


def _separations(pairs: Mapping[tuple[str, str], PairResult], values: Mapping[str, float]) -> list[Separation]:
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


def _hidden(separations: Iterable[Separation], ranks: Mapping[str, int]) -> list[str]:
    """Say which encoders share a rank although the test separates them."""
    told = [f"{each.first} and {each.second}" for each in separations
            if each.separated and ranks[each.first] == ranks[each.second]]  # fmt: skip
    if not told:
        return []
    more = f", and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return [
        f"separated, yet of one rank, as others of it lie between them or are separated from neither: "
        f"{', '.join(told[:NAMED])}{more}."
    ]
