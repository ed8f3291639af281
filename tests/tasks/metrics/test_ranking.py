import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from tasks.metrics import ranking

BOTH = ("map", "roc_auc")
TIGHT = {"rtol": 1e-12, "atol": 1e-12}


def by_sklearn(targets, outputs, weights=None):
    """Both metrics of each label [L], NaN where scikit-learn does not define them."""
    found = {metric: np.full(targets.shape[1], np.nan) for metric in BOTH}
    counted = np.ones(len(targets), bool) if weights is None else weights > 0
    for j, (column, scores) in enumerate(zip(targets.T, outputs.T, strict=True)):
        if column[counted].any():
            found["map"][j] = average_precision_score(column, scores, sample_weight=weights)
            if not column[counted].all():
                found["roc_auc"][j] = roc_auc_score(column, scores, sample_weight=weights)
    return found


def problem(n, labels, *, rate=0.3, levels=None, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, labels)) < rate).astype(np.float32)
    outputs = targets * rng.random((n, labels)) + rng.random((n, labels))
    if levels:
        outputs = np.round(outputs * levels) / levels - 0.5
    return targets, outputs.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", [None, 5, 200])
@pytest.mark.parametrize("rate", [0.003, 0.3, 0.99])
def test_values_equal_scikit_learn_over_many_columns(rate, levels, dtype):
    targets, outputs = problem(400, 2 * ranking.LABELS_AT_ONCE + 3, rate=rate, levels=levels, dtype=dtype)
    targets[:, 1], targets[:, 20] = 0, 1
    found, expected = ranking.ranking_values(BOTH, targets, outputs), by_sklearn(targets, outputs)
    for metric in BOTH:
        np.testing.assert_allclose(found[metric], expected[metric], **TIGHT)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("levels", [None, 5])
def test_resamples_equal_scikit_learn_over_several_blocks(levels, grouped):
    targets, outputs = problem(60, 3, levels=levels)
    rng, resamples = np.random.default_rng(1), ranking.RESAMPLES_AT_ONCE + 6
    units = 12 if grouped else 60
    draws = rng.multinomial(units, np.full(units, 1 / units), size=resamples)
    weights = np.repeat(draws, 60 // units, axis=1).astype(np.float32)
    found = ranking.ranking_resamples(BOTH, targets, outputs, weights)
    for metric in BOTH:
        expected = np.stack([by_sklearn(targets, outputs, row)[metric] for row in weights])
        np.testing.assert_allclose(found[metric], expected, **TIGHT)


@pytest.mark.parametrize(("largest", "dtype"), [(1, np.uint16), (2**13, np.uint32), (2**32, np.float64)])
def test_sums_are_exact_however_heavy_the_items(largest, dtype):
    targets, outputs = problem(30, 2, levels=9)
    weights = np.random.default_rng(2).integers(0, 3, (5, 30)).astype(np.float64) * largest
    assert ranking._dtype_of_sums(weights, weights.sum(1)) is dtype
    found = ranking.ranking_resamples(BOTH, targets, outputs, weights)
    alone = ranking.ranking_resamples(BOTH, targets, outputs, weights / largest)
    for metric in BOTH:
        np.testing.assert_allclose(found[metric], alone[metric], **TIGHT)


def test_weights_that_are_not_whole_are_not_rounded():
    targets, outputs = problem(30, 2, levels=9)
    weights = np.random.default_rng(3).random((5, 30))
    found = ranking.ranking_resamples(BOTH, targets, outputs, weights)
    for metric in BOTH:
        expected = np.stack([by_sklearn(targets, outputs, row)[metric] for row in weights])
        np.testing.assert_allclose(found[metric], expected, **TIGHT)


@pytest.mark.parametrize("places", [1, 50, 120])
def test_labels_in_blocks_equal_all_at_once(places, monkeypatch):
    targets, outputs = problem(40, 5, levels=20)
    weights = np.random.default_rng(4).integers(0, 3, (7, 40)).astype(np.float32)
    at_once = ranking.ranking_resamples(BOTH, targets, outputs, weights)
    monkeypatch.setattr(ranking, "PLACES_AT_ONCE", places)
    monkeypatch.setattr(ranking, "RESAMPLES_AT_ONCE", 3)
    in_blocks = ranking.ranking_resamples(BOTH, targets, outputs, weights)
    for metric in BOTH:
        np.testing.assert_allclose(in_blocks[metric], at_once[metric], **TIGHT)


@pytest.mark.parametrize("metric", BOTH)
def test_one_metric_alone_is_what_it_is_with_the_other(metric):
    targets, outputs = problem(40, 5, levels=20)
    weights = np.random.default_rng(5).integers(0, 3, (7, 40)).astype(np.float32)
    both = ranking.ranking_values(BOTH, targets, outputs)[metric]
    np.testing.assert_array_equal(ranking.ranking_values((metric,), targets, outputs)[metric], both)
    both = ranking.ranking_resamples(BOTH, targets, outputs, weights)[metric]
    np.testing.assert_array_equal(ranking.ranking_resamples((metric,), targets, outputs, weights)[metric], both)


@given(st.lists(st.sampled_from([-0.0, 0.0, 1e-45, -1e-45, 0.5, 3e38, -3e38]), min_size=2, max_size=20), st.data())
def test_extreme_scores_and_signed_zeros_are_compared_as_numbers(scores, data):
    column = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    targets, outputs = np.array(column, np.float32)[:, None], np.array(scores, np.float32)[:, None]
    expected = by_sklearn(targets, outputs.astype(np.float64))
    found = ranking.ranking_values(BOTH, targets, outputs)
    resampled = ranking.ranking_resamples(BOTH, targets, outputs, np.ones((2, len(scores))))
    for metric in BOTH:
        np.testing.assert_allclose(found[metric], expected[metric], **TIGHT)
        np.testing.assert_allclose(resampled[metric], [expected[metric]] * 2, **TIGHT)


def test_arrays_are_left_as_they_were():
    targets, outputs = problem(40, 3)
    weights = np.ones((2, 40), np.float32)
    before = [array.copy() for array in (targets, outputs, weights)]
    ranking.ranking_values(BOTH, targets, outputs)
    ranking.ranking_resamples(BOTH, targets, outputs, weights)
    for array, copy in zip((targets, outputs, weights), before, strict=True):
        np.testing.assert_array_equal(array, copy)
