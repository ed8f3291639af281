"""Limited-data curves of strategies: mean, lowest and highest of the samples."""

import runpy
from pathlib import Path

import pytest

from benchmark.reports.figures import figures_of
from results.together import read_together

plant_comparison = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["plant_comparison"]


def test_points_are_the_samples_together(results):
    plant_comparison(results, ["strong", "fair"], ["keys"])
    (figure,) = figures_of("limited", read_together([results])).figures
    assert figure.name == "limited-keys"
    part, whole = (row for row in figure.rows.itertuples() if row.strategy == "strong")
    assert (part.percent, part.samples, part.lowest, part.highest) == (10, 2, 0.123456789, 0.2)
    assert part.score == pytest.approx(0.1617283945)
    assert (whole.percent, whole.samples, whole.score, whole.lowest) == (100, 1, 0.5, 0.5)
    assert "With 10 % of train the highest is strong, 0.162" in figure.description


def test_one_sample_has_no_band(results):
    plant_comparison(results, ["strong"], ["keys"])
    (figure,) = figures_of("limited", read_together([results])).figures
    band = figure.spec["layer"][0]
    assert band["mark"]["type"] == "area"
    assert band["transform"] == [{"filter": "datum.samples > 1"}]


def test_curves_are_of_the_primary_metric_alone(results):
    plant_comparison(results, ["strong"], ["tags"])
    drawn = figures_of("limited", read_together([results]), metric="roc_auc")
    assert drawn.figures == ()
    assert "no limited-data curves" in drawn.notes[0]
