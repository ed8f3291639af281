"""The tables of a comparison, for Markdown and the report page alike: cells, and the numbers that they show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmark.pretraining.comparison.summary import Difference, Point, Score, Strategy, Summary, TaskFacts

NONE = "–"
#: The order on tags of Meseguer-Brocal et al. 2024 (MSD100, MTAT, Jamendo top 50), higher first, by objective.
PAPER_ORDER = (
    ("contrastive", ("simclr",)),
    ("clustering", ("clustering",)),
    ("the rest", ("byol", "barlow", "vicreg")),
)
TAGS = "multilabel"


@dataclass(frozen=True)
class Entry:
    """A cell: its text, and of a number its value, the ends of its interval, and its rank group (0 for none)."""

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    rank: int = 0


@dataclass(frozen=True)
class Grid:
    """A table. ``numeric`` says which columns hold numbers; ``notes`` are sentences below it."""

    caption: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()


def grids_of(summary: Summary) -> list[Grid]:
    """Return all tables that have rows, in the order in which a reader wants them."""
    every = (
        scores_grid(summary), baseline_grid(summary), pairs_grid(summary), order_grid(summary), limited_grid(summary),
        dots_grid(summary), runs_grid(summary),
    )  # fmt: skip
    return [grid for grid in every if grid.rows]


def scores_grid(summary: Summary) -> Grid:
    """Return strategies by tasks, best first on the first task, random weights last, with what each run took."""
    columns = [*(f"{task.id} ({task.metrics[0]})" for task in summary.tasks)]
    rows = []
    for strategy in ordered(summary):
        finished = [run for run in strategy.runs if run.status != "stopped"]
        cells = [_score(summary.score(strategy.name, task.id, task.metrics[0])) for task in summary.tasks]
        rows.append(
            (
                Entry(strategy.name), *cells, _of(len(finished), len(strategy.runs)), *_took(strategy),
                Entry(f"{strategy.parameters:,}", strategy.parameters),
            )
        )  # fmt: skip
    names = ("strategy", *columns, "seeds", "examples", "hours", "steps", "minutes", "effective rank", "parameters")
    return Grid("Scores on test", names, (False, *[True] * (len(names) - 1)), tuple(rows), tuple(_meaning(summary)))


def ordered(summary: Summary) -> list[Strategy]:
    """Return the strategies, the highest on the first task first, those without a score last; then random weights."""

    def place(strategy: Strategy) -> tuple[bool, bool, float, str]:
        task = summary.tasks[0] if summary.tasks else None
        found = None if task is None else summary.score(strategy.name, task.id, task.metrics[0])
        return strategy.random, found is None, 0.0 if found is None else -found.value, strategy.name

    return sorted(summary.strategies, key=place)


def _took(strategy: Strategy) -> tuple[Entry, ...]:
    """Return examples, hours, steps, minutes and effective rank: of random weights nothing, else means over runs."""
    if strategy.random:
        return (Entry(NONE),) * 5
    finished = [run for run in strategy.runs if run.status == "finished"]
    minutes = _mean([run.minutes for run in finished])
    rank = _mean([run.effective_rank for run in finished])
    return (
        Entry(f"{strategy.examples:,}", strategy.examples), Entry(f"{strategy.hours:.3g}", strategy.hours),
        Entry(f"{strategy.steps:,}", strategy.steps), _number(minutes, 1), _number(rank, 1),
    )  # fmt: skip


def _meaning(summary: Summary) -> Iterator[str]:
    yield (
        "The mean over pre-training seeds; a seed's score is the mean over its retrained probes. The 95 % interval "
        "is of the score to be expected over test items (or groups) and pre-training seeds, or over items alone "
        "where one seed is left: by a jackknife, with Student's t, as of all records, with seeds of pre-training in "
        "place of the probe's."
    )
    if any(score.rank for score in summary.scores):
        yield "Raised: the rank group; strategies that the paired test (Holm) does not separate share one."
    batches = sorted({strategy.batch for strategy in summary.strategies if not strategy.random})
    yield (
        "Examples are steps times the batch"
        + (f", which differs ({', '.join(map(str, batches))})" if len(batches) > 1 else "")
        + "; of a strategy that compares two crops of a track an example is the pair. Hours are those of all crops, "
        "repeats counted. The effective rank is that of the last logged batch of embeddings, and at most its rows."
    )
    if summary.budget.startswith("minutes"):
        paces = ", ".join(f"{name} {pace:.3g}" for name, pace in summary.paces.items())
        yield f"The budget of minutes became steps by the pace of the first steps (steps a second): {paces}."


def baseline_grid(summary: Summary) -> Grid:
    """Return what each strategy has over random weights of its network."""
    rows = [
        (Entry(each.first), Entry(each.task), Entry(each.metric), *_tested(each), Entry(each.second))
        for each in summary.differences
        if each.baseline
    ]
    columns = ("strategy", "task", "metric", "difference", "p", "p (Holm)", "separated", "random weights")
    return Grid("Above random weights", columns, (False, False, False, True, True, True, False, False), tuple(rows))


def pairs_grid(summary: Summary) -> Grid:
    """Return every two strategies of each task, the higher first."""
    rows = [
        (Entry(each.first), Entry(each.second), Entry(each.task), Entry(each.metric), *_tested(each))
        for each in summary.differences
        if not each.baseline
    ]
    columns = ("higher", "lower", "task", "metric", "difference", "p", "p (Holm)", "separated")
    note = (
        "A paired test over items and pre-training seeds, as of bench compare; Holm's correction is over all pairs of "
        "strategies on a task and each strategy against its random weights."
    )
    numeric = (False, False, False, False, True, True, True, False)
    return Grid("Pairs of strategies", columns, numeric, tuple(rows), (note,) if rows else ())


def order_grid(summary: Summary) -> Grid:
    """Return the order of Meseguer-Brocal et al. 2024 beside ours, where two of their strategies are compared."""
    rows = []
    for task in summary.tasks:
        for claim, high, low in _claims(summary.strategies):
            found = _between(summary.differences, task.id, high, low)
            if found is not None:
                rows.append(_claim(claim, task, high, low, found))
    notes = (
        "The paper has this order on tags (MSD100, MagnaTagATune, Jamendo top 50), after training on about 4 million "
        "tracks. Of other tasks it says nothing.",
    )
    columns = ("the paper", "task", "higher there", "lower there", "difference here", "here")
    numeric = (False, False, False, False, True, False)
    return Grid("The order of Meseguer-Brocal et al. 2024", columns, numeric, tuple(rows), notes if rows else ())


def _claims(strategies: Sequence[Strategy]) -> Iterator[tuple[str, str, str]]:
    """Yield what the paper says, with the strategies that are of the higher and of the lower objective there."""
    by_place = [
        (name, [each.name for each in strategies if not each.random and each.objective in objectives])
        for name, objectives in PAPER_ORDER
    ]
    for place, (above, highs) in enumerate(by_place):
        for below, lows in by_place[place + 1 :]:
            for high in highs:
                for low in lows:
                    yield f"{above} above {below}", high, low


def _between(differences: Sequence[Difference], task: str, high: str, low: str) -> Difference | None:
    """Return the difference of two strategies, turned so that ``high`` is the first."""
    for each in differences:
        if each.task == task and not each.baseline and {each.first, each.second} == {high, low}:
            return each if each.first == high else turned(each)
    return None


def turned(each: Difference) -> Difference:
    """Return the second less the first."""
    low, high = (None if end is None else 0.0 - end for end in (each.high, each.low))
    return each.model_copy(
        update={
            "first": each.second,
            "second": each.first,
            "difference": 0.0 - each.difference,
            "low": low,
            "high": high,
        }
    )


def _claim(claim: str, task: TaskFacts, high: str, low: str, found: Difference) -> tuple[Entry, ...]:
    same = "the same order" if found.difference > 0 else "the other order" if found.difference < 0 else "equal"
    apart = "separated" if found.separated else "not separated"
    what = "" if task.kind == TAGS else " (no tags)"
    return (
        Entry(claim),
        Entry(f"{task.id}{what}"),
        Entry(high),
        Entry(low),
        _tested(found)[0],
        Entry(f"{same}, {apart}"),
    )


def limited_grid(summary: Summary) -> Grid:
    """Return the limited-data curves: tasks and strategies by fractions of train."""
    fractions = sorted({point.fraction for point in summary.points})
    rows = []
    for task in summary.tasks:
        for strategy in ordered(summary):
            own = {p.fraction: p for p in summary.points if (p.task, p.strategy) == (task.id, strategy.name)}
            if own:
                cells = [_point(own.get(fraction)) for fraction in fractions]
                rows.append((Entry(task.id), Entry(strategy.name), Entry(task.metrics[0]), *cells))
    columns = ("task", "strategy", "metric", *(f"{fraction:.0%} of train" for fraction in fractions))
    numeric = (False, False, False, *[True] * len(fractions))
    return Grid("Limited data", columns, numeric, tuple(rows), tuple(_limited_notes(summary)) if rows else ())


def _limited_notes(summary: Summary) -> Iterator[str]:
    count = (
        f"the first {summary.curve_seeds} pre-training seeds" if summary.curve_seeds > 1 else "the first finished seed"
    )
    yield (
        f"The mean on test over {summary.samples} samples of train (all of it: one), of the network of {count}, and "
        "from the lowest to the highest of them. A probe is searched and trained on each sample; the samples are the "
        "same for all strategies. They are seeded, nested (that of 1 % lies in that of 5 %), stratified, and of "
        "whole groups: every class keeps an item, so that a small fraction can have more items than its share. The "
        "paper's were drawn without a seed and not stratified."
    )
    items = [f"{task.id} {_items(summary.points, task.id)}" for task in summary.tasks]
    yield f"Items of train: {'; '.join(items)}."


def _items(points: Sequence[Point], task: str) -> str:
    found = {point.fraction: point.items for point in points if point.task == task}
    return ", ".join(f"{fraction:.0%}: {items:,.0f}" for fraction, items in sorted(found.items())) or NONE


def dots_grid(summary: Summary) -> Grid:
    """Return what resampled test items say: the mean, and percentiles without and with pre-training seeds."""
    rows = []
    for task in summary.tasks:
        for metric in task.metrics:
            for strategy in ordered(summary):
                score = summary.score(strategy.name, task.id, metric)
                if score is not None and score.dots is not None:
                    dots = score.dots
                    rows.append(
                        (
                            Entry(task.id),
                            Entry(metric),
                            Entry(strategy.name),
                            with_interval(dots.mean, dots.low, dots.high),
                            with_interval(score.value, dots.seeds_low, dots.seeds_high),
                            _of(len(dots.values), summary.resamples),
                        )
                    )
    columns = ("task", "metric", "strategy", "resampled items", "seeds and items", "resamples")
    numeric = (False, False, False, True, True, True)
    notes = (
        f"Resampled items: {summary.resamples} resamples of the test items (whole groups where there are some) with "
        f"replacement, seed {summary.bootstrap_seed}, the same for all strategies; each is scored for every network, "
        "and the mean over networks is a dot: their mean, and their 2.5 and 97.5 % percentiles. Seeds and items: the "
        f"score on all items, and the percentiles of {summary.two_way_resamples:,} resamples in which pre-training "
        "seeds are drawn with replacement too (a bootstrap of clusters, seeds outside and items inside). Of three "
        "seeds such percentiles are narrow where seeds matter most; the intervals of the first table are not.",
    )
    return Grid(
        "Resampled test items, as in Figure 1 of the paper", columns, numeric, tuple(rows), notes if rows else ()
    )


def runs_grid(summary: Summary) -> Grid:
    """Return every training, and what stopped those that were."""
    rows = [
        (
            Entry(run.name), Entry(run.status), Entry(f"{run.steps:,}", run.steps), _number(run.minutes, 1),
            _number(run.loss, 4), _number(run.effective_rank, 1), Entry(run.why or NONE),
        )
        for strategy in summary.strategies if not strategy.random for run in strategy.runs
    ]  # fmt: skip
    columns = ("run", "status", "steps", "minutes", "loss", "effective rank", "why")
    return Grid("Runs", columns, (False, False, True, True, True, True, False), tuple(rows))


def with_interval(value: float, low: float | None, high: float | None, rank: int = 0) -> Entry:
    """Return the cell of a score with its interval.

    >>> with_interval(-0.25, -0.5, 0.125).text
    '-0.250 (-0.500 to 0.125)'
    """
    if low is None or high is None:
        return Entry(f"{value:z.3f}", value, rank=rank)
    dash = "–" if min(low, high) >= 0 else " to "
    return Entry(f"{value:z.3f} ({low:z.3f}{dash}{high:z.3f})", value, low, high, rank)


def _score(found: Score | None) -> Entry:
    return Entry(NONE) if found is None else with_interval(found.value, found.low, found.high, found.rank or 0)


def _point(found: Point | None) -> Entry:
    if found is None:
        return Entry(NONE)
    alone = len(found.scores) == 1
    return with_interval(found.mean, None if alone else min(found.scores), None if alone else max(found.scores))


def _tested(each: Difference) -> tuple[Entry, Entry, Entry, Entry]:
    """Return a difference, p, p corrected, and whether it is separated."""
    return (
        with_interval(each.difference, each.low, each.high), _p(each.p), _p(each.p_holm),
        Entry("yes" if each.separated else "no"),
    )  # fmt: skip


def _p(value: float | None) -> Entry:
    return (
        Entry(NONE) if value is None else Entry("< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0"), value)
    )


def _of(count: int, whole: int) -> Entry:
    return Entry(f"{count}" if count == whole else f"{count} of {whole}", count)


def _number(value: float | None, digits: int) -> Entry:
    return Entry(NONE) if value is None else Entry(f"{value:,.{digits}f}", value)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
