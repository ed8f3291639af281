"""What a job is probed with: which items, in which arrays, in memory or in a file for the time of the run."""

import errno
from dataclasses import replace

import numpy as np
import pytest

import benchmark
from benchmark.audio.index import AudioIndex
from benchmark.embeddings import precomputed
from benchmark.encoders.registry import resolve
from benchmark.errors import UserError
from benchmark.jobs import select
from benchmark.jobs import splits as module
from benchmark.jobs.items import select_items
from benchmark.jobs.options import Options, TrainSubset
from benchmark.jobs.plan import plan_jobs
from benchmark.jobs.select import split_data
from benchmark.jobs.splits import open_job_data
from probes.data import SplitArrays
from tasks import registry
from tasks.card import SPLITS
from tests.benchmark.conftest import CLASSES, split_and_class
from tests.benchmark.jobs.test_folds import folded_by, with_folds

FAST = {"trials": 2, "seeds": 2, "workers": 0}


@pytest.fixture
def options(tmp_path):
    return Options(home=tmp_path / "home", results=tmp_path / "results")


def job_of(encoder, card, options):
    """Return the job of embeddings that are given and a task."""
    (task,) = registry.find(str(card))
    data = select_items(task, task.items(options.home, audio=False), options, audio=False)
    return plan_jobs(resolve(encoder), [data], options)[0]


def of_subset(job, fraction, repeat=0):
    return replace(job, subset=TrainSubset(fraction, repeat))


class TestArrays:
    def test_are_the_splits_rows_in_the_order_of_the_items(self, make_vectors, options):
        encoder, card = make_vectors()
        stored = np.load(encoder.removeprefix("emb:"))
        rows = dict(zip(stored["ids"], stored["embeddings"], strict=True))
        with open_job_data(job_of(encoder, card, options), {}) as splits:
            for split, n in (("train", 30), ("valid", 18), ("test", 12)):
                arrays = splits.arrays(split)
                assert len(arrays) == n
                np.testing.assert_array_equal(arrays.embeddings, [rows[one] for one in arrays.ids])
                known = [split_and_class(int(one[1:])) for one in arrays.ids]
                assert [(split, CLASSES[target]) for target in arrays.targets] == known

    def test_selection_gets_train_and_valid_and_the_ids_of_test_alone(self, make_vectors, options):
        encoder, card = make_vectors()
        with open_job_data(job_of(encoder, card, options), {}) as splits:
            data = split_data(splits, None)
        names = {split: [f"t{i:04d}" for i in range(60) if split_and_class(i)[0] == split] for split in SPLITS}
        assert [list(data.train.ids), list(data.valid.ids)] == [names["train"], names["valid"]]
        assert data.sealed == set(names["test"])

    def test_selection_of_a_fold_gets_neither_its_test_fold_nor_more_than_its_ids(self, make_vectors, options):
        encoder, card = make_vectors()
        with_folds(card)
        folds = {fold: [f"t{i:04d}" for i in range(60) if folded_by(i) == fold] for fold in "12345"}
        with open_job_data(job_of(encoder, card, options), {}) as splits:
            for fold, valid in zip("12345", "23451", strict=True):
                data = split_data(splits.of_fold(fold), None)
                others = sorted(one for name in folds if name not in (fold, valid) for one in folds[name])
                assert [sorted(data.train.ids), list(data.valid.ids)] == [others, folds[valid]]
                assert data.sealed == set(folds[fold])

    def test_groups_are_of_the_split(self, make_vectors, options):
        encoder, card = make_vectors(group=True)
        with open_job_data(job_of(encoder, card, options), {}) as splits:
            assert splits.groups("valid") == [f"artist{int(one[1:]) // 3}" for one in splits.arrays("valid").ids]

    def test_a_split_of_which_nothing_is_left_is_named(self, make_vectors, options):
        encoder, card = make_vectors()
        with open_job_data(job_of(encoder, card, options), {}) as splits:
            items = splits.items
            rest = replace(splits, items=items.take(np.flatnonzero([split != "valid" for split in items.splits])))
            with pytest.raises(UserError, match="no item of the valid split is left"):
                rest.arrays("valid")


class TestLayers:
    def test_a_layer_is_its_columns_of_the_row_of_all(self, layered, make_task, options, monkeypatch):
        benchmark.run(layered, make_task(), home=options.home, results=options.results, **FAST, layer="spectrum")
        (task,) = registry.find(str(options.results.parent / "tones" / "card.toml"))
        job = plan_jobs([layered], [select_items(task, task.items(options.home), options)], options)[0]
        with open_job_data(job, {}) as splits:
            whole = splits.arrays("valid").embeddings
            assert whole.shape == (18, 32)
            for layer in (0, 1):
                part = splits.arrays("valid", layer).embeddings
                np.testing.assert_array_equal(part, whole[:, 16 * layer : 16 * (layer + 1)])
            monkeypatch.setattr(module, "IN_MEMORY_BYTES", 0)
            np.testing.assert_array_equal(splits.arrays("valid").embeddings, whole)
            np.testing.assert_array_equal(splits.arrays("valid", 1).embeddings, whole[:, 16:])


class TestScratch:
    @pytest.fixture
    def small_memory(self, monkeypatch):
        monkeypatch.setattr(module, "IN_MEMORY_BYTES", 0)
        monkeypatch.setattr(precomputed, "READ_ROWS", 7)

    def test_large_splits_are_laid_out_in_a_file_for_the_time_of_the_run(self, make_vectors, options, small_memory):
        encoder, card = make_vectors()
        with open_job_data(job_of(encoder, card, options), {}) as splits:
            arrays = splits.arrays("train")
            assert isinstance(arrays.embeddings, np.memmap)
            assert [path.name for path in splits.scratch.glob("[!.]*")] == ["train-all.npy"]
            assert splits.scratch.parent == options.home
        assert list(options.home.glob("scratch-*")) == []

    def test_scores_are_those_of_memory(self, make_vectors, options, monkeypatch, small_memory):
        encoder, card = make_vectors()
        kept = []
        arrays = module.JobData.arrays

        def watched(self, split, layer=None):
            found = arrays(self, split, layer)
            kept.append(isinstance(found.embeddings, np.memmap))
            return found

        monkeypatch.setattr(module.JobData, "arrays", watched)
        places = {"home": options.home, "overwrite": "always", **FAST}
        from_file = benchmark.run(encoder, card, results=options.results, **places)
        monkeypatch.setattr(module, "IN_MEMORY_BYTES", 2**31)
        in_memory = benchmark.run(encoder, card, results=options.results / "2", **places)
        assert kept == [True] * 3 + [False] * 3
        assert from_file.scores == in_memory.scores
        assert from_file.floors == in_memory.floors
        assert from_file.probe == in_memory.probe
        assert list(options.home.glob("scratch-*")) == []

    def test_nothing_stays_behind_after_an_error(self, make_vectors, options, monkeypatch, small_memory):
        found = []

        def fail(*_args, **_kwargs):
            found.extend(options.home.glob("scratch-*/*.npy"))
            raise FloatingPointError("all trials diverged")

        monkeypatch.setattr(select, "search", fail)
        with pytest.raises(UserError, match=r"Probing given on vectors: all trials diverged"):
            benchmark.run(*make_vectors(), home=options.home, results=options.results, **FAST)
        assert {path.name for path in found} == {"train-all.npy", "valid-all.npy"}
        assert list(options.home.glob("scratch-*")) == []

    def test_only_what_was_just_read_stays_in_memory(self, make_vectors, options, monkeypatch, small_memory):
        released = []
        monkeypatch.setattr(precomputed, "release", released.append)
        encoder, card = make_vectors()
        with open_job_data(job_of(encoder, card, options), {}) as splits:
            rows = splits.arrays("train").embeddings
        assert len(released) == 5  # 30 rows, 7 at a time
        assert all(each.filename == rows.filename for each in released)

    @pytest.mark.skipif(not hasattr(module.os, "posix_fallocate"), reason="the system cannot")
    def test_a_full_disk_is_an_error_and_not_a_signal(self, make_vectors, options, monkeypatch, small_memory):
        def full(_descriptor, _start, size):
            assert size == 128 + 30 * 8 * 4
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(module.os, "posix_fallocate", full)
        encoder, card = make_vectors()
        with open_job_data(job_of(encoder, card, options), {}) as splits:
            with pytest.raises(UserError, match=r"train-all\.npy: No space left on device\. .*bench cache prune"):
                splits.arrays("train")
            assert list(splits.scratch.glob("[!.]*")) == []

    def test_a_file_system_that_cannot_reserve_is_done_without(self, make_vectors, options, monkeypatch, small_memory):
        def cannot(*_args):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(module.os, "posix_fallocate", cannot, raising=False)
        encoder, card = make_vectors()
        with open_job_data(job_of(encoder, card, options), {}) as splits:
            rows = splits.arrays("train").embeddings
            monkeypatch.setattr(module, "IN_MEMORY_BYTES", 2**31)
            np.testing.assert_array_equal(rows, splits.arrays("train").embeddings)


class TestSubset:
    def test_samples_of_one_repeat_are_nested_and_valid_and_test_stay_whole(self, make_vectors, options):
        job = job_of(*make_vectors(items=150), options)
        trains = {}
        for repeat in (0, 1):
            for fraction in (0.1, 0.3, 1.0):
                with open_job_data(of_subset(job, fraction, repeat), {}) as splits:
                    arrays = splits.arrays("train")
                    trains[repeat, fraction] = set(arrays.ids)
                    assert len(arrays) == int(75 * fraction)
                    shares = np.bincount(arrays.targets) / len(arrays)
                    np.testing.assert_allclose(shares, np.array([25, 20, 30]) / 75, atol=1 / len(arrays))
                    counts = splits.items.counts()
                    assert (counts["valid"], counts["test"]) == (45, 30)
                    _checks(splits)
            assert trains[repeat, 0.1] < trains[repeat, 0.3] < trains[repeat, 1.0]
        assert trains[0, 0.1] != trains[1, 0.1]
        assert trains[0, 1.0] == trains[1, 1.0]

    def test_groups_stay_whole(self, make_vectors, options):
        job = job_of(*make_vectors(group=True), options)
        with open_job_data(of_subset(job, 0.5), {}) as splits:
            drawn = splits.groups("train")
        assert len(drawn) == 15
        assert {drawn.count(name) for name in drawn} == {3}

    def test_the_seed_of_a_run_gives_other_samples(self, make_vectors, options):
        encoder, card = make_vectors()
        drawn = []
        for seed in (0, 7):
            job = job_of(encoder, card, replace(options, seed=seed))
            with open_job_data(of_subset(job, 0.5), {}) as splits:
                drawn.append(splits.arrays("train").ids)
        assert drawn[0] != drawn[1]

    def test_a_fraction_of_which_nothing_is_left_is_the_users_to_mend(self, make_vectors, options):
        job = job_of(*make_vectors(), options)
        with (
            pytest.raises(UserError, match=r"--train-fraction 0.99 of vectors: .*too few"),
            open_job_data(of_subset(job, 0.99), {}),
        ):
            pass


def _checks(splits):
    """Keys belong to their items still."""
    job = splits.job
    keys = dict(zip(job.data.items.track_ids, job.keys(AudioIndex(job.home)), strict=True))
    for split in ("train", "valid", "test"):
        arrays: SplitArrays = splits.arrays(split)
        again = job.source.read([keys[one] for one in arrays.ids])
        np.testing.assert_array_equal(arrays.embeddings, again)
