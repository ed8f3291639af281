import numpy as np
import pytest

from probes import data as module
from probes.data import LeakError, SplitArrays, TrainValid, blocks, standardisation


def split(*ids: str) -> SplitArrays:
    return SplitArrays(ids, np.zeros((len(ids), 2), np.float32), np.zeros(len(ids), np.int64))


@pytest.fixture
def on_disk(tmp_path):
    """Write an array to disk and return its memory map."""

    def write(array: np.ndarray) -> np.ndarray:
        np.save(tmp_path / "x.npy", array)
        return np.load(tmp_path / "x.npy", mmap_mode="r")

    return write


class TestSplitArrays:
    def test_refuses_parts_of_different_length(self):
        with pytest.raises(ValueError, match="do not belong together"):
            SplitArrays(("a", "b"), np.zeros((3, 2), np.float32), np.zeros(2, np.int64))
        with pytest.raises(ValueError, match="do not belong together"):
            SplitArrays(("a", "b"), np.zeros((2, 2), np.float32), np.zeros(3, np.int64))
        with pytest.raises(ValueError, match="do not belong together"):
            SplitArrays(("a", "b"), np.zeros((2, 2, 2), np.float32), np.zeros(2, np.int64))

    def test_refuses_an_empty_split(self):
        with pytest.raises(ValueError, match="at least one"):
            split()

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_names_items_whose_embedding_is_not_finite(self, value):
        embeddings = np.zeros((3, 2), np.float32)
        embeddings[1, 0] = value
        with pytest.raises(ValueError, match="1 embeddings are not finite, among them b"):
            SplitArrays(("a", "b", "c"), embeddings, np.zeros(3, np.int64))

    def test_looks_at_every_block_of_a_memory_map(self, on_disk, monkeypatch):
        monkeypatch.setattr(module.blocks, "__defaults__", (4,))
        embeddings = np.zeros((11, 2), np.float32)
        embeddings[[2, 10], 1] = np.nan
        ids = tuple(f"i{n}" for n in range(11))
        with pytest.raises(ValueError, match="2 embeddings are not finite, among them i2, i10"):
            SplitArrays(ids, on_disk(embeddings), np.zeros(11, np.int64))


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


class TestBlocks:
    @pytest.mark.parametrize("rows", [1, 4, 11, 100])
    @pytest.mark.parametrize("mapped", [False, True])
    def test_are_all_rows_in_order(self, on_disk, rows, mapped):
        x = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
        found = [(start, block.copy()) for start, block in blocks(on_disk(x) if mapped else x, rows)]
        assert [start for start, _ in found] == list(range(0, 11, rows))
        np.testing.assert_array_equal(np.concatenate([block for _, block in found]), x)


class TestStandardisation:
    def test_is_the_z_score_and_off_means_identity(self):
        x = np.random.default_rng(0).normal(7, 50, size=(300, 8)).astype(np.float32)
        mean, scale = standardisation(x, on=True)
        assert mean.dtype == scale.dtype == np.float32
        z = (x - mean) * scale
        np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(z.std(0), 1, atol=1e-5)
        mean, scale = standardisation(x, on=False)
        assert not mean.any()
        assert (scale == 1).all()

    def test_of_a_memory_map_in_blocks_equals_that_of_the_array(self, on_disk, monkeypatch):
        x = np.random.default_rng(0).normal(1000, 1, size=(50, 3)).astype(np.float32)
        expected = x.mean(0, dtype=np.float64), 1 / x.std(0, dtype=np.float64)
        monkeypatch.setattr(module.blocks, "__defaults__", (7,))
        for ours, theirs in zip(standardisation(on_disk(x), on=True), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)

    @pytest.mark.parametrize("value", [0.0, 3.3, -1e6])
    def test_a_constant_dimension_says_nothing(self, value):
        x = np.full((50, 2), value, np.float32)
        x[:, 1] = np.arange(50)
        mean, scale = standardisation(x, on=True)
        assert scale[0] == 0
        np.testing.assert_allclose(((x - mean) * scale)[:, 0], 0, atol=1e-5 * max(1, abs(value)))
