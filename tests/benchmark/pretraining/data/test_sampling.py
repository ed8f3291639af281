"""Sampling: every step by itself, the paper's rules, parts that add up, and a stream in bounded memory."""

import threading

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.pretraining.data.sampling import (
    WITHIN_5_SECONDS,
    WITHIN_CLIP,
    Batch,
    Pairs,
    Sampler,
    as_float32,
    of_rows,
    stream,
    uniform,
)

PINNED = [0.0025176964123404533, 0.7162818073381053, 0.3661140872243549]
PINNED_ROWS = [0.9462301791521169, 0.9800292608926838, 0.99227715470824]
LENGTHS = [300, 301, 450, 1000, 1001, 2500, 4000, 800]


@pytest.fixture
def store(make_store):
    return make_store(LENGTHS, {f"t{i}": ["odd"] if i % 2 else [] for i in range(len(LENGTHS))})


def where(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return track and first frame of crops of counted log-mels, which also lie unbroken behind it."""
    frame = crops[:, 1] * 1000 + crops[:, 2]
    assert (np.diff(frame, axis=1) == 1).all()
    assert (crops[:, 0] == crops[:, 0, :1]).all()
    assert (crops[:, 3:] == np.arange(3, 96)[:, None]).all()
    return crops[:, 0, 0].astype(int), frame[:, 0].astype(int)


def equal(one: Batch, other: Batch) -> None:
    assert one.step == other.step
    for name in ("rows", "first", "second", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


class TestSingleCrops:
    def test_batches_are_crops_of_their_tracks_with_their_labels(self, store):
        batch = Sampler(store, batch=8, seed=3).batch(5)
        assert (batch.first.dtype, batch.first.shape, batch.second) == (np.float32, (8, 96, 300), None)
        assert batch.first.flags.c_contiguous
        assert batch.rows.dtype == np.int64
        tracks, starts = where(batch.first)
        assert tracks.tolist() == batch.rows.tolist()
        assert (starts + 300 <= np.array(LENGTHS)[tracks]).all()
        assert batch.labels.tolist() == [[float(track % 2)] for track in tracks]

    def test_a_step_is_the_same_whatever_came_before(self, store):
        sampler = Sampler(store, batch=8, seed=3)
        for step in range(4):
            sampler.batch(step)
        equal(sampler.batch(4), Sampler(store, batch=8, seed=3).batch(4))

    def test_steps_and_seeds_differ(self, store):
        places = [
            tuple(np.concatenate(Sampler(store, batch=8, seed=seed).places(step)[:2]))
            for seed in (0, 1, 2**64 - 1)
            for step in (0, 1, 199_999, 2**40)
        ]
        assert len(set(places)) == len(places)

    def test_tracks_are_uniform_with_replacement_and_crops_reach_both_ends(self, store):
        sampler = Sampler(store, batch=8, seed=0)
        found = [sampler.places(step)[:2] for step in range(4000)]
        rows, starts = (np.concatenate(part) for part in zip(*found, strict=True))
        counts = np.bincount(rows, minlength=8)
        assert np.abs(counts - 4000).max() < 5 * np.sqrt(4000)  # five deviations
        assert any(len(set(step)) < 8 for step, _ in found)
        assert set(starts[rows == 0]) == {0}
        assert set(starts[rows == 1]) == {0, 1}
        assert set(starts[rows == 2]) == set(range(151))

    def test_float16_is_what_the_store_gives(self, store):
        half = Sampler(store, batch=8, seed=3, precision="float16").batch(0).first
        assert half.dtype == np.float16
        np.testing.assert_array_equal(half, Sampler(store, batch=8, seed=3).batch(0).first)

    def test_other_lengths_of_crops(self, store):
        assert Sampler(store, batch=8, seed=3, frames=96).batch(0).first.shape == (8, 96, 96)


class TestPairs:
    def drawn(self, store, pairs: Pairs, steps: int = 300):
        sampler = Sampler(store, batch=8, seed=1, pairs=pairs)
        return [np.concatenate(part) for part in zip(*(sampler.places(step) for step in range(steps)), strict=True)]

    def test_both_crops_are_of_one_track(self, store):
        batch = Sampler(store, batch=8, seed=3, pairs=WITHIN_5_SECONDS).batch(0)
        assert batch.labels is None
        first, second = where(batch.first), where(batch.second)
        np.testing.assert_array_equal(first[0], second[0])
        assert (first[1] != second[1]).any()
        assert Sampler(store, batch=8, seed=3, pairs=WITHIN_5_SECONDS, labels=True).batch(0).labels.shape == (8, 1)

    def test_within_centres_are_less_than_5_s_apart_anywhere_in_the_track(self, store):
        rows, first, second = self.drawn(store, WITHIN_5_SECONDS, 1000)
        apart = np.abs(first - second)
        assert apart.max() == 499
        assert (second >= 0).all()
        assert (second + 300 <= np.array(LENGTHS)[rows]).all()
        assert first[rows == 6].max() > 3600
        assert second[rows == 6].min() < 100

    def test_a_clip_is_the_same_at_every_step_and_its_crops_lie_anywhere_in_it(self, store):
        rows, first, second = self.drawn(store, WITHIN_CLIP, 1500)
        for row, length in enumerate(LENGTHS):
            both = np.concatenate([first[rows == row], second[rows == row]])
            extent = both.max() + 300 - both.min()
            assert extent <= min(length, 1001)
            assert extent > 0.95 * min(length, 1001)
        assert len({int(first[rows == row].min()) for row in (5, 6)}) == 2
        apart = (first - second)[rows == 6]
        assert apart.max() > 500
        assert apart.min() < -500

    def test_rules_that_cannot_be_kept_are_refused(self, store):
        with pytest.raises(UserError, match="does not fit into a clip of 2 s"):
            Sampler(store, batch=8, seed=0, pairs=Pairs("clip", 2.0))
        with pytest.raises(UserError, match="cannot be drawn"):
            Sampler(store, batch=8, seed=0, pairs=Pairs("within", 0.0))


class TestParts:
    @pytest.mark.parametrize("pairs", [None, WITHIN_5_SECONDS, WITHIN_CLIP])
    @pytest.mark.parametrize("world", [2, 4])
    def test_the_parts_of_all_processes_are_the_joint_batch(self, store, pairs, world):
        joint = Sampler(store, batch=8, seed=3, pairs=pairs, labels=True).batch(7)
        parts = [
            Sampler(store, batch=8, seed=3, pairs=pairs, labels=True, rank=rank, world=world).batch(7)
            for rank in range(world)
        ]
        for name in ("rows", "first", "labels", *(["second"] if pairs else [])):
            found = np.concatenate([getattr(part, name) for part in parts])
            np.testing.assert_array_equal(found, getattr(joint, name))

    def test_a_batch_that_cannot_be_shared_is_refused(self, store):
        with pytest.raises(UserError, match="cannot be shared equally among 3"):
            Sampler(store, batch=8, seed=0, world=3)


class TestRefusals:
    def test_fewer_tracks_than_the_batch(self, store):
        with pytest.raises(UserError, match=r"has 8 tracks, fewer than the batch of 9"):
            Sampler(store, batch=9, seed=0)

    def test_a_track_shorter_than_the_crop_is_named(self, store):
        with pytest.raises(UserError, match=r"the track 't0' .* has 300 frames, and a crop takes 301"):
            Sampler(store, batch=8, seed=0, frames=301)

    def test_labels_that_are_not_there(self, make_store):
        without = make_store([300] * 4, name="without")
        assert Sampler(without, batch=4, seed=0).batch(0).labels is None
        with pytest.raises(UserError, match="has no labels"):
            Sampler(without, batch=4, seed=0, labels=True)

    @pytest.mark.parametrize(
        "wrong", [{"batch": 0}, {"frames": 0}, {"seed": -1}, {"seed": 2**64}, {"rank": 1}, {"rank": -1}]
    )
    def test_numbers_that_mean_nothing(self, store, wrong):
        with pytest.raises(UserError, match="at least 1"):
            Sampler(store, **{"batch": 8, "seed": 0, **wrong})


class TestStream:
    def test_it_yields_the_steps_in_order_from_any_start(self, store):
        sampler = Sampler(store, batch=8, seed=3)
        found = list(stream(sampler, 5, stop=12, threads=3))
        assert [batch.step for batch in found] == list(range(5, 12))
        for batch in found:
            equal(batch, sampler.batch(batch.step))

    def test_it_makes_no_more_than_is_allowed_ahead(self):
        asked = []
        lock = threading.Lock()

        class Counting:
            def batch(self, step: int) -> int:
                with lock:
                    asked.append(step)
                return step

        batches = stream(Counting(), threads=2, ahead=3)
        for step in range(20):
            assert next(batches) == step
            assert max(asked) <= step + 3
        batches.close()
        assert len(asked) <= 23

    def test_an_error_comes_at_its_place_and_ends_it(self):
        class Failing:
            def batch(self, step: int) -> int:
                if step == 3:
                    raise UserError("gone", "bring it back")
                return step

        batches = stream(Failing())
        assert [next(batches) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(UserError, match="gone"):
            next(batches)
        assert list(batches) == []

    def test_closing_it_leaves_no_thread(self, store):
        batches = stream(Sampler(store, batch=8, seed=3), threads=2)
        next(batches)
        assert any(thread.name.startswith("batches") for thread in threading.enumerate())
        batches.close()
        assert not any(thread.name.startswith("batches") for thread in threading.enumerate())

    def test_numbers_that_mean_nothing(self, store):
        with pytest.raises(ValueError, match="0 threads"):
            next(stream(Sampler(store, batch=8, seed=3), threads=0))


class TestDraws:
    def test_they_are_pinned(self):
        """Another stream would silently change what a resumed run sees."""
        np.testing.assert_array_equal(uniform(7, 123, 4, 3)[:2], uniform(7, 123, 2, 3))
        assert uniform(7, 123, 1, 3).tolist() == [PINNED]
        assert of_rows(7, np.array([0, 1, 10**6])).tolist() == PINNED_ROWS

    def test_they_are_uniform(self):
        drawn = np.concatenate([uniform(1, step, 1000, 3) for step in range(30)])
        assert drawn.min() >= 0
        assert drawn.max() < 1
        assert np.abs(drawn.mean(axis=0) - 0.5).max() < 5 * np.sqrt(1 / 12 / len(drawn))
        assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 5 / np.sqrt(len(drawn))
        rows = of_rows(1, np.arange(30_000))
        assert abs(rows.mean() - 0.5) < 5 * np.sqrt(1 / 12 / len(rows))
        assert abs(np.corrcoef(rows[:-1], rows[1:])[0, 1]) < 5 / np.sqrt(len(rows))

    def test_every_half_becomes_its_float(self):
        halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
        halves = halves[np.isfinite(halves)][: 96 * 600].reshape(2, 300, 96).transpose(0, 2, 1)
        found = as_float32(halves)
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, halves.astype(np.float32))
