"""The probe engine on the device: the probes of the CPU to rounding, in groups, in fp32 and bf16; layers mixed."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from probes.protocol import ProbeSpec, Settings, protocol_for
from probes.search.search import search
from probes.search.storage import open_study
from probes.training import minibatches
from probes.training.matmul import Products
from probes.training.trainer import Trainer, train

pytestmark = pytest.mark.gpu
SPECS = {
    "multiclass": ProbeSpec("multiclass", 5, "cross_entropy"),
    "multilabel": ProbeSpec("multilabel", 5, "binary_cross_entropy"),
    "regression": ProbeSpec("regression", 5, "squared_error"),
}


def fine(targets: np.ndarray, outputs: np.ndarray) -> float:
    """A score that every change of the outputs shows in."""
    if targets.ndim == 1:
        return float(np.log(np.maximum(outputs[np.arange(len(targets)), targets], 1e-30)).mean())
    return -float(((targets - outputs) ** 2).mean())


def settings(**changes: object) -> Settings:
    return replace(Settings(3e-3, 1e-4, 60, True, (32,), 0.5, 64), **changes)  # type: ignore[arg-type]


def mixed_settings() -> list[tuple[Settings, int]]:
    """Twelve trainings of one shape that differ in all that may differ within a group."""
    rates, decays, lengths = (1e-3, 1e-2, 5e-3), (0.0, 1e-3), (60, 40)
    return [
        (settings(learning_rate=rates[i % 3], l2=decays[i % 2], steps=lengths[i % 2], standardise=i % 4 < 2), i % 2)
        for i in range(12)
    ]


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("hidden", [(), (32,), (160, 32)])
def test_trains_as_on_the_cpu(problem, device, kind, hidden):
    data, wanted = problem(kind), settings(hidden=hidden, dropout=0.5 if hidden else 0.0)
    here, there = (train(SPECS[kind], wanted, data, fine, seed=1, device=where) for where in (device, "cpu"))
    assert [step for step, _ in here.curve] == [step for step, _ in there.curve]
    assert [value for _, value in here.curve] == pytest.approx([value for _, value in there.curve], rel=2e-3, abs=1e-3)
    np.testing.assert_allclose(here.function.kernels[0], there.function.kernels[0], atol=5e-3)


@pytest.mark.parametrize("kind", SPECS)
def test_in_bf16_it_learns_the_same(problem, device, kind):
    data = problem(kind)
    half, full = (
        train(SPECS[kind], settings(steps=200), data, fine, seed=1, device=device, precision=precision)
        for precision in ("bf16", "fp32")
    )
    assert half.valid_score == pytest.approx(full.valid_score, rel=0.05, abs=0.02)
    assert half.function.kernels[0].dtype == np.float32


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("hidden", [(), (32,), (160,)])
def test_a_group_gives_what_each_gives_alone(problem, device, precision, hidden):
    data, spec = problem("multiclass"), SPECS["multiclass"]
    trainer = Trainer(spec, data, fine, device=device, precision=precision)
    wanted = [(replace(each, hidden=hidden, dropout=0.5 if hidden else 0.0), seed) for each, seed in mixed_settings()]
    if device != "cpu":
        assert trainer.groups([each for each, _ in wanted]) == [list(range(12))]
    together = [trainer.begin(each, seed) for each, seed in wanted]
    trainer.advance(together, [each.steps for each, _ in wanted])
    for (each, seed), training in zip(wanted, together, strict=True):
        alone = train(spec, each, data, fine, seed=seed, device=device, precision=precision)
        tolerance = 1e-3 if precision == "fp32" else 0.03
        expected = pytest.approx([value for _, value in alone.curve], rel=tolerance, abs=tolerance)
        assert [value for _, value in trainer.finish(training).curve] == expected


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_layers_are_mixed_as_on_the_cpu(problem, device, kind):
    data, spec = problem(kind, dim=24), replace(SPECS[kind], layers=4)
    here, there = (train(spec, settings(), data, fine, seed=0, device=where) for where in (device, "cpu"))
    assert here.mixing == pytest.approx(there.mixing, abs=1e-3)
    assert sum(here.mixing) == pytest.approx(1, abs=1e-5)
    assert here.valid_score == pytest.approx(there.valid_score, rel=2e-3, abs=1e-3)


def test_data_read_in_blocks(problem, device, monkeypatch):
    monkeypatch.setattr(minibatches, "ROW_SHUFFLE_BYTES", 0)
    monkeypatch.setattr(minibatches, "BLOCK_ROWS", 16)
    data = problem("multiclass")
    here, there = (
        train(SPECS["multiclass"], settings(), data, fine, seed=0, device=where) for where in (device, "cpu")
    )
    assert [value for _, value in here.curve] == pytest.approx([value for _, value in there.curve], rel=2e-3, abs=1e-3)


@pytest.mark.parametrize("pruner", ["halving", "none"])
def test_a_search_finds_what_it_finds_on_the_cpu(problem, device, pruner):
    protocol = replace(
        protocol_for("paper", "demo", ("demo",), hidden=(32,), dropout=0.25, batch_size=64), steps=(40, 80), round=4
    )
    spec, data, found = replace(SPECS["multiclass"], look_every=4), problem("multiclass"), []
    for where in (device, "cpu"):
        with open_study(None, None, "s") as study:
            trainer = Trainer(spec, data, fine, device=where)
            found.append(search(trainer, protocol, study, trials=8, seed=0, pruner=pruner))
    here, there = found
    assert [trial.settings for trial in here.trials[:4]] == [trial.settings for trial in there.trials[:4]]
    best = [max(trial.score for trial in each.trials) for each in found]
    assert best[0] == pytest.approx(best[1], rel=0.05, abs=0.02)
    assert here.trials[here.selected].state == "complete"


def test_permuted_targets_share_the_inputs(problem, device):
    data, spec = problem("multiclass"), SPECS["multiclass"]
    trainer = Trainer(spec, data, fine, device=device)
    other = trainer.with_targets(data.train.targets[::-1].copy())
    training = other.begin(settings(), 0)
    other.complete([training])
    assert other.finish(training).valid_score < train(spec, settings(), data, fine, seed=0, device=device).valid_score


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("shape", "probes"), [("1 probe of 512 units", 1), ("64 probes of 512 units", 64), ("64 linear probes", 64)]
)
def test_rate(problem, device, small, rates, precision, shape, probes):
    count, hidden = (2 if small else probes) if probes > 1 else 1, (512,) if "512" in shape else ()
    steps, rows = (4, 600) if small else (300, 8000)
    data = problem("multilabel", n=rows, dim=1728, outputs=50)
    trainer = Trainer(
        ProbeSpec("multilabel", 50, "binary_cross_entropy", look_every=steps), data, fine, device=device,
        precision=precision,
    )  # fmt: skip
    wanted = settings(hidden=hidden, dropout=0.5 if hidden else 0.0, batch_size=256, steps=steps)

    def once() -> None:
        trainings = [trainer.begin(wanted, 0) for _ in range(count)]
        trainer.complete(trainings)
        assert all(each.step == steps for each in trainings)

    took = rates.seconds(once, times=1)
    rates.note(
        f"training {shape}, {precision}", took, flop=count * steps * trainer.operations(wanted), precision=precision,
        words=f"{count * steps / took:,.0f} steps a second",
    )  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_rate_that_its_floor_is_counted_with(device, small, rates, precision):
    rate = Products(device, precision).rate(0.05 if small else 0.5)
    assert 1e8 < rate < 1e16
    rates.note(f"one product of a probe, {precision}", 1.0, flop=rate, precision=precision, words="256 x 2048 x 1024")


def test_a_search_ends_in_time(problem, device, small, rates):
    protocol = protocol_for("quick", "demo", ("demo",), hidden=(512,), dropout=0.5, batch_size=256)
    short = replace(protocol, steps=(8, 16)) if small else protocol
    data = problem("multiclass", n=600 if small else 3000, dim=512)
    started = time.perf_counter()
    with open_study(None, None, "s") as study:
        trainer = Trainer(SPECS["multiclass"], data, fine, device=device)
        found = search(trainer, short, study, trials=4 if small else 16, seed=0)
    took = time.perf_counter() - started
    rates.note("a quick search of 16 trials", took, flop=found.operations, words=f"{took:.1f} s")
    assert found.trials[found.selected].state == "complete"
