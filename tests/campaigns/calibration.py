"""How often do intervals cover, and how often does the test err? Encoders are simulated, the product's functions judge.

    python tests/campaigns/calibration.py [--subset] [--metrics accuracy,map] [--datasets 500] [--json FILE]

Two encoders of equal expected score are drawn again and again. Items (or groups of items) are of unequal difficulty,
shared by seeds and encoders; each encoder errs on items of its own; a seed moves the expected score of a probe by a
normal deviate, and errs on items of its own too. The truth is the score to be expected over items and seeds. For each
metric, number of items, unit, number of seeds and deviation of the seeds it prints

- the level: in how many of the data sets the test says p <= .05, that is, the interval of the difference misses 0;
- the coverage: in how many the 95 % interval of one encoder's score holds the truth; for metrics that are biased on few
  items (map, r2) the truth is the expected score on as many items, and that of infinitely many is counted beside it;
- the same for the intervals and the permutation test of "these probes", which know nothing of seeds.

Without --subset all cells are run. The table is Markdown; cells off the aim (level .04 to .065, coverage .925 to .97
from 300 items on, each give or take its binomial 99 % error) are marked.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri
from tabulate import tabulate
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[2]))

from probes.statistics.comparison import p_value, swap_patterns
from probes.statistics.intervals import Blocks, Jackknifed, blocks_of, compare, contributions, score_interval
from tasks.metrics import scores as task_metrics
from tasks.metrics.table import bounds as bounds_of

METRICS = ("accuracy", "weighted_accuracy", "map", "roc_auc", "r2_y")
DEVIATIONS = (0.0, 0.01, 0.02, 0.03)
ITEMS = (60, 300, 1000)
SEEDS = (3, 5)
UNITS = ("items", "groups")
EXPECTED = {"accuracy": 0.7, "weighted_accuracy": 0.7, "map": 0.5, "roc_auc": 0.8, "r2_y": 0.6}
DATASETS = {"accuracy": 400, "weighted_accuracy": 400, "r2_y": 400, "map": 300, "roc_auc": 300}
SHARED, OWN, CHANCE = math.sqrt(0.5), math.sqrt(0.2), math.sqrt(0.3)  # of the variance of what decides an item
WITHIN = 0.3  # of that variance is the group's, where there are groups
PREVALENCE, LABELS = 0.2, 1  # an average over several labels is easier
TONICS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
KEYS = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in TONICS)
CONFUSED = (0.3, 0.15, 0.1)  # of wrong keys: a fifth above, relative, parallel; any other key for the rest
PERMUTATIONS = 500
AIM = {"level": (0.04, 0.065), "cover": (0.925, 0.97)}
CERTAIN = 2.576  # of a standard error: 99 %


@dataclass(frozen=True)
class Cell:
    """What one cell of the table gave. Shares are of ``datasets`` data sets, coverage of twice as many scores."""

    metric: str
    unit: str
    n: int
    seeds: int
    deviation: float
    datasets: int
    level: float
    level_items: float
    cover: float
    cover_items: float
    cover_infinite: float
    width: float
    width_items: float
    seconds: float

    def off(self, what: str) -> bool:
        """Say whether the level or the coverage is off its aim by more than its binomial 99 % error."""
        value, (low, high) = getattr(self, what), AIM[what]
        # Both intervals of a data set share its items: they are not counted as two.
        errors = [CERTAIN * math.sqrt(end * (1 - end) / self.datasets) for end in (low, high)]
        return self.n >= 300 and not low - errors[0] <= value <= high + errors[1]


class World:
    """Draws data sets of one kind: targets, and the outputs of two encoders' probes."""

    def __init__(self, metric: str, unit: str, n: int, deviation: float, rng: np.random.Generator) -> None:
        self.metric, self.n, self.deviation, self.rng = metric, n, deviation, rng
        self.labels = (
            KEYS if metric == "weighted_accuracy" else ("y", "z", "x")[: LABELS if metric in ("map", "roc_auc") else 1]
        )
        if metric == "accuracy":
            self.labels = ("a", "b", "c", "d")
        self.groups: list[str] | None = None
        self.member = np.arange(n)
        if unit == "groups":  # of 1 to 9 items
            self.member = np.repeat(np.arange(n // 5), np.resize(np.arange(1, 10), n // 5))
            self.member = np.concatenate([self.member, np.full(n, n // 5 - 1)])[:n]
            self.groups = [f"g{g}" for g in self.member]
        self._skills = np.linspace(0, 4, 201)
        self._precisions = np.array([_average_precision(skill) for skill in self._skills]) if metric == "map" else None

    def normal(self, *shape: int) -> np.ndarray:
        """Return standard normal deviates [n, ...], alike within a group where there are groups."""
        if self.groups is None:
            return self.rng.normal(size=(self.n, *shape))
        common = self.rng.normal(size=(int(self.member.max()) + 1, *shape))[self.member]
        return math.sqrt(WITHIN) * common + math.sqrt(1 - WITHIN) * self.rng.normal(size=(self.n, *shape))

    def draw(self, seeds: int) -> tuple[np.ndarray, list[list[np.ndarray]]]:
        """Return targets, and for each of two encoders the outputs of ``seeds`` probes."""
        width = LABELS if self.metric in ("map", "roc_auc") else 1
        shared, noise = self.normal(width), self.normal(width)
        if self.metric == "accuracy":
            targets = self.rng.integers(4, size=self.n)
        elif self.metric == "weighted_accuracy":
            targets = self.rng.integers(24, size=self.n)
        elif self.metric == "r2_y":
            targets = noise
        else:
            targets = (noise > ndtri(1 - PREVALENCE)).astype(np.float32)
        sides = []
        for _ in range(2):
            own = self.normal(width)
            mixed = (SHARED * shared + OWN * own + CHANCE * self.rng.normal(size=(self.n, width)) for _ in range(seeds))
            sides.append([self._outputs(targets, each, EXPECTED[self.metric] + self._moved()) for each in mixed])
        return targets, sides

    def _moved(self) -> float:
        return float(self.rng.normal() * self.deviation)

    def _outputs(self, targets: np.ndarray, mixed: np.ndarray, expected: float) -> np.ndarray:
        """Return outputs that are expected to score ``expected``, from standard normal deviates [n, L]."""
        if self.metric == "accuracy":
            right = mixed[:, 0] < ndtri(expected)
            return np.eye(4, dtype=np.float32)[np.where(right, targets, (targets + 1) % 4)]
        if self.metric == "weighted_accuracy":
            partly = CONFUSED[0] * 0.5 + CONFUSED[1] * 0.3 + CONFUSED[2] * 0.2
            right = mixed[:, 0] < ndtri((expected - partly) / (1 - partly))
            kind = np.searchsorted(np.cumsum(CONFUSED), self.rng.random(self.n))
            tonic, minor = targets % 12, targets // 12
            wrong = np.choose(kind, [
                (tonic + 7) % 12 + 12 * minor,
                (tonic + np.where(minor == 1, 3, 9)) % 12 + 12 * (1 - minor),
                tonic + 12 * (1 - minor),
                (tonic + 1) % 12 + 12 * minor,
            ])  # fmt: skip
            return np.eye(24, dtype=np.float32)[np.where(right, targets, wrong)]
        if self.metric == "r2_y":
            return targets + math.sqrt(1 - expected) * mixed
        if self.metric == "roc_auc":
            skill = math.sqrt(2) * float(ndtri(expected))
        else:
            skill = float(np.interp(expected, self._precisions, self._skills))
        return (skill * targets + mixed).astype(np.float32)


def _average_precision(skill: float) -> float:
    """Return the average precision of infinitely many items whose positives lie ``skill`` deviations higher."""
    threshold = np.linspace(9, -6, 3001)
    recall, passed = ndtr(skill - threshold), ndtr(-threshold)
    precision = PREVALENCE * recall / (PREVALENCE * recall + (1 - PREVALENCE) * passed)
    return float(np.sum((precision[1:] + precision[:-1]) / 2 * np.diff(recall)))


def jackknifed(world: World, targets: np.ndarray, outputs: Sequence[np.ndarray], blocks: Blocks) -> Jackknifed:
    """Return the scores of probes as the product takes them, whole and without each block."""
    weights, metric, labels = blocks.weights(), world.metric, world.labels
    return Jackknifed(
        np.array([float(task_metrics.scores(metric, targets, each, labels)) for each in outputs]),
        np.stack([task_metrics.scores(metric, targets, each, labels, weights) for each in outputs]),
    )


def run_cells(metric: str, unit: str, n: int, deviation: float, datasets: int) -> Iterator[Cell]:
    """Yield a cell for each number of seeds; those of fewer seeds take the first probes of the same data sets."""
    rng = np.random.default_rng([METRICS.index(metric), n, round(1000 * deviation), unit == "groups"])
    world, started = World(metric, unit, n, deviation, rng), time.process_time()
    bounds = bounds_of(metric)
    found: dict[int, list[tuple[float, ...]]] = {seeds: [] for seeds in SEEDS}
    values: dict[int, list[float]] = {seeds: [] for seeds in SEEDS}
    for number in range(datasets):
        targets, sides = world.draw(max(SEEDS))
        blocks = blocks_of(n, world.groups, seed=number)
        if number == 0:
            patterns, exact = swap_patterns(len(blocks.sizes), PERMUTATIONS, seed=0)
            signs = 1.0 - 2.0 * patterns
        whole = [jackknifed(world, targets, side, blocks) for side in sides]
        for seeds in SEEDS:
            first, second = (Jackknifed(side.values[:seeds], side.without[:seeds]) for side in whole)
            contrast = compare(first, second, blocks, bounds)
            intervals = [score_interval(side, blocks, bounds) for side in (first, second)]
            if contrast is None or None in intervals:
                found[seeds].append((math.nan,) * 10)  # counted as neither covered nor right
                continue
            permuted = signs @ (contrast.value + contributions(first) - contributions(second)) / len(blocks.sizes)
            values[seeds] += [float(first.values.mean()), float(second.values.mean())]
            found[seeds].append((
                contrast.p, p_value(contrast.value, permuted, exact=exact),
                *(end for each in intervals if each for end in (each.low, each.high, each.items_low, each.items_high)),
            ))  # fmt: skip
            assert (contrast.p <= 0.05) == (not contrast.interval.low <= 0 <= contrast.interval.high)
    for seeds in SEEDS:
        table = np.array(found[seeds])
        low, high, items_low, items_high = (table[:, [column, column + 4]] for column in (2, 3, 4, 5))
        truth, infinite = float(np.mean(values[seeds])), EXPECTED[metric]
        if metric not in ("map", "r2_y"):
            truth = infinite
        yield Cell(
            metric, unit, n, seeds, deviation, datasets,
            level=float((table[:, 0] <= 0.05).mean()),
            level_items=float((table[:, 1] <= 0.05).mean()),
            cover=float(((low <= truth) & (truth <= high)).mean()),
            cover_items=float(((items_low <= truth) & (truth <= items_high)).mean()),
            cover_infinite=float(((low <= infinite) & (infinite <= high)).mean()),
            width=float(np.nanmean(high - low)), width_items=float(np.nanmean(items_high - items_low)),
            seconds=time.process_time() - started,
        )  # fmt: skip


def render(cells: Sequence[Cell]) -> str:
    """Return a line for each metric, unit, number of items and of seeds; four figures are of the four deviations."""
    lines = []
    rows = dict.fromkeys((cell.metric, cell.unit, cell.n, cell.seeds) for cell in cells)
    for row in rows:
        own = [cell for cell in cells if (cell.metric, cell.unit, cell.n, cell.seeds) == row]

        def figures(what: str, own: Sequence[Cell] = own) -> str:
            return " ".join(
                f"{getattr(cell, what):.3f}".lstrip("0") + "!" * (what in AIM and cell.off(what)) for cell in own
            )

        biased = figures("cover_infinite") if row[0] in ("map", "r2_y") else ""
        lines.append([
            *row, own[0].datasets, figures("level"), figures("level_items"), figures("cover"), biased,
            figures("cover_items"), figures("width"),
        ])  # fmt: skip
    headers = [
        "metric", "unit", "n", "seeds", "data sets", "level", "level, these probes", "coverage", "of infinite n",
        "coverage, these probes", "width",
    ]  # fmt: skip
    return tabulate(lines, headers, tablefmt="github", disable_numparse=True)


def main() -> None:
    """Run the cells that are asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--subset", action="store_true", help="300 items (and 12 groups of 60) with deviations 0 and .02"
    )
    parser.add_argument("--metrics", default=",".join(METRICS))
    parser.add_argument("--datasets", type=int, help="data sets a cell (default: 400; 300 of map and roc_auc)")
    parser.add_argument("--json", type=Path, help="also write the cells there, after each")
    given = parser.parse_args()
    cells: list[Cell] = []
    with threadpool_limits(1):
        for n, metric, unit, deviation in product((300, 1000, 60), given.metrics.split(","), UNITS, DEVIATIONS):
            if given.subset and ((n != 300 and (unit, n) != ("groups", 60)) or deviation not in (0.0, 0.02)):
                continue
            cells += run_cells(metric, unit, n, deviation, given.datasets or DATASETS[metric])
            place = f"{metric}, {n} items{' in groups' * (unit == 'groups')}, deviation {deviation}"
            print(f"{place}: {cells[-1].seconds:.0f} CPU seconds", file=sys.stderr, flush=True)
            if given.json:
                given.json.write_text(json.dumps([asdict(cell) for cell in cells], indent=1))
    print(report(cells))


def report(cells: Sequence[Cell]) -> str:
    """Return the table of ``cells``, sorted, and a line of sums."""
    order = sorted(
        cells, key=lambda cell: (METRICS.index(cell.metric), UNITS.index(cell.unit), cell.n, cell.seeds, cell.deviation)
    )
    off = [what for cell in cells for what in ("level", "cover") if cell.off(what)]
    spent = sum(cell.seconds for cell in cells) / len(SEEDS)
    return f"{render(order)}\n\n{len(cells)} cells, {spent:.0f} CPU seconds; {len(off)} figures off the aim (!)"


if __name__ == "__main__":
    main()
