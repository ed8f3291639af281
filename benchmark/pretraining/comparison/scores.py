"""From the records of networks to scores of strategies: intervals, dots, paired tests, points of curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmark.jobs.ranking import rank_groups
from benchmark.pretraining.comparison.statistics import (
    Metric,
    Spread,
    over_probes,
    resample_weights,
    resampled,
    spread,
    with_seeds,
)
from benchmark.pretraining.comparison.summary import Difference, Dots, Point, Score, TaskFacts
from probes.statistics.comparison import holm
from probes.statistics.intervals import Blocks, Jackknifed, blocks_of, compare, score_interval
from results.comparison import align
from results.predictions import Predictions, read_split
from results.record import Record, RecordError
from tasks.metrics.scores import scores
from tasks.metrics.table import bounds

#: Resamples of test that are drawn as dots, and those of the intervals that seeds are drawn for too; their seed.
RESAMPLES, TWO_WAY, SEED = 100, 1000, 0


@dataclass(frozen=True)
class Member:
    """A strategy, or random weights of a network, with the records of its networks on one task.

    Attributes:
        name: Of the strategy.
        baseline: The name of the random weights of its network; empty for these themselves.
        records: One a pre-training seed that was finished and probed.
    """

    name: str
    baseline: str
    records: tuple[Record, ...]


def facts_of(record: Record, held: Predictions) -> TaskFacts:
    """Return what is said of a task, from one of its records and its predictions on test."""
    counts, task = record.data.counts, record.task
    clusters = len(held.track_ids) if held.groups is None else len(set(held.groups))
    return TaskFacts(
        id=task.id, title=task.title, kind=task.kind, metrics=list(task.metrics), train=counts["train"],
        test=counts["test"], clusters=clusters, grouped=held.groups is not None,
    )  # fmt: skip


def task_scores(
    results: Path, members: Sequence[Member]
) -> tuple[TaskFacts, list[Score], list[Difference], list[str]] | None:
    """Return the scores of all strategies on a task, their differences on its primary metric, and what is to be known.

    Args:
        results: The folder of the records.
        members: Of one task; those without a record are left out.

    Returns:
        ``None`` where there is no record at all.

    Raises:
        RecordError: Predictions are missing or damaged, or records are of different test items.
    """
    members = [each for each in members if each.records]
    if not members:
        return None
    first = members[0].records[0]
    base = read_split(results, first)
    networks = {each.name: [_outputs(results, record, base) for record in each.records] for each in members}
    facts, blocks = facts_of(first, base), blocks_of(len(base.track_ids), base.groups, seed=SEED)
    weights = resample_weights(len(base.track_ids), base.groups, TWO_WAY, SEED)
    found: list[Score] = []
    primary: dict[str, Jackknifed] = {}
    for metric in facts.metrics:
        value = _metric(metric, base)
        for name, outputs in networks.items():
            jackknifed = over_probes(value, outputs, blocks)
            if metric == facts.metrics[0]:
                primary[name] = jackknifed
            dots = dots_of(resampled(value, outputs, weights))
            found.append(_score(name, facts.id, metric, jackknifed, blocks, dots))
    differences = differences_of(facts, members, primary, blocks)
    means = {each.strategy: each.value for each in found if each.metric == facts.metrics[0]}
    ranks = ranks_of({each.name: means[each.name] for each in members if each.baseline}, differences)
    ranked = [
        each.model_copy(update={"rank": ranks.get(each.strategy)}) if each.metric == facts.metrics[0] else each
        for each in found
    ]
    notes = [
        f"{each.strategy} on {each.task}: no interval of {each.metric}, which is undefined without some one item or "
        "group of test."
        for each in ranked
        if each.low is None
    ]
    return facts, ranked, differences, notes


def _outputs(results: Path, record: Record, base: Predictions) -> tuple[np.ndarray, ...]:
    """Return what each probe of a record says of the items of ``base``, in their order.

    Raises:
        RecordError: They are other items.
    """
    held = align(base, read_split(results, record))
    if isinstance(held, str):
        raise RecordError(
            f"the record of {record.name} on {record.task.id} is of other test items than the others: {held}",
            "delete the records of this task and run the same command again",
        )
    return held.outputs


def _metric(name: str, base: Predictions) -> Metric:
    def value(outputs: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        return scores(name, base.targets, outputs, base.labels, weights)

    return value


def _score(name: str, task: str, metric: str, scored: Jackknifed, blocks: Blocks, dots: Dots | None) -> Score:
    interval = score_interval(scored, blocks, bounds(metric))
    return Score(
        strategy=name, task=task, metric=metric, value=float(scored.values.mean()),
        low=None if interval is None else interval.low, high=None if interval is None else interval.high,
        question="items and seeds" if len(scored.values) > 1 else "items",
        seeds=[float(value) for value in scored.values], dots=dots,
    )  # fmt: skip


def dots_of(matrix: np.ndarray) -> Dots | None:
    """Return the dots of a strategy from its scores [R, K] in resamples of test; ``None`` where all are undefined.

    The first :data:`RESAMPLES` rows are drawn; the interval with seeds is of all rows.
    """
    drawn = matrix[:RESAMPLES].mean(axis=1)
    alone, both = spread(drawn), spread(with_seeds(matrix, SEED))
    if alone is None or both is None:
        return None
    return _dots(drawn, alone, both)


def _dots(drawn: np.ndarray, alone: Spread, both: Spread) -> Dots:
    values = [float(value) for value in drawn[np.isfinite(drawn)]]
    return Dots(
        values=values, mean=alone.mean, low=alone.low, high=alone.high, seeds_low=both.low, seeds_high=both.high,
        undefined=len(drawn) - alone.defined,
    )  # fmt: skip


def differences_of(
    facts: TaskFacts, members: Sequence[Member], scored: Mapping[str, Jackknifed], blocks: Blocks
) -> list[Difference]:
    """Return the difference of every two strategies, the higher first, and of each from its random weights.

    All of them are one family for Holm's correction.
    """
    names = [each.name for each in members if each.baseline]
    mean = {name: float(found.values.mean()) for name, found in scored.items()}
    pairs = [(a, b, False) if mean[a] >= mean[b] else (b, a, False) for a, b in combinations(names, 2)]
    pairs += [(each.name, each.baseline, True) for each in members if each.baseline in scored]
    metric = facts.metrics[0]
    found = [_difference(facts.id, metric, a, b, scored, blocks, baseline=of_base) for a, b, of_base in pairs]
    adjusted = iter(holm([each.p for each in found if each.p is not None]))
    return [each if each.p is None else each.model_copy(update={"p_holm": next(adjusted)}) for each in found]


def _difference(
    task: str, metric: str, a: str, b: str, scored: Mapping[str, Jackknifed], blocks: Blocks, *, baseline: bool
) -> Difference:
    contrast = compare(scored[a], scored[b], blocks, bounds(metric))
    difference = float(scored[a].values.mean() - scored[b].values.mean())
    return Difference(
        task=task, metric=metric, first=a, second=b, baseline=baseline, difference=difference,
        low=None if contrast is None else contrast.interval.low,
        high=None if contrast is None else contrast.interval.high,
        p=None if contrast is None else contrast.p, p_holm=None,
        question="items" if contrast is None else contrast.interval.question,
    )  # fmt: skip


def ranks_of(means: Mapping[str, float], differences: Sequence[Difference]) -> dict[str, int]:
    """Return the rank group of each strategy; none where no two were tested."""
    own = [each for each in differences if not each.baseline]
    if not any(each.p is not None for each in own):
        return {}
    return rank_groups(means, {(each.first, each.second) for each in own if each.separated})


def points_of(strategy: str, records: Sequence[Record], whole: Sequence[Record]) -> list[Point]:
    """Return the points of a strategy's limited-data curve on the primary metric of one task, in order of fraction.

    Args:
        strategy: Its name.
        records: The points of its networks: of each fraction several samples.
        whole: The records of the same networks on all of train.
    """
    by_fraction: dict[float, list[Record]] = {}
    for record in records:
        assert record.curve is not None
        by_fraction.setdefault(record.curve.fraction, []).append(record)
    if records:
        by_fraction[1.0] = list(whole)
    found = []
    for fraction, members in sorted(by_fraction.items()):
        metric = members[0].task.metrics[0]
        items = [float(each.data.counts["train"]) for each in members]
        values = [each.scores.test[metric].value for each in members]
        found.append(
            Point(
                strategy=strategy, task=members[0].task.id, metric=metric, fraction=fraction,
                items=sum(items) / len(items), scores=values,
            )
        )  # fmt: skip
    return found
