"""Rows of labels: what a track has, has not, and what nobody knows."""

import numpy as np

from benchmark.pretraining.data.label_rows import ALL_UNKNOWN, codes_of, dense, has_unknown, names_of, pieces_of

CELLS = [("b",), (), ("?a", "c"), None, ("a", "b", "c")]
NAMES = ("a", "b", "c")
NAN = float("nan")
DENSE = [[0, 1, 0], [0, 0, 0], [NAN, 0, 1], [NAN, NAN, NAN], [1, 1, 1]]


def rows_of(cells) -> tuple[np.ndarray, np.ndarray]:
    codes = [codes_of(cell, {name: number for number, name in enumerate(NAMES)}) for cell in cells]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in codes])]).astype("<i8")
    return starts, np.array([code for row in codes for code in row], "<i4")


def test_names_are_sorted_without_their_marks():
    assert names_of(CELLS) == NAMES
    assert names_of([None, ()]) == ()


def test_a_row_says_what_a_track_has_and_what_is_not_known():
    assert codes_of(("?a", "c"), {"a": 0, "b": 1, "c": 2}) == (~0, 2)
    assert codes_of(None, {}) == (ALL_UNKNOWN,)
    starts, codes = rows_of(CELLS)
    order = np.array([3, 0, 4, 2, 2, 1])
    np.testing.assert_array_equal(dense(starts, codes, order, 3), np.array(DENSE, np.float32)[order])


def test_rows_without_any_label():
    starts, codes = rows_of([(), ()])
    np.testing.assert_array_equal(dense(starts, codes, np.array([1, 0]), 3), np.zeros((2, 3)))
    assert not has_unknown(codes)
    assert dense(starts, codes, np.array([], np.int64), 3).shape == (0, 3)


def test_whether_anything_is_not_known():
    assert has_unknown(rows_of(CELLS)[1])
    assert has_unknown(rows_of([None])[1])
    assert not has_unknown(rows_of([("a",), ()])[1])


def test_pieces_have_the_labels_of_their_track():
    starts, codes = rows_of(CELLS)
    tracks = np.array([0, 1, 1, 2, 2, 2, 3, 4])
    cut = pieces_of(starts, codes, tracks)
    np.testing.assert_array_equal(dense(*cut, np.arange(8), 3), np.array(DENSE, np.float32)[tracks])
    assert cut[1].dtype == codes.dtype
