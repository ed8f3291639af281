"""The tables of a comparison: what stands in which cell, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable

from benchmark.pretraining.comparison.grids import (
    Grid,
    baseline_grid,
    dots_grid,
    grids_of,
    limited_grid,
    order_grid,
    ordered,
    pairs_grid,
    runs_grid,
    scores_grid,
    turned,
    with_interval,
)
from benchmark.pretraining.comparison.summary import Run, Summary

Make = Callable[..., Summary]


def texts(grid: Grid) -> list[dict[str, str]]:
    return [{name: entry.text for name, entry in zip(grid.columns, row, strict=True)} for row in grid.rows]


def test_strategies_stand_best_first_and_random_weights_last(make_summary: Make) -> None:
    grid = scores_grid(make_summary())
    assert [row["strategy"] for row in texts(grid)] == ["mine", "boots", "clusters", "random-net"]
    assert grid.columns[1] == "tags (map)"
    first, *_, last = texts(grid)
    assert first == {
        "strategy": "mine", "tags (map)": "0.500 (0.400–0.600)", "seeds": "2", "examples": "80", "hours": "0.5",
        "steps": "10", "minutes": "1.5", "effective rank": "7.5", "parameters": "1,234",
    }  # fmt: skip
    assert (last["examples"], last["minutes"], last["effective rank"]) == ("–", "–", "–")
    assert grid.rows[0][1].rank == 1
    assert (grid.rows[0][1].value, grid.rows[0][1].low, grid.rows[0][1].high) == (0.5, 0.4, 0.6)


def test_runs_that_were_stopped_are_counted_and_not_averaged(make_summary: Make) -> None:
    summary = make_summary()
    stopped = Run(name="mine-seed-1", seed=1, status="stopped", why="all embeddings are the same", steps=4)
    mine = summary.strategies[0].model_copy(update={"runs": [summary.strategies[0].runs[0], stopped]})
    changed = summary.model_copy(update={"strategies": [mine, *summary.strategies[1:]]})
    row = texts(scores_grid(changed))[0]
    assert (row["seeds"], row["effective rank"]) == ("1 of 2", "7.0")
    runs = {each["run"]: each for each in texts(runs_grid(changed))}
    assert runs["mine-seed-1"]["why"] == "all embeddings are the same"
    assert (runs["mine-seed-1"]["status"], runs["mine-seed-1"]["steps"]) == ("stopped", "4")
    assert len(runs) == 6, "random weights were not trained"


def test_a_strategy_without_a_score_stands_below_those_with_one(make_summary: Make) -> None:
    summary = make_summary()
    changed = summary.model_copy(update={"scores": [each for each in summary.scores if each.strategy != "mine"]})
    assert [each.name for each in ordered(changed)] == ["boots", "clusters", "mine", "random-net"]
    assert next(row for row in texts(scores_grid(changed)) if row["strategy"] == "mine")["tags (map)"] == "–"


def test_batches_that_differ_are_told(make_summary: Make) -> None:
    summary = make_summary()
    assert not any("which differs" in note for note in scores_grid(summary).notes)
    larger = summary.strategies[1].model_copy(update={"batch": 16, "examples": 160})
    changed = summary.model_copy(update={"strategies": [summary.strategies[0], larger, *summary.strategies[2:]]})
    assert any("times the batch, which differs (8, 16)" in note for note in scores_grid(changed).notes)


def test_measured_paces_are_told(make_summary: Make) -> None:
    grid = scores_grid(make_summary(budget="minutes=2", paces={"mine": 1.25}))
    assert any("mine 1.25" in note for note in grid.notes)


def test_differences_say_whether_they_are_separated(make_summary: Make) -> None:
    summary = make_summary()
    rows = texts(baseline_grid(summary))
    assert [(row["strategy"], row["difference"], row["p (Holm)"], row["separated"]) for row in rows] == [
        ("mine", "0.200 (0.100–0.300)", "< .001", "yes"),
        ("clusters", "0.100 (0.000–0.200)", "< .001", "yes"),
        ("boots", "0.150 (0.050–0.250)", "< .001", "yes"),
    ]
    pairs = texts(pairs_grid(summary))
    assert [(row["higher"], row["lower"], row["p"], row["p (Holm)"], row["separated"]) for row in pairs] == [
        ("mine", "clusters", ".001", ".003", "yes"),
        ("mine", "boots", ".400", "1.000", "no"),
        ("boots", "clusters", ".020", ".060", "no"),
    ]


def test_the_order_of_the_paper_stands_beside_ours(make_summary: Make) -> None:
    rows = [(row["the paper"], row["difference here"], row["here"]) for row in texts(order_grid(make_summary()))]
    assert rows == [
        ("contrastive above clustering", "0.100 (0.000–0.200)", "the same order, separated"),
        ("contrastive above the rest", "0.050 (-0.050 to 0.150)", "the same order, not separated"),
        ("clustering above the rest", "-0.050 (-0.150 to 0.050)", "the other order, not separated"),
    ]


def test_of_one_strategy_of_the_paper_there_is_no_order(make_summary: Make) -> None:
    summary = make_summary()
    others = [each.model_copy(update={"objective": "supervised"}) for each in summary.strategies[1:3]]
    changed = summary.model_copy(update={"strategies": [summary.strategies[0], *others, summary.strategies[3]]})
    assert order_grid(changed).rows == ()
    assert "The order of Meseguer-Brocal et al. 2024" not in [grid.caption for grid in grids_of(changed)]


def test_tasks_without_tags_are_marked_in_the_order(make_summary: Make) -> None:
    summary = make_summary()
    task = summary.tasks[0].model_copy(update={"kind": "multiclass"})
    rows = texts(order_grid(summary.model_copy(update={"tasks": [task]})))
    assert {row["task"] for row in rows} == {"tags (no tags)"}


def test_a_difference_is_turned_whole(make_summary: Make) -> None:
    found = turned(make_summary().differences[0])
    assert (found.first, found.second) == ("clusters", "mine")
    assert (found.difference, round(found.low or 0, 9), found.high) == (-0.1, -0.2, 0.0)


def test_limited_data_have_a_band_of_samples(make_summary: Make) -> None:
    grid = limited_grid(make_summary())
    assert grid.columns[3:] == ("10% of train", "100% of train")
    first = texts(grid)[0]
    assert (first["10% of train"], first["100% of train"]) == ("0.200 (0.100–0.300)", "0.500")
    assert any("tags 10%: 9, 100%: 92" in note for note in grid.notes)
    assert limited_grid(make_summary(points=[])).rows == ()


def test_dots_are_of_every_metric(make_summary: Make) -> None:
    rows = texts(dots_grid(make_summary()))
    assert [(row["metric"], row["strategy"]) for row in rows][:5] == [
        ("map", "mine"), ("map", "boots"), ("map", "clusters"), ("map", "random-net"), ("roc_auc", "mine"),
    ]  # fmt: skip
    assert rows[0]["resampled items"] == "0.500 (0.460–0.540)"
    assert rows[0]["seeds and items"] == "0.500 (0.420–0.580)"


def test_a_cell_without_interval_is_its_value_alone() -> None:
    assert with_interval(0.5, None, 0.6).text == "0.500"
    assert with_interval(-0.0001, None, None).text == "0.000"
