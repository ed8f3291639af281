"""Sampling: every step by itself, the paper's rules, parts that add up, and a stream in bounded memory."""

import hashlib
import threading

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.pretraining.data.sampling import (
    APART_4_SECONDS,
    WITHIN_5_SECONDS,
    WITHIN_CLIP,
    Batch,
    Pairs,
    Sampler,
    _apart,
    of_rows,
    stream,
    uniform,
)
from benchmark.pretraining.data.shard_readers import as_float32

PINNED = [0.0025176964123404533, 0.7162818073381053, 0.3661140872243549]
PINNED_ROWS = [0.9462301791521169, 0.9800292608926838, 0.99227715470824]
#: Digests of three batches of the version before there were waveforms and captions: a resumed run must see the same.
PINNED_BATCHES = {
    None: "9bda569c38edc7080eafcfe24b8cfa89d04e1e17242c0687b90d25b1e61c1dd9",
    WITHIN_5_SECONDS: "4ac519cfca25d0e1328ea2e292bd64aaaaa7177e2e7fb7f9f80a8c34ed69f7eb",
    WITHIN_CLIP: "18fa309017a966cf3396e07a6d5daacddb1bc3aa4ae604014f728709ccf253f0",
}
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

    def test_apart_centres_are_4_s_apart_at_least_or_as_far_as_the_track_lets_them(self, store):
        rows, first, second = self.drawn(store, APART_4_SECONDS, 2000)
        room = np.array(LENGTHS)[rows] - 300
        apart = np.abs(first - second)
        for place in (first, second):
            assert (place >= 0).all()
            assert (place <= room).all()
        np.testing.assert_array_equal(apart[room < 400], room[room < 400])
        assert apart[room >= 400].min() == 400
        assert Sampler(store, batch=8, seed=1, pairs=APART_4_SECONDS).too_short == 3
        assert Sampler(store, batch=8, seed=1, pairs=WITHIN_5_SECONDS).too_short == 0
        for row, room_here in ((2, 150), (7, 500), (5, 2200), (6, 3700)):
            for place in (first[rows == row], second[rows == row]):
                assert place.min() <= room_here / 50  # both crops reach both ends
                assert place.max() >= room_here - room_here / 50
            assert (first < second)[rows == row].mean() == pytest.approx(0.5, abs=0.06)
        # A track in which a crop in the middle has no room for another: the first is never drawn there.
        assert not ((first[rows == 7] > 100) & (first[rows == 7] < 400)).any()

    def test_apart_every_pair_of_places_is_drawn_and_no_other(self):
        for room in (0, 1, 3, 4, 5, 7, 8, 9, 12):
            drawn = np.stack(np.meshgrid(*[(np.arange(64) + 0.5) / 64] * 2), -1).reshape(-1, 2)
            found = _apart(np.full(len(drawn), room), 4, drawn[:, 0], drawn[:, 1])
            least = min(4, room)
            expected = {(i, j) for i in range(room + 1) for j in range(room + 1) if abs(i - j) >= least}
            assert set(zip(found[0].tolist(), found[1].tolist(), strict=True)) == expected

    def test_rules_that_cannot_be_kept_are_refused(self, store):
        with pytest.raises(UserError, match="does not fit into a clip of 2 s"):
            Sampler(store, batch=8, seed=0, pairs=Pairs("clip", 2.0))
        with pytest.raises(UserError, match="cannot be drawn"):
            Sampler(store, batch=8, seed=0, pairs=Pairs("within", 0.0))


class TestSignalsAndCaptions:
    @pytest.fixture
    def wide(self, make_store):
        captions = {f"t{i}": [f"{i} a", f"{i} b", f"{i} c"][: i % 4] for i in range(len(LENGTHS))}
        return make_store(LENGTHS, name="wide", waveforms=True, captions=captions)

    @pytest.mark.parametrize("pairs", PINNED_BATCHES)
    def test_batches_of_log_mels_are_what_they_were(self, store, pairs):
        digest = hashlib.sha256()
        for step in (0, 1, 70_000):
            batch = Sampler(store, batch=8, seed=3, pairs=pairs, labels=True).batch(step)
            for values in (batch.rows, batch.first, batch.second, batch.labels, batch.tracks):
                if values is not None:
                    digest.update(str(values.dtype).encode() + values.tobytes())
            assert (batch.waveforms, batch.captions) == ((), None)
        assert digest.hexdigest() == PINNED_BATCHES[pairs]

    @pytest.mark.parametrize("pairs", [None, WITHIN_5_SECONDS, APART_4_SECONDS])
    def test_waveforms_are_of_the_very_places_of_the_log_mels(self, wide, counted_samples, pairs):
        both = frozenset({"log-mel", "waveform"})
        batch = Sampler(wide, batch=8, seed=3, pairs=pairs, signals=both).batch(5)
        crops = [batch.first] if pairs is None else [batch.first, batch.second]
        assert len(batch.waveforms) == len(crops)
        for crop, samples in zip(crops, batch.waveforms, strict=True):
            assert (samples.dtype, samples.shape, samples.flags.c_contiguous) == (np.float32, (8, 48_000), True)
            for track, start, found in zip(*where(crop), samples, strict=True):
                expected = counted_samples(LENGTHS[track], track)[start : start + 300]
                np.testing.assert_array_equal(found, expected.reshape(-1))
        equal(batch, Sampler(wide, batch=8, seed=3, pairs=pairs, captions=True).batch(5))

    def test_log_mels_that_nobody_asks_for_are_not_read(self, wide, monkeypatch):
        sampler = Sampler(wide, batch=8, seed=3, pairs=WITHIN_5_SECONDS, signals=frozenset({"waveform"}))
        monkeypatch.setattr(type(wide), "crops", None)
        batch = sampler.batch(0)
        assert (batch.first, batch.second, len(batch.waveforms)) == (None, None, 2)

    def test_a_caption_is_of_its_track_and_of_several_each_is_drawn_alike(self, wide):
        sampler = Sampler(wide, batch=8, seed=3, captions=True)
        found: dict[int, list[str | None]] = {row: [] for row in range(len(LENGTHS))}
        for step in range(1500):
            batch = sampler.batch(step) if step < 2 else None
            rows = sampler.places(step)[0]
            captions = sampler._captions_of(rows, step)
            assert batch is None or batch.captions == captions
            for row, caption in zip(rows.tolist(), captions, strict=True):
                found[row].append(caption)
        for row, captions in found.items():
            expected = [f"{row} a", f"{row} b", f"{row} c"][: row % 4] or [None]
            shares = [captions.count(caption) / len(captions) for caption in expected]
            assert sum(shares) == 1
            np.testing.assert_allclose(shares, 1 / len(expected), atol=0.06)

    def test_captions_do_not_depend_on_the_number_of_processes(self, wide):
        joint = Sampler(wide, batch=8, seed=3, captions=True).batch(7).captions
        parts = [Sampler(wide, batch=8, seed=3, captions=True, rank=rank, world=2).batch(7).captions for rank in (0, 1)]
        assert parts[0] + parts[1] == joint

    def test_what_the_store_lacks_is_refused_with_the_command_that_adds_it(self, store):
        with pytest.raises(UserError, match=r"has no waveforms.*bench pretrain prepare AUDIO --out .* --waveforms"):
            Sampler(store, batch=8, seed=0, signals=frozenset({"waveform"}))
        with pytest.raises(UserError, match=r"has no captions.*bench pretrain prepare AUDIO --out .* --captions FILE"):
            Sampler(store, batch=8, seed=0, captions=True)
        for signals in (frozenset(), frozenset({"mel"})):
            with pytest.raises(ValueError, match="signals"):
                Sampler(store, batch=8, seed=0, signals=signals)


class TestParts:
    @pytest.mark.parametrize("pairs", [None, WITHIN_5_SECONDS, WITHIN_CLIP, APART_4_SECONDS])
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
