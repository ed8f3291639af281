"""Reliability: the bins of the outputs, and the error that bench run --export reports too."""

import numpy as np
import pytest

from benchmark.reports.figures import figures_of
from benchmark.reports.figures.calibration import reliability
from probes.statistics.calibration import BINS, class_ece, label_ece
from results.predictions import Predictions, read_split


def test_bins_hold_what_was_given_and_what_was_so():
    outputs = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], np.float32)
    held = Predictions(tuple("abcd"), None, np.array([0, 1, 1, 0]), (outputs, outputs), ("x", "y"))
    rows = reliability(held)
    assert [round(row[2], 3) for row in rows] == [0.5, 0.8, 0.9]
    assert [row[3] for row in rows] == [1.0, 1.0, 0.5]
    assert [row[4] for row in rows] == [1, 1, 2]
    assert all(begin <= p <= end for begin, end, p, _, _ in rows)


def test_a_probability_of_one_is_in_the_last_bin():
    held = Predictions(("a",), None, np.array([[1.0]], np.float32), (np.array([[1.0]], np.float32),), ("x",))
    assert reliability(held) == [((BINS - 1) / BINS, 1.0, 1.0, 1.0, 1.0)]


@pytest.mark.parametrize(("task", "error"), [("keys", class_ece), ("tags", label_ece)])
def test_the_error_is_that_of_the_export(task, error, board):
    figure = figures_of("calibration", board, tasks=[task], encoders=["fair"]).figures[0]
    record = next(record for record in board.records if record.name == "fair" and record.task.id == task)
    held = read_split(board.folder_of(record), record)
    expected = np.mean([error(outputs, held.targets) for outputs in held.outputs])
    assert f"Expected calibration error {expected:.3f} ({BINS} bins)" in figure.description
    assert figure.rows["count"].sum() == held.targets.size


def test_numbers_have_no_probabilities(board):
    drawn = figures_of("calibration", board, tasks=["mood"])
    assert drawn.figures == ()
    assert drawn.notes == ("Only classes and labels have probabilities: mood is of another kind.",)
