from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom, kstest

from probes.statistics.comparison import differences, holm, p_value, swap_patterns
from tasks.metrics import scores as task_metrics
from tasks.metrics.table import bounds as bounds_of


def metrics_of(names, labels):
    def values(targets, outputs, weights):
        return {name: task_metrics.scores(name, targets, outputs, labels, weights) for name in names}

    return values


def classes(n=60, seed=0, skill=(1.0, 1.0), probes=2):
    """Targets of three classes, and the outputs of the probes of two encoders, each of its own skill."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(3, size=n)
    sides = [[s * np.eye(3)[targets] + rng.normal(size=(n, 3)) for _ in range(probes)] for s in skill]
    return targets, *sides


ACCURACY = metrics_of(["accuracy"], ["a", "b", "c"])


def null_p_values(kind, *, items=60, groups=None, item_wise=False, scale=1.0, draws=300, permutations=99):
    """Return p values of these probes, on data sets on which they are equally good; outputs of a group are alike."""
    rng, found = np.random.default_rng(0), []
    names, labels = (["map"] if kind == "multilabel" else ["r2_0"]), ["0", "1"]
    metrics, bounds = metrics_of(names, labels), {name: bounds_of(name) for name in names}
    number = np.arange(items) if groups is None else np.arange(items) // (items // groups)

    def noise():
        return 0.85 * rng.normal(size=(number.max() + 1, 2))[number] + 0.5 * rng.normal(size=(items, 2))

    for draw in range(draws):
        if kind == "multilabel":
            targets = (rng.random((number.max() + 1, 2)) < 0.3).astype(np.float32)[number]
        else:
            targets = noise()
        first, second = (
            [factor * (targets + 0.8 * own + 0.2 * rng.normal(size=own.shape)) for _ in range(2)]
            for factor, own in ((1.0, noise()), (scale, noise()))
        )
        member = None if item_wise else [str(i) for i in number]
        one = differences(metrics, targets, first, second, member, bounds=bounds, permutations=permutations, seed=draw)[
            names[0]
        ]
        found.append(one.items_p)
    return np.array(found)


class TestUnderTheNull:
    @pytest.mark.parametrize(
        ("kind", "groups", "scale"),
        [("regression", None, 1.0), ("multilabel", None, 1.0), ("multilabel", 30, 10.0), ("regression", 30, 1.0)],
        ids=["r2", "map", "map of groups, calibrated otherwise", "r2 of groups"],
    )
    def test_p_of_these_probes_is_uniform(self, kind, groups, scale):
        found = null_p_values(kind, items=60 if groups is None else 90, groups=groups, scale=scale)
        assert kstest(found, "uniform").pvalue > 0.01
        assert binom.ppf(0.001, len(found), 0.05) <= (found <= 0.05).sum() <= binom.ppf(0.999, len(found), 0.05)

    def test_items_for_groups_find_too_much(self):
        wrong = null_p_values("regression", items=120, groups=20, item_wise=True, draws=150)
        right = null_p_values("regression", items=120, groups=20, draws=150)
        assert (wrong <= 0.05).mean() > 0.12
        assert (right <= 0.05).sum() <= binom.ppf(0.999, len(right), 0.05)


UNIT = {"accuracy": (0.0, 1.0)}


def compared(targets, first, second, groups=None, **more):
    return differences(ACCURACY, targets, first, second, groups, bounds=UNIT, **more)["accuracy"]


class TestDifferences:
    def test_a_better_encoder_is_found(self):
        targets, first, second = classes(skill=(4.0, 0.5))
        found = compared(targets, first, second)
        assert found.items_p == pytest.approx(1 / 2001)
        assert found.p < 0.001
        assert found.question == "items and seeds"
        assert 0 < found.low <= found.items_low < found.value < found.items_high <= found.high
        assert found.value == pytest.approx(
            np.mean([(o.argmax(1) == targets).mean() for o in first])
            - np.mean([(o.argmax(1) == targets).mean() for o in second])
        )

    def test_encoders_with_the_same_outputs_do_not_differ(self):
        targets, first, _ = classes()
        found = compared(targets, first, first, permutations=50)
        assert (found.value, found.items_low, found.items_high, found.p, found.items_p) == (0, 0, 0, 1, 1)

    def test_the_other_way_round_is_the_same_with_the_other_sign(self):
        targets, first, second = classes(skill=(1.5, 1.0))
        there, back = (compared(targets, *sides, permutations=200) for sides in ((first, second), (second, first)))
        assert (there.p, there.items_p) == pytest.approx((back.p, back.items_p))
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low))

    def test_is_seeded_where_something_is_drawn(self):
        targets, first, second = classes(skill=(1.3, 1.0), n=1000)
        runs = [compared(targets, first, second, permutations=200, seed=seed) for seed in (0, 0, 1)]
        assert runs[0] == runs[1] != runs[2]

    @pytest.mark.parametrize("seed", range(12))
    def test_interval_and_p_never_contradict_each_other(self, seed):
        targets, first, second = classes(skill=(1.6, 1.0), seed=seed, probes=3)
        groups = [str(i % 20) for i in range(60)] if seed % 2 else None
        found = compared(targets, first, second, groups, permutations=9)
        assert (found.p <= 0.05) == (not found.low <= 0 <= found.high)

    def test_all_patterns_of_few_groups_are_looked_at(self):
        targets, first, second = classes(skill=(4.0, 0.5))
        groups = [str(i % 5) for i in range(60)]
        found = compared(targets, first, second, groups)
        assert (found.exact, found.permutations, found.clusters) == (True, 16, 5)
        assert found.items_p == 1 / 16  # the smallest there is

    def test_exchanging_what_items_add_is_exchanging_the_outputs(self):
        targets, first, second = classes(n=9, skill=(2.0, 0.5))
        found = compared(targets, first, second, permutations=2**8)
        right = [np.array([o.argmax(1) == targets for o in side], float).mean(0) for side in (first, second)]
        swaps = np.array(list(itertools.product([0, 1], repeat=9)))
        differences_of_swaps = [np.mean(np.where(s, b, a) - np.where(s, a, b)) for s in swaps for a, b in [right]]
        count = np.sum(np.abs(differences_of_swaps) >= abs(found.value) - 1e-9)
        assert found.exact
        assert found.items_p == count / 2**9

    def test_numbers_of_probes_may_differ(self):
        targets, first, _ = classes(skill=(4.0, 0.5), probes=5)
        _, _, second = classes(skill=(4.0, 0.5), probes=2)
        found = compared(targets, first, second)
        assert found.question == "items and seeds"
        assert found.p < 0.05

    def test_one_probe_says_that_seeds_are_not_known(self):
        targets, first, second = classes(skill=(4.0, 0.5))
        found = compared(targets, first, second[:1])
        assert found.question == "items"
        assert (found.low, found.high) == (found.items_low, found.items_high)

    def test_probes_that_lie_apart_by_their_seed_make_a_difference_uncertain(self):
        rng = np.random.default_rng(0)
        targets = rng.integers(3, size=600)
        steady, shaky = ([s * np.eye(3)[targets] + rng.normal(size=(600, 3)) for s in skill]
                         for skill in ((2.0, 2.0, 2.0), (2.6, 2.0, 1.2)))  # fmt: skip
        other = [1.3 * np.eye(3)[targets] + rng.normal(size=(600, 3)) for _ in range(3)]
        found = compared(targets, steady, other), compared(targets, shaky, other)
        assert [one.items_p < 0.001 for one in found] == [True, True]
        assert found[0].p < 0.01
        assert found[1].p > 0.05
        assert found[1].low < 0 < found[1].items_low

    def test_where_every_item_differs_alike_the_next_one_may_not(self):
        targets = np.zeros(5, int)
        right, wrong = np.tile([1.0, 0.0, 0.0], (5, 1)), np.tile([0.0, 1.0, 0.0], (5, 1))
        found = compared(targets, [right] * 2, [wrong] * 2)
        assert found.value == 1
        assert 0.3 < found.low < 0.6
        assert 0.001 < found.p < 0.05

    def test_without_one_item_undefined_there_is_no_interval(self):
        targets = np.zeros((30, 2))
        targets[3, 0] = 1
        outputs = np.random.default_rng(0).normal(size=(2, 30, 2))
        found = differences(
            metrics_of(["map"], ["a", "b"]), targets, [outputs[0]] * 2, [outputs[1]] * 2, None, bounds={"map": (0, 1)}
        )["map"]
        assert np.isfinite(found.value)
        assert (found.low, found.p, found.items_low, found.items_p) == (None, None, None, None)

    def test_refuses_what_cannot_be_compared(self):
        targets, first, second = classes()
        for sides, words in ((([], second), "0 and 2 probes"), ((first, [o[1:] for o in second]), "fit")):
            with pytest.raises(ValueError, match=words):
                compared(targets, *sides)
        with pytest.raises(ValueError, match="1 groups for 60 items"):
            compared(targets, first, second, ["a"])
        with pytest.raises(ValueError, match="too few"):
            compared(targets, first, second, ["a"] * 60)
        with pytest.raises(ValueError, match="at least one permutation"):
            compared(targets, first, second, permutations=0)

    def test_refuses_a_metric_that_is_undefined(self):
        outputs = [np.random.default_rng(0).normal(size=(20, 2))]
        for name, targets in (("map", np.zeros((20, 2))), ("r2_a", np.ones((20, 2)))):
            with pytest.raises(ValueError, match=f"{name} is undefined"):
                differences(metrics_of([name], ["a", "b"]), targets, outputs, outputs, None, bounds={name: (0, 1)})

    @pytest.mark.parametrize("name", ["map", "roc_auc"])
    def test_calibration_of_one_encoder_does_not_matter_to_ranking_metrics(self, name):
        rng = np.random.default_rng(0)
        targets = (rng.random((50, 2)) < 0.3).astype(float)
        first, second = (targets + rng.normal(size=(50, 2)) for _ in range(2))
        plain, scaled = (
            differences(metrics_of([name], ["a", "b"]), targets, [first], [other], None, bounds={name: (0, 1)})
            for other in (second, 1 / (1 + np.exp(-3 * second - 7)))
        )
        assert plain == scaled


def test_patterns_are_all_there_are_when_these_are_few():
    patterns, exact = swap_patterns(4, 8, seed=0)
    assert exact
    assert len({tuple(row) for row in patterns} | {tuple(1 - row) for row in patterns}) == 16
    patterns, exact = swap_patterns(4, 7, seed=0)
    assert not exact
    assert patterns.shape == (7, 4)
    assert swap_patterns(100, 50, seed=0)[0].mean() == pytest.approx(0.5, abs=0.03)


def test_p_counts_the_observed_among_drawn_permutations_and_finds_it_among_all():
    permuted = np.array([0.1, -0.2, 0.3, -0.2 - 1e-15])
    assert p_value(0.2, permuted, exact=False) == 4 / 5
    assert p_value(-0.2, permuted, exact=True) == 3 / 4
    assert p_value(9.0, permuted, exact=False) == 1 / 5


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
