from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, kstest

from probes import comparison
from probes.comparison import clusters_of, differences, holm, mid_ranks, p_value, swap_patterns, swapped_differences
from tasks import metrics as task_metrics


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
    """Return p values of data sets on which two encoders are equally good; outputs of a group are alike."""
    rng, found = np.random.default_rng(0), []
    names, labels = (["map"] if kind == "multilabel" else ["r2_0"]), ["0", "1"]
    metrics = metrics_of(names, labels)
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
        member = clusters_of(items, None if item_wise else [str(i) for i in number])
        patterns, exact = swap_patterns(int(member.max()) + 1, permutations, seed=draw)
        swapped = swapped_differences(
            metrics, targets, first, second, patterns[:, member], ranking=kind == "multilabel"
        )
        values = [np.mean([metrics(targets, o, None)[names[0]] for o in side]) for side in (first, second)]
        found.append(p_value(values[0] - values[1], swapped[names[0]], exact=exact))
    return np.array(found)


class TestUnderTheNull:
    @pytest.mark.parametrize(
        ("kind", "groups", "scale"),
        [("regression", None, 1.0), ("multilabel", None, 1.0), ("multilabel", 30, 10.0), ("regression", 30, 1.0)],
        ids=["r2", "map", "map of groups, calibrated otherwise", "r2 of groups"],
    )
    def test_p_is_uniform(self, kind, groups, scale):
        found = null_p_values(kind, items=60 if groups is None else 90, groups=groups, scale=scale)
        assert kstest(found, "uniform").pvalue > 0.01
        assert binom.ppf(0.001, len(found), 0.05) <= (found <= 0.05).sum() <= binom.ppf(0.999, len(found), 0.05)

    def test_items_for_groups_find_too_much(self):
        wrong = null_p_values("regression", items=120, groups=20, item_wise=True, draws=150)
        right = null_p_values("regression", items=120, groups=20, draws=150)
        assert (wrong <= 0.05).mean() > 0.12
        assert (right <= 0.05).sum() <= binom.ppf(0.999, len(right), 0.05)


class TestDifferences:
    def test_a_better_encoder_is_found(self):
        targets, first, second = classes(skill=(4.0, 0.5))
        found = differences(ACCURACY, targets, first, second, None, ranking=False)["accuracy"]
        assert found.p == pytest.approx(1 / 2001)
        assert 0 < found.low < found.value < found.high
        assert found.value == pytest.approx(
            np.mean([(o.argmax(1) == targets).mean() for o in first])
            - np.mean([(o.argmax(1) == targets).mean() for o in second])
        )

    def test_encoders_with_the_same_outputs_do_not_differ(self):
        targets, first, _ = classes()
        found = differences(ACCURACY, targets, first, first, None, ranking=False, permutations=50)["accuracy"]
        assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)

    def test_the_other_way_round_is_the_same_with_the_other_sign(self):
        targets, first, second = classes(skill=(1.5, 1.0))
        there, back = (
            differences(ACCURACY, targets, *sides, None, ranking=False, permutations=200)["accuracy"]
            for sides in ((first, second), (second, first))
        )
        assert there.p == back.p
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low))

    def test_is_seeded(self):
        targets, first, second = classes(skill=(1.3, 1.0))
        runs = [
            differences(ACCURACY, targets, first, second, None, ranking=False, permutations=200, seed=seed)["accuracy"]
            for seed in (0, 0, 1)
        ]
        assert runs[0] == runs[1] != runs[2]

    def test_all_patterns_of_few_groups_are_looked_at(self):
        targets, first, second = classes(skill=(4.0, 0.5))
        groups = [str(i % 5) for i in range(60)]
        found = differences(ACCURACY, targets, first, second, groups, ranking=False)["accuracy"]
        assert (found.exact, found.permutations, found.clusters) == (True, 16, 5)
        assert found.p == 1 / 16  # the smallest there is

    def test_refuses_what_cannot_be_paired(self):
        targets, first, second = classes()
        for sides, words in (
            ((first, second[:1]), "2 probes"),
            (([], []), "0 probes"),
            ((first, [o[1:] for o in second]), "fit"),
        ):
            with pytest.raises(ValueError, match=words):
                differences(ACCURACY, targets, *sides, None, ranking=False)
        with pytest.raises(ValueError, match="1 groups for 60 items"):
            differences(ACCURACY, targets, first, second, ["a"], ranking=False)
        with pytest.raises(ValueError, match="at least one permutation"):
            differences(ACCURACY, targets, first, second, None, ranking=False, permutations=0)

    def test_refuses_a_metric_that_is_undefined(self):
        outputs = [np.random.default_rng(0).normal(size=(20, 2))]
        with pytest.raises(ValueError, match="undefined"):
            differences(
                metrics_of(["map"], ["a", "b"]), np.zeros((20, 2)), outputs, outputs, None, ranking=True, permutations=9
            )


class TestSwapping:
    @pytest.mark.parametrize("name", ["map", "roc_auc", "r2_b", "accuracy"])
    def test_a_weighting_of_both_is_the_metric_of_the_exchanged_outputs(self, name):
        rng = np.random.default_rng(0)
        n, labels = 40, ["a", "b", "c"]
        ranking = name in ("map", "roc_auc")
        targets = rng.integers(3, size=n) if name == "accuracy" else (rng.random((n, 3)) < 0.4).astype(float)
        first, second = rng.normal(size=(2, 2, n, 3)).round(1)  # with ties
        swaps = rng.integers(0, 2, (7, n), dtype=np.uint8)
        found = swapped_differences(metrics_of([name], labels), targets, first, second, swaps, ranking=ranking)[name]
        if ranking:
            first, second = ([mid_ranks(outputs) for outputs in side] for side in (first, second))
        for swap, value in zip(swaps.astype(bool), found, strict=True):
            exchanged = [
                task_metrics.scores(name, targets, np.where(swap[:, None], b, a), labels)
                - task_metrics.scores(name, targets, np.where(swap[:, None], a, b), labels)
                for a, b in zip(first, second, strict=True)
            ]
            assert value == pytest.approx(np.mean(exchanged), abs=1e-12)

    def test_ranks_leave_ranking_metrics_as_they_are(self):
        rng = np.random.default_rng(0)
        targets, outputs = (rng.random((50, 3)) < 0.3).astype(float), rng.normal(size=(50, 3)).round(1)
        for name in ("map", "roc_auc"):
            plain, ranked = (
                task_metrics.scores(name, targets, o, ["a", "b", "c"]) for o in (outputs, mid_ranks(outputs))
            )
            assert plain == pytest.approx(ranked, abs=1e-12)

    def test_calibration_of_one_encoder_does_not_matter_to_ranking_metrics(self):
        rng = np.random.default_rng(0)
        targets = (rng.random((50, 2)) < 0.3).astype(float)
        first, second = (targets + rng.normal(size=(50, 2)) for _ in range(2))
        metrics = metrics_of(["map"], ["a", "b"])
        plain, scaled = (
            differences(metrics, targets, [first], [other], None, ranking=True, permutations=100)["map"]
            for other in (second, 1 / (1 + np.exp(-3 * second - 7)))
        )
        assert plain == scaled

    def test_patterns_are_all_there_are_when_these_are_few(self):
        patterns, exact = swap_patterns(4, 8, seed=0)
        assert exact
        assert len({tuple(row) for row in patterns} | {tuple(1 - row) for row in patterns}) == 16
        patterns, exact = swap_patterns(4, 7, seed=0)
        assert not exact
        assert patterns.shape == (7, 4)
        assert swap_patterns(100, 50, seed=0)[0].mean() == pytest.approx(0.5, abs=0.03)


def test_mid_ranks_share_a_place():
    assert mid_ranks(np.array([[0.3], [0.1], [0.3], [9.0]])).ravel().tolist() == pytest.approx([0.625, 0.25, 0.625, 1])


def test_mid_ranks_are_taken_within_a_label_and_not_over_all():
    outputs = np.array([[0.1, 30.0, -7.0], [0.2, 10.0, -9.0], [0.3, 20.0, -8.0]])
    assert mid_ranks(outputs) * 3 == pytest.approx(np.array([[1, 3, 3], [2, 1, 1], [3, 2, 2]]))


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


def test_only_large_tasks_get_fewer_permutations():
    assert comparison.affordable_permutations(5329, 50, 3) == comparison.PERMUTATIONS
    assert 200 < comparison.affordable_permutations(28435, 500, 3) < comparison.PERMUTATIONS
    assert comparison.affordable_permutations(10**7, 500, 3) == comparison.FEWEST_PERMUTATIONS
