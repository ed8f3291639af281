import math
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.preprocessing import StandardScaler

from probes.data import SplitArrays, TrainValid, blocks
from probes.statistics import baselines
from probes.statistics.baselines import constant_outputs, fit_ridge, loses, permuted
from probes.statistics.intervals import Jackknifed, blocks_of


def split_of(name, x, y):
    return SplitArrays(tuple(f"{name}{i}" for i in range(len(x))), x.astype(np.float32), y)


def closeness(targets, outputs):
    return -float(np.square(targets - outputs).mean())


def accuracy(targets, outputs):
    return float((outputs.argmax(1) == targets).mean())


def linear(n, dim, noise=1.0, seed=0, offset=3.0):
    """A regression of three targets, linear in the embeddings, whose scales and means differ."""
    rng = np.random.default_rng(seed)
    kernel, scales = rng.normal(size=(dim, 3)), rng.uniform(0.1, 10, dim)

    def split(name, size):
        x = rng.normal(size=(size, dim)) * scales + offset
        y = (x / scales) @ kernel / math.sqrt(dim) * [1, 5, 0.2] + noise * rng.normal(size=(size, 3)) + [0, 7, -2]
        return split_of(name, x, y.astype(np.float32))

    return TrainValid(split("train", n), split("valid", 50), frozenset())


# constant outputs


def test_the_majority_class_is_predicted_and_its_scores_are_the_shares():
    found = constant_outputs("multiclass", np.array([2, 0, 2, 1]), 4, 3)
    np.testing.assert_array_equal(found, np.tile(np.float32([0.25, 0.25, 0.5, 0]), (3, 1)))
    assert found.dtype == np.float32


def test_labels_get_their_prevalence_and_targets_their_mean():
    tags = np.array([[1, 0], [1, 1], [0, 0], [1, 0]], np.float32)
    np.testing.assert_array_equal(constant_outputs("multilabel", tags, 2, 2), np.float32([[0.75, 0.25]] * 2))
    values = np.array([[1, -4], [2, -8]], np.float32)
    np.testing.assert_array_equal(constant_outputs("regression", values, 2, 1), np.float32([[1.5, -6]]))


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_a_constant_output_of_nothing_is_refused(kind):
    with pytest.raises(ValueError, match="at least one training item"):
        constant_outputs(kind, np.empty((0, 2), np.float32), 2, 3)


# permuted labels


@pytest.mark.parametrize("groups", [None, [f"artist{i // 5}" for i in range(100)]])
def test_a_permutation_moves_whole_rows_by_seed_and_loses_none(groups):
    targets = np.arange(200).reshape(100, 2)
    found = permuted(targets, 3, groups)
    assert (found[:, 1] == found[:, 0] + 1).all()
    np.testing.assert_array_equal(np.sort(found, axis=0), targets)
    np.testing.assert_array_equal(found, permuted(targets, 3, groups))
    assert (found != permuted(targets, 4, groups)).any()
    assert (found[:, 0] == targets[:, 0]).mean() < 0.2
    np.testing.assert_array_equal(targets, np.arange(200).reshape(100, 2))


def test_groups_hand_on_their_targets_together():
    groups = [f"artist{i % 20}" for i in range(100)]  # five items each, not side by side
    targets = np.array([i % 20 for i in range(100)])
    found = permuted(targets, 0, groups)
    by_group = found.reshape(5, 20)
    assert (by_group == by_group[0]).all()  # items of one group still have one target
    assert sorted(by_group[0]) == list(range(20))
    assert (by_group[0] == np.arange(20)).mean() < 0.3


def test_groups_of_different_sizes_lose_no_target():
    rng = np.random.default_rng(0)
    groups = [f"artist{i}" for i in rng.integers(0, 15, 100)]
    found = permuted(np.arange(100), 1, groups)
    assert sorted(found) == list(range(100))


def test_few_groups_do_not_leave_the_labels_where_they_were():
    found = permuted(np.arange(100), 0, ["one"] * 100)
    assert (found == np.arange(100)).mean() < 0.1
    assert sorted(found) == list(range(100))


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="3 groups for 100 items"):
        permuted(np.arange(100), 0, ["a", "b", "c"])


# ridge


@pytest.mark.parametrize(("n", "dim"), [(200, 10), (30, 80)])
def test_the_ridge_is_scikit_learns_with_more_items_and_with_more_dimensions(n, dim, monkeypatch):
    monkeypatch.setattr(baselines, "blocks", partial(blocks, rows=64))
    data = linear(n, dim)
    found = fit_ridge("regression", 3, data, closeness)
    scaler = StandardScaler().fit(data.train.embeddings.astype(float))
    scores = []
    for factor in baselines.PENALTIES:
        model = SklearnRidge(alpha=factor * n).fit(scaler.transform(data.train.embeddings), data.train.targets)
        predicted = model.predict(scaler.transform(data.valid.embeddings))
        scores.append(closeness(data.valid.targets, predicted))
        if factor * n == found.penalty:
            np.testing.assert_allclose(found.predict(data.valid.embeddings), predicted, rtol=1e-4, atol=1e-4)
    assert [penalty for penalty, _ in found.tried] == pytest.approx([factor * n for factor in baselines.PENALTIES])
    assert [value for _, value in found.tried] == pytest.approx(scores, rel=1e-4)
    assert found.valid_score == pytest.approx(max(scores), rel=1e-4)
    assert found.kernel.shape == (dim, 3)
    assert found.predict(data.valid.embeddings).dtype == np.float32


def test_much_noise_asks_for_a_larger_penalty_than_none():
    quiet = fit_ridge("regression", 3, linear(60, 40, noise=0.0), closeness)
    noisy = fit_ridge("regression", 3, linear(60, 40, noise=20.0), closeness)
    assert quiet.penalty < noisy.penalty


def test_classes_are_told_apart(classes):
    data = classes()
    found = fit_ridge("multiclass", 3, data, accuracy)
    assert found.valid_score > 0.9
    assert found.valid_score == accuracy(data.valid.targets, found.predict(data.valid.embeddings))
    chance = fit_ridge("multiclass", 3, classes(permuted=True), accuracy)
    assert chance.valid_score < 0.6


def test_a_class_or_label_that_train_lacks_is_never_above_the_others():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4))
    data = TrainValid(
        split_of("train", x, rng.integers(0, 2, 50)), split_of("valid", x, rng.integers(0, 2, 50)), frozenset()
    )
    assert (fit_ridge("multiclass", 3, data, accuracy).predict(x.astype(np.float32))[:, 2] == 0).all()


def test_the_larger_penalty_is_kept_of_equal_scores():
    data = linear(50, 5)
    assert fit_ridge("regression", 3, data, lambda *_: 0.5).penalty == baselines.PENALTIES[-1] * 50


def test_memory_mapped_embeddings_give_the_same(tmp_path):
    data = linear(300, 6)
    np.save(tmp_path / "x.npy", data.train.embeddings)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    lazily = TrainValid(SplitArrays(data.train.ids, mapped, data.train.targets), data.valid, frozenset())
    np.testing.assert_array_equal(
        fit_ridge("regression", 3, lazily, closeness).kernel, fit_ridge("regression", 3, data, closeness).kernel
    )


def test_constant_dimensions_one_item_and_equal_items_are_no_trouble():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 5)).astype(np.float32)
    y = x[:, :1] * 2
    x[:, 3], x[:, 4] = 0, 1e6
    valid = split_of("valid", x, y)
    found = fit_ridge("regression", 1, TrainValid(split_of("train", x, y), valid, frozenset()), closeness)
    assert (found.kernel[3:] == 0).all()
    assert found.valid_score > -0.01
    for alike in (x[:1], np.tile(x[:1], (7, 1))):
        train = split_of("train", alike, y[: len(alike)])
        found = fit_ridge("regression", 1, TrainValid(train, valid, frozenset()), closeness)
        assert (found.kernel == 0).all()
        np.testing.assert_allclose(found.predict(x), np.full((40, 1), y[: len(alike)].mean()), rtol=1e-6)


def test_embeddings_of_an_extreme_scale_are_refused_and_of_a_large_one_are_not():
    data = linear(50, 5)
    for factor, extreme in ((1e20, False), (1e37, True)):
        x = data.train.embeddings * np.float32(factor)
        x[0] *= -1
        scaled = TrainValid(SplitArrays(data.train.ids, x, data.train.targets), data.valid, frozenset())
        if extreme:
            x[1] = np.float32(-3.4e38)
            x[2] = np.float32(3.4e38)
            with pytest.raises(FloatingPointError, match="extreme scale"):
                fit_ridge("regression", 3, scaled, closeness)
        else:
            assert np.isfinite(fit_ridge("regression", 3, scaled, closeness).kernel).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_never_wins(bad):
    data, seen = linear(50, 5), []

    def once(targets, outputs):
        seen.append(closeness(targets, outputs))
        return bad if len(seen) != 2 else seen[-1]

    found = fit_ridge("regression", 3, data, once)
    assert found.valid_score == seen[1]
    assert [value for _, value in found.tried].count(-math.inf) == 3
    with pytest.raises(FloatingPointError, match="no finite validation score"):
        fit_ridge("regression", 3, data, lambda *_: bad)


def test_equations_that_rounding_left_unsolvable_are_reported():
    solve = baselines._Solver(np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones((2, 1)), None)
    with pytest.raises(FloatingPointError, match=r"cannot be solved with the penalty 0\.5"):
        solve(0.5)


# losing to a floor


def scores_of(right, seeded=True):
    """Turn what probes do on each item [k, n] into scores, whole and without each item."""
    right = np.asarray(right, float)
    n = right.shape[1]
    return Jackknifed(right.mean(1), (right.sum(1, keepdims=True) - right) / (n - 1), seeded)


def test_a_probe_loses_where_the_whole_interval_of_the_difference_is_below_zero():
    rng, blocks = np.random.default_rng(0), blocks_of(300, None, seed=0)
    floor = rng.random(300)
    noise = rng.normal(0, 0.05, (3, 300))
    ridge = scores_of([floor], seeded=False)
    # Their own intervals overlap widely; the pairs tell.
    assert loses(scores_of(floor - 0.02 + noise), ridge, blocks, (0.0, 1.0))
    assert not loses(scores_of(floor + 0.02 + noise), ridge, blocks, (0.0, 1.0))
    assert not loses(scores_of(floor - 0.001 + noise), ridge, blocks, (0.0, 1.0))


def test_a_probe_whose_seeds_lie_apart_is_not_said_to_lose():
    rng, blocks = np.random.default_rng(0), blocks_of(300, None, seed=0)
    floor = rng.random(300)
    ridge = scores_of([floor], seeded=False)
    apart = floor - 0.02 + rng.normal(0, 0.05, (3, 300)) + np.array([[-0.04], [0.0], [0.04]])
    assert apart.mean() < floor.mean() - 0.01
    assert not loses(scores_of(apart), ridge, blocks, (0.0, 1.0))


def test_what_is_undefined_without_a_block_is_not_said_to_lose():
    blocks = blocks_of(20, None, seed=0)
    probe, ridge = scores_of(np.zeros((2, 20))), scores_of(np.ones((1, 20)), seeded=False)
    assert loses(probe, ridge, blocks, (0.0, 1.0))
    probe.without[0, 3] = np.nan
    assert not loses(probe, ridge, blocks, (0.0, 1.0))


def test_equal_probe_and_floor_do_not_lose():
    blocks = blocks_of(20, None, seed=0)
    same = np.random.default_rng(0).random((1, 20))
    assert not loses(scores_of(same), scores_of(same, seeded=False), blocks, (0.0, 1.0))
