"""Names of splits that others use."""

import pytest

from tasks.split_names import are_splits, split_named


@pytest.mark.parametrize(
    ("text", "meant"),
    [("Train", "train"), (" validation ", "valid"), ("val", "valid"), ("DEV", "valid"), ("testing", "test"),
     ("eval", None), ("", None), ("trainer", None)],
)  # fmt: skip
def test_case_and_spaces_do_not_count(text, meant):
    assert split_named(text) == meant


@pytest.mark.parametrize(
    ("names", "fits"),
    [({"train", "val"}, True), ({"Train", "Valid", "Test"}, True), ({"train"}, False), ({"valid", "test"}, False),
     ({"train", "test", "other"}, False), ({"train", "training"}, False), (set(), False)],
)  # fmt: skip
def test_a_column_of_splits_has_train_and_another_and_nothing_else(names, fits):
    assert are_splits(names) == fits
