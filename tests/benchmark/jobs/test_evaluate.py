"""Which split each number of a record is of; and scoring on test when outputs are not finite."""

import numpy as np
import pytest

import benchmark
from benchmark.errors import UserError
from probes.export.files import load
from probes.statistics.baselines import Ridge
from probes.training.probe import TrainedProbe
from results.predictions import read_split
from tests.benchmark.conftest import CLASSES

FAST = {"trials": 2, "seeds": 1, "workers": 0}


def spoil(monkeypatch, kind, wanted):
    """Let ``kind`` give what is not finite where ``wanted`` says so of its (how many calls went before)."""
    predict, calls = kind.predict, []

    def spoiled(self, embeddings):
        calls.append(len(embeddings))
        found = predict(self, embeddings)
        return np.full_like(found, np.nan) if wanted(len(calls) - 1) else found

    monkeypatch.setattr(kind, "predict", spoiled)


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


def test_a_probe_on_test_is_the_users_to_mend(make_vectors, places, monkeypatch):
    spoil(monkeypatch, TrainedProbe, lambda before: before == 1)  # valid, then test
    with pytest.raises(UserError, match="a probe's outputs on the test split of 'vectors' are not finite"):
        benchmark.run(*make_vectors(), **places, **FAST)


def test_a_ridge_is_recorded_as_unknown(make_vectors, places, monkeypatch):
    spoil(monkeypatch, Ridge, lambda before: before == 4)  # valid, with each of its penalties, then test
    floors = benchmark.run(*make_vectors(), **places, **FAST).floors
    assert (floors.ridge, floors.ridge_penalty, floors.loses_to_ridge) == (None, None, [])
    assert floors.permuted is not None


def test_a_probe_of_permuted_labels_is_recorded_as_unknown(make_vectors, places, monkeypatch):
    spoil(monkeypatch, TrainedProbe, lambda before: before == 2)
    floors = benchmark.run(*make_vectors(), **places, **FAST).floors
    assert floors.permuted is None
    assert floors.ridge is not None


class TestWhichSplit:
    """The splits of these tasks differ in size, in their most frequent class and in their scores."""

    def test_scores_of_valid_and_test_are_those_of_their_own_predictions(self, make_vectors, places):
        record = benchmark.run(*make_vectors(items=150, apart=2), **places, **{**FAST, "seeds": 3})
        values = {}
        for split, scores in (("valid", record.scores.valid), ("test", record.scores.test)):
            found = read_split(places["results"], record, split)
            assert len(found.track_ids) == record.data.counts[split]
            seeds = [float((outputs.argmax(1) == found.targets).mean()) for outputs in found.outputs]
            assert len(set(seeds)) > 1
            assert scores["accuracy"].seeds == pytest.approx(seeds)
            values[split] = scores["accuracy"].value
        assert values["valid"] != values["test"]

    def test_groups_make_the_intervals_of_both_splits_and_of_every_floor(self, make_vectors, places):
        plain = benchmark.run(*make_vectors("vectors", apart=2), **places, **FAST)
        grouped = benchmark.run(*make_vectors("grouped", apart=2, group=True), **places, **FAST)
        for split in ("valid", "test"):
            one, other = (getattr(record.scores, split)["accuracy"] for record in (plain, grouped))
            assert one.seeds == other.seeds  # the same probes, or the intervals tell nothing
            assert (one.low, one.high) != (other.low, other.high)
        for floor in ("constant", "ridge"):
            one, other = (getattr(record.floors, floor)["accuracy"] for record in (plain, grouped))
            assert one.value == other.value
            assert (one.low, one.high) != (other.low, other.high)

    def test_the_constant_floor_knows_train_alone(self, make_vectors, places):
        encoder, card = make_vectors()
        record = benchmark.run(encoder, card, **places, **FAST)
        test = read_split(places["results"], record, "test")
        shares = np.bincount(test.targets, minlength=3) / len(test.targets)
        assert len(set(shares)) == 3
        assert record.floors.constant["accuracy"].value == shares[CLASSES.index("middle")]  # the most frequent of train

    def test_an_exported_probe_has_the_scores_of_its_own_splits(self, make_vectors, places, tmp_path):
        encoder, card = make_vectors(items=150, apart=2)
        record = benchmark.run(encoder, card, **places, **{**FAST, "seeds": 3}, export=tmp_path / "out")
        (folder,) = (tmp_path / "out").glob("*/*")
        probe, described = load(folder)
        best = record.seeds.probes.index(described.seed)
        valid, test = (scores["accuracy"].seeds for scores in (record.scores.valid, record.scores.test))
        assert valid[best] == max(valid)
        assert valid[best] != test[best]
        assert described.scores == {"valid": {"accuracy": valid[best]}, "test": {"accuracy": test[best]}}
        with np.load(encoder.removeprefix("emb:")) as file:
            rows = dict(zip(file["ids"], file["embeddings"], strict=True))
        for split, value in (("valid", valid[best]), ("test", test[best])):
            found = read_split(places["results"], record, split)
            named = probe.predict(np.stack([rows[one] for one in found.track_ids])).argmax(1)
            assert (named == found.targets).mean() == pytest.approx(value)
