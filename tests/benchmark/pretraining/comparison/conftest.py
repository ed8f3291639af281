"""A comparison with every part, from numbers that are easy to follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from benchmark.pretraining.comparison.summary import (
    Difference,
    Dots,
    Point,
    Run,
    Score,
    Strategy,
    Summary,
    TaskFacts,
)

#: Means on tags of each strategy, by objective.
MEANS = {"simclr": 0.5, "clustering": 0.4, "byol": 0.45, "": 0.3}


def strategy(name: str, objective: str, **changes: Any) -> Strategy:
    """Return a strategy of two runs; random weights where it has no objective."""
    if not objective:
        runs = [Run(name=f"{name}-seed-{seed}", seed=seed, status="random") for seed in (0, 1)]
        return Strategy(
            name=name, title="", objective="", network="net", random=True, parameters=1234, runs=runs, **changes
        )
    runs = [
        Run(name=f"{name}-seed-{seed}", seed=seed, status="finished", steps=10, minutes=1.5, effective_rank=7.0 + seed,
            loss=0.25)
        for seed in (0, 1)
    ]  # fmt: skip
    given = {"batch": 8, "crops": 2, "steps": 10, "examples": 80, "hours": 0.5, "runs": runs, **changes}
    return Strategy(name=name, title=name, objective=objective, network="net", parameters=1234, **given)


def score(name: str, task: str, metric: str, value: float, rank: int | None = None) -> Score:
    """Return a score with an interval of .1 to either side, and three dots."""
    dots = Dots(
        values=[value - 0.05, value, value + 0.05], mean=value, low=value - 0.04, high=value + 0.04,
        seeds_low=value - 0.08, seeds_high=value + 0.08,
    )  # fmt: skip
    return Score(
        strategy=name, task=task, metric=metric, value=value, low=value - 0.1, high=value + 0.1,
        question="items and seeds", seeds=[value - 0.01, value + 0.01], dots=dots, rank=rank,
    )  # fmt: skip


def difference(first: str, second: str, value: float, p: float, *, baseline: bool = False) -> Difference:
    """Return a difference on tags with an interval of .1 to either side."""
    return Difference(
        task="tags", metric="map", first=first, second=second, baseline=baseline, difference=value, low=value - 0.1,
        high=value + 0.1, p=p, p_holm=min(1.0, 3 * p), question="items and seeds",
    )  # fmt: skip


def build_summary(names: Mapping[str, str] | None = None, **changes: Any) -> Summary:
    """Return a comparison of three strategies, by name their objectives, and random weights (no objective)."""
    names = names or {"mine": "simclr", "clusters": "clustering", "boots": "byol", "random-net": ""}
    task = TaskFacts(
        id="tags", title="Tags", kind="multilabel", metrics=["map", "roc_auc"], train=92, test=60, clusters=20,
        grouped=True,
    )  # fmt: skip
    strategies = [strategy(name, objective) for name, objective in names.items()]
    scores = [
        score(name, "tags", metric, MEANS[objective], rank=1 if objective and metric == "map" else None)
        for name, objective in names.items()
        for metric in task.metrics
    ]
    by_objective = {objective: name for name, objective in names.items()}
    pairs = [("simclr", "clustering", 0.1, 0.001), ("simclr", "byol", 0.05, 0.4), ("byol", "clustering", 0.05, 0.02)]
    differences = [difference(by_objective[a], by_objective[b], value, p) for a, b, value, p in pairs]
    differences += [
        difference(name, by_objective[""], MEANS[objective] - 0.3, 0.0001, baseline=True)
        for name, objective in names.items()
        if objective
    ]
    points = [
        Point(strategy=name, task="tags", metric="map", fraction=fraction, items=92 * fraction, scores=scores_)
        for name in names
        for fraction, scores_ in ((0.1, [0.1, 0.2, 0.3, 0.2]), (1.0, [0.5]))
    ]
    given = {
        "budget": "steps=10", "paces": {}, "seeds": 2, "store": "music", "fingerprint": "f" * 64, "tracks": 135,
        "hours": 12.1, "protocol": "quick", "probe_seeds": 5, "samples": 4, "curve_seeds": 1, "resamples": 3,
        "two_way_resamples": 1000, "bootstrap_seed": 0, "tasks": [task], "strategies": strategies, "scores": scores,
        "differences": differences, "points": points, "notes": [], **changes,
    }  # fmt: skip
    return Summary(**given)


@pytest.fixture
def make_summary() -> Callable[..., Summary]:
    """Return :func:`build_summary`."""
    return build_summary
