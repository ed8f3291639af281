import itertools
import math
from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from probes.data import SplitArrays, TrainValid
from probes.protocol import ProbeSpec, Settings, protocol_for
from probes.training import minibatches
from probes.training import probe as trained
from probes.training import trainer as training_module
from probes.training.concurrency import ThreadBudget
from probes.training.dropout import DropoutMasks
from probes.training.minibatches import row_order
from probes.training.mlp import Probes, forward
from probes.training.probe import TrainedProbe
from probes.training.schedule import VALIDATIONS
from probes.training.trainer import Trainer, encode_targets, train

SPEC = ProbeSpec("multiclass", 3, "cross_entropy")
LINEAR = {"hidden": (), "dropout": 0.0, "batch_size": 64}
SMALL = {"hidden": (32,), "dropout": 0.5, "batch_size": 64}


def accuracy(targets: np.ndarray, outputs: np.ndarray) -> float:
    return float((outputs.argmax(1) == targets).mean())


def fine(targets: np.ndarray, outputs: np.ndarray) -> float:
    """A score that every change of the outputs shows in: minus the mean squared error, or the mean log likelihood."""
    if targets.ndim == 1:
        return float(np.log(np.maximum(outputs[np.arange(len(targets)), targets], 1e-30)).mean())
    return -float(((targets - outputs) ** 2).mean())


def weights_of(probe: TrainedProbe) -> list[np.ndarray]:
    return [*probe.function.kernels, *probe.function.biases]


def run_alone(spec: ProbeSpec, data: TrainValid, settings: Settings, seed: int) -> TrainedProbe:
    return train(spec, settings, data, fine, seed=seed)


def run_together(spec: ProbeSpec, data: TrainValid, wanted: list[tuple[Settings, int]]) -> list[TrainedProbe]:
    trainer = Trainer(spec, data, fine)
    trainings = [trainer.begin(settings, seed) for settings, seed in wanted]
    trainer.advance(trainings, [settings.steps for settings, _ in wanted])
    return [trainer.finish(each) for each in trainings]


def sixteen(**shape: object) -> list[tuple[Settings, int]]:
    """Settings that differ in all that may differ within a batch, with three seeds; they end at different steps."""
    rates, decays, lengths = (1e-3, 3e-2, 5e-3, 1e-2), (0.0, 1e-2, 1e-4), (40, 23, 31, 60, 7)
    return [
        (Settings(rates[i % 4], decays[i % 3], lengths[i % 5], bool(i // 3 % 2), **shape), i % 3)  # type: ignore[arg-type]
        for i in range(16)
    ]


class TestTogetherEqualsAlone:
    @pytest.mark.parametrize(
        ("spec", "shape"),
        [
            (ProbeSpec("multiclass", 5, "cross_entropy"), LINEAR),
            (ProbeSpec("multiclass", 5, "binary_cross_entropy"), {**LINEAR, "batch_size": 2560}),
            (ProbeSpec("multilabel", 5, "binary_cross_entropy"), LINEAR),
            (ProbeSpec("regression", 5, "squared_error"), {**LINEAR, "batch_size": 32}),
            (ProbeSpec("multiclass", 5, "cross_entropy"), {**SMALL, "batch_size": 32}),
            (ProbeSpec("multilabel", 5, "binary_cross_entropy"), {**SMALL, "hidden": (16, 8)}),
            (
                ProbeSpec("multilabel", 5, "binary_cross_entropy", dropout_place="logits"),
                {**LINEAR, "dropout": 0.3},
            ),
            (
                ProbeSpec("multiclass", 5, "cross_entropy", dropout_place="input_and_hidden", schedule="constant"),
                {**SMALL, "dropout": 0.25},
            ),
            (
                ProbeSpec("multiclass", 5, "cross_entropy", dropout_place="input_and_hidden", look_every=8),
                {**LINEAR, "dropout": 0.5},
            ),
            (ProbeSpec("multiclass", 5, "cross_entropy", layers=3), LINEAR),
            (ProbeSpec("regression", 5, "squared_error", layers=4, dropout_place="input_and_hidden"), SMALL),
        ],
    )
    def test_to_a_ten_thousandth_at_every_look(self, problem, spec, shape):
        data, wanted = problem(spec.kind), sixteen(**shape)
        found = run_together(spec, data, wanted)
        for (settings, seed), probe in zip(wanted, found, strict=True):
            alone = run_alone(spec, data, settings, seed)
            assert [step for step, _ in probe.curve] == [step for step, _ in alone.curve]
            expected = pytest.approx([value for _, value in alone.curve], rel=1e-5, abs=1e-5)
            assert [value for _, value in probe.curve] == expected
            assert probe.valid_score == pytest.approx(alone.valid_score, rel=1e-5, abs=1e-5)
            assert (probe.seed, probe.settings, probe.steps_run) == (seed, settings, settings.steps)
        assert len({probe.function.kernels[0].tobytes() for probe in found}) > 12  # they do differ

    def test_of_wide_layers_bit_for_bit(self, problem):
        spec, data = ProbeSpec("multiclass", 5, "cross_entropy"), problem("multiclass")
        wanted = sixteen(hidden=(160, 128), dropout=0.5, batch_size=64)
        for (settings, seed), probe in zip(wanted, run_together(spec, data, wanted), strict=True):
            alone = run_alone(spec, data, settings, seed)
            assert probe.curve == alone.curve
            for ours, theirs in zip(
                (*probe.function.kernels, *probe.function.biases),
                (*alone.function.kernels, *alone.function.biases),
                strict=True,
            ):
                np.testing.assert_array_equal(ours, theirs)

    def test_whatever_patience_ends_the_others(self, problem):
        """They leave the batch when they stop improving, at steps that only the training itself can tell."""
        spec = ProbeSpec("multiclass", 5, "cross_entropy", patience=16, look_every=8, schedule="constant")
        data = problem("multiclass")
        wanted = [(replace(settings, steps=400), seed) for settings, seed in sixteen(**LINEAR)]
        found = run_together(spec, data, wanted)
        assert len({probe.steps_run for probe in found}) > 2
        for (settings, seed), probe in zip(wanted, found, strict=True):
            alone = run_alone(spec, data, settings, seed)
            assert (probe.steps_run, probe.best_step) == (alone.steps_run, alone.best_step)
            assert probe.valid_score == pytest.approx(alone.valid_score, abs=1e-5)

    def test_of_data_that_is_read_in_blocks(self, problem, tmp_path, monkeypatch):
        monkeypatch.setattr(minibatches, "ROW_SHUFFLE_BYTES", 0)
        monkeypatch.setattr(minibatches, "BLOCK_ROWS", 8)
        monkeypatch.setattr(minibatches, "CHUNK_BLOCKS", 3)
        data = problem("multiclass")
        np.save(tmp_path / "x.npy", data.train.embeddings)
        mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
        data = TrainValid(SplitArrays(data.train.ids, mapped, data.train.targets), data.valid, frozenset())
        spec, wanted = ProbeSpec("multiclass", 5, "cross_entropy"), sixteen(**{**LINEAR, "batch_size": 10})[:5]
        for (settings, seed), probe in zip(wanted, run_together(spec, data, wanted), strict=True):
            assert probe.valid_score == pytest.approx(run_alone(spec, data, settings, seed).valid_score, abs=1e-5)

    def test_probes_of_different_shape_are_refused(self, problem):
        trainer = Trainer(ProbeSpec("multiclass", 5, "cross_entropy"), problem("multiclass"), fine)
        for change in ({"hidden": (7,)}, {"dropout": 0.2}, {"batch_size": 9}):
            settings = Settings(1e-3, 0, 5, True, **LINEAR)
            trainings = [trainer.begin(each, 0) for each in (settings, replace(settings, **change))]
            with pytest.raises(ValueError, match="cannot be trained in one batch"):
                trainer.advance(trainings, [5, 5])


class TestComplete:
    """All of a search's seeds at once: in groups, each in a slot of its own."""

    def wanted(self) -> list[tuple[Settings, int]]:
        wide = sixteen(hidden=(130,), dropout=0.5, batch_size=32)[:5]
        return [*wide, *sixteen(**LINEAR)[:6], *sixteen(hidden=(7,), dropout=0.25, batch_size=20)[:3]]

    @pytest.mark.parametrize("threads", [1, 2, 5])
    def test_gives_what_each_gives_alone(self, problem, threads):
        spec, data = ProbeSpec("multilabel", 5, "binary_cross_entropy"), problem("multilabel")
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            trainer = Trainer(spec, data, fine)
            assert trainer.slots() == threads
            trainings = [trainer.begin(settings, seed) for settings, seed in self.wanted()]
            trainer.complete(trainings)
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        for training, (settings, seed) in zip(trainings, self.wanted(), strict=True):
            ours, alone = trainer.finish(training), run_alone(spec, data, settings, seed)
            assert (training.over, ours.steps_run) == (True, settings.steps)
            if len(settings.hidden) and settings.hidden[0] >= 128:  # on any number of threads
                assert ours.curve == alone.curve
                np.testing.assert_array_equal(ours.function.kernels[0], alone.function.kernels[0])
            else:
                assert ours.valid_score == pytest.approx(alone.valid_score, abs=1e-5)

    def test_a_failing_score_ends_all(self, problem):
        def fail(targets, outputs):
            raise ZeroDivisionError("score")

        trainer = Trainer(ProbeSpec("multilabel", 5, "binary_cross_entropy"), problem("multilabel"), fail)
        trainings = [trainer.begin(settings, seed) for settings, seed in self.wanted()]
        with pytest.raises(ZeroDivisionError, match="score"):
            trainer.complete(trainings)

    def test_a_stopped_crew_ends_a_training_within_a_step(self, problem):
        trainer = Trainer(ProbeSpec("multilabel", 5, "binary_cross_entropy"), problem("multilabel"), fine)
        training, budget = trainer.begin(Settings(1e-3, 0, 10**6, True, **LINEAR), 0), ThreadBudget(1)
        budget.stop()
        with pytest.raises(CancelledError):
            trainer.advance([training], [10**6], budget)

    def test_blocks_are_read_for_one_step_at_a_time(self, problem, monkeypatch):
        """Probes that stand at different steps, as after a rung, would each hold blocks of their own."""
        trainer = Trainer(ProbeSpec("multiclass", 5, "cross_entropy"), problem("multiclass"), fine)
        trainer.inputs.large, streams, running = True, trainer.inputs.stream, []
        counted = []

        def stream(*given, **chosen):
            running.append(1)
            counted.append(len(running))
            try:
                yield from streams(*given, **chosen)
            finally:
                running.pop()

        monkeypatch.setattr(trainer.inputs, "stream", stream)
        trainings = [trainer.begin(Settings(1e-2, 0, 30, True, **LINEAR), 0) for _ in range(4)]
        trainer.advance(trainings, [3, 3, 9, 14])
        counted.clear()
        trainer.advance(trainings, [30] * 4)
        assert max(counted) == 1
        assert [training.step for training in trainings] == [30] * 4

    def test_blocks_are_read_in_few_slots(self, problem, monkeypatch):
        trainer = Trainer(ProbeSpec("multilabel", 5, "binary_cross_entropy"), problem("multilabel"), fine)
        before = torch.get_num_threads()
        torch.set_num_threads(9)
        try:
            assert trainer.slots() == 9
            trainer.inputs.large = True
            assert trainer.slots() == training_module.SLOTS_OF_LARGE
        finally:
            torch.set_num_threads(before)


class TestSetAside:
    @staticmethod
    def in_parts(spec: ProbeSpec, data: TrainValid, wanted: list[tuple[Settings, int]]) -> list[TrainedProbe]:
        """Train to step 7, then 23, then the end, in different group each time."""
        trainer = Trainer(spec, data, fine)
        trainings = [trainer.begin(settings, seed) for settings, seed in wanted]
        for until, size in ((7, 16), (23, 5), (10**6, 3)):
            for first in range(0, 16, size):
                part = trainings[first : first + size][::-1]
                trainer.advance(part, [until] * len(part))
        return [trainer.finish(each) for each in trainings]

    @pytest.mark.parametrize("place", ["hidden", "input_and_hidden"])
    @pytest.mark.parametrize("batch_size", [32, 256])
    def test_equals_unbroken_bit_for_bit_in_wide_layers(self, problem, place, batch_size):
        spec, data = ProbeSpec("multilabel", 5, "binary_cross_entropy", dropout_place=place), problem("multilabel")
        wanted = sixteen(hidden=(130,), dropout=0.5, batch_size=batch_size)
        for (settings, seed), probe in zip(wanted, self.in_parts(spec, data, wanted), strict=True):
            alone = run_alone(spec, data, settings, seed)
            assert probe.curve == alone.curve
            for ours, theirs in zip(
                (*probe.function.kernels, *probe.function.biases),
                (*alone.function.kernels, *alone.function.biases),
                strict=True,
            ):
                np.testing.assert_array_equal(ours, theirs)

    @pytest.mark.parametrize("layers", [None, 3])
    def test_equals_unbroken_to_a_millionth_in_linear_ones(self, problem, layers):
        spec, data = ProbeSpec("regression", 5, "squared_error", layers=layers), problem("regression")
        wanted = sixteen(**{**LINEAR, "batch_size": 32})
        for (settings, seed), probe in zip(wanted, self.in_parts(spec, data, wanted), strict=True):
            alone = run_alone(spec, data, settings, seed)
            assert [step for step, _ in probe.curve] == [step for step, _ in alone.curve]
            assert [value for _, value in probe.curve] == pytest.approx([value for _, value in alone.curve], rel=1e-6)

    def test_alone_of_a_linear_one_is_bit_for_bit(self, problem):
        spec, data = ProbeSpec("multiclass", 5, "cross_entropy"), problem("multiclass")
        settings = Settings(1e-2, 1e-3, 60, True, **LINEAR)
        trainer = Trainer(spec, data, fine)
        parts = trainer.begin(settings, 4)
        for until in (1, 2, 17, 17, 30, 60):
            trainer.advance([parts], [until])
            assert parts.step == until
        whole = run_alone(spec, data, settings, 4)
        np.testing.assert_array_equal(trainer.finish(parts).function.kernels[0], whole.function.kernels[0])
        assert tuple(parts.curve) == whole.curve

    def test_one_that_is_over_is_not_trained_further(self, problem):
        trainer = Trainer(ProbeSpec("multiclass", 5, "cross_entropy"), problem("multiclass"), fine)
        done = trainer.begin(Settings(1e-2, 0, 9, True, **LINEAR), 0)
        trainer.advance([done], [10**6])
        kept, curve = done.probe.kernels[0].clone(), list(done.curve)
        trainer.advance([done], [10**6])
        trainer.advance([], [])
        assert (done.step, done.over, done.curve) == (9, True, curve)
        assert torch.equal(done.probe.kernels[0], kept)


def plain_curve(
    spec: ProbeSpec, settings: Settings, data: TrainValid, seed: int, rates: list[float], validations: list[int]
) -> list[float]:
    """Train with autograd, ``nn.Linear`` and torch's Adam, from the same weights, minibatches and dropout masks."""
    dim = data.train.embeddings.shape[1]
    start = Probes.initialise(spec, settings.hidden, dim, seed, "cpu")
    layers = [torch.nn.Linear(kernel.shape[2], kernel.shape[1]) for kernel in start.kernels]
    for layer, kernel, bias in zip(layers, start.kernels, start.biases, strict=True):
        layer.weight.data, layer.bias.data = kernel[0].clone(), bias[0].clone()
    optimiser = torch.optim.Adam([p for layer in layers for p in layer.parameters()], eps=1e-7)
    mean = data.train.embeddings.mean(0, dtype=np.float64) if settings.standardise else 0.0
    deviation = data.train.embeddings.std(0, dtype=np.float64) if settings.standardise else 1.0

    def inputs(split: SplitArrays) -> torch.Tensor:
        return torch.from_numpy(((split.embeddings - mean) / deviation).astype(np.float32))

    def network(x: torch.Tensor, masks: DropoutMasks | None) -> torch.Tensor:
        for layer in layers[:-1]:
            x = F.relu(layer(x))
            if masks is not None:
                factors = masks.draw(*x.shape)
                x = x if factors is None else x * factors
        x = layers[-1](x)
        return x if masks is None or spec.dropout_place != "logits" else x * masks.draw(*x.shape)

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if spec.loss == "cross_entropy":
            return F.cross_entropy(logits, targets)
        if spec.loss == "squared_error":
            return F.mse_loss(logits, targets)
        if spec.kind == "multiclass":
            targets = F.one_hot(targets, spec.outputs).float()
        return F.binary_cross_entropy_with_logits(logits, targets)

    y, back = torch.from_numpy(data.train.targets), lambda values: values
    if spec.kind == "regression":
        centre, width = y.mean(0), y.std(0, correction=0)
        y, back = (y - centre) / width, lambda values: values * width + centre
    x, valid, curve = inputs(data.train), inputs(data.valid), []
    order = row_order(len(x), settings.batch_size, seed)
    for step in range(settings.steps):
        # All rows in any order are the same step, but for dropout, whose factors go with the order of rows.
        rows = torch.arange(len(x)) if settings.batch_size >= len(x) else torch.from_numpy(next(order))
        masks = DropoutMasks(settings.dropout, seed, "cpu", step)
        penalty = sum((layer.weight**2).sum() for layer in layers)
        optimiser.zero_grad()
        (loss(network(x[rows], masks), y[rows]) + settings.l2 * penalty).backward()
        optimiser.param_groups[0]["lr"] = rates[step]
        optimiser.step()
        if step + 1 in validations:
            with torch.no_grad():
                outputs = network(valid, None)
                if spec.loss == "cross_entropy":
                    outputs = outputs.softmax(1)
                elif spec.loss == "binary_cross_entropy":
                    outputs = outputs.sigmoid()
                curve.append(fine(data.valid.targets, back(outputs).numpy()))
    return curve


def cosine_rates(settings: Settings, warmup: int) -> list[float]:
    """Keras' schedule: up to the warm rate, then half a cosine of the decay steps from the learning rate."""
    up = [(settings.warm_rate or settings.learning_rate) * step / warmup for step in range(warmup)]
    decay = settings.steps - warmup
    down = [settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / decay)) for step in range(decay)]
    return up + down


class TestAgainstAPlainLoop:
    """Torch's own layers, autograd and optimiser, written apart from the trainer."""

    @pytest.mark.parametrize(
        ("model", "task", "kind"),
        [
            ("musicset-ularge", "mtt", "multilabel"),  # 512 hidden units, dropout, L2
            ("audioset-sup", "gs_key", "multiclass"),
            ("musicset-sup", "emo", "regression"),
            ("musicset-sup", "gtzan", "multiclass"),  # all items at once, binary cross-entropy
            ("audioset-ularge", "mumu", "multilabel"),  # dropout on the logits, a jump of the rate
            ("audioset-sup", "nsynth_i", "multiclass"),
        ],
    )
    def test_a_published_configuration_gives_the_same_curve(self, problem, model, task, kind):
        """Its schedule is cut to 120 steps, its widths to a quarter, and its batch to 32; all else is as published."""
        protocol = protocol_for(f"published:{model}", task)
        (published,) = protocol.first
        settings = replace(
            published,
            steps=120,
            hidden=tuple(width // 4 for width in published.hidden),
            batch_size=published.batch_size if task == "gtzan" else 32,
            learning_rate=published.learning_rate * 30,
            warm_rate=None if published.warm_rate is None else published.warm_rate * 30,
        )
        spec, data = protocol.spec(kind, 5), problem(kind)
        probe = train(spec, settings, data, fine, seed=5)
        looks = [step for step, _ in probe.curve]
        assert looks[-1] == 120
        assert len(looks) > 3
        expected = plain_curve(spec, settings, data, 5, cosine_rates(settings, 12), looks)
        assert [value for _, value in probe.curve] == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert max(expected) - min(expected) > 1e-3  # it went somewhere

    def test_its_whole_warm_up_where_the_training_is_long_enough(self, problem):
        (published,), data = protocol_for("published:musicset-sup", "mumu").first, problem("multilabel", n=10)
        settings = replace(published, steps=400, batch_size=2560)
        spec = replace(protocol_for("published:musicset-sup", "mumu").spec("multilabel", 5), warmup=40)
        probe = train(spec, settings, data, fine, seed=1)
        looks = [step for step, _ in probe.curve]
        expected = plain_curve(spec, settings, data, 1, cosine_rates(settings, 40), looks)
        assert [value for _, value in probe.curve] == pytest.approx(expected, rel=1e-4, abs=1e-6)

    @pytest.mark.parametrize("kind", ["multiclass", "regression"])
    def test_standardised_inputs_and_a_strong_l2(self, problem, kind):
        loss = {"multiclass": "cross_entropy", "regression": "squared_error"}[kind]
        spec, data = ProbeSpec(kind, 5, loss), problem(kind)
        settings = Settings(1e-2, 3e-2, 80, True, hidden=(16,), dropout=0.25, batch_size=20)
        probe = train(spec, settings, data, fine, seed=2)
        looks = [step for step, _ in probe.curve]
        expected = plain_curve(spec, settings, data, 2, cosine_rates(settings, 8), looks)
        assert [value for _, value in probe.curve] == pytest.approx(expected, rel=1e-4, abs=1e-6)
        without = plain_curve(spec, replace(settings, l2=0.0), data, 2, cosine_rates(settings, 8), looks)
        assert max(abs(a - b) for a, b in zip(expected, without, strict=True)) > 1e-2

    def test_l2_is_on_kernels_alone(self, problem):
        """One step from nothing but the penalty's gradient: Adam moves kernels by the rate, and biases not at all."""
        data = problem("regression", n=20)
        x = np.zeros_like(data.train.embeddings)
        flat = TrainValid(
            SplitArrays(data.train.ids, x, np.ones_like(data.train.targets)),
            SplitArrays(data.valid.ids, np.zeros_like(data.valid.embeddings), data.valid.targets),
            frozenset(),
        )
        spec = ProbeSpec("regression", 5, "squared_error", schedule="constant", layers=3)
        probe = train(spec, Settings(1e-2, 0.7, 1, False, **LINEAR), flat, fine, seed=0)
        start = Probes.initialise(spec, (), 12, 0, "cpu").kernels[0][0].T.numpy()
        moved = start - 1e-2 * np.sign(start)
        np.testing.assert_allclose(probe.function.kernels[0], np.concatenate([moved / 3] * 3), rtol=1e-3, atol=1e-5)
        assert not probe.function.biases[0].any()
        assert probe.mixing == pytest.approx((1 / 3,) * 3)


class TestTrain:
    def test_learns_what_can_be_learned(self, classes):
        data = classes()
        probe = train(SPEC, Settings(1e-2, 0, 200, True, **SMALL), data, accuracy, seed=0)
        assert probe.valid_score > 0.9
        assert probe.parameters == 8 * 32 + 32 + 32 * 3 + 3
        assert accuracy(data.valid.targets, probe.predict(data.valid.embeddings)) == pytest.approx(probe.valid_score)

    def test_permuted_labels_give_chance(self, classes):
        data, fresh = classes(600, permuted=True), classes(3000, seed=0)
        probe = train(SPEC, Settings(1e-2, 0, 300, True, **SMALL), data, accuracy, seed=0)
        assert accuracy(fresh.train.targets, probe.predict(fresh.train.embeddings)) < 0.55

    def test_the_same_seed_gives_the_same_probe_and_another_seed_another(self, classes):
        settings = Settings(1e-2, 1e-4, 60, True, **SMALL)
        first, again, other = (train(SPEC, settings, classes(), accuracy, seed=seed) for seed in (1, 1, 2))
        assert all(np.array_equal(a, b) for a, b in zip(first.function.kernels, again.function.kernels, strict=True))
        assert not np.array_equal(first.function.kernels[0], other.function.kernels[0])

    def test_the_best_step_is_restored_not_the_last(self, classes):
        seen: list[np.ndarray] = []

        def first_look_is_best(targets: np.ndarray, outputs: np.ndarray) -> float:
            seen.append(outputs.copy())
            return -float(len(seen))

        data = classes()
        probe = train(SPEC, Settings(1e-2, 0, 100, True, **LINEAR), data, first_look_is_best, seed=0)
        assert probe.best_step == probe.curve[0][0] < 100
        assert (probe.valid_score, probe.steps_run) == (-1, 100)
        np.testing.assert_allclose(probe.predict(data.valid.embeddings), seen[0], rtol=1e-4, atol=1e-6)
        assert np.abs(probe.predict(data.valid.embeddings) - seen[-1]).max() > 1e-3

    def test_of_equal_looks_the_last_is_the_best(self, classes):
        probe = train(SPEC, Settings(1e-2, 0, 100, True, **LINEAR), classes(), lambda *_: 0.5, seed=0)
        assert probe.best_step == probe.curve[-1][0] == 100

    def test_looks_at_valid_at_the_end_and_at_most_as_often_as_planned(self, classes):
        for steps in (7, 100, 333):
            curve = train(SPEC, Settings(1e-2, 0, steps, True, **LINEAR), classes(), accuracy, seed=0).curve
            assert curve[-1][0] == steps
            assert len(curve) <= VALIDATIONS

    def test_only_ever_scores_the_whole_of_valid(self, classes):
        data, seen = classes(90), []

        def watching(targets: np.ndarray, outputs: np.ndarray) -> float:
            seen.append((targets, len(outputs)))
            return accuracy(targets, outputs)

        train(SPEC, Settings(1e-2, 0, 30, True, **LINEAR), data, watching, seed=0)
        assert seen
        assert all(np.array_equal(targets, data.valid.targets) and n == 30 for targets, n in seen)

    def test_predict_scores_every_row_also_the_last_partial_block(self, classes, monkeypatch):
        probe = train(SPEC, Settings(1e-2, 0, 50, True, **LINEAR), classes(), accuracy, seed=0)
        x = np.random.default_rng(1).normal(size=(23, 8)).astype(np.float32)
        whole, asked = probe.predict(x), []
        monkeypatch.setattr(trained, "ROWS_AT_ONCE", 5)
        monkeypatch.setattr(
            trained, "forward", lambda probes, x, products: asked.append(len(x)) or forward(probes, x, products)
        )
        blocks = probe.predict(x)
        assert (blocks.shape, asked) == ((23, 3), [5, 5, 5, 5, 3])
        np.testing.assert_allclose(blocks, whole, rtol=1e-5)

    def test_large_valid_is_scored_in_blocks_to_the_same(self, problem, monkeypatch):
        spec, settings = ProbeSpec("multilabel", 5, "binary_cross_entropy"), Settings(1e-2, 0, 20, True, **SMALL)
        whole = train(spec, settings, problem("multilabel"), fine, seed=0)
        monkeypatch.setattr(training_module, "ROWS_AT_ONCE", 7)
        blocks = train(spec, settings, problem("multilabel"), fine, seed=0)
        assert [v for _, v in blocks.curve] == pytest.approx([v for _, v in whole.curve], rel=1e-6)

    def test_l2_shrinks_kernels_and_leaves_biases_free(self):
        """With nothing to learn from, the penalty alone moves the kernels; a bias still fits the class priors."""
        rng = np.random.default_rng(0)
        y = (rng.random(300) < 0.9).astype(np.int64)
        split = SplitArrays(tuple(map(str, range(300))), np.zeros((300, 4), np.float32), y)
        valid = SplitArrays(("v0", "v1"), np.zeros((2, 4), np.float32), np.array([0, 1]))
        data = TrainValid(split, valid, frozenset())
        looks = itertools.count()
        spec = ProbeSpec("multiclass", 2, "cross_entropy")
        settings = Settings(1e-2, 1.0, 1000, False, hidden=(), dropout=0.0, batch_size=300)
        probe = train(spec, settings, data, lambda *_: next(looks), seed=0)
        assert np.abs(probe.function.kernels[0]).max() < 1e-3
        (bias,) = probe.function.biases
        assert bias[1] - bias[0] == pytest.approx(math.log(y.mean() / (1 - y.mean())), abs=0.1)

    def test_regression_answers_in_the_targets_own_units(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(400, 5)).astype(np.float32)
        y = (x @ rng.normal(size=(5, 2)) * [3, 0.1] + [1000, -5]).astype(np.float32)
        ids = tuple(map(str, range(400)))
        data = TrainValid(
            SplitArrays(ids[:300], x[:300], y[:300]), SplitArrays(ids[300:], x[300:], y[300:]), frozenset()
        )
        spec = ProbeSpec("regression", 2, "squared_error")
        settings = Settings(1e-2, 0, 800, True, **LINEAR)
        probe = train(spec, settings, data, lambda t, o: -float(np.abs(t - o).mean()), seed=0)
        residual = probe.predict(x[300:]) - y[300:]
        assert (residual.std(0) < 0.1 * y.std(0)).all()

    @pytest.mark.parametrize(
        ("kind", "loss", "sums_to_one"),
        [
            ("multilabel", "binary_cross_entropy", False),
            ("multiclass", "binary_cross_entropy", False),
            ("multiclass", "cross_entropy", True),
        ],
    )
    def test_outputs_are_probabilities(self, problem, kind, loss, sums_to_one):
        data = problem(kind, n=300, outputs=5, noise=0.1)
        probe = train(ProbeSpec(kind, 5, loss), Settings(3e-2, 0, 300, True, **LINEAR), data, fine, seed=0)
        outputs = probe.predict(data.valid.embeddings)
        assert ((outputs > 0) & (outputs < 1)).all()
        assert np.allclose(outputs.sum(1), 1, atol=1e-5) == sums_to_one
        hits = (
            outputs.argmax(1) == data.valid.targets if kind == "multiclass" else (outputs > 0.5) == data.valid.targets
        )
        assert hits.mean() > 0.7

    def test_a_mixture_of_layers_finds_the_layer_that_knows(self, classes):
        data = classes(400)
        rng = np.random.default_rng(0)

        def deepen(split: SplitArrays) -> SplitArrays:
            noise = [rng.normal(size=split.embeddings.shape) * 3 for _ in range(2)]
            layers = np.concatenate([noise[0], split.embeddings, noise[1]], axis=1).astype(np.float32)
            return SplitArrays(split.ids, layers, split.targets)

        deep = TrainValid(deepen(data.train), deepen(data.valid), frozenset())
        spec = replace(SPEC, layers=3)
        probe = train(spec, Settings(3e-2, 0, 300, True, **LINEAR), deep, accuracy, seed=0)
        assert probe.valid_score > 0.9
        assert sum(probe.mixing) == pytest.approx(1)
        assert probe.mixing[1] > 0.6
        assert probe.function.kernels[0].shape == (24, 3)  # folded: a reader needs to know nothing of the mixture
        assert accuracy(deep.valid.targets, probe.predict(deep.valid.embeddings)) == probe.valid_score

    def test_valid_is_scaled_with_train_statistics(self, classes):
        """A shift of valid alone must show in its outputs: nothing re-centres it."""
        data = classes()
        moved = SplitArrays(data.valid.ids, data.valid.embeddings + 100, data.valid.targets)
        probe = train(SPEC, Settings(1e-2, 0, 100, True, **LINEAR), data, accuracy, seed=0)
        assert accuracy(moved.targets, probe.predict(moved.embeddings)) < 0.7 < probe.valid_score

    def test_the_looks_at_valid_scale_it_with_train_statistics_too(self, classes):
        """What chose the step is what the probe then scores, also where valid lies elsewhere than train."""
        data = classes()
        moved = SplitArrays(data.valid.ids, 3 * data.valid.embeddings + 5, data.valid.targets)
        probe = train(SPEC, Settings(1e-2, 0, 100, True, **LINEAR), replace(data, valid=moved), accuracy, seed=0)
        assert probe.valid_score == accuracy(moved.targets, probe.predict(moved.embeddings)) < 0.9

    def test_bf16_learns_as_much(self, problem):
        spec, settings = ProbeSpec("multilabel", 5, "binary_cross_entropy"), Settings(1e-2, 1e-5, 150, True, **SMALL)
        data = problem("multilabel", n=300)
        full, half = (train(spec, settings, data, fine, seed=0, precision=p) for p in ("fp32", "bf16"))
        assert half.valid_score == pytest.approx(full.valid_score, abs=0.01)
        assert half.valid_score != full.valid_score
        assert half.function.kernels[0].dtype == np.float32


class TestPatience:
    SPEC = replace(SPEC, patience=16, look_every=8, schedule="constant")

    def test_ends_a_training_that_no_longer_improves(self, classes):
        values = iter([0.1, 0.5, 0.5, 0.4, *[0.9] * 100])
        probe = train(self.SPEC, Settings(1e-2, 0, 800, True, **LINEAR), classes(), lambda *_: next(values), seed=0)
        assert (probe.best_step, probe.steps_run, probe.valid_score) == (24, 32, 0.5)  # an equal score is no gain
        assert [step for step, _ in probe.curve] == [8, 16, 24, 32]

    def test_lets_one_go_on_that_does(self, classes):
        values = itertools.count()
        probe = train(self.SPEC, Settings(1e-2, 0, 100, True, **LINEAR), classes(), lambda *_: next(values), seed=0)
        assert probe.steps_run == probe.best_step == 100


class TestDivergence:
    def test_a_score_that_is_never_finite_is_a_named_failure(self, classes):
        with pytest.raises(FloatingPointError, match="no finite validation score"):
            train(SPEC, Settings(1e-2, 0, 10, True, **LINEAR), classes(), lambda *_: math.nan, seed=0)

    def test_ends_a_training_at_once_and_spares_the_others(self, problem):
        spec, data = ProbeSpec("regression", 5, "squared_error", schedule="constant"), problem("regression")
        trainer = Trainer(spec, data, fine)
        sane = Settings(1e-2, 0, 100, True, **LINEAR)
        trainings = [trainer.begin(each, 0) for each in (sane, replace(sane, learning_rate=1e38), sane)]
        trainer.advance(trainings, [100] * 3)
        assert [each.diverged for each in trainings] == [False, True, False]
        first = trainings[1].validations[0]
        assert trainings[1].step == first < 100
        assert trainings[1].curve == [(first, -math.inf)]
        assert trainings[0].curve == trainings[2].curve
        assert trainer.finish(trainings[0]).valid_score == pytest.approx(
            run_alone(spec, data, sane, 0).valid_score, abs=1e-5
        )

    def test_after_a_good_look_keeps_that_look(self, classes):
        values = iter([0.3, math.nan])
        spec = replace(SPEC, look_every=4)
        probe = train(spec, Settings(1e-2, 0, 100, True, **LINEAR), classes(), lambda *_: next(values), seed=0)
        assert (probe.valid_score, probe.best_step, probe.steps_run) == (0.3, 4, 8)


class TestEncodeTargets:
    def test_regression_is_z_scored_and_a_constant_target_only_centred(self):
        y = np.array([[1.0, 5], [3, 5], [5, 5]], np.float32)
        encoded, mean, scale = encode_targets(ProbeSpec("regression", 2, "squared_error"), y)
        np.testing.assert_allclose(encoded[:, 0], [-math.sqrt(1.5), 0, math.sqrt(1.5)], rtol=1e-6)
        assert not encoded[:, 1].any()
        np.testing.assert_allclose(encoded * scale + mean, y, rtol=1e-6)

    def test_classes_are_numbers_or_one_hot_by_the_loss(self):
        y = np.array([2, 0])
        numbers, mean, scale = encode_targets(SPEC, y)
        assert (numbers.dtype, numbers.tolist()) == (np.int64, [2, 0])
        assert not mean.any()
        assert (scale == 1).all()
        one_hot, *_ = encode_targets(replace(SPEC, loss="binary_cross_entropy"), y)
        assert (one_hot.dtype, one_hot.tolist()) == (np.float32, [[0, 0, 1], [1, 0, 0]])


class TestOperations:
    def test_are_those_of_the_products_of_a_step(self, problem):
        """Forward and both gradients of every layer, but for the inputs', which nothing needs."""
        trainer = Trainer(ProbeSpec("multiclass", 5, "cross_entropy"), problem("multiclass"), fine)
        linear, hidden = ({**LINEAR, "hidden": widths} for widths in ((), (32,)))
        assert trainer.operations(Settings(1e-3, 0, 9, True, **linear)) == 2 * 64 * (2 * 12 * 5)
        assert trainer.operations(Settings(1e-3, 0, 9, True, **hidden)) == 2 * 64 * (2 * 12 * 32 + 3 * 32 * 5)
        assert trainer.operations(Settings(1e-3, 0, 9, True, hidden=(), batch_size=10**6)) == 2 * 90 * (2 * 12 * 5)
