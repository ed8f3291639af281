import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from probes import training
from probes.data import SplitArrays, TrainValid
from probes.mlp import Mlp
from probes.protocol import ProbeSpec, Settings
from probes.training import learning_rate_at, minibatches, standardisation, train, warmup_steps


def accuracy(targets: np.ndarray, outputs: np.ndarray) -> float:
    return float((outputs.argmax(1) == targets).mean())


LINEAR = ProbeSpec("multiclass", 3, (), 0.0, 64)
HIDDEN = ProbeSpec("multiclass", 3, (32,), 0.5, 64)


class TestSchedule:
    def test_warm_up_is_a_thousand_steps_or_a_tenth(self):
        assert warmup_steps(10_000) == 1000
        assert warmup_steps(400_000) == 1000
        assert warmup_steps(9_999) == 999
        assert warmup_steps(300) == 30

    def test_values_at_the_start_the_peak_the_middle_and_the_end(self):
        settings = Settings(2e-3, 0, 11_000, True)
        assert learning_rate_at(0, settings) == 0
        assert learning_rate_at(500, settings) == pytest.approx(1e-3)
        assert learning_rate_at(1000, settings) == pytest.approx(2e-3)
        assert learning_rate_at(6000, settings) == pytest.approx(1e-3)
        assert learning_rate_at(11_000, settings) == pytest.approx(0, abs=1e-12)

    def test_never_rises_after_the_warm_up(self):
        settings = Settings(1e-3, 0, 500, True)
        rates = [learning_rate_at(step, settings) for step in range(50, 500)]
        assert all(a >= b for a, b in itertools.pairwise(rates))


class TestMinibatches:
    def test_every_epoch_holds_every_item_once_the_last_partial_batch_included(self):
        batches = minibatches(10, 4, seed=0)
        epoch = [next(batches) for _ in range(3)]
        assert [len(batch) for batch in epoch] == [4, 4, 2]
        assert sorted(np.concatenate(epoch)) == list(range(10))

    def test_really_shuffles_and_differently_each_epoch(self):
        batches = minibatches(1000, 1000, seed=0)
        first, second = next(batches), next(batches)
        assert not np.array_equal(first, np.arange(1000))
        assert not np.array_equal(first, second)
        assert abs(np.corrcoef(np.arange(1000), first)[0, 1]) < 0.1

    def test_a_batch_larger_than_the_data_is_the_data(self):
        assert len(next(minibatches(5, 256, seed=0))) == 5


class TestTrain:
    def test_learns_what_can_be_learned(self, classes):
        data = classes()
        probe = train(HIDDEN, Settings(1e-2, 0, 200, True), data, accuracy, seed=0)
        assert probe.valid_score > 0.9
        assert probe.parameters == 8 * 32 + 32 + 32 * 3 + 3
        assert accuracy(data.valid.targets, probe.predict(data.valid.embeddings)) == pytest.approx(probe.valid_score)

    def test_permuted_labels_give_chance(self, classes):
        data, fresh = classes(600, permuted=True), classes(3000, seed=0)
        probe = train(HIDDEN, Settings(1e-2, 0, 300, True), data, accuracy, seed=0)
        assert accuracy(fresh.train.targets, probe.predict(fresh.train.embeddings)) < 0.55

    def test_the_same_seed_gives_the_same_probe_and_another_seed_another(self, classes):
        settings = Settings(1e-2, 1e-4, 60, True)
        first, again, other = (train(HIDDEN, settings, classes(), accuracy, seed=seed) for seed in (1, 1, 2))
        assert all(np.array_equal(a, b) for a, b in zip(first.kernels, again.kernels, strict=True))
        assert not np.array_equal(first.kernels[0], other.kernels[0])

    def test_the_best_step_is_restored_not_the_last(self, classes):
        seen: list[np.ndarray] = []

        def first_look_is_best(targets: np.ndarray, outputs: np.ndarray) -> float:
            seen.append(outputs.copy())
            return -float(len(seen))

        data = classes()
        probe = train(LINEAR, Settings(1e-2, 0, 100, True), data, first_look_is_best, seed=0)
        assert probe.best_step == probe.curve[0][0] < 100
        np.testing.assert_allclose(probe.predict(data.valid.embeddings), seen[0], rtol=1e-4, atol=1e-6)
        assert np.abs(probe.predict(data.valid.embeddings) - seen[-1]).max() > 1e-3

    def test_looks_at_valid_at_the_end_and_at_most_as_often_as_planned(self, classes):
        for steps in (7, 100, 333):
            curve = train(LINEAR, Settings(1e-2, 0, steps, True), classes(), accuracy, seed=0).curve
            assert curve[-1][0] == steps
            assert len(curve) <= training.VALIDATIONS

    def test_predict_scores_every_row_also_the_last_partial_block(self, classes, monkeypatch):
        probe = train(LINEAR, Settings(1e-2, 0, 50, True), classes(), accuracy, seed=0)
        x = np.random.default_rng(1).normal(size=(23, 8)).astype(np.float32)
        whole = probe.predict(x)
        monkeypatch.setattr(training, "ROWS_AT_ONCE", 5)
        blocks = probe.predict(x)
        assert blocks.shape == (23, 3)
        np.testing.assert_allclose(blocks, whole, rtol=1e-5)

    def test_a_plain_loop_written_apart_gives_the_same_curve(self, classes):
        """Autograd, an explicit L2 term and an optimiser rebuilt by hand against the trainer."""
        data, settings = classes(), Settings(5e-3, 1e-3, 80, True)
        spec = ProbeSpec("multiclass", 3, (16,), 0.0, 64)
        probe = train(spec, settings, data, accuracy, seed=5)

        start = Mlp.initialise(spec, 8, 5, "cpu")
        kernels = [k.clone().requires_grad_() for k in start.kernels]
        biases = [b.clone().requires_grad_() for b in start.biases]
        mean = data.train.embeddings.mean(0, dtype=np.float64)
        deviation = data.train.embeddings.std(0, dtype=np.float64)

        def z(x: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(((x - mean) / deviation).astype(np.float32))

        def network(x: torch.Tensor) -> torch.Tensor:
            return F.relu(x @ kernels[0] + biases[0]) @ kernels[1] + biases[1]

        x, y, moments = z(data.train.embeddings), torch.from_numpy(data.train.targets), {}
        batches, curve = minibatches(len(data.train), 64, 5), []
        looks = [step for step, _ in probe.curve]
        for step in range(80):
            rows = torch.from_numpy(next(batches))
            penalty = sum((kernel**2).sum() for kernel in kernels)
            loss = F.cross_entropy(network(x[rows]), y[rows]) + 1e-3 * penalty
            gradients = torch.autograd.grad(loss, [*kernels, *biases])
            rate = 5e-3 * step / 8 if step < 8 else 5e-3 * 0.5 * (1 + math.cos(math.pi * (step - 8) / 72))
            with torch.no_grad():
                for i, (tensor, gradient) in enumerate(zip([*kernels, *biases], gradients, strict=True)):
                    m, v = moments.get(i, (torch.zeros_like(tensor), torch.zeros_like(tensor)))
                    m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
                    moments[i] = (m, v)
                    corrected = (v / (1 - 0.999 ** (step + 1))).sqrt() + 1e-7
                    tensor -= rate * m / (1 - 0.9 ** (step + 1)) / corrected
            if step + 1 in looks:
                with torch.no_grad():
                    curve.append(accuracy(data.valid.targets, network(z(data.valid.embeddings)).numpy()))
        assert curve == pytest.approx([value for _, value in probe.curve], abs=0.011)

    def test_l2_shrinks_kernels_and_leaves_biases_free(self, classes):
        """With nothing to learn from, the penalty alone moves the kernels; a bias still fits the class priors."""
        rng = np.random.default_rng(0)
        y = (rng.random(300) < 0.9).astype(np.int64)
        split = SplitArrays(tuple(map(str, range(300))), np.zeros((300, 4), np.float32), y)
        valid = SplitArrays(("v0", "v1"), np.zeros((2, 4), np.float32), np.array([0, 1]))
        data = TrainValid(split, valid, frozenset())
        looks = itertools.count()
        spec = ProbeSpec("multiclass", 2, (), 0.0, 300)
        probe = train(spec, Settings(1e-2, 1.0, 1000, False), data, lambda *_: next(looks), seed=0)
        assert np.abs(probe.kernels[0]).max() < 1e-3
        assert probe.biases[0][1] - probe.biases[0][0] == pytest.approx(math.log(y.mean() / (1 - y.mean())), abs=0.1)

    def test_regression_answers_in_the_targets_own_units(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(400, 5)).astype(np.float32)
        y = (x @ rng.normal(size=(5, 2)) * [3, 0.1] + [1000, -5]).astype(np.float32)
        ids = tuple(map(str, range(400)))
        data = TrainValid(
            SplitArrays(ids[:300], x[:300], y[:300]), SplitArrays(ids[300:], x[300:], y[300:]), frozenset()
        )
        spec = ProbeSpec("regression", 2, (), 0.0, 64)
        probe = train(spec, Settings(1e-2, 0, 800, True), data, lambda t, o: -float(np.abs(t - o).mean()), seed=0)
        residual = probe.predict(x[300:]) - y[300:]
        assert (residual.std(0) < 0.1 * y.std(0)).all()

    def test_multilabel_outputs_are_probabilities(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(200, 4)).astype(np.float32)
        y = (x[:, :2] > 0).astype(np.float32)
        ids = tuple(map(str, range(200)))
        data = TrainValid(
            SplitArrays(ids[:150], x[:150], y[:150]), SplitArrays(ids[150:], x[150:], y[150:]), frozenset()
        )
        spec = ProbeSpec("multilabel", 2, (), 0.0, 32)
        probe = train(spec, Settings(1e-2, 0, 300, True), data, lambda t, o: -float(((t - o) ** 2).mean()), seed=0)
        outputs = probe.predict(x[150:])
        assert ((outputs > 0) & (outputs < 1)).all()
        assert ((outputs > 0.5) == y[150:]).mean() > 0.95

    def test_a_score_that_is_never_finite_is_a_named_failure(self, classes):
        with pytest.raises(FloatingPointError, match="no finite validation score"):
            train(LINEAR, Settings(1e-2, 0, 10, True), classes(), lambda *_: math.nan, seed=0)


class TestStandardisation:
    def test_is_the_z_score_of_train_and_off_means_identity(self, classes):
        x = classes().train.embeddings * 50 + 7
        mean, scale = standardisation(x, on=True)
        z = (x - mean) * scale
        np.testing.assert_allclose(z.mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(z.std(0), 1, atol=1e-4)
        mean, scale = standardisation(x, on=False)
        assert not mean.any()
        assert (scale == 1).all()

    def test_a_constant_dimension_is_centred_not_blown_up(self):
        x = np.full((50, 2), 3.3, np.float32)
        x[:, 1] = np.arange(50)
        mean, scale = standardisation(x, on=True)
        assert scale[0] == 1
        np.testing.assert_allclose(((x - mean) * scale)[:, 0], 0, atol=1e-5)

    def test_valid_is_scaled_with_train_statistics(self, classes):
        """A shift of valid alone must show in its outputs: nothing re-centres it."""
        data = classes()
        moved = SplitArrays(data.valid.ids, data.valid.embeddings + 100, data.valid.targets)
        probe = train(LINEAR, Settings(1e-2, 0, 100, True), data, accuracy, seed=0)
        assert accuracy(moved.targets, probe.predict(moved.embeddings)) < 0.7 < probe.valid_score
