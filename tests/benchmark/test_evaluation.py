"""Scoring on test when outputs are not finite: the user's error for the probe, a gap for a floor."""

import numpy as np
import pytest

import benchmark
from benchmark.errors import UserError
from probes.floors import Ridge
from probes.trained import TrainedProbe

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
