import numpy as np
import pytest

from probes.data import LeakError, SplitArrays, TrainValid


def split(*ids: str) -> SplitArrays:
    return SplitArrays(ids, np.zeros((len(ids), 2), np.float32), np.zeros(len(ids), np.int64))


class TestSplitArrays:
    def test_refuses_parts_of_different_length(self):
        with pytest.raises(ValueError, match="do not belong together"):
            SplitArrays(("a", "b"), np.zeros((3, 2), np.float32), np.zeros(2, np.int64))
        with pytest.raises(ValueError, match="do not belong together"):
            SplitArrays(("a", "b"), np.zeros((2, 2), np.float32), np.zeros(3, np.int64))

    def test_refuses_an_empty_split(self):
        with pytest.raises(ValueError, match="at least one"):
            split()

    def test_names_items_whose_embedding_is_not_finite(self):
        embeddings = np.zeros((3, 2), np.float32)
        embeddings[1, 0] = np.nan
        with pytest.raises(ValueError, match="among them b"):
            SplitArrays(("a", "b", "c"), embeddings, np.zeros(3, np.int64))


class TestTrainValid:
    def test_a_planted_test_item_is_refused_in_train_and_in_valid(self):
        sealed = frozenset({"t1", "t2"})
        with pytest.raises(LeakError, match=r"1 test item\(s\) in train, among them t1"):
            TrainValid(split("a", "t1"), split("b"), sealed)
        with pytest.raises(LeakError, match=r"1 test item\(s\) in valid, among them t2"):
            TrainValid(split("a"), split("b", "t2"), sealed)

    def test_an_item_cannot_be_in_both_or_twice(self):
        with pytest.raises(LeakError, match="both train and valid"):
            TrainValid(split("a", "b"), split("b"), frozenset())
        with pytest.raises(LeakError, match="twice in train"):
            TrainValid(split("a", "a"), split("b"), frozenset())

    def test_honest_splits_pass(self):
        assert len(TrainValid(split("a", "b"), split("c"), frozenset({"d"})).train) == 2
