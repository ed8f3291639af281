"""Learning curves: mean, lowest and highest of the repeats."""

import runpy
from pathlib import Path

from benchmark.reports.figures import figures_of
from results import store
from results.together import read_together

plant_curve = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["plant_curve"]


def test_rows_are_the_repeats_together(results):
    first = store.read(results / "runs" / "keys" / "strong.json")
    for repeat, score in enumerate((0.25, 0.375, 0.3125)):
        plant_curve(results, first, 0.5, repeat, score)
    plant_curve(results, first, 1.0, 0, 0.75)
    figure = figures_of("curve", read_together([results], curves=True)).figures[0]
    half, whole = figure.rows.sort_values("fraction").itertuples()
    assert (half.items, half.repeats, half.score, half.lowest, half.highest) == (46, 3, 0.3125, 0.25, 0.375)
    assert (whole.items, whole.repeats, whole.score) == (92, 1, 0.75)
    assert "strong, 0.750" in figure.description


def test_without_curves_the_command_that_measures_them_is_named(board):
    drawn = figures_of("curve", board)
    assert drawn.figures == ()
    assert "bench run --train-fraction" in drawn.notes[0]
