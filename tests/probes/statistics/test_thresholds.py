import numpy as np
import pytest

from probes.statistics.thresholds import PRECISIONS, choose, reached, rules

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.1])
POSITIVE = np.array([1, 1, 0, 1, 0, 0], bool)


def brute(scores, positive, precision):
    """The best of all thresholds at a score, by counting."""
    each = [reached(scores, positive, at) for at in np.unique(scores)]
    if precision is None:
        return max(one.f1 for one in each)
    return max((one.recall for one in each if one.precision >= precision), default=None)


def test_by_hand():
    assert choose(SCORES, POSITIVE) == pytest.approx(0.55)  # 3 of 4: F1 6/7
    assert choose(SCORES, POSITIVE, 0.9) == pytest.approx(0.75)
    assert reached(SCORES, POSITIVE, 0.55).f1 == pytest.approx(6 / 7)
    assert reached(SCORES, POSITIVE, 0.95) == type(reached(SCORES, POSITIVE, 0.95))(None, 0.0, 0.0)
    assert reached(SCORES, np.zeros(6, bool), 0.55).recall is None


@pytest.mark.parametrize("precision", [None, *PRECISIONS])
def test_no_other_threshold_is_better_ties_included(precision):
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores, positive = np.round(rng.random(40), 1), rng.random(40) < 0.3
        at, best = choose(scores, positive, precision), brute(scores, positive, precision)
        if at is None:
            assert not positive.any() or not best
            continue
        found = reached(scores, positive, at)
        if precision is None:
            assert found.f1 == pytest.approx(best)
        else:
            assert found.precision >= precision
            assert found.recall == pytest.approx(best)


def test_what_cannot_be_reached_has_none():
    assert choose(SCORES, ~np.ones(6, bool)) is None
    assert choose(SCORES, np.array([0, 0, 0, 0, 1, 0], bool), 0.5) is None
    assert choose(np.full(6, -1.0), POSITIVE) is None


def test_a_threshold_takes_what_it_took_though_scores_are_rounded():
    at = choose(SCORES, POSITIVE)
    assert ((SCORES.astype(np.float32) - np.float32(1e-6)) >= at).tolist() == (at <= SCORES).tolist()


def test_where_all_are_taken_it_lies_below_the_last():
    assert choose(np.array([0.5, 0.4]), np.array([True, True])) == pytest.approx(0.2)


def test_rules_have_names():
    assert list(rules())[:2] == ["f1", "precision>=0.5"]
    assert rules()["precision>=0.9"] == 0.9
