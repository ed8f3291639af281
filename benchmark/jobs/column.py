"""The records of one task beside each other: which may be compared, and what comes of every pair of them.

A score is computed without each block of items once a record, not once a pair, and only where a pair is not kept from
before (:mod:`benchmark.jobs.pairs`). The numbers are those of ``bench compare``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np

from benchmark.jobs.pairs import KeptPairs, PairResult, pair_key
from benchmark.jobs.result_checks import refuse_altered
from probes.statistics.intervals import Blocks, Jackknifed, blocks_of, compare
from results.comparison import RecordPair, align, refusal
from results.predictions import Predictions, read_split
from results.record import Record, RecordError
from results.store import predictions_path
from results.together import Together
from tasks.metrics.scores import scores_of
from tasks.metrics.table import bounds

SEED = 0
"""Of how items are dealt into blocks where they are many: that of ``bench compare``."""

Names = tuple[str, str]
Order = tuple[str, ...]
"""Ids of test items, in the order in which they are scored."""


class Column:
    """Records of one task that may be compared with each other.

    Attributes:
        task: Id of the task.
        metric: The metric of the column.
        records: The records that may be compared, by name.
        lost: Why others may not, by name; more may be found while pairs are compared.
    """

    def __init__(
        self,
        records: Sequence[Record],
        together: Together,
        kept: KeptPairs,
        *,
        metric: str | None = None,
        left: Mapping[str, str] | None = None,
    ) -> None:
        """Take the records of one task.

        Args:
            records: One a name, at least one.
            together: Where they lie.
            kept: Pairs that were compared before.
            metric: The metric; ``None`` for the primary one.
            left: Others that are left out, and why.
        """
        self.lost = dict(left or {})
        self.records = _comparable(sorted(records, key=lambda record: record.name), self.lost)
        self.task = self.records[0].task.id
        self.metric = metric or self.records[0].task.metrics[0]
        self._together, self._kept = together, kept
        there = self._with_predictions() if len(self.records) > 1 else []
        self._keys = {(a.name, b.name): pair_key(a, b, self.metric) for a, b in combinations(there, 2)}
        self._known = kept.read(self.task, self.metric) if self._keys else {}
        self._by_name = {record.name: record for record in there}
        self._first: Predictions | None = None
        self._orders: dict[str, Order] = {}
        self._blocks: dict[Order, Blocks] = {}
        self._scores: dict[tuple[str, Order], Jackknifed] = {}

    @property
    def missing(self) -> list[Names]:
        """The pairs that are to be compared."""
        return [names for names, key in self._keys.items() if key not in self._known]

    def compare(self, advance: Callable[[int], object] = lambda _: None) -> dict[Names, PairResult]:
        """Return what came of each pair, by both names in order; compare those that are missing, and keep them.

        Args:
            advance: Called with the number of missing pairs that are done.
        """
        new: dict[str, PairResult] = {}
        for number, names in enumerate(self.missing, start=1):
            if not set(names) & set(self.lost) and (found := self._compared(*names)) is not None:
                new[self._keys[names]] = found
            advance(number)
        if new:
            self._kept.add(self.task, self.metric, new)
            self._known |= new
        self._scores.clear()
        return {names: self._known[key] for names, key in self._keys.items() if not set(names) & set(self.lost)}

    def _with_predictions(self) -> list[Record]:
        there = []
        for record in self.records:
            if predictions_path(self._together.folder_of(record), record).is_file():
                there.append(record)
            else:
                self.lost[record.name] = "its predictions are missing"
        return there

    def _compared(self, a: str, b: str) -> PairResult | None:
        """Compare two records; where one cannot be, say why in :attr:`lost` and return nothing."""
        for name in (a, b):
            if name not in self._orders and (problem := self._take(self._by_name[name])):
                self.lost[name] = problem
        if {a, b} & set(self.lost):
            return None
        # What comes of a pair must not depend on the rest of the column, so another order than the pair's is not used.
        own, other = self._orders[a], self._orders[b]
        order = own if own == other else tuple(sorted(own))
        here, there = self._jackknifed(a, order), self._jackknifed(b, order)
        contrast = compare(here, there, self._blocks[order], bounds(self.metric))
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
            self._score(record.name, held)
        except RecordError:
            return "its predictions are damaged, or not those of its scores; bench results verify says more"
        except ValueError as error:  # the metric is undefined on them
            return str(error)
        self._orders[record.name] = held.track_ids
        return ""

    def _jackknifed(self, name: str, order: Order) -> Jackknifed:
        if (name, order) not in self._scores:
            record = self._by_name[name]
            held = read_split(self._together.folder_of(record), record)
            place = {track_id: row for row, track_id in enumerate(held.track_ids)}
            self._score(name, held.take(np.array([place[track_id] for track_id in order])))
        return self._scores[name, order]

    def _score(self, name: str, held: Predictions) -> None:
        """Score predictions whole and without each block, in the order that they have."""
        order = held.track_ids
        if order not in self._blocks:
            self._blocks[order] = blocks_of(len(order), held.groups, seed=SEED)
        weights, values, without = self._blocks[order].weights(), [], []
        for outputs in held.outputs:
            whole = scores_of([self.metric], held.targets, outputs, held.labels)
            parts = scores_of([self.metric], held.targets, outputs, held.labels, weights)
            values.append(float(whole[self.metric]))
            without.append(parts[self.metric])
        self._scores[name, order] = Jackknifed(np.array(values), np.stack(without))


def _comparable(records: Sequence[Record], lost: dict[str, str]) -> list[Record]:
    """Return the records that may be compared with each other: of several such sets the largest, of equals the newest.

    Why the others may not is added to ``lost``.
    """
    sets: defaultdict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        sets[record.task.fingerprint, *record.task.metrics].append(record)
    most = max(sets.values(), key=lambda each: (len(each), each[0].task.version, max(one.created for one in each)))
    for others in sets.values():
        if others is not most:
            why = refusal(RecordPair(most[0], others[0]))
            lost.update(dict.fromkeys((record.name for record in others), why))
    return most
