import math
import statistics
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.scoring import bootstrap, label_intervals, objective, objective_name, refuse_undefined, score_split
from probes.statistics import resample_weights
from tasks import metrics
from tasks.card import Columns, TaskCard
from tasks.items import Items

N = 240


def card_of(kind, *names, target="label"):
    columns = Columns(id="id", audio="path", split="split", target=target)
    return TaskCard(id="a_task", title="A task", kind=kind, metrics=names, columns=columns, manifest="m.csv")


TAGS = card_of("multilabel", "map", "roc_auc")
GENRE = card_of("multiclass", "accuracy")
MOOD = card_of("regression", "r2_valence", "r2_arousal", target=("valence", "arousal"))
KEY = card_of("multiclass", "weighted_accuracy", "accuracy")
KEYS = ("C major", "G major", "A minor", "C minor")


def data_of(card, probes=3, seed=0):
    """Targets of N items and the outputs of probes that know something of them."""
    rng = np.random.default_rng(seed)
    if card.kind == "multilabel":
        targets = (rng.random((N, 4)) < [0.5, 0.3, 0.2, 0.6]).astype(np.float32)
        noise = rng.normal(size=(probes, N, 4))
        return targets, list((targets + noise).astype(np.float32)), ("a", "b", "c", "d")
    if card.kind == "regression":
        targets = rng.normal(size=(N, 2)).astype(np.float32)
        return targets, list((targets + rng.normal(size=(probes, N, 2))).astype(np.float32)), ("valence", "arousal")
    targets = rng.integers(0, 4, N)
    outputs = np.eye(4)[targets] + rng.normal(size=(probes, N, 4))
    return targets, list(outputs.astype(np.float32)), KEYS


def scored(card, targets, outputs, labels, groups=None, seed=0):
    return score_split(card, targets, outputs, labels, groups, seed=seed, split="test")


# score_split


@pytest.mark.parametrize("card", [TAGS, GENRE, KEY, MOOD], ids=lambda card: card.kind + card.metrics[0])
def test_value_seeds_and_deviation_are_those_of_each_probe_by_itself(card):
    targets, outputs, labels = data_of(card)
    found = scored(card, targets, outputs, labels)
    assert list(found) == list(card.metrics)
    for metric, score in found.items():
        alone = [metrics.evaluate(metric, targets, output, labels).value for output in outputs]
        assert score.seeds == alone
        assert len(set(alone)) == 3
        assert score.value == pytest.approx(statistics.mean(alone), rel=1e-12)
        assert score.std == pytest.approx(statistics.stdev(alone), rel=1e-12)


@pytest.mark.parametrize("card", [TAGS, GENRE, KEY, MOOD], ids=lambda card: card.kind + card.metrics[0])
@pytest.mark.parametrize("clustered", [False, True])
def test_the_interval_brackets_the_value(card, clustered):
    for seed in range(5):
        targets, outputs, labels = data_of(card, seed=seed)
        groups = [f"artist{i // 4}" for i in range(N)] if clustered else None
        for score in scored(card, targets, outputs, labels, groups, seed=seed).values():
            assert score.low < score.value < score.high


def test_one_probe_has_no_deviation_but_an_interval():
    targets, outputs, labels = data_of(GENRE, probes=1)
    score = scored(GENRE, targets, outputs, labels)["accuracy"]
    assert (score.std, score.seeds) == (0, [score.value])
    assert score.low < score.value < score.high


def test_the_interval_of_accuracy_is_as_wide_as_the_binomial_one():
    targets, outputs, labels = data_of(GENRE, probes=1)
    score = scored(GENRE, targets, outputs, labels)["accuracy"]
    width = 2 * 1.96 * math.sqrt(score.value * (1 - score.value) / N)
    assert score.high - score.low == pytest.approx(width, rel=0.1)


def test_the_interval_shrinks_with_the_root_of_the_number_of_items():
    targets, outputs, labels = data_of(GENRE, probes=1)
    few = scored(GENRE, targets, outputs, labels)["accuracy"]
    many = scored(GENRE, np.tile(targets, 16), [np.tile(outputs[0], (16, 1))], labels)["accuracy"]
    assert many.value == pytest.approx(few.value)
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("card", [TAGS, GENRE, MOOD], ids=lambda card: card.kind)
def test_items_that_stand_or_fall_together_make_clustered_intervals_wider(card):
    targets, outputs, labels = data_of(card)
    targets, outputs = np.repeat(targets, 9, axis=0), [np.repeat(output, 9, axis=0) for output in outputs]
    groups = [f"song{i // 9}" for i in range(len(targets))]
    alone, clustered = scored(card, targets, outputs, labels), scored(card, targets, outputs, labels, groups)
    for metric in card.metrics:
        assert clustered[metric].value == alone[metric].value
        ratio = (clustered[metric].high - clustered[metric].low) / (alone[metric].high - alone[metric].low)
        assert ratio == pytest.approx(3, rel=0.2)  # nine copies of an item tell no more than one


def test_groups_that_say_nothing_leave_the_interval_as_wide_as_it_was():
    targets, outputs, labels = data_of(GENRE)
    groups = [f"artist{i % 80}" for i in range(N)]
    alone = scored(GENRE, targets, outputs, labels)["accuracy"]
    grouped = scored(GENRE, targets, outputs, labels, groups)["accuracy"]
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.25)


def test_groups_of_one_item_are_items():
    targets, outputs, labels = data_of(TAGS)
    groups = [f"track{i:03d}" for i in range(N)]
    assert scored(TAGS, targets, outputs, labels, groups) == scored(TAGS, targets, outputs, labels)


def test_in_each_resample_all_probes_are_scored_on_the_same_items():
    # One probe is right exactly where the other is wrong: on any items at all their mean is one half.
    targets = np.zeros(N, np.int64)
    right = np.tile(np.eye(2, dtype=np.float32), (N // 2, 1))
    score = scored(GENRE, targets, [right, 1 - right], ("a", "b"))["accuracy"]
    assert (score.value, score.low, score.high) == (0.5, 0.5, 0.5)
    assert scored(GENRE, targets, [right], ("a", "b"))["accuracy"].low < 0.5


def test_a_perfect_probe_has_an_interval_of_no_width():
    targets, _, labels = data_of(TAGS)
    for score in scored(TAGS, targets, [targets, targets], labels).values():
        assert (score.value, score.low, score.high, score.std) == (1, 1, 1, 0)


def test_the_seed_decides_the_interval_and_nothing_else():
    targets, outputs, labels = data_of(TAGS)
    first, again, other = (scored(TAGS, targets, outputs, labels, seed=seed) for seed in (5, 5, 6))
    assert first == again
    for metric in TAGS.metrics:
        assert (first[metric].low, first[metric].high) != (other[metric].low, other[metric].high)
        assert first[metric].seeds == other[metric].seeds
        assert first[metric].labels == other[metric].labels


@pytest.mark.parametrize("card", [TAGS, GENRE, KEY], ids=lambda card: card.kind + card.metrics[0])
def test_a_labels_score_is_its_mean_over_probes(card):
    targets, outputs, labels = data_of(card)
    for metric, score in scored(card, targets, outputs, labels).items():
        alone = [metrics.evaluate(metric, targets, output, labels).labels for output in outputs]
        assert list(score.labels) == list(labels)
        assert score.labels == pytest.approx({label: np.mean([a[label] for a in alone]) for label in labels})
        assert score.left_out == []


def test_regression_has_no_labels():
    assert [score.labels for score in scored(MOOD, *data_of(MOOD)).values()] == [None, None]


def test_labels_left_out_are_named_metric_by_metric():
    targets, outputs, labels = data_of(TAGS)
    targets[:, 1], targets[:, 3] = 0, 1
    found = scored(TAGS, targets, outputs, labels)
    assert found["map"].left_out == ["b"]
    assert list(found["map"].labels) == ["a", "c", "d"]
    assert found["roc_auc"].left_out == ["b", "d"]
    assert list(found["roc_auc"].labels) == ["a", "c"]
    assert found["roc_auc"].value == pytest.approx(np.mean(list(found["roc_auc"].labels.values())))


def test_a_label_with_one_positive_leaves_resamples_without_it_out_of_its_own_average_only():
    targets, outputs, labels = data_of(TAGS)
    targets[:, 1] = 0
    targets[7, 1] = 1
    for score in scored(TAGS, targets, outputs, labels).values():
        assert score.left_out == []
        assert 0 <= score.low < score.high <= 1


# bootstrap


@pytest.mark.parametrize("card", [TAGS, GENRE, KEY, MOOD], ids=lambda card: card.kind + card.metrics[0])
@pytest.mark.parametrize("clustered", [False, True])
def test_replicates_are_the_mean_of_each_probes_own_and_give_the_interval(card, clustered):
    targets, outputs, labels = data_of(card)
    groups = [f"artist{i // 4}" for i in range(N)] if clustered else None
    found = bootstrap(card, targets, outputs, labels, groups, seed=3)
    score = scored(card, targets, outputs, labels, groups, seed=3)
    given = score_split(card, targets, outputs, labels, groups, seed=99, split="test", resampled=found)
    weights = resample_weights(N, groups, seed=3)
    for metric in card.metrics:
        alone = [metrics.scores(metric, targets, output, labels, weights) for output in outputs]
        np.testing.assert_allclose(found[metric].values, np.mean(alone, axis=0), rtol=1e-12)
        interval = np.quantile(found[metric].values, [0.025, 0.975])
        assert (score[metric].low, score[metric].high) == pytest.approx(tuple(interval), rel=1e-12)
        assert given[metric] == score[metric]


def test_replicates_of_two_probes_are_pairs():
    targets, outputs, labels = data_of(GENRE, probes=2)
    both = [bootstrap(GENRE, targets, [output], labels, None, seed=1)["accuracy"].values for output in outputs]
    right = [outputs[i].argmax(1) == targets for i in range(2)]
    weights = resample_weights(N, None, seed=1)
    np.testing.assert_allclose(both[0] - both[1], weights @ (right[0] * 1.0 - right[1]) / N, atol=1e-6)


def test_a_label_has_the_interval_of_its_own_items():
    targets, outputs, labels = data_of(TAGS, probes=1)
    targets[:, 1] = 0
    found = bootstrap(TAGS, targets, outputs, labels, None, seed=2)
    intervals = label_intervals(found["map"], labels)
    assert list(intervals) == ["a", "c", "d"]
    for label, j in zip(intervals, (0, 2, 3), strict=True):
        alone = card_of("multilabel", "map")
        score = scored(alone, targets[:, [j]], [outputs[0][:, [j]]], [label], seed=2)["map"]
        assert intervals[label] == (score.low, score.high)
    with pytest.raises(ValueError, match="without labels"):
        label_intervals(bootstrap(MOOD, *data_of(MOOD), None, seed=0)["r2_valence"], ("valence", "arousal"))


# what is undefined


@pytest.mark.parametrize(
    ("metric", "fill", "needs"), [("map", 0, "a positive"), ("roc_auc", 0, "both"), ("roc_auc", 1, "both")]
)
def test_a_metric_that_is_undefined_is_the_users_to_mend(metric, fill, needs):
    targets, outputs, labels = data_of(TAGS)
    card = card_of("multilabel", metric)
    targets[:] = fill
    with pytest.raises(UserError, match=rf"{metric} is undefined on the test split of 'a_task' \(240 items\).*{needs}"):
        scored(card, targets, outputs, labels)
    with pytest.raises(UserError, match=rf"{metric} is undefined on the valid split of 'a_task'.*{needs}.*--limit"):
        objective(card, targets, outputs[0], labels)


def test_map_is_defined_where_roc_auc_is_not():
    targets, outputs, labels = data_of(TAGS)
    targets[:] = 1
    assert scored(card_of("multilabel", "map"), targets, outputs, labels)["map"].value == 1
    with pytest.raises(UserError, match="roc_auc is undefined"):
        scored(TAGS, targets, outputs, labels)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("probe", [0, 2])
def test_outputs_that_are_not_finite_are_the_users_to_mend(bad, probe):
    targets, outputs, labels = data_of(GENRE)
    outputs[probe][3, 1] = bad
    with pytest.raises(UserError, match="outputs on the test split of 'a_task' are not finite"):
        scored(GENRE, targets, outputs, labels)


# objective


def test_the_objective_is_the_primary_metric():
    for card in (TAGS, KEY, GENRE):
        targets, outputs, labels = data_of(card)
        expected = metrics.evaluate(card.metrics[0], targets, outputs[0], labels).value
        assert objective(card, targets, outputs[0], labels) == pytest.approx(expected, rel=1e-12)
        assert objective_name(card) == card.metrics[0]
    swapped = card_of("multilabel", "roc_auc", "map")
    targets, outputs, labels = data_of(TAGS)
    assert objective(swapped, targets, outputs[0], labels) != objective(TAGS, targets, outputs[0], labels)


def test_the_objective_of_regression_is_the_mean_of_its_metrics():
    targets, outputs, labels = data_of(MOOD)
    outputs[0][:, 1] = 0
    each = [metrics.evaluate(metric, targets, outputs[0], labels).value for metric in MOOD.metrics]
    assert each[0] != pytest.approx(each[1])
    assert objective(MOOD, targets, outputs[0], labels) == pytest.approx(np.mean(each), rel=1e-12)
    assert objective_name(MOOD) == "mean(r2_valence, r2_arousal)"
    one = card_of("regression", "r2_arousal", target=("valence", "arousal"))
    assert objective(one, targets, outputs[0], labels) == pytest.approx(each[1], rel=1e-12)
    assert objective_name(one) == "r2_arousal"


class TestRefuseUndefined:
    """What no probe could mend is refused before anything is embedded."""

    @staticmethod
    def items(targets, groups=None, labels=("a", "b")):
        n = len(targets)
        splits = tuple(("train", "valid", "test")[i * 3 // n] for i in range(n))
        ids = tuple(map(str, range(n)))
        return Items(ids, splits, (Path("a.wav"),) * n, groups, np.asarray(targets), labels)

    @staticmethod
    def card(kind, metrics, group=None):
        columns = Columns(id="i", audio="a", split="s", target="t", group=group)
        return TaskCard(id="mine", title="Mine", kind=kind, metrics=metrics, columns=columns, manifest="m.csv")

    def test_one_class_is_nothing_to_tell_apart(self):
        with pytest.raises(UserError, match="one class"):
            refuse_undefined(self.card("multiclass", ("accuracy",)), self.items([0] * 6, labels=("a",)))

    def test_a_split_of_one_group_has_no_interval(self):
        card, targets = self.card("multiclass", ("accuracy",), "artist"), [0, 1] * 3
        refuse_undefined(card, self.items(targets, ("x", "y", "x", "y", "z", "w")))
        with pytest.raises(UserError, match="2 items of the test split of 'mine' are of one group"):
            refuse_undefined(card, self.items(targets, ("x", "y", "x", "y", "z", "z")))

    def test_a_metric_without_positives_or_negatives_is_named_with_its_split(self):
        some = [[1, 0], [0, 1]]
        refuse_undefined(self.card("multilabel", ("map", "roc_auc")), self.items(some * 3))
        with pytest.raises(UserError, match="map is undefined on the test split"):
            refuse_undefined(self.card("multilabel", ("map",)), self.items(some * 2 + [[0, 0]] * 2))
        everything = self.items(some * 2 + [[1, 1]] * 2)
        refuse_undefined(self.card("multilabel", ("map",)), everything)
        with pytest.raises(UserError, match="roc_auc is undefined on the test split"):
            refuse_undefined(self.card("multilabel", ("roc_auc",)), everything)
