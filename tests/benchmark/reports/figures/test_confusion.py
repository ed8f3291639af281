"""Confusions: counts of the predictions, and how estimated keys are related to the true ones."""

import numpy as np
import pytest

from benchmark.reports.figures import figures_of
from benchmark.reports.figures.confusion import confusions, relation_of, steps_of
from results.predictions import Predictions, read_split
from tasks.keys import parse_key, score_table


def test_counts_are_the_mean_over_probes():
    targets = np.array([0, 0, 1])
    first, second = np.eye(2, dtype=np.float32)[[0, 1, 1]], np.eye(2, dtype=np.float32)[[0, 0, 1]]
    held = Predictions(("a", "b", "c"), None, targets, (first, second), ("x", "y"))
    assert confusions(held).tolist() == [[1.5, 0.5], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("target", "output", "relation", "steps"),
    [
        ("C major", "C major", "same key", 0),
        ("C major", "G major", "fifth above", 1),
        ("C major", "F major", "fifth below", -1),
        ("C major", "A minor", "relative", 0),
        ("A minor", "C major", "relative", 0),
        ("C major", "C minor", "parallel", -3),
        ("C minor", "C major", "parallel", 3),
        ("A minor", "E minor", "fifth above", 1),
        ("C major", "Gb major", "other", 6),
        ("C major", "D major", "other", 2),
        ("C major", "X", "other", None),
        ("C other", "C major", "other", None),
    ],
)
def test_relation_and_place_on_the_circle_of_fifths(target, output, relation, steps):
    assert relation_of(parse_key(target), parse_key(output)) == relation
    assert steps_of(parse_key(target), parse_key(output)) == steps


def test_relations_agree_with_the_weights_of_keys():
    names = [f"{tonic} {mode}" for tonic in ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
             for mode in ("major", "minor")]  # fmt: skip
    weights = {"same key": 1.0, "fifth above": 0.5, "relative": 0.3, "parallel": 0.2, "fifth below": 0.0, "other": 0.0}
    table = score_table(names)
    for i, target in enumerate(names):
        for j, output in enumerate(names):
            assert table[i, j] == weights[relation_of(parse_key(target), parse_key(output))]


def test_rows_are_the_confusions_of_the_predictions(board):
    matrix, relations, circle = figures_of("confusion", board, tasks=["keys"], encoders=["fair"]).figures
    record = next(record for record in board.records if record.name == "fair" and record.task.id == "keys")
    held = read_split(board.folder_of(record), record)
    counts = confusions(held)
    assert matrix.rows["items"].sum() == 60
    assert (matrix.rows["items"] > 0).all(), "empty fields are not in the data"
    for row in matrix.rows.itertuples():
        i, j = held.labels.index(row.target), held.labels.index(row.output)
        assert row.items == counts[i, j]
        assert row.share == counts[i, j] / counts[i].sum()
    same = relations.rows.set_index("relation").loc["same key"]
    assert same.share == pytest.approx(record.scores.test["accuracy"].value)
    assert relations.rows["items"].sum() == pytest.approx(60)
    assert circle.rows["items"].sum() == pytest.approx(60)


def test_both_axes_have_every_class_in_one_order(board):
    """Where a class is never an output, the diagonal would not be one."""
    for figure in figures_of("confusion", board, tasks=["keys"]).figures:
        if figure.title.endswith("confusions"):
            domains = [figure.spec["encoding"][axis]["scale"]["domain"] for axis in "xy"]
            assert domains == [["C major", "G major", "D major", "A minor", "E minor", "C minor"]] * 2


def test_classes_that_are_no_keys_have_a_matrix_alone_and_others_a_sentence(board):
    drawn = figures_of("confusion", board, tasks=["tags,mood"])
    assert drawn.figures == ()
    assert drawn.notes == ("Classes are confused where an item has exactly one: mood, tags are of another kind.",)
