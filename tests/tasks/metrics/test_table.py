import numpy as np
import pytest

from tasks.kinds import KINDS
from tasks.metrics.scores import evaluate, per_label, resample_all, scores, scores_of
from tasks.metrics.table import METRICS, Metric, bounds, find_metric, metrics_of, usual_metrics, why_undefined

KEYS = ("C major", "G major", "A minor")
RNG = np.random.default_rng(0)
TARGETS = {
    "multiclass": RNG.integers(3, size=30),
    "multilabel": (RNG.random((30, 3)) < 0.4).astype(np.float32),
    "regression": RNG.normal(size=(30, 3)).astype(np.float32),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_metric_of_a_kind_is_computed_by_every_function(kind):
    targets, outputs, weights = TARGETS[kind], RNG.normal(size=(30, 3)), RNG.integers(0, 3, (5, 30))
    for name in metrics_of(kind, KEYS):
        low, high = bounds(name)
        found = evaluate(name, targets, outputs, KEYS)
        assert low <= found.value <= high
        assert why_undefined(name, targets, KEYS) == ""
        resampled = resample_all((name,), targets, outputs, KEYS, weights)[name]
        assert resampled.values.shape == (5,)
        assert (resampled.labels is None) == (found.labels is None) == (not find_metric(name)[0].has_labels)
        if found.labels is not None:
            assert per_label(name, targets, outputs, KEYS).tolist() == list(found.labels.values())


def test_a_metric_of_a_target_has_its_name():
    metric, target = find_metric("r2_valence")
    assert (metric, target) == (METRICS["r2"], "valence")
    assert find_metric("r2_a_b")[1] == "a_b"
    assert find_metric("map") == (METRICS["map"], None)


@pytest.mark.parametrize("name", ["r2", "map_rock", "f1", "", "weighted", "R2_valence"])
def test_an_unknown_metric_is_refused(name):
    with pytest.raises(ValueError, match="unknown metric"):
        find_metric(name)


def test_metrics_of_a_kind_are_those_of_its_entries():
    assert metrics_of("multilabel", ("tags",)) == ("map", "roc_auc")
    assert metrics_of("regression", ("valence", "arousal")) == ("r2_valence", "r2_arousal")
    assert set(metrics_of("multiclass", ("key",))) == {
        name for name, each in METRICS.items() if each.kind == "multiclass"
    }


@pytest.mark.parametrize(
    ("kind", "labels", "usual"),
    [
        ("multiclass", ("rock", "jazz"), ("accuracy",)),
        ("multiclass", ("C major", "rock"), ("accuracy",)),
        ("multiclass", KEYS, ("weighted_accuracy", "accuracy")),
        ("multilabel", KEYS, ("map", "roc_auc")),
        ("regression", (), ("r2_mood",)),
    ],
)
def test_a_card_made_from_data_has_the_usual_metrics_that_its_labels_allow(kind, labels, usual):
    assert usual_metrics(kind, ("mood",), labels) == usual


def recalls(targets, outputs, labels, weights=None):
    from tasks.metrics.functions import class_means

    return class_means((outputs.argmax(1) == targets).astype(float), targets, len(labels), weights)


def test_a_metric_with_values_of_labels_alone_is_their_mean_and_leaves_out_absent_classes(monkeypatch):
    monkeypatch.setitem(METRICS, "balanced", Metric("multiclass", by_label=recalls))
    targets, outputs = np.array([0, 0, 0, 1]), np.eye(3)[[0, 1, 0, 1]]
    found = evaluate("balanced", targets, outputs, ["a", "b", "c"])
    assert found.value == pytest.approx((2 / 3 + 1) / 2)
    assert found.left_out == ("c",)
    weights = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [1, 1, 1, 0]])
    assert scores("balanced", targets, outputs, ["a", "b", "c"], weights) == pytest.approx([1, 0.5, 2 / 3])
    both = scores_of(("balanced", "accuracy"), targets, outputs, ["a", "b", "c"], weights)
    assert both["accuracy"] == pytest.approx([1, 0.5, 2 / 3])
    assert list(both) == ["balanced", "accuracy"]


def test_metrics_with_one_shared_function_are_computed_in_one_call(monkeypatch):
    asked = []

    def shared(names, targets, outputs, weights):
        asked.append(tuple(names))
        return {name: np.full(3, 0.5) for name in names}

    for name in ("first", "second"):
        monkeypatch.setitem(METRICS, name, Metric("multilabel", shared=shared))
    found = scores_of(("first", "map", "second"), TARGETS["multilabel"], RNG.normal(size=(30, 3)), KEYS)
    assert asked == [("first", "second")]
    assert list(found) == ["first", "map", "second"]
    assert found["second"] == 0.5
