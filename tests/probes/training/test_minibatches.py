import itertools
import math

import numpy as np
import pytest
import torch

from probes.data import SplitArrays
from probes.training import minibatches as module
from probes.training.minibatches import TrainInputs, chunk_blocks, chunk_order, is_large, row_order


def take(iterator, count):
    return list(itertools.islice(iterator, count))


class TestRowOrder:
    @pytest.mark.parametrize(("n", "batch_size"), [(10, 4), (8, 4), (5, 256), (7, 1)])
    def test_every_epoch_holds_every_item_once_the_last_partial_batch_included(self, n, batch_size):
        steps = -(-n // batch_size)
        order = row_order(n, batch_size, seed=0)
        for _ in range(3):
            epoch = take(order, steps)
            assert [len(rows) for rows in epoch[:-1]] == [batch_size] * (steps - 1)
            assert sorted(np.concatenate(epoch)) == list(range(n))

    def test_really_shuffles_and_differently_each_epoch_and_seed(self):
        first, second = take(row_order(1000, 1000, seed=0), 2)
        assert not np.array_equal(first, np.arange(1000))
        assert not np.array_equal(first, second)
        assert abs(np.corrcoef(np.arange(1000), first)[0, 1]) < 0.1
        assert not np.array_equal(first, next(row_order(1000, 1000, seed=1)))

    @pytest.mark.parametrize("start", [1, 2, 3, 7, 30])
    def test_goes_on_from_any_step(self, start):
        whole = take(row_order(10, 4, seed=3), start + 5)[start:]
        for ours, theirs in zip(take(row_order(10, 4, 3, start), 5), whole, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 4 rows, 3 of which are shuffled with each other."""
    monkeypatch.setattr(module, "BLOCK_ROWS", 4)
    monkeypatch.setattr(module, "CHUNK_BLOCKS", 3)


@pytest.mark.usefixtures("small_blocks")
class TestChunkOrder:
    @pytest.mark.parametrize("n", [1, 4, 12, 13, 50])
    def test_every_epoch_holds_every_row_once(self, n):
        chunks = chunk_order(n, 5, seed=0)
        for _ in range(3):
            epoch = take(chunks, math.ceil(math.ceil(n / 4) / 3))
            assert sorted(np.concatenate([chunk.rows for chunk in epoch])) == list(range(n))
            assert all(sorted(chunk.order) == list(range(len(chunk.rows))) for chunk in epoch)
            assert all(set(chunk.rows // 4) == set(chunk.blocks) for chunk in epoch)

    def test_shuffles_blocks_and_rows_differently_each_epoch(self):
        chunks = take(chunk_order(48, 5, seed=0), 8)
        orders = [np.concatenate([chunk.rows[chunk.order] for chunk in epoch]) for epoch in (chunks[:4], chunks[4:])]
        assert not np.array_equal(*orders)
        for chunk in chunks:
            assert not np.array_equal(chunk.order, np.arange(12))
        assert {tuple(chunk.blocks) for chunk in chunks[:4]} != {(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11)}

    @pytest.mark.parametrize("start", range(0, 40, 3))
    def test_goes_on_from_any_step(self, start):
        def steps(begin: int, count: int) -> list[list[int]]:
            found: list[list[int]] = []
            for chunk in chunk_order(30, 5, seed=2, start=begin):
                rows = chunk.rows[chunk.order]
                found += [list(rows[i : i + 5]) for i in range(chunk.skipped * 5, len(rows), 5)]
                if len(found) >= count:
                    return found[:count]
            raise AssertionError

        assert steps(start, 9) == steps(0, start + 9)[start:]


@pytest.mark.parametrize(("dim", "blocks"), [(1, 128), (2048, 128), (2049, 127), (4096, 64), (32_768, 8), (10**6, 8)])
def test_chunks_are_bounded_by_bytes_and_never_too_few_to_shuffle(dim, blocks):
    assert chunk_blocks(dim) == blocks


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """Train inputs of 30 rows, in memory or in a memory map that is read in blocks."""

    def make(*, mapped: bool, dtype: torch.dtype = torch.float32) -> TrainInputs:
        x = np.random.default_rng(0).normal(3, 2, size=(30, 6)).astype(np.float32)
        if mapped:
            np.save(tmp_path / "x.npy", x)
            x = np.load(tmp_path / "x.npy", mmap_mode="r")
            monkeypatch.setattr(module, "ROW_SHUFFLE_BYTES", 0)
        split = SplitArrays(tuple(map(str, range(30))), x, np.arange(30))
        return TrainInputs(split, torch.arange(30), "cpu", dtype)

    return make


@pytest.mark.usefixtures("small_blocks")
class TestStream:
    @pytest.mark.parametrize("mapped", [False, True])
    @pytest.mark.parametrize("batch_size", [1, 5, 7, 30, 64])
    def test_gives_exactly_the_rows_that_its_targets_name(self, inputs, mapped, batch_size):
        train = inputs(mapped=mapped)
        assert train.large == mapped
        x = torch.from_numpy(np.array(train.embeddings))
        mean, deviation = x.double().mean(0), x.double().std(0, correction=0)
        seen = []
        for batch in itertools.islice(train.stream(batch_size, 0, 0, raw=True, standard=True), 40):
            assert 1 <= len(batch.targets) <= batch_size
            assert torch.equal(batch.inputs(standardised=False), x[batch.targets])
            z = ((x[batch.targets].double() - mean) / deviation).float()
            torch.testing.assert_close(batch.inputs(standardised=True), z, rtol=1e-5, atol=1e-5)
            seen += batch.targets.tolist()
        epochs = len(seen) // 30
        assert epochs >= 1
        for epoch in range(epochs):
            assert sorted(seen[epoch * 30 : (epoch + 1) * 30]) == list(range(30))

    @pytest.mark.parametrize("mapped", [False, True])
    @pytest.mark.parametrize("start", [1, 5, 6, 13, 29])
    def test_goes_on_from_any_step(self, inputs, mapped, start):
        train = inputs(mapped=mapped)
        whole = [batch.targets for batch in take(train.stream(5, 1, 0, raw=True, standard=False), start + 8)][start:]
        again = [batch.targets for batch in take(train.stream(5, 1, start, raw=True, standard=False), 8)]
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(again, whole, strict=True))

    def test_of_wide_embeddings_fewer_blocks_are_held(self, inputs, monkeypatch):
        monkeypatch.setattr(module, "CHUNK_BYTES", 2 * 4 * 6 * 4)  # 2 blocks of 4 rows of 6 floats
        monkeypatch.setattr(module, "FEWEST_BLOCKS", 1)
        found = take(inputs(mapped=True).stream(100, 0, 0, raw=True, standard=False), 8)
        assert max(len(batch.targets) for batch in found) == 8
        assert sorted(torch.cat([batch.targets for batch in found[:4]]).tolist()) == list(range(30))

    def test_in_memory_follows_the_row_order(self, inputs):
        found = take(inputs(mapped=False).stream(7, 4, 0, raw=True, standard=False), 9)
        for batch, rows in zip(found, row_order(30, 7, 4), strict=False):
            np.testing.assert_array_equal(batch.targets.numpy(), rows)

    @pytest.mark.parametrize("mapped", [False, True])
    def test_makes_only_what_is_asked_for(self, inputs, mapped):
        batch = next(inputs(mapped=mapped).stream(5, 0, 0, raw=False, standard=True))
        assert batch.raw is None
        with pytest.raises(AssertionError):
            batch.inputs(standardised=False)

    @pytest.mark.parametrize("mapped", [False, True])
    def test_gives_the_type_that_products_take(self, inputs, mapped):
        train = inputs(mapped=mapped, dtype=torch.bfloat16)
        batch = next(train.stream(5, 0, 0, raw=True, standard=True))
        assert batch.raw.dtype == batch.standard.dtype == torch.bfloat16
        assert torch.equal(batch.raw, torch.from_numpy(np.array(train.embeddings))[batch.targets].bfloat16())

    def test_a_batch_as_large_as_the_data_is_the_data(self, inputs):
        train = inputs(mapped=False)
        for batch in take(train.stream(30, 0, 0, raw=True, standard=False), 3):
            assert batch.raw is train.raw
            assert torch.equal(batch.targets, torch.arange(30))


def test_only_what_is_beyond_a_gigabyte_is_read_in_blocks():
    assert not is_large(np.broadcast_to(np.float32(0), (2**17, 2048)))
    assert is_large(np.broadcast_to(np.float32(0), (2**17 + 1, 2048)))
