"""Forest plots: the records' scores and intervals, baselines, and published scores marked by their protocol."""

import runpy
from pathlib import Path

import pytest

from benchmark.reports.figures import figures_of
from benchmark.reports.figures.forest import CONSTANT, MEASURED, OTHER, PUBLISHED, RIDGE
from results import paper_tables, store
from results.together import read_together

build_record = runpy.run_path(str(Path(__file__).parents[3] / "results" / "conftest.py"))["build_record"]


def test_rows_are_the_numbers_of_the_records(board):
    figure = figures_of("forest", board, tasks=["keys"]).figures[0]
    rows = figure.rows.set_index(["encoder", "what"])
    for record in (record for record in board.records if record.task.id == "keys"):
        score = record.scores.test["weighted_accuracy"]
        assert tuple(rows.loc[record.name, MEASURED][["score", "low", "high"]]) == (score.value, score.low, score.high)
        for what, floor in ((RIDGE, record.floors.ridge), (CONSTANT, record.floors.constant)):
            assert rows.loc[record.name, what]["score"] == floor["weighted_accuracy"].value
    strong = next(record for record in board.records if record.name == "strong").scores.test["weighted_accuracy"]
    assert f"strong, {strong.value:.3f}" in figure.description


def test_the_best_stands_first_by_what_was_measured(board):
    figure = figures_of("forest", board, tasks=["tags"]).figures[0]
    assert figure.spec["encoding"]["y"]["scale"]["domain"][0] == "strong"


@pytest.fixture
def gs_key(tmp_path):
    store.write(tmp_path, build_record("gs_key", "musicset-ularge", {"weighted_accuracy": 0.65}))
    store.write(tmp_path, build_record("gs_key", "mine", {"weighted_accuracy": 0.99}))
    return read_together([tmp_path])


def test_published_scores_stand_in_the_row_of_their_encoder_or_in_their_own(gs_key):
    rows = figures_of("forest", gs_key).figures[0].rows
    published = rows[rows.what.isin([PUBLISHED, OTHER])]
    table = paper_tables.table("table3").cells
    for (model, task, metric), printed in table.items():
        if (task, metric) == ("gs_key", "weighted_accuracy"):
            (found,) = published[
                (published.encoder == model) & published.source.str.startswith("McCallum")
            ].itertuples()
            assert found.score == printed.value
            assert found.what == (OTHER if printed.reference else PUBLISHED)
    both = rows[rows.encoder == "musicset-ularge"]
    assert {MEASURED, PUBLISHED} <= set(both.what)


def test_nothing_published_stands_beside_limited_runs(tmp_path):
    store.write(tmp_path, build_record("gs_key", "mine", {"weighted_accuracy": 0.9}, limit=40))
    rows = figures_of("forest", read_together([tmp_path])).figures[0].rows
    assert set(rows.what) == {MEASURED, RIDGE, CONSTANT}


def test_partial_runs_are_said_so(tmp_path):
    store.write(tmp_path, build_record("gs_key", "mine", {"weighted_accuracy": 0.9}, damaged=2))
    drawn = figures_of("forest", read_together([tmp_path]))
    assert "mine on gs_key is a partial run: items of the task were left out." in drawn.notes
