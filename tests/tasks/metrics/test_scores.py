import warnings

import mir_eval
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import accuracy_score, average_precision_score, r2_score, roc_auc_score

from tasks import keys
from tasks.metrics import functions, table
from tasks.metrics import scores as metrics

TIGHT = {"rtol": 1e-12, "atol": 1e-12}
TONICS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
KEYS = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in TONICS)
REFERENCES = {"map": average_precision_score, "roc_auc": roc_auc_score}

#: Scores with many ties, with few, and all equal.
LEVELS = st.sampled_from([1, 2, 3, 1000])


@st.composite
def rankings(draw, resamples=0):
    """0/1 targets [n, L] and scores [n, L], float32 or float64, with integer weights [R, n] if asked for."""
    n, labels, levels = draw(st.integers(1, 30)), draw(st.integers(1, 4)), draw(LEVELS)
    targets = draw(arrays.arrays(np.float32, (n, labels), elements=st.sampled_from([0.0, 1.0])))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    outputs = draw(arrays.arrays(np.int64, (n, labels), elements=st.integers(0, levels - 1))).astype(dtype) / levels
    if not resamples:
        return targets, outputs
    weights = draw(arrays.arrays(np.float32, (resamples, n), elements=st.integers(0, 3).map(float)))
    return targets, outputs, weights


@st.composite
def classes(draw, resamples=0, count=None):
    """Label indices [n] and scores [n, C] with ties among the largest, with positive weights [R, n] if asked for."""
    n, c = draw(st.integers(1, 20)), count or draw(st.integers(1, 6))
    targets = draw(arrays.arrays(np.int64, n, elements=st.integers(0, c - 1)))
    outputs = draw(arrays.arrays(np.int64, (n, c), elements=st.integers(0, draw(LEVELS)))).astype(np.float32)
    if not resamples:
        return targets, outputs
    weights = draw(arrays.arrays(np.float32, (resamples, n), elements=st.integers(0, 3).map(float)))
    weights[:, 0] += 1
    return targets, outputs, weights


@st.composite
def values(draw, resamples=0):
    """Targets and outputs [n, T] in eighths, constant columns included, with positive weights [R, n] if asked for."""
    n, t, size = draw(st.integers(2, 30)), draw(st.integers(1, 3)), draw(st.sampled_from([0, 1, 800]))
    eighths = st.integers(-size, size).map(lambda i: i / 8)
    targets, outputs = (draw(arrays.arrays(np.float32, (n, t), elements=eighths)) for _ in range(2))
    if not resamples:
        return targets, outputs
    weights = draw(arrays.arrays(np.float32, (resamples, n), elements=st.integers(0, 3).map(float)))
    weights[:, 0] += 1
    return targets, outputs, weights


def names(count):
    return tuple(f"label{i}" for i in range(count))


def defined(metric, column):
    return column.any() and (metric == "map" or not column.all())


def by_sklearn(metric, targets, outputs, weights=None):
    """The macro average over the labels that scikit-learn defines the metric for; NaN where there is none."""
    found = [
        REFERENCES[metric](column, scores, sample_weight=weights)
        for column, scores in zip(targets.T, outputs.T, strict=True)
        if defined(metric, column if weights is None else column[weights > 0])
    ]
    return np.mean(found) if found else np.nan


# multilabel


@pytest.mark.parametrize("metric", ["map", "roc_auc"])
@given(data=rankings())
def test_a_ranking_metric_equals_scikit_learn_ties_included(metric, data):
    targets, outputs = data
    labels = names(targets.shape[1])
    found = metrics.evaluate(metric, targets, outputs, labels)
    np.testing.assert_allclose(found.value, by_sklearn(metric, targets, outputs), **TIGHT)
    np.testing.assert_allclose(metrics.scores(metric, targets, outputs, labels), found.value, **TIGHT)
    for label, column, scores in zip(labels, targets.T, outputs.T, strict=True):
        assert (label in found.labels) == defined(metric, column) == (label not in found.left_out)
        if defined(metric, column):
            np.testing.assert_allclose(found.labels[label], REFERENCES[metric](column, scores), **TIGHT)


@pytest.mark.parametrize("metric", ["map", "roc_auc"])
@given(data=rankings(resamples=3))
def test_weights_equal_repeated_items_and_scikit_learns_sample_weight(metric, data):
    targets, outputs, weights = data
    labels = names(targets.shape[1])
    found = metrics.scores(metric, targets, outputs, labels, weights)
    assert found.shape == (3,)
    for value, row in zip(found, weights, strict=True):
        rows = np.repeat(np.arange(len(row)), row.astype(int))
        repeated = metrics.scores(metric, targets[rows], outputs[rows], labels) if len(rows) else np.nan
        np.testing.assert_allclose(value, repeated, **TIGHT)
        np.testing.assert_allclose(value, by_sklearn(metric, targets, outputs, row), **TIGHT)


def test_a_constant_score_gives_the_share_of_positives_and_one_half():
    targets, outputs = np.array([[1], [0], [0], [1], [0]], np.float32), np.full((5, 1), 0.3, np.float32)
    assert metrics.evaluate("map", targets, outputs, ["a"]).value == pytest.approx(0.4, abs=1e-12)
    assert metrics.evaluate("roc_auc", targets, outputs, ["a"]).value == pytest.approx(0.5, abs=1e-12)


def test_a_label_without_positives_is_left_out_of_the_mean_and_named():
    targets = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1]], np.float32)
    outputs = np.array([[0.9, 0.5, 0.1], [0.8, 0.6, 0.2], [0.1, 0.7, 0.3]], np.float32)
    found = metrics.evaluate("map", targets, outputs, ["rock", "never", "always"])
    assert found.left_out == ("never",)
    assert found.labels == pytest.approx({"rock": (1 + 2 / 3) / 2, "always": 1.0})
    assert found.value == pytest.approx((5 / 6 + 1) / 2)
    # A label that every item has cannot be ranked either: ROC AUC leaves out both.
    found = metrics.evaluate("roc_auc", targets, outputs, ["rock", "never", "always"])
    assert found.left_out == ("never", "always")
    assert found.labels == pytest.approx({"rock": 0.5})
    assert found.value == pytest.approx(0.5)


def test_the_average_is_over_labels_not_over_samples():
    targets = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    outputs = np.array([[0.9, 0.9], [0.8, 0.8], [0.7, 0.7], [0.1, 0.1]], np.float32)
    assert metrics.evaluate("map", targets, outputs, ["a", "b"]).value == pytest.approx((1 + 1 / 4) / 2)
    assert average_precision_score(targets, outputs, average="samples") != pytest.approx(0.625)
    assert average_precision_score(targets, outputs, average="micro") != pytest.approx(0.625)


@pytest.mark.parametrize("metric", ["map", "roc_auc"])
@pytest.mark.parametrize("targets", [[[0], [0]], [[0, 0], [0, 0]]])
def test_a_metric_with_no_label_left_is_nan_and_warns_of_nothing(metric, targets):
    targets = np.array(targets, np.float32)
    labels, outputs = names(targets.shape[1]), np.zeros(targets.shape, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.evaluate(metric, targets, outputs, labels)
        resampled = metrics.scores(metric, targets, outputs, labels, np.ones((4, 2), np.float32))
    assert np.isnan(found.value)
    assert (found.labels, found.left_out) == ({}, labels)
    assert np.isnan(resampled).all()
    assert resampled.shape == (4,)


@pytest.mark.parametrize("metric", ["map", "roc_auc"])
def test_only_the_resamples_without_a_positive_are_nan(metric):
    targets, outputs = np.array([[1], [0], [0]], np.float32), np.array([[0.2], [0.5], [0.1]], np.float32)
    weights = np.array([[1, 1, 1], [0, 2, 1], [2, 1, 0]], np.float32)
    found = metrics.scores(metric, targets, outputs, ["a"], weights)
    assert np.isfinite(found).tolist() == [True, False, True]


@pytest.mark.parametrize("metric", ["map", "roc_auc"])
@given(data=rankings(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_items_and_a_rising_map_of_scores_change_nothing(metric, data, seed):
    targets, outputs = data
    labels, order = names(targets.shape[1]), np.random.default_rng(seed).permutation(len(targets))
    expected = metrics.scores(metric, targets, outputs, labels)
    np.testing.assert_allclose(metrics.scores(metric, targets[order], outputs[order], labels), expected, **TIGHT)
    risen = outputs.astype(np.float64) * 4 - 3
    np.testing.assert_allclose(metrics.scores(metric, targets, risen, labels), expected, **TIGHT)


@given(data=rankings())
def test_the_areas_of_a_score_and_of_its_negative_add_up_to_one(data):
    targets, outputs = data
    labels = names(targets.shape[1])
    found = metrics.evaluate("roc_auc", targets, outputs, labels)
    turned = metrics.evaluate("roc_auc", targets, -outputs, labels)
    assert found.left_out == turned.left_out
    np.testing.assert_allclose(found.value + turned.value, 1 if found.labels else np.nan, **TIGHT)


# multiclass


@given(data=classes(resamples=3))
def test_accuracy_equals_scikit_learn_weights_included(data):
    targets, outputs, weights = data
    labels, predicted = names(outputs.shape[1]), outputs.argmax(axis=1)
    found = metrics.evaluate("accuracy", targets, outputs, labels)
    np.testing.assert_allclose(found.value, accuracy_score(targets, predicted), **TIGHT)
    expected = [accuracy_score(targets, predicted, sample_weight=row) for row in weights]
    np.testing.assert_allclose(metrics.scores("accuracy", targets, outputs, labels, weights), expected, **TIGHT)
    assert found.labels == pytest.approx({labels[i]: np.mean(predicted[targets == i] == i) for i in np.unique(targets)})
    assert found.left_out == ()


def test_the_first_of_equal_scores_is_the_prediction():
    outputs = np.array([[0.5, 0.5, 0.1], [0.2, 0.4, 0.4]], np.float32)
    assert functions.correct(np.array([0, 1]), outputs, "abc").tolist() == [1, 1]
    assert functions.correct(np.array([1, 2]), outputs, "abc").tolist() == [0, 0]


@given(data=classes(resamples=3, count=24))
def test_weighted_accuracy_equals_mir_eval_weights_included(data):
    targets, outputs, weights = data
    each = np.array(
        [
            mir_eval.key.weighted_score(KEYS[target], KEYS[guess])
            for target, guess in zip(targets, outputs.argmax(axis=1), strict=True)
        ]
    )
    found = metrics.evaluate("weighted_accuracy", targets, outputs, KEYS)
    np.testing.assert_allclose(found.value, each.mean(), **TIGHT)
    expected = [np.average(each, weights=row) for row in weights]
    np.testing.assert_allclose(metrics.scores("weighted_accuracy", targets, outputs, KEYS, weights), expected, **TIGHT)
    assert found.labels == pytest.approx({KEYS[i]: each[targets == i].mean() for i in np.unique(targets)})


@pytest.mark.parametrize(
    ("reference", "estimate", "score"),
    [
        ("C major", "C major", 1.0),
        ("C major", "G major", 0.5),  # a fifth above the reference
        ("C major", "F major", 0.0),  # a fifth below it, which MIREX has counted since 2017 and mir_eval does not
        ("A minor", "E minor", 0.5),
        ("A minor", "D minor", 0.0),
        ("C major", "A minor", 0.3),
        ("A minor", "C major", 0.3),
        ("C major", "C minor", 0.2),
        ("C major", "E minor", 0.0),
    ],
)
def test_weighted_accuracy_takes_the_reference_first(reference, estimate, score):
    outputs = np.eye(24, dtype=np.float32)[[KEYS.index(estimate)]]
    assert metrics.evaluate("weighted_accuracy", np.array([KEYS.index(reference)]), outputs, KEYS).value == score


def test_key_scores_follow_the_order_of_the_labels_and_cannot_be_changed():
    table, turned = keys.key_scores(KEYS), keys.key_scores(KEYS[::-1])
    np.testing.assert_array_equal(table, turned[::-1, ::-1])
    assert table.tolist() != table.T.tolist()
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 0


CASES = {
    "map": (np.random.default_rng(0).integers(0, 2, (40, 3)).astype(np.float32), names(3)),
    "roc_auc": (np.random.default_rng(1).integers(0, 2, (40, 3)).astype(np.float32), names(3)),
    "accuracy": (np.random.default_rng(2).integers(0, 3, 40), names(3)),
    "weighted_accuracy": (np.random.default_rng(3).integers(0, 3, 40), ("C major", "G major", "A minor")),
    "r2_label1": (np.random.default_rng(4).normal(size=(40, 3)).astype(np.float32), names(3)),
}


# regression


@given(data=values(resamples=3))
def test_r2_equals_scikit_learn_weights_included_and_a_constant_reference_has_none(data):
    targets, outputs, weights = data
    labels = names(targets.shape[1])

    def expected(j, row=None):
        counted = targets[:, j] if row is None else targets[row > 0, j]
        if counted.size == 0 or counted.min() == counted.max():
            return np.nan
        return r2_score(targets[:, j].astype(float), outputs[:, j], sample_weight=row)

    for j, label in enumerate(labels):
        found = metrics.evaluate(f"r2_{label}", targets, outputs, labels)
        np.testing.assert_allclose(found.value, expected(j), **TIGHT)
        assert (found.labels, found.left_out) == (None, ())
        resampled = metrics.scores(f"r2_{label}", targets, outputs, labels, weights)
        np.testing.assert_allclose(resampled, [expected(j, row) for row in weights], **TIGHT)


@given(
    constant=st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**99), max_value=2.0**99),
    n=st.integers(1, 300),
)
def test_r2_of_any_constant_reference_is_undefined_perfect_or_not(constant, n):
    targets = np.full(n, constant, np.float32)
    assert np.isnan(functions.r2(targets, targets))
    outputs = targets.copy()
    outputs[-1] = np.nextafter(outputs[-1], np.float32(np.inf)) * 2 + 1
    assert np.isnan(functions.r2(targets, outputs))


def test_r2_of_a_resample_that_drew_one_value_is_undefined_and_others_are_not():
    targets, outputs = np.array([[1.0], [1.0], [2.0]]), np.array([[1.0], [1.5], [2.0]])
    found = metrics.scores("r2_a", targets, outputs, ["a"], np.array([[1, 2, 0], [0, 0, 3], [1, 1, 1]], np.float32))
    assert np.isnan(found).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("metric", "targets", "reason"),
    [
        ("r2_a", [[1.5, 0], [1.5, 1]], "all its targets are equal"),
        ("r2_a", [[1.5, 0]], "all its targets are equal"),
        ("r2_b", [[1.5, 0], [1.5, 1]], ""),
        ("map", [[0, 0], [0, 0]], "no label has a positive there"),
        ("map", [[1, 1], [1, 1]], ""),
        ("roc_auc", [[1, 0], [1, 0]], "no label has both positives and negatives there"),
        ("roc_auc", [[1, 0], [0, 0]], ""),
        ("accuracy", [1, 1], ""),
        ("accuracy", [], "it has no items"),
    ],
)
def test_why_a_metric_is_undefined(metric, targets, reason):
    targets = np.array(targets)
    assert table.why_undefined(metric, targets, ["a", "b"]) == reason
    if targets.ndim == 2:
        assert np.isnan(metrics.scores(metric, targets, np.zeros(targets.shape), ["a", "b"])) == bool(reason)


@pytest.mark.parametrize("metric", CASES)
def test_no_value_leaves_its_bounds(metric):
    targets, labels = CASES[metric]
    low, high = table.bounds(metric)
    for outputs in (np.eye(3)[targets] if targets.ndim == 1 else targets, np.random.default_rng(0).random((40, 3))):
        assert low <= metrics.scores(metric, targets, outputs, labels) <= high


def test_r2_of_the_mean_is_zero_and_of_worse_is_negative():
    targets = np.array([[1, 5], [2, 5], [3, 8]], np.float32)
    outputs = np.array([[2, 8], [2, 5], [2, 5]], np.float32)
    assert metrics.evaluate("r2_valence", targets, outputs, ["valence", "arousal"]).value == 0
    assert metrics.evaluate("r2_arousal", targets, outputs, ["valence", "arousal"]).value == pytest.approx(-2)


def test_r2_by_hand_where_predictions_have_another_mean_than_targets():
    """Errors 1, 0, 2 and a spread of 2 around the targets' mean; around that of the predictions it would be 5."""
    targets, outputs = np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [2.0], [5.0]])
    assert metrics.evaluate("r2_a", targets, outputs, ["a"]).value == pytest.approx(1 - 5 / 2)
    twice = np.array([[1, 1, 2]], np.float32)  # mean 9/4, spread 11/4, errors 1, 0, 4 and 4
    assert metrics.scores("r2_a", targets, outputs, ["a"], twice) == pytest.approx(1 - 9 / (11 / 4))


def test_accuracy_by_hand_over_items_over_those_of_a_class_and_in_a_resample():
    """Two of four are right: one of the three of the first class, and the one of the second."""
    targets = np.array([0, 0, 0, 1])
    outputs = np.eye(2)[[0, 1, 1, 1]]
    found = metrics.evaluate("accuracy", targets, outputs, ["a", "b"])
    assert (found.value, found.labels) == (0.5, {"a": pytest.approx(1 / 3), "b": 1.0})
    weights = np.array([[3, 1, 0, 0], [0, 1, 1, 2]], np.float32)
    assert metrics.scores("accuracy", targets, outputs, ["a", "b"], weights).tolist() == [0.75, 0.5]


# resamples


@pytest.mark.parametrize("metric", CASES)
@pytest.mark.parametrize("limit", [1, 39, 40, 41, 100, 279, 280])
def test_resamples_in_blocks_equal_those_at_once(metric, limit, monkeypatch):
    targets, labels = CASES[metric]
    rng = np.random.default_rng(5)
    outputs = rng.integers(0, 9, (40, 3)).astype(np.float32)
    weights = rng.integers(0, 3, (7, 40)).astype(np.float32)
    at_once = metrics.scores(metric, targets, outputs, labels, weights)
    one_by_one = [metrics.scores(metric, targets, outputs, labels, row[None])[0] for row in weights]
    monkeypatch.setattr(functions, "RESAMPLES_AT_ONCE", limit)
    in_blocks = metrics.scores(metric, targets, outputs, labels, weights)
    assert in_blocks.shape == (7,)
    np.testing.assert_allclose(in_blocks, at_once, **TIGHT)
    np.testing.assert_allclose(in_blocks, one_by_one, **TIGHT)


def test_no_block_is_larger_than_the_limit(monkeypatch):
    targets, labels = CASES["r2_label1"]
    outputs, sizes = np.random.default_rng(6).random((40, 3), np.float32), []
    r2 = functions.r2

    def watched(y, p, weights):
        sizes.append(weights.size)
        return r2(y, p, weights)

    monkeypatch.setattr(functions, "r2", watched)
    monkeypatch.setattr(functions, "RESAMPLES_AT_ONCE", 100)
    metrics.scores("r2_label1", targets, outputs, labels, np.ones((7, 40), np.float32))
    assert sizes == [80, 80, 80, 40]


@pytest.mark.parametrize("asked", [("map", "roc_auc"), ("accuracy", "weighted_accuracy"), ("r2_a", "r2_c")])
def test_metrics_asked_for_together_are_what_each_is_alone(asked):
    rng = np.random.default_rng(8)
    labels = ("a", "b", "c") if asked[0] != "accuracy" else ("C major", "G major", "A minor")
    targets = rng.integers(0, 3, 40) if asked[0] == "accuracy" else rng.integers(0, 2, (40, 3)).astype(np.float32)
    outputs = rng.integers(0, 9, (40, 3)).astype(np.float32)
    weights = rng.integers(0, 3, (70, 40)).astype(np.float32)
    together = metrics.evaluate_all(asked, targets, outputs, labels)
    resampled = metrics.resample_all(asked, targets, outputs, labels, weights)
    assert list(together) == list(resampled) == list(asked)
    for metric in asked:
        assert together[metric] == metrics.evaluate(metric, targets, outputs, labels)
        alone = metrics.scores(metric, targets, outputs, labels, weights)
        np.testing.assert_array_equal(resampled[metric].values, alone)
        assert len(set(alone)) > 30
        if metric.startswith("r2_"):
            assert resampled[metric].labels is None
        else:
            by_label = metrics.per_label(metric, targets, outputs, labels, weights)
            np.testing.assert_array_equal(resampled[metric].labels, by_label)
            assert by_label.shape == (70, 3)


@pytest.mark.parametrize("metric", CASES)
def test_weights_of_one_change_nothing_and_of_nothing_give_nan(metric):
    targets, labels = CASES[metric]
    outputs = np.random.default_rng(7).random((40, 3), np.float32)
    weights = np.stack([np.ones(40), np.full(40, 3), np.zeros(40)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.scores(metric, targets, outputs, labels, weights)
    plain = metrics.scores(metric, targets, outputs, labels)
    assert plain.ndim == 0
    np.testing.assert_allclose(found, [plain, plain, np.nan], **TIGHT)


# what is refused

MULTILABEL = np.zeros((4, 2), np.float32)
MULTICLASS = np.zeros(4, np.int64)


@pytest.mark.parametrize(
    ("metric", "targets", "outputs", "message"),
    [
        ("map", MULTILABEL[:0], MULTILABEL[:0], "at least one item"),
        ("accuracy", MULTICLASS[:0], MULTILABEL[:0], "at least one item"),
        ("map", MULTILABEL, MULTILABEL[:3], "items by labels"),
        ("map", MULTILABEL, MULTILABEL[:, :1], "items by labels"),
        ("map", MULTILABEL[:, :1], MULTILABEL, "does not suit"),
        ("map", MULTICLASS, MULTILABEL, "does not suit"),
        ("roc_auc", MULTILABEL.T, MULTILABEL, "items by labels"),
        ("accuracy", MULTICLASS, MULTILABEL[:, 0], "items by labels"),
        ("accuracy", MULTILABEL, MULTILABEL, "does not suit"),
        ("accuracy", MULTILABEL[:2], MULTILABEL[:2], "does not suit"),  # as many items as labels would broadcast
        ("accuracy", MULTICLASS[:3], MULTILABEL, "items by labels"),
        ("r2_a", MULTILABEL[:, 0], MULTILABEL, "does not suit"),
        ("r2_c", MULTILABEL, MULTILABEL, "unknown metric 'r2_c'"),
        ("f1", MULTICLASS, MULTILABEL, "unknown metric 'f1'"),
        ("map", MULTILABEL, MULTILABEL + np.nan, "not finite"),
        ("r2_a", MULTILABEL, MULTILABEL - np.inf, "not finite"),
        ("accuracy", MULTICLASS, MULTILABEL + np.inf, "not finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(metric, targets, outputs, message):
    for score in (metrics.evaluate, metrics.scores):
        with pytest.raises(ValueError, match=message):
            score(metric, targets, outputs, ["a", "b"])
    with pytest.raises(ValueError, match=message):
        metrics.evaluate_all((metric,), targets, outputs, ["a", "b"])
    with pytest.raises(ValueError, match=message):
        metrics.resample_all((metric,), targets, outputs, ["a", "b"], np.ones((2, len(outputs))))


@pytest.mark.parametrize("shape", [(4,), (3, 5), (3, 3), (4, 1)])
@pytest.mark.parametrize("metric", ["map", "accuracy", "r2_a"])
def test_weights_that_do_not_fit_are_refused(metric, shape):
    targets = MULTICLASS if metric == "accuracy" else MULTILABEL
    with pytest.raises(ValueError, match="resamples by items"):
        metrics.scores(metric, targets, MULTILABEL, ["a", "b"], np.ones(shape, np.float32))


def test_the_symmetric_variant_counts_a_fifth_both_ways_and_nothing_else_anew():
    labels = ("C major", "G major", "F major", "A minor", "C minor", "E minor")
    one_way, both = keys.key_scores(labels), np.zeros((6, 6))
    for reference in range(6):
        outputs = np.eye(6)
        targets = np.full(6, reference)
        both[reference] = keys.symmetric_key_weights(targets, outputs, labels)
    assert one_way[0, 1] == 0.5  # C -> G, a fifth above
    assert one_way[0, 2] == 0.0  # C -> F
    assert both[0, 2] == both[0, 1] == 0.5
    differs = both != one_way
    assert (both[differs] == 0.5).all()
    assert (one_way.T[differs] == 0.5).all()
    assert differs.sum() == (one_way == 0.5).sum()
