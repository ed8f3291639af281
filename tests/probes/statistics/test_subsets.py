from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.statistics.subsets import fraction_rows

FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0)


def genres(n=443, seed=0):
    return np.random.default_rng(seed).choice(10, n, p=[0.28, *[0.08] * 9])


def tags(n=600, labels=20, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((n, labels)) < np.geomspace(0.004, 0.4, labels)).astype(np.float32)


def artists(n, count, seed=0):
    return [f"artist {i}" for i in np.random.default_rng(seed).integers(count, size=n)]


TARGETS = {
    "multiclass": genres(),
    "multilabel": tags(443),
    "regression": np.random.default_rng(1).normal(size=(443, 2)).astype(np.float32),
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("grouped", [False, True])
def test_samples_are_nested_sorted_and_seeded(kind, grouped):
    groups = artists(443, 100) if grouped else None
    for seed in range(3):
        inner: set[int] = set()
        for fraction in FRACTIONS:
            rows = fraction_rows(TARGETS[kind], groups, kind, fraction, seed).rows
            assert (np.diff(rows) > 0).all()
            assert inner <= set(rows.tolist())
            inner = set(rows.tolist())
            assert np.array_equal(rows, fraction_rows(TARGETS[kind], groups, kind, fraction, seed).rows)
        assert inner == set(range(443))
    first, other = (fraction_rows(TARGETS[kind], groups, kind, 0.1, seed).rows for seed in (0, 1))
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", TARGETS)
def test_groups_are_never_split_and_the_size_is_near(kind):
    groups = np.array(artists(443, 100))
    for fraction in (0.1, 0.2, 0.5):
        rows = fraction_rows(TARGETS[kind], groups.tolist(), kind, fraction, 0).rows
        inside, outside = set(groups[rows]), set(np.delete(groups, rows))
        assert not inside & outside
        assert abs(len(rows) - 443 * fraction) <= 6


class TestClasses:
    @given(st.integers(0, 1000), st.sampled_from([0.05, 0.1, 0.2, 0.5]))
    @settings(max_examples=30, deadline=None)
    def test_shares_are_kept_to_within_two_items(self, seed, fraction):
        targets = genres()
        counts = np.bincount(targets[fraction_rows(targets, None, "multiclass", fraction, seed).rows], minlength=10)
        assert (np.abs(counts - fraction * np.bincount(targets)) <= 2).all()
        assert abs(counts.sum() - fraction * 443) <= 1

    @pytest.mark.parametrize("grouped", [False, True])
    def test_every_class_keeps_an_item_even_where_there_is_no_room(self, grouped):
        targets = genres()
        sample = fraction_rows(targets, artists(443, 60) if grouped else None, "multiclass", 0.01, 0)
        assert set(targets[sample.rows]) == set(range(10))
        assert sample.lost == ()
        assert len(sample.rows) == 10 or grouped

    def test_items_are_drawn_equally_often(self):
        targets, drawn = genres(200), np.zeros(200)
        for seed in range(600):
            drawn[fraction_rows(targets, None, "multiclass", 0.2, seed).rows] += 1
        assert drawn.min() / 600 > 0.12
        assert drawn.max() / 600 < 0.30

    def test_a_class_of_one_group_is_found(self):
        targets = np.array([0] * 50 + [1] * 50 + [2] * 2)
        groups = [f"g{i // 5}" for i in range(100)] + ["g0", "g19"]
        sample = fraction_rows(targets, groups, "multiclass", 0.1, 3)
        assert set(targets[sample.rows]) == {0, 1, 2}


class TestTags:
    def test_labels_keep_an_item_where_there_is_room(self):
        targets = tags()
        sample = fraction_rows(targets, None, "multilabel", 0.1, 0)
        present = (targets != 0).any(0)
        assert (targets[sample.rows] != 0).any(0)[present].all()
        assert sample.lost == ()
        assert len(sample.rows) == 60

    def test_labels_that_are_lost_are_named(self):
        targets = np.eye(20, dtype=np.float32).repeat(5, axis=0)
        sample = fraction_rows(targets, None, "multilabel", 0.1, 0)
        assert len(sample.rows) == 10
        kept = set(np.flatnonzero(targets[sample.rows].any(0)).tolist())
        assert set(sample.lost) == set(range(20)) - kept
        assert len(sample.lost) == 10

    def test_a_label_without_a_positive_is_not_lost(self):
        targets = np.zeros((40, 2), np.float32)
        targets[::2, 0] = 1
        assert fraction_rows(targets, None, "multilabel", 0.2, 0).lost == ()

    def test_frequent_labels_keep_their_share(self):
        targets = tags(3000)
        share = targets[fraction_rows(targets, None, "multilabel", 0.2, 0).rows].mean(0)
        assert np.abs(share - targets.mean(0))[targets.mean(0) > 0.1].max() < 0.03


def test_values_of_a_regression_keep_their_spread_better_than_chance():
    values = np.random.default_rng(0).normal(size=(400, 1))
    stratified = [values[fraction_rows(values, None, "regression", 0.1, seed).rows].mean() for seed in range(50)]
    rng = np.random.default_rng(1)
    chance = [values[rng.choice(400, 40, replace=False)].mean() for _ in range(50)]
    assert np.std(stratified) < 0.5 * np.std(chance)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
def test_refuses_fractions_that_are_none(fraction):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        fraction_rows(genres(), None, "multiclass", fraction, 0)


def test_refuses_too_few_items_and_groups_that_do_not_fit():
    values = np.random.default_rng(0).normal(size=(30, 1))
    with pytest.raises(ValueError, match="at least 2"):
        fraction_rows(values, None, "regression", 0.02, 0)
    with pytest.raises(ValueError, match="would be all of them"):
        fraction_rows(np.arange(8), None, "multiclass", 0.1, 0)
    with pytest.raises(ValueError, match="in 1 groups would be all"):
        fraction_rows(values, ["a"] * 30, "regression", 0.1, 0)
    with pytest.raises(ValueError, match="2 groups for 30 items"):
        fraction_rows(values, ["a", "b"], "regression", 0.1, 0)
    with pytest.raises(ValueError, match="no train items"):
        fraction_rows(np.empty(0, np.int64), None, "multiclass", 0.1, 0)
