"""The pre-trainer on one device: losses of the CPU, resumed runs, the exported encoder, and steps a second."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark.encoders.outputs import call_encoder
from benchmark.encoders.registry import resolve_one
from benchmark.pretraining.data.finishing import write_store
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.pretrain import Choices, make_fabric, pretrain
from benchmark.pretraining.strategies.contract import Data
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.training import recipes
from benchmark.pretraining.training.trainer import Trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(importlib.util.find_spec("lightning_fabric") is None, reason="lightning-fabric is not here"),
]
SMALL: dict[str, Any] = {
    "network": "sf-nfnet-tiny", "batch": 4, "steps": 6, "warmup_steps": 2, "peak_learning_rate": 1e-3, "frames": 32,
    "projector_width": 16, "projector_layers": 1, "projection": 8, "drop_rate": 0.0, "mixup": False,
}  # fmt: skip


def recipe_of(objective: str, **changes: Any) -> Recipe:
    return recipes.recipe_of({"objective": objective, **SMALL, **changes})


def make_batch(recipe: Recipe, step: int) -> Batch:
    rng = np.random.default_rng([9, step])
    first, second = rng.random((2, recipe.batch, 96, recipe.frames), dtype=np.float32)
    simclr = recipe.objective == "simclr"
    labels = None if simclr else (rng.random((recipe.batch, 3)) < 0.4).astype(np.float32)
    return Batch(step, np.arange(recipe.batch), first, second if simclr else None, labels)


def losses(recipe: Recipe, device: str, steps: int = 4) -> list[float]:
    trainer = Trainer(recipe, make_fabric(recipe, device), Data(labels=3))
    found = []
    for step in range(steps):
        found.append(trainer.gradients(make_batch(recipe, step)).loss)
        trainer.update(step)
    return found


@pytest.mark.parametrize("objective", ["simclr", "supervised"])
@pytest.mark.parametrize("chunk", [None, 3])
def test_losses_are_those_of_the_cpu(device, objective, chunk):
    recipe = recipe_of(objective, chunk=chunk)
    assert losses(recipe, device) == pytest.approx(losses(recipe, "cpu"), rel=0.02)


@pytest.mark.parametrize("objective", ["simclr", "supervised"])
def test_bf16_and_checkpointed_activations(device, objective):
    plain = losses(recipe_of(objective), device)
    assert losses(recipe_of(objective, precision="bf16"), device) == pytest.approx(plain, rel=0.1)
    assert losses(recipe_of(objective, checkpoint_activations=True), device) == pytest.approx(plain, rel=0.02)


@pytest.mark.parametrize("recipe", ["tiny-simclr", "tiny-sup"])
def test_a_run_is_trained_resumed_exported_and_embeds(device, recipe, tmp_path, apart):
    rng, store = np.random.default_rng(0), tmp_path / "store"
    tracks = ((f"t{i}", rng.random((120, 96)).astype(np.float16)) for i in range(6))
    labels = {f"t{i}": ["loud", "fast"][: 1 + i % 2] for i in range(6)} if recipe == "tiny-sup" else None
    write_store(store, tracks, labels)
    run = tmp_path / "run"

    def go(steps: int) -> Path:
        overrides = (
            "batch=4", f"steps={steps}", "warmup_steps=1", "frames=32", "projector_width=16", "projector_layers=1",
            "checkpoint_every=2", "keep_every=2", "log_every=1",
        )  # fmt: skip
        return pretrain(Choices(recipe, str(store), run, overrides, device, tmp_path / "home"))

    weights = go(4)
    assert weights.is_file()
    assert go(4) == weights  # a finished run: restored on the device, exported again
    waveforms = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 1, 64_000)).astype(np.float32)
    found = []
    for where in (device, "cpu"):
        encoder = resolve_one(f"pretrained:{run}", tmp_path)
        encoder.to(where)
        found.append(call_encoder(encoder, waveforms, where).values)
    assert apart(*found) < 1e-3


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("network", ["sf-nfnet-tiny", "sf-nfnet-f0"])
def test_rate(device, small, rates, network, precision):
    tiny = network == "sf-nfnet-tiny"
    if small and not tiny:
        pytest.skip("the full network is for a GPU")
    batch, frames, steps = (2, 32, 1) if small else (256, 100, 8) if tiny else (64, 300, 4)
    overrides = [f"batch={batch}", f"frames={frames}", f"precision={precision}"]
    recipe = recipes.load("tiny-simclr" if tiny else "musicset-ularge", overrides)
    trainer = Trainer(recipe, make_fabric(recipe, device))
    crop = torch.rand(2, 96, frames, device=trainer.fabric.device)
    with FlopCounterMode(display=False) as counter:
        trainer.model(crop).sum().backward()
    trainer.optimizer.zero_grad(set_to_none=True)
    flop = counter.get_total_flops() / 2 * 2 * batch * steps

    def some() -> None:
        for step in range(steps):
            outcome = trainer.gradients(make_batch(recipe, step))
            trainer.update(step)
        assert np.isfinite(outcome.loss)

    started = time.perf_counter()
    took = rates.seconds(some, times=1)
    assert time.perf_counter() - started < 120
    rates.note(
        f"pre-training {network}, {batch} pairs, {precision}", took, flop=flop, precision=precision,
        words=f"{2 * batch * steps / took:,.0f} crops a second",
    )  # fmt: skip
