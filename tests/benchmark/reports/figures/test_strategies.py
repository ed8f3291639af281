"""Comparisons of pre-training strategies as dots: the resamples, their mean, and what is left out."""

import runpy
from pathlib import Path

import pytest

from benchmark.reports.figures import figures_of
from results.together import read_together

plant_comparison = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["plant_comparison"]


def test_each_resample_is_a_dot_and_their_mean_a_marker(results):
    plant_comparison(results, ["strong", "fair"], ["keys", "tags"])
    drawn = figures_of("strategies", read_together([results]))
    assert [figure.name for figure in drawn.figures] == ["strategies-keys", "strategies-tags"]
    figure = drawn.figures[0]
    first, second = figure.rows.itertuples()
    assert (first.strategy, first.resamples, second.strategy) == ("strong", 3, "fair")
    assert (first.mean, first.low, first.high) == pytest.approx((0.512345678, 0.472345678, 0.552345678))
    assert (first.low_with_seeds, first.high_with_seeds) == pytest.approx((0.432345678, 0.592345678))
    values = [row for row in figure.spec["data"]["values"] if row["strategy"] == "strong"]
    assert [row["score"] for row in values if row["what"] == "resample"] == [0.46235, 0.51235, 0.56235]
    assert [row["score"] for row in values if row["what"] == "mean"] == [0.51235]
    assert "The highest: strong, 0.512" in figure.description


def test_strategies_and_tasks_are_chosen_as_records_are(results):
    plant_comparison(results, ["strong", "fair"], ["keys", "tags"])
    board = read_together([results])
    drawn = figures_of("strategies", board, encoders=["fair"], tasks=["tags"], metric="roc_auc")
    assert [figure.name for figure in drawn.figures] == ["strategies-tags.roc_auc"]
    assert set(drawn.figures[0].rows.strategy) == {"fair"}


def test_without_a_comparison_the_command_that_makes_one_is_named(board):
    for kind in ("strategies", "limited"):
        drawn = figures_of(kind, board)
        assert drawn.figures == ()
        assert "bench pretrain compare RECIPE..." in drawn.notes[0]


@pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": 2}', '{"budget": NaN}'])
def test_a_damaged_comparison_is_a_sentence(results, content):
    (results / "strategies.json").write_text(content, encoding="utf-8")
    for kind in ("strategies", "limited"):
        drawn = figures_of(kind, read_together([results]))
        assert drawn.figures == ()
        assert "is not drawn" in drawn.notes[0]
        assert "strategies.json" in drawn.notes[0]
