import numpy as np
import pytest

from probes.kinds import KINDS


def test_classes_become_one_hot_rows():
    found = KINDS["multiclass"].matrix(np.array([2, 0]), 3)
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_a_class_out_of_range_is_refused():
    with pytest.raises(IndexError, match="out of bounds"):
        KINDS["multiclass"].matrix(np.array([3]), 3)


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_other_targets_are_kept(kind):
    targets = np.array([[0.5, 1.0], [0.0, -1.0]], np.float32)
    assert KINDS[kind].matrix(targets, 2) is targets
