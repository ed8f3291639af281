import numpy as np
import pytest

from tasks.kinds import KINDS

LABELS = ("rock", "jazz", "folk")


@pytest.mark.parametrize(
    ("kind", "names", "targets", "membership"),
    [
        ("multiclass", [["jazz"], ["rock"]], [1, 0], [[0, 1, 0], [1, 0, 0]]),
        ("multilabel", [["folk", "rock"], []], [[1, 0, 1], [0, 0, 0]], [[1, 0, 1], [0, 0, 0]]),
    ],
)
def test_labels_become_targets_and_targets_labels(kind, names, targets, membership):
    found = KINDS[kind].encode(names, LABELS)
    assert found.tolist() == targets
    assert found.dtype == (np.int64 if kind == "multiclass" else np.float32)
    member = KINDS[kind].membership(found, 3)
    assert (member.dtype, member.astype(int).tolist()) == (bool, membership)
    for row, of_item in zip(found, names, strict=True):
        assert [LABELS[label] for label in KINDS[kind].labels_of(row)] == sorted(of_item, key=LABELS.index)


def test_numbers_have_no_labels():
    kind, targets = KINDS["regression"], np.array([[1.5, 2.0], [0.5, -1.0]])
    assert kind.membership(targets, 2).shape == (2, 0)
    assert kind.labels_of(targets[0]) == []


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_a_name_that_is_no_label_is_refused(kind):
    with pytest.raises(KeyError, match="punk"):
        KINDS[kind].encode([["punk"]], LABELS)


def test_a_class_is_exactly_one():
    for names in ([], ["rock", "jazz"]):
        with pytest.raises(ValueError, match="unpack"):
            KINDS["multiclass"].encode([names], LABELS)


def test_a_search_maximises_the_first_metric_or_all_of_a_regression():
    assert KINDS["multilabel"].objective(("map", "roc_auc")) == ("map",)
    assert KINDS["regression"].objective(("r2_a", "r2_b")) == ("r2_a", "r2_b")
