import math
import statistics
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.jobs.scoring import leave_out, objective, objective_name, refuse_undefined, score_split
from tasks.card import Columns, TaskCard
from tasks.items import Items
from tasks.metrics import scores

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
        alone = [scores.evaluate(metric, targets, output, labels).value for output in outputs]
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
    assert (score.std, score.seeds, score.question) == (None, [score.value], "items")
    assert score.low < score.value < score.high
    assert (score.low, score.high) == (score.items_low, score.items_high)


def test_probes_that_lie_apart_by_their_seed_widen_the_interval_and_not_that_of_these_probes():
    targets, outputs, labels = data_of(GENRE, probes=1)
    alike = scored(GENRE, targets, [outputs[0]] * 3, labels)["accuracy"]
    rng = np.random.default_rng(1)
    apart = [np.where(rng.random(N)[:, None] < share, -outputs[0], outputs[0]) for share in (0.0, 0.25, 0.5)]
    found = scored(GENRE, targets, apart, labels)["accuracy"]
    assert alike.question == found.question == "items and seeds"
    assert (alike.low, alike.high) == (alike.items_low, alike.items_high)
    assert found.high - found.low > 2 * (found.items_high - found.items_low)
    assert 0 <= found.low < found.items_low < found.value < found.items_high < found.high <= 1


def test_the_interval_says_over_how_many_groups_or_items_it_is():
    targets, outputs, labels = data_of(GENRE)
    alone = scored(GENRE, targets, outputs, labels)["accuracy"]
    grouped = scored(GENRE, targets, outputs, labels, [f"g{i % 12}" for i in range(N)])["accuracy"]
    assert (alone.clusters, alone.clustered, grouped.clusters, grouped.clustered) == (N, False, 12, True)


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
        widths = [score[metric].items_high - score[metric].items_low for score in (clustered, alone)]
        ratio = widths[0] / widths[1]
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
    grouped, alone = scored(TAGS, targets, outputs, labels, groups), scored(TAGS, targets, outputs, labels)
    assert {metric: score.model_copy(update={"clustered": False}) for metric, score in grouped.items()} == alone


def test_in_each_resample_all_probes_are_scored_on_the_same_items():
    # One probe is right exactly where the other is wrong: on any items at all their mean is one half.
    targets = np.zeros(N, np.int64)
    right = np.tile(np.eye(2, dtype=np.float32), (N // 2, 1))
    score = scored(GENRE, targets, [right, 1 - right], ("a", "b"))["accuracy"]
    assert (score.value, score.low, score.high) == (0.5, 0.5, 0.5)
    assert scored(GENRE, targets, [right], ("a", "b"))["accuracy"].low < 0.5


def test_a_perfect_probe_may_err_on_the_next_item():
    targets, _, labels = data_of(TAGS)
    for score in scored(TAGS, targets, [targets, targets], labels).values():
        assert (score.value, score.high, score.std) == (1, 1, 0)
        assert 1 - 5 / N < score.low < 1 - 3 / N  # three in N is what "never in N" leaves open


def test_the_seed_decides_the_interval_of_many_items_and_nothing_else():
    targets, outputs, labels = data_of(TAGS)
    targets, outputs = np.tile(targets, (4, 1)), [np.tile(output, (4, 1)) for output in outputs]
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
        alone = [scores.evaluate(metric, targets, output, labels).labels for output in outputs]
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


def test_a_score_that_hangs_on_one_item_has_no_interval():
    targets, outputs, labels = data_of(TAGS)
    targets[:] = 0
    targets[7, 1] = 1
    for score in scored(TAGS, targets, outputs, labels).values():
        assert 0 < score.value <= 1
        assert (score.low, score.high, score.items_low, score.items_high) == (None, None, None, None)


# leave_out


@pytest.mark.parametrize("card", [TAGS, GENRE, KEY, MOOD], ids=lambda card: card.kind + card.metrics[0])
@pytest.mark.parametrize("clustered", [False, True])
def test_each_block_left_out_gives_what_the_other_items_score(card, clustered):
    targets, outputs, labels = data_of(card)
    groups = [f"artist{i // 4:02d}" for i in range(N)] if clustered else None
    found = leave_out(card, targets, outputs, labels, groups, seed=3)
    assert len(found.blocks.sizes) == found.blocks.clusters == (N // 4 if clustered else N)
    for block in (0, 7):
        rest = found.blocks.member != block
        assert rest.sum() == N - (4 if clustered else 1)
        for metric in card.metrics:
            alone = [scores.evaluate(metric, targets[rest], output[rest], labels).value for output in outputs]
            np.testing.assert_allclose(found.scores[metric].without[:, block], alone, rtol=1e-12)
    given = score_split(card, targets, outputs, labels, groups, seed=99, split="test", left_out=found)
    assert given == scored(card, targets, outputs, labels, groups, seed=3)


def test_the_items_part_of_the_mean_over_probes_is_that_of_their_mean_item():
    targets, outputs, labels = data_of(GENRE)
    right = np.mean([output.argmax(1) == targets for output in outputs], axis=0)
    score = scored(GENRE, targets, outputs, labels)["accuracy"]
    half = (score.items_high - score.items_low) / 2
    assert half == pytest.approx(1.97 * right.std(ddof=1) / np.sqrt(N), rel=0.02)


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
        expected = scores.evaluate(card.metrics[0], targets, outputs[0], labels).value
        assert objective(card, targets, outputs[0], labels) == pytest.approx(expected, rel=1e-12)
        assert objective_name(card) == card.metrics[0]
    swapped = card_of("multilabel", "roc_auc", "map")
    targets, outputs, labels = data_of(TAGS)
    assert objective(swapped, targets, outputs[0], labels) != objective(TAGS, targets, outputs[0], labels)


def test_the_objective_of_regression_is_the_mean_of_its_metrics():
    targets, outputs, labels = data_of(MOOD)
    outputs[0][:, 1] = 0
    each = [scores.evaluate(metric, targets, outputs[0], labels).value for metric in MOOD.metrics]
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

    def test_a_split_of_one_item_has_no_interval(self):
        items = self.items([0, 1, 0, 1, 1, 0])
        with pytest.raises(UserError, match="the test split of 'mine' has one item"):
            refuse_undefined(self.card("multiclass", ("accuracy",)), items.take(np.arange(5)))

    @pytest.mark.parametrize("kept", [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4]], ids=["equal targets", "one item"])
    def test_r2_of_equal_targets_is_undefined_on_test_and_on_valid(self, kept):
        columns = Columns(id="i", audio="a", split="s", target=("x", "y"))
        card = TaskCard(id="mine", title="Mine", kind="regression", metrics=("r2_x", "r2_y"), columns=columns,
                        manifest="m.csv")  # fmt: skip
        targets = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 0.1], [5, 0.1]], np.float32)
        items = self.items(targets, labels=("x", "y")).take(np.array(kept))
        metric = "r2_y" if len(kept) == 6 else "r2_x"
        words = rf"{metric} is undefined on the test split of 'mine' \(\d items\): all its targets are equal"
        with pytest.raises(UserError, match=words):
            refuse_undefined(card, items)
        with pytest.raises(UserError, match=r"r2_y is undefined on the valid split .*: all its targets are equal"):
            refuse_undefined(card, self.items(targets[[0, 1, 4, 5, 2, 3]], labels=("x", "y")))
        with pytest.raises(UserError, match="r2_y is undefined on the valid split"):
            objective(card, targets[4:], targets[4:], ("x", "y"))
        with pytest.raises(UserError, match="r2_y is undefined on the test split"):
            score_split(card, targets[4:], [targets[4:]], ("x", "y"), None, seed=0, split="test")
        refuse_undefined(card, self.items(targets[[0, 1, 2, 4, 3, 5]], labels=("x", "y")))

    def test_a_metric_without_positives_or_negatives_is_named_with_its_split(self):
        some = [[1, 0], [0, 1]]
        refuse_undefined(self.card("multilabel", ("map", "roc_auc")), self.items(some * 3))
        with pytest.raises(UserError, match="map is undefined on the test split"):
            refuse_undefined(self.card("multilabel", ("map",)), self.items(some * 2 + [[0, 0]] * 2))
        everything = self.items(some * 2 + [[1, 1]] * 2)
        refuse_undefined(self.card("multilabel", ("map",)), everything)
        with pytest.raises(UserError, match="roc_auc is undefined on the test split"):
            refuse_undefined(self.card("multilabel", ("roc_auc",)), everything)
