"""Scores of strategies from planted records: their means, intervals, families of tests, and other items refused."""

from __future__ import annotations

import copy
import runpy
from pathlib import Path

import numpy as np
import pytest

from benchmark.pretraining.comparison.scores import Member, dots_of, points_of, ranks_of, task_scores
from probes.statistics.comparison import holm
from results.record import Record, RecordError

planted = runpy.run_path(str(Path(__file__).parents[2] / "reports" / "figures" / "conftest.py"))
plant, plant_curve = planted["plant"], planted["plant_curve"]


def members(folder: Path, task: str = "keys") -> list[Member]:
    def records(name: str, *skills: float) -> tuple[Record, ...]:
        return tuple(plant(folder, task, f"{name}-seed-{seed}", skill) for seed, skill in enumerate(skills))

    return [
        Member("random-net", "", records("random-net", 0.1, 0.2)),
        Member("good", "random-net", records("good", 0.9, 0.8)),
        Member("poor", "random-net", records("poor", 0.3, 0.4)),
        Member("gone", "random-net", ()),
    ]


def test_scores_and_tests_are_over_networks_and_items(tmp_path: Path) -> None:
    sides = members(tmp_path)
    came = task_scores(tmp_path, sides)
    assert came is not None
    facts, found, differences, notes = came
    assert (facts.id, facts.metrics, facts.test, facts.clusters, facts.grouped) == (
        "keys", ["weighted_accuracy", "accuracy"], 60, 60, False,
    )  # fmt: skip
    assert notes == []
    values = {(each.strategy, each.metric): each for each in found}
    assert {name for name, _ in values} == {"random-net", "good", "poor"}, "what has no record has no score"
    good = values["good", "accuracy"]
    expected = [record.scores.test["accuracy"].value for record in sides[1].records]
    assert good.seeds == pytest.approx(expected)
    assert good.value == pytest.approx(np.mean(expected))
    assert good.low is not None
    assert good.high is not None
    assert good.low < good.value < good.high
    assert good.question == "items and seeds"
    assert good.rank is None, "ranks are of the primary metric"
    assert {each.metric for each in differences} == {"weighted_accuracy"}
    assert [(each.first, each.second, each.baseline) for each in differences] == [
        ("good", "poor", False), ("good", "random-net", True), ("poor", "random-net", True),
    ]  # fmt: skip
    assert [each.p_holm for each in differences] == holm([each.p or 0.0 for each in differences])
    means = {name: values[name, "weighted_accuracy"].value for name in ("good", "poor", "random-net")}
    for each in differences:
        assert each.difference == pytest.approx(means[each.first] - means[each.second])
    assert (values["good", "weighted_accuracy"].rank, values["random-net", "weighted_accuracy"].rank) == (1, None)


def test_one_seed_answers_for_its_items_alone(tmp_path: Path) -> None:
    sides = [Member(each.name, each.baseline, each.records[:1]) for each in members(tmp_path)]
    came = task_scores(tmp_path, sides)
    assert came is not None
    assert {each.question for each in came[1]} == {"items"}
    assert {each.question for each in came[2]} == {"items"}


def test_without_records_there_is_nothing(tmp_path: Path) -> None:
    assert task_scores(tmp_path, [Member("gone", "random-net", ())]) is None


def test_records_of_other_items_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sides = members(tmp_path)
    fewer = Member("fewer", "random-net", (_fewer(tmp_path, monkeypatch),))
    with pytest.raises(RecordError, match=r"fewer-seed-0 on keys is of other test items .* run the same command again"):
        task_scores(tmp_path, [*sides, fewer])


def _fewer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """Return a record whose predictions are of items of other names."""
    pa = planted["pa"]
    real = pa.table

    def renamed(columns: dict[str, object]) -> object:
        return real({**columns, "track_id": [f"other{i}" for i in range(planted["ITEMS"])]})

    monkeypatch.setattr(pa, "table", renamed)
    found: Record = plant(folder, "keys", "fewer-seed-0", 0.5)
    monkeypatch.setattr(pa, "table", real)
    return found


def test_dots_are_the_mean_over_networks_in_each_resample() -> None:
    matrix = np.tile([[0.25, 0.75]], (150, 1))
    dots = dots_of(matrix)
    assert dots is not None
    assert dots.values == [0.5] * 100, "of more resamples the first hundred are drawn"
    assert (dots.mean, dots.low, dots.high) == (0.5, 0.5, 0.5)
    assert (dots.seeds_low, dots.seeds_high) == (0.25, 0.75), "seeds are drawn for these"
    matrix[3] = np.nan
    dots = dots_of(matrix)
    assert dots is not None
    assert (len(dots.values), dots.undefined) == (99, 1)
    assert dots_of(np.full((5, 2), np.nan)) is None


def test_strategies_that_were_not_tested_have_no_rank(tmp_path: Path) -> None:
    came = task_scores(tmp_path, members(tmp_path))
    assert came is not None
    untested = [each.model_copy(update={"p": None, "p_holm": None}) for each in came[2]]
    assert ranks_of({"good": 0.9, "poor": 0.3}, untested) == {}
    apart = [each.model_copy(update={"p_holm": 0.001}) for each in came[2]]
    assert ranks_of({"good": 0.9, "poor": 0.3}, apart) == {"good": 1, "poor": 2}


def test_points_are_samples_of_each_part_and_the_whole(tmp_path: Path) -> None:
    whole = plant(tmp_path, "keys", "good-seed-0", 0.9)
    parts = []
    for repeat, value in enumerate((0.25, 0.375)):
        content = copy.deepcopy(plant_curve(tmp_path, whole, 0.5, repeat, value).model_dump())
        content["data"]["counts"]["train"] = 46
        parts.append(Record.model_validate(content))
    half, all_ = points_of("good", parts, [whole])
    assert (half.fraction, half.items, half.scores, half.mean) == (0.5, 46, [0.25, 0.375], 0.3125)
    assert (all_.fraction, all_.items, all_.scores) == (
        1.0, 92, [whole.scores.test["weighted_accuracy"].value],
    )  # fmt: skip
    assert points_of("good", [], [whole]) == [], "without parts there is no curve"
