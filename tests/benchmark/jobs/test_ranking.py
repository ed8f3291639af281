"""Rank groups: what shares a rank, what has none, and what is kept of each pair."""

from __future__ import annotations

import runpy
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.jobs import column as module
from benchmark.jobs.ranking import rank_groups, rankings
from benchmark.reports.compare import compare_records
from benchmark.system.progress import Silent
from probes.statistics.comparison import holm
from results import store
from results.together import read_together

save = runpy.run_path(str(Path(__file__).parents[1] / "reports" / "test_compare.py"))["save"]


def ranked(results, home, **options):
    return {each.task: each for each in rankings(read_together([results]), home, **options)}


@pytest.fixture
def board(tmp_path):
    """Five encoders on a task: two good ones alike, one between, two poor ones alike."""
    for encoder, skill in (("best", 4.0), ("good", 4.0), ("fair", 1.2), ("poor", 0.1), ("worst", 0.1)):
        save(tmp_path / "results", "keys", encoder, skill, items=200, probes=5)
    return tmp_path


def test_those_that_the_test_does_not_separate_share_a_rank(board):
    found = ranked(board / "results", board)["keys"]
    assert (found.task, found.metric, found.notes) == ("keys", "accuracy", ())
    assert found.ranks == {"best": 1, "good": 1, "fair": 3, "poor": 4, "worst": 4}
    together = [{each.first, each.second} for each in found.separations if not each.separated]
    assert together == [{"best", "good"}, {"poor", "worst"}]


def test_each_pair_is_what_compare_says_and_holm_is_over_all_pairs(board):
    found = ranked(board / "results", board)["keys"]
    assert len(found.separations) == 10
    for each in found.separations:
        (row,) = compare_records(each.first, each.second, [], board / "results", None, 10, 0, Silent()).rows
        assert each.difference == pytest.approx(row.difference, abs=1e-12)
        assert each.difference >= 0
        assert (each.low, each.high, each.p) == pytest.approx((row.low, row.high, row.p), abs=1e-12)
        assert each.separated == (each.p_holm < 0.05)
    adjusted = holm([each.p for each in found.separations])
    assert [each.p_holm for each in found.separations] == pytest.approx(adjusted)
    assert any(each.p_holm > each.p for each in found.separations)


def test_holm_decides_not_the_p_value_alone(tmp_path):
    """Twelve encoders that are equally good: of 66 pairs some have p under .05, and none is separated."""
    for number in range(12):
        save(tmp_path / "results", "keys", f"e{number:02}", 0.5, items=100)
    found = ranked(tmp_path / "results", tmp_path)["keys"]
    assert min(each.p for each in found.separations) < 0.05
    assert not any(each.separated for each in found.separations)
    assert set(found.ranks.values()) == {1}


# what is kept


def test_pairs_are_kept_by_both_runs_and_predictions_are_not_read_again(board, monkeypatch):
    first = ranked(board / "results", board)["keys"]
    monkeypatch.setattr(module, "read_split", lambda *_: pytest.fail("predictions were read"))
    monkeypatch.setattr(module, "refuse_altered", lambda *_: pytest.fail("predictions were read"))
    assert ranked(board / "results", board)["keys"] == first


def test_only_pairs_of_a_new_run_are_compared(board, monkeypatch):
    ranked(board / "results", board)
    save(board / "results", "keys", "fair", 1.3, items=200, probes=5, run_key="c" * 64)
    read, compared = [], []
    before_read, before_compare = module.read_split, module.compare
    monkeypatch.setattr(
        module, "read_split", lambda folder, record: read.append(record.name) or before_read(folder, record)
    )
    monkeypatch.setattr(module, "compare", lambda *given: compared.append(1) or before_compare(*given))
    found = ranked(board / "results", board)["keys"]
    assert sorted(read) == ["best", "fair", "good", "poor", "worst"]
    assert len(compared) == 4
    assert found == ranked(board / "results", board / "another")["keys"]


def test_pairs_of_other_predictions_of_the_same_run_are_compared_again(board):
    """A run made again elsewhere has the same key, and numbers that differ in their last digits, or more."""
    before = ranked(board / "results", board)["keys"]
    save(board / "results", "keys", "fair", 3.0, items=200, probes=5)
    after = ranked(board / "results", board)["keys"]
    assert after.separations != before.separations
    assert after == ranked(board / "results", board / "another")["keys"]


def test_what_comes_of_a_pair_does_not_depend_on_the_others(tmp_path):
    """Neither on which others there are, nor on the order in which an earlier one holds its items (of over 400)."""
    results = tmp_path / "results"
    for encoder, skill in (("aa", 2.0), ("best", 1.0), ("good", 0.8)):
        save(results, "keys", encoder, skill, items=500)
    (turned,) = [record for record in store.read_all(results) if record.name == "aa"]
    table = store.read_predictions(results, turned)
    name = store.write_predictions(results, "keys", "aa", turned.run_key, table.take(list(range(len(table)))[::-1]))
    store.write(results, turned.model_copy(update={"predictions": name}))
    everyone = ranked(results, tmp_path / "a")["keys"]
    assert len(everyone.separations) == 3
    (results / "runs" / "keys" / "aa.json").unlink()
    (pair,) = ranked(results, tmp_path / "b")["keys"].separations
    (among,) = [each for each in everyone.separations if "aa" not in (each.first, each.second)]
    assert (among.difference, among.low, among.high, among.p) == (pair.difference, pair.low, pair.high, pair.p)


# what has no rank


def test_records_of_other_items_share_no_ranking(board):
    save(board / "results", "keys", "other", 4.0, items=200, task_fingerprint="0" * 64)
    found = ranked(board / "results", board)["keys"]
    assert "other" not in found.ranks
    assert len(found.ranks) == 5
    assert all("other" not in (each.first, each.second) for each in found.separations)
    assert found.notes == (
        "no rank: other (the task is not the same: its fingerprints differ (other items, targets or rules under the "
        "same version)).",
    )


def test_of_sets_that_are_equally_large_the_newer_version_is_ranked(tmp_path):
    for encoder, version in (("a", 1), ("b", 1), ("c", 2), ("d", 2)):
        save(tmp_path / "results", "keys", encoder, 1.0, task_version=version, task_fingerprint=str(version) * 64)
    found = ranked(tmp_path / "results", tmp_path)["keys"]
    assert sorted(found.ranks) == ["c", "d"]
    (note,) = found.notes
    assert note.startswith("no rank: a, b (the task is not the same: its fingerprints differ (versions ")


def test_partial_limited_and_curve_records_have_no_rank(board):
    save(board / "results", "keys", "part", 4.0, items=200, damaged=1)
    save(board / "results", "keys", "sample", 4.0, items=200, limit=40)
    found = ranked(board / "results", board)["keys"]
    assert len(found.ranks) == 5
    assert found.notes == ("no rank: part (partial).",)


def test_missing_and_altered_predictions_have_no_rank(board):
    folder = board / "results" / "runs" / "keys"
    records = {record.name: record for record in store.read_all(board / "results")}
    (folder / records["best"].predictions).unlink()
    (folder / records["fair"].predictions).write_bytes(b"no Parquet")
    found = ranked(board / "results", board)["keys"]
    assert found.ranks == {"good": 1, "poor": 2, "worst": 2}
    assert len(found.separations) == 3
    assert found.notes == (
        "no rank: best (its predictions are missing).",
        "no rank: fair (its predictions are damaged, or not those of its scores; bench results verify says more).",
    )
    assert str(board) not in "".join(found.notes)


def test_targets_that_differ_have_no_rank(board):
    save(board / "results", "keys", "zz", 4.0, items=199)
    found = ranked(board / "results", board)["keys"]
    assert "zz" not in found.ranks
    assert found.notes[0].startswith("no rank: zz (test items differ: 1 only of the first (t199)")


def test_a_metric_without_intervals_ranks_nothing(tmp_path):
    for encoder in "ab":
        save(tmp_path / "results", "tags", encoder, 1.0, kind="multilabel", metrics=("map",), positives=1)
    found = ranked(tmp_path / "results", tmp_path)["tags"]
    assert found.ranks == {}
    assert [(each.p, each.low, each.separated) for each in found.separations] == [(None, None, False)]
    assert found.notes == ("no rank: no pair was tested, as map is undefined without some one item or group of test.",)
    assert ranked(tmp_path / "results", tmp_path)["tags"] == found


def test_one_encoder_and_no_records(tmp_path):
    assert ranked(tmp_path / "results", tmp_path) == {}
    save(tmp_path / "results", "keys", "only", 1.0)
    found = ranked(tmp_path / "results", tmp_path)["keys"]
    assert (found.ranks, found.separations, found.notes) == ({"only": 1}, (), ())
    assert ranked(tmp_path / "results", tmp_path, tasks=["other"]) == {}


# groups


def test_a_third_that_is_separated_from_neither_joins_two_and_it_is_said(tmp_path):
    for encoder, skill in (("a", 1.5), ("b", 1.1), ("c", 0.9)):
        save(tmp_path / "results", "keys", encoder, skill, items=70, probes=5)
    found = ranked(tmp_path / "results", tmp_path)["keys"]
    assert [each.separated for each in found.separations] == [False, True, False]
    assert found.ranks == {"a": 1, "b": 1, "c": 1}
    assert found.notes == (
        "of one rank though separated, for others lie between that are not separated from them: a from c.",
    )


NAMES = "abcdef"


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=6),
    st.sets(st.sampled_from(list(combinations(range(6), 2)))),
)
def test_no_two_that_are_not_separated_have_different_ranks(values, separated):
    names = sorted(NAMES[: len(values)], key=lambda name: (-values[NAMES.index(name)], name))
    pairs = {(names[i], names[j]) for i, j in separated if j < len(names)}
    scores = dict(zip(NAMES, values, strict=False))
    ranks = rank_groups(scores, pairs)
    assert list(ranks) == names
    for above, below in combinations(names, 2):
        assert ranks[above] <= ranks[below]
        if ranks[above] < ranks[below]:
            assert (above, below) in pairs
    for rank in ranks.values():
        assert rank == 1 + sum(other < rank for other in ranks.values())
    # Nothing is joined without need: where all before are separated from all after, a new group begins.
    for cut in range(1, len(names)):
        if all((a, b) in pairs for a in names[:cut] for b in names[cut:]):
            assert ranks[names[cut]] == cut + 1


def test_a_group_inside_another_is_part_of_it():
    """b is separated from both, a and c from each other not: that b lies between them says nothing for certain."""
    assert rank_groups({"a": 0.9, "b": 0.8, "c": 0.7}, {("a", "b"), ("b", "c")}) == {"a": 1, "b": 1, "c": 1}


def test_equal_scores_are_in_order_of_their_names():
    assert list(rank_groups({"b": 0.5, "a": 0.5}, set())) == ["a", "b"]
    assert np.all(np.array(list(rank_groups({}, set()).values())) == 0)
