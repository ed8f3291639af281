"""Tasks with folds: one search a fold, each sealed from its own test items; scores of each fold and of all items."""

import csv
import shutil

import numpy as np
import pytest

import benchmark
from benchmark.encoders.base import Encoder
from benchmark.errors import UserError
from benchmark.jobs import evaluate as evaluation
from benchmark.jobs import reproduce as work
from benchmark.jobs import select as selection
from benchmark.jobs.remarks import remarks
from benchmark.jobs.splits import JobData
from benchmark.reports.compare import compare
from benchmark.reports.labels import labels
from results import leaderboard, store
from results.predictions import read_split
from tasks import registry
from tasks.errors import TaskError
from tests.benchmark.conftest import RATE

FAST = {"trials": 3, "seeds": 2, "workers": 0}


def folded_by(i):
    """Return the fold of the i-th item: by artist, of which each has three."""
    return f"{i // 3 % 5 + 1}"


def with_folds(card, fold=folded_by, column="fold"):
    """Give a task folds in place of its splits."""
    manifest = card.parent / "manifest.csv"
    with manifest.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    for i, row in enumerate(rows):
        row[2] = fold(i)
    header[2] = column
    with manifest.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    card.write_text(card.read_text().replace('split = "split"', f'fold = "{column}"'))
    return card


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


@pytest.fixture
def folded(make_vectors):
    encoder, card = make_vectors(apart=1.5, group=True)
    return encoder, with_folds(card)


@pytest.fixture
def record(folded, places):
    return benchmark.run(*folded, **places, **FAST)


class TestRecord:
    def test_every_fold_is_test_once_and_the_next_one_chooses(self, record):
        assert [(fold.name, fold.valid) for fold in record.folds] == [
            ("1", "2"), ("2", "3"), ("3", "4"), ("4", "5"), ("5", "1"),
        ]  # fmt: skip
        assert [fold.counts for fold in record.folds] == [{"train": 36, "valid": 12, "test": 12}] * 5
        assert record.data.counts == {"train": 60, "valid": 60, "test": 60}
        assert record.probe == record.folds[0].probe

    def test_the_pooled_score_is_that_of_every_item_by_the_probe_of_its_fold(self, record, places):
        predictions = read_split(places["results"], record)
        assert predictions.track_ids == tuple(f"t{i:04d}" for i in range(60))
        hits = [(output.argmax(1) == predictions.targets) for output in predictions.outputs]
        score = record.scores.test["accuracy"]
        assert score.seeds == [float(np.mean(of_seed)) for of_seed in hits]
        for number, fold in enumerate(record.folds):
            rows = [i for i in range(60) if i // 3 % 5 == number]
            assert fold.scores.test["accuracy"].seeds == pytest.approx([np.mean(h[rows]) for h in hits], abs=1e-12)
        assert (score.clusters, score.clustered) == (20, True)
        assert score.low < score.value < score.high

    def test_folds_of_several_sizes_count_by_their_items(self, make_vectors, places):
        encoder, card = make_vectors(apart=1.5, group=True)
        with_folds(card, lambda i: f"{min(i // 15, 2)}")  # of 15, 15 and 30 items
        record = benchmark.run(encoder, card, **places, **FAST)
        predictions = read_split(places["results"], record)
        hits = [(output.argmax(1) == predictions.targets) for output in predictions.outputs]
        assert {fold.counts["test"] for fold in record.folds} == {15, 30}
        of_items = float(np.mean(hits))
        of_folds = float(np.mean([fold.scores.test["accuracy"].value for fold in record.folds]))
        assert abs(of_items - of_folds) > 1e-3  # else the two could not be told apart
        assert record.scores.test["accuracy"].value == pytest.approx(of_items, abs=1e-12)

    @pytest.mark.parametrize("number", [0, 4])
    def test_a_fold_is_what_a_run_on_these_splits_is(self, record, folded, places, tmp_path, number):
        encoder, card = folded
        names = {number: "test", (number + 1) % 5: "valid"}
        copy = tmp_path / "vectors-split"
        shutil.copytree(card.parent, copy)
        split = with_folds(copy / "card.toml", lambda i: names.get(i // 3 % 5, "train"), "split")
        split.write_text(split.read_text().replace('fold = "fold"', 'split = "split"'))
        one = benchmark.run(encoder, split, home=places["home"], results=tmp_path / "other", **FAST)
        fold = record.folds[number]
        assert fold.scores == one.scores
        assert fold.probe == one.probe
        assert [trial.score for trial in fold.search.trials] == [trial.score for trial in one.search.trials]

    def test_groups_in_two_folds_are_told(self, make_vectors, places):
        encoder, card = make_vectors(apart=1.5, group=True)
        record = benchmark.run(encoder, with_folds(card, lambda i: f"{i % 5}"), **places, **FAST)
        assert record.data.shared_groups == sorted(f"artist{i}" for i in range(20))

    def test_it_is_kept_reproduced_compared_and_listed(self, folded, record, places, tmp_path, make_vectors):
        assert benchmark.run(*folded, **places, **FAST) == record
        path = store.path_of(places["results"], record)
        again = work.reproduce(path, home=places["home"], encoder=folded[0], task=str(folded[1]), search=True)
        assert again.verdict == "same"
        assert sum("as in the record" in line for line in again.circumstances) == 5
        other = folded[1].parent / "other.npz"
        with np.load(folded[1].parent / "given.npz") as given:
            np.savez(other, ids=given["ids"], embeddings=np.random.default_rng(1).normal(size=(60, 8)))
        benchmark.run(f"emb:{other}", folded[1], **places, **FAST)
        notes = "\n".join(remarks(record))
        assert "given on vectors: each item is scored by the probe of its fold; accuracy by fold: 1: " in notes
        assert "given" in compare("given", "other", [], results=places["results"])
        assert "accuracy" in labels(str(path), None, results=places["results"])
        assert "5 folds" in leaderboard.render(store.read_all(places["results"])).compact


def begun(places):
    """Return how many trials were begun in each search."""
    journals = (places["results"] / "studies").glob("*.journal")
    return [path.read_text().count('"op_code":4') for path in journals]


class TestSearches:
    def test_test_items_of_a_fold_are_read_after_its_probes_are_trained(self, folded, places, monkeypatch):
        events, read, retrain = [], JobData.arrays, selection._retrain

        def arrays(self, split, layer=None):
            events.append((self.fold, split))
            return read(self, split, layer)

        def retrained(trainer, *rest):
            events.append(("retrained", ""))
            return retrain(trainer, *rest)

        monkeypatch.setattr(JobData, "arrays", arrays)
        monkeypatch.setattr(selection, "_retrain", retrained)
        benchmark.run(*folded, **places, **FAST)
        assert events == [
            event for fold in "12345" for event in [(fold, "train"), (fold, "valid"), ("retrained", ""), (fold, "test")]
        ]

    def test_a_run_that_was_stopped_continues_with_the_fold_it_was_at(self, folded, places, monkeypatch):
        searched, select = [], evaluation.select

        def counted(splits, *rest):
            if splits.fold == "4" and len(searched) == 3:
                raise KeyboardInterrupt
            searched.append(splits.fold)
            return select(splits, *rest)

        monkeypatch.setattr(evaluation, "select", counted)
        with pytest.raises(KeyboardInterrupt):
            benchmark.run(*folded, **places, **FAST)
        assert begun(places) == [3, 3, 3]
        whole = benchmark.run(*folded, **places, **FAST)
        assert begun(places) == [3] * len(whole.folds) == [3] * 5  # no trial of the first three was trained again


class TestAudio:
    def test_damaged_tracks_are_left_out_and_counted_by_fold(self, bands, make_task, places):
        card = with_folds(make_task())
        (card.parent / "audio" / "t004.flac").write_bytes(b"fLaC")
        with pytest.raises(UserError, match="1 damaged"):
            benchmark.run(bands, card, **places, **FAST)
        record = benchmark.run(bands, card, **places, **FAST, allow_damaged=1)
        assert record.data.left_out.damaged_by_split == {"1": 0, "2": 1, "3": 0, "4": 0, "5": 0}
        assert [fold.counts["test"] for fold in record.folds] == [12, 11, 12, 12, 12]

    def test_a_limit_takes_of_every_fold(self, bands, make_task, places):
        record = benchmark.run(bands, with_folds(make_task()), **places, **FAST, limit=45)
        assert [fold.counts["test"] for fold in record.folds] == [9] * 5


class Fitted(Encoder):
    name, version, sample_rate, dim, arrays, fitted = "fitted", "1", RATE, 1, "numpy", True

    def fit(self, tracks):
        pass

    def embed(self, waveforms):
        return waveforms.mean((1, 2))[:, None]


class TestRefusals:
    @pytest.mark.parametrize(
        ("chosen", "option"),
        [
            ({"train_fraction": "0.5"}, "--train-fraction"),
            ({"deform": "gain=3"}, "--deform"),
            ({"export": "x"}, "--export"),
        ],
    )
    def test_what_is_about_one_split(self, bands, make_task, places, chosen, option):
        with pytest.raises(UserError, match=rf"{option} is about one split, and 'tones' has 5 folds: leave it out"):
            benchmark.run(bands, with_folds(make_task()), **places, **FAST, **chosen)

    def test_an_encoder_that_is_fitted_on_train(self, make_task, places):
        with pytest.raises(UserError, match="fitted on the training split, and 'tones' has 5 folds"):
            benchmark.run(Fitted(), with_folds(make_task()), **places, **FAST)

    @pytest.mark.parametrize(
        ("fold", "problem"),
        [
            (lambda i: f"{i % 2}", "there are 2 folds, and a task needs 3 at least"),
            (lambda i: "train" if i == 7 else f"{i % 5}", "row 9: the fold is 'train', which names no fold"),
            (lambda i: "" if i == 7 else f"{i % 5}", "row 9: the fold is '', which names no fold"),
            (
                lambda i: "12"[i % 2] if i % 3 == 0 else "345"[i % 3],
                r"label 'middle' is in the fold\(s\) 4 and 5 alone: none",
            ),
        ],
    )
    def test_folds_that_cannot_be_used(self, make_task, places, fold, problem):
        card = with_folds(make_task(), fold)
        with pytest.raises(TaskError, match=problem):
            registry.find(str(card))[0].items(places["home"])
