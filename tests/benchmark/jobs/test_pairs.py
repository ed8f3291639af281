"""The pairs that are kept in the data home."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from benchmark.jobs import pairs
from benchmark.jobs.pairs import KeptPairs, PairResult, pair_key

build_record = runpy.run_path(str(Path(__file__).parents[2] / "results" / "conftest.py"))["build_record"]
ONE, OTHER = PairResult(0.1, -0.1, 0.3, 0.25), PairResult(-0.2, None, None, None)


def test_what_is_kept_is_what_was_given(tmp_path):
    kept = KeptPairs(tmp_path)
    assert kept.read("keys", "accuracy") == {}
    kept.add("keys", "accuracy", {"k": ONE})
    kept.add("keys", "accuracy", {"l": OTHER})
    kept.add("hf:x/y", "accuracy", {"m": ONE})
    assert kept.read("keys", "accuracy") == {"k": ONE, "l": OTHER}
    assert kept.read("keys", "map") == {}
    assert kept.read("hf:x/y", "accuracy") == {"m": ONE}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", '{"k": 1}', '{"k": [1, 2, 3]}', '{"k": ["a", 0, 0, 0]}', '{"k": [NaN, 0, 0, 0]}',
     '{"k": [true, 0, 0, 0]}', '{"k": [0.1, 0.2, null, 0.3]}', '{"k": [0.1, null, null, 1e999]}', "[" * 100_000],
)  # fmt: skip
def test_a_file_that_cannot_be_read_counts_as_empty(tmp_path, content):
    kept = KeptPairs(tmp_path)
    kept.add("keys", "accuracy", {"k": ONE})
    (path,) = (tmp_path / pairs.FOLDER).iterdir()
    path.write_text(content)
    assert kept.read("keys", "accuracy") == {}
    kept.add("keys", "accuracy", {"l": OTHER})
    assert kept.read("keys", "accuracy") == {"l": OTHER}


def test_a_home_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / pairs.FOLDER).write_text("a file")
    kept = KeptPairs(tmp_path)
    kept.add("keys", "accuracy", {"k": ONE})
    assert kept.read("keys", "accuracy") == {}


def test_keys_are_of_both_runs_their_predictions_the_metric_and_the_versions(monkeypatch):
    a, b = build_record("keys", "a"), build_record("keys", "b")
    known = [
        pair_key(a, b, "accuracy"),
        pair_key(b, a, "accuracy"),
        pair_key(a, b, "map"),
        pair_key(a.model_copy(update={"run_key": "a" * 64}), b, "accuracy"),
        pair_key(a, b.model_copy(update={"run_key": "a" * 64}), "accuracy"),
        pair_key(a, b.model_copy(update={"predictions_sha256": "a" * 64}), "accuracy"),
    ]
    for name in ("VERSION", "SCORING_VERSION"):
        with monkeypatch.context() as patch:
            patch.setattr(pairs, name, -1)
            known.append(pair_key(a, b, "accuracy"))
    assert len(set(known)) == len(known)
    assert pair_key(a, b, "accuracy") == known[0]
    again = build_record("keys", "a", {"weighted_accuracy": 0.71})  # without a digest its scores count
    assert pair_key(again, b, "accuracy") != known[0]


def test_a_pair_turned_twice_is_itself():
    assert ONE.turned() == PairResult(-0.1, -0.3, 0.1, 0.25)
    assert ONE.turned().turned() == ONE
    assert OTHER.turned() == PairResult(0.2, None, None, None)
