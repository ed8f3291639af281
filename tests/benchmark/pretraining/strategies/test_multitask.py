"""Multi-task pre-training: its gradients, what it keeps, what it refuses, and two processes against one."""

from __future__ import annotations

import dataclasses
import math
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.errors import UserError
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.networks.table import NETWORKS, build
from benchmark.pretraining.strategies.contract import Context, Data, make_strategy
from benchmark.pretraining.strategies.multitask import Multitask, MultitaskRecipe
from benchmark.pretraining.strategies.weightings import WEIGHTINGS
from benchmark.pretraining.strategies.workers import table
from benchmark.pretraining.strategies.workers.table import WORKERS, Worker
from benchmark.pretraining.training import checkpoint, recipes
from benchmark.pretraining.training.collapse import TrainingStopped
from benchmark.pretraining.training.progress import Progress
from benchmark.system.progress import Silent

FRAMES = 48
SMALL: dict[str, Any] = {
    "network": "wave-cnn-tiny", "batch": 4, "steps": 6, "warmup_steps": 1, "peak_learning_rate": 1e-3, "frames": FRAMES,
    "worker_width": 16, "dwa_steps": 1, "checkpoint_every": 3, "keep_every": 6, "log_every": 1,
}  # fmt: skip


def small(**changes: Any) -> MultitaskRecipe:
    return MultitaskRecipe(**{**SMALL, **changes})


def waveforms(step: int, count: int = 4) -> np.ndarray:
    """Return tones over noise, float32 [count, 160 * FRAMES]."""
    rng = np.random.default_rng([5, step])
    times = np.arange(160 * FRAMES) / 16_000
    tones = np.sin(2 * np.pi * rng.uniform(100, 900, (count, 1)) * times) * rng.uniform(0.05, 0.4, (count, 1))
    return (tones + 0.02 * rng.standard_normal(tones.shape)).astype(np.float32)


def batch(step: int, given: np.ndarray | None = None) -> Batch:
    found = waveforms(step) if given is None else given
    return Batch(step, np.arange(len(found)), None, None, None, waveforms=(found,))  # type: ignore[arg-type]


def alone(recipe: MultitaskRecipe) -> tuple[Multitask, Context]:
    strategy = make_strategy(Multitask, recipe, Data())
    assert isinstance(strategy, Multitask)
    return strategy, Context(strategy.model, torch.device("cpu"), recipe.seed)


def encoder_gradient(strategy: Multitask) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in strategy.model.network.parameters()])  # type: ignore[union-attr]


def make_trainer(recipe: MultitaskRecipe) -> Any:
    pytest.importorskip("lightning_fabric")
    from benchmark.pretraining.pretrain import make_fabric
    from benchmark.pretraining.training.trainer import Trainer

    return Trainer(recipe, make_fabric(recipe, "cpu"))


def go(trainer: Any, run: Path, start: int = 0, stop: int = 6, progress: Progress | None = None) -> Progress:
    from benchmark.pretraining.training.trainer import train

    about = {"recipe": trainer.recipe.model_dump_json(), "data": "d", "world": 1}
    batches = (batch(step) for step in range(start, stop))
    return train(trainer, batches, run, progress or Progress(start), about=about, report=Silent())


class TestRecipe:
    def test_those_of_the_package_name_all_workers(self):
        for name in ("multitask", "tiny-multitask"):
            recipe = recipes.load(name)
            assert recipe.workers == tuple(WORKERS)  # type: ignore[attr-defined]

    def test_workers_are_chosen_on_the_command_line(self):
        assert recipes.load("tiny-multitask", ["workers=chroma,mfcc"]).workers == ("chroma", "mfcc")  # type: ignore[attr-defined]

    def test_it_is_written_and_read_back(self, tmp_path):
        recipe = recipes.load("tiny-multitask", ["workers=chroma", "weighting=dwa"])
        (tmp_path / "recipe.toml").write_text(recipes.as_toml(recipe))
        assert recipes.load(str(tmp_path / "recipe.toml")) == recipe
        assert recipes.from_json(recipe.model_dump_json()) == recipe

    @pytest.mark.parametrize(
        ("overrides", "words"),
        [
            (["workers=chrom"], "there is no worker 'chrom': did you mean 'chroma'"),
            (["workers="], "no worker"),
            (["workers=chroma,mfcc,chroma"], "'chroma' is named twice"),
            (["frames=16"], None),
            (["weighting=gradnrom"], "weighting"),
            (["weighting=gradnorm", "compile=true"], "gradnorm takes gradients twice"),
            (["hypervolume_delta=1"], "hypervolume_delta"),
            (["temperature=0.1"], "has no key 'temperature'"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, overrides, words):
        if words is None:
            assert recipes.load("tiny-multitask", overrides).frames == 16
            return
        with pytest.raises(UserError, match=words) as refused:
            recipes.load("tiny-multitask", overrides)
        assert refused.value.do

    def test_a_recipe_without_workers_is_refused(self, tmp_path):
        text = recipes.as_toml(recipes.load("tiny-multitask")).splitlines()
        lines = ["workers = []" if line.startswith("workers") else line for line in text]
        (tmp_path / "empty.toml").write_text("\n".join(lines))
        with pytest.raises(UserError, match="there is no worker, so nothing is predicted: name some of waveform"):
            recipes.load(str(tmp_path / "empty.toml"))

    def test_a_network_without_frames_is_refused(self):
        with pytest.raises(UserError, match="sf-nfnet-tiny has no frames") as refused:
            Multitask.check(small(network="sf-nfnet-tiny"), None)  # type: ignore[arg-type]
        assert "network=wave-cnn or network=wave-cnn-tiny" in refused.value.do
        Multitask.check(small(), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.endswith("-cnn-tiny")])
def test_frames_lie_where_their_samples_do(name: str) -> None:
    torch.manual_seed(0)
    network: Any = build(name).eval()
    signal = torch.zeros(1, 160 * 200)
    silent = network.frames(signal)
    assert silent.shape == (1, network.dim, 200)
    signal[0, 160 * 100 - 40 : 160 * 100 + 40] = torch.randn(80)
    moved = (network.frames(signal) - silent).abs().sum(1)[0]
    reach = torch.nonzero(moved > 1e-7)[:, 0]
    assert (reach.min() + reach.max()) / 2 == pytest.approx(100, abs=1)
    torch.testing.assert_close(network.embedded(signal), network.frames(signal).mean(2))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_step_tells_every_loss_and_weight(weighting: str) -> None:
    strategy, context = alone(small(weighting=weighting))
    outcome = strategy.backward(batch(0), context)
    assert outcome.embeddings.shape == (4, 64)
    losses = [float(outcome.values[f"loss/{name}"]) for name in WORKERS]
    assert float(outcome.loss) == pytest.approx(np.mean(losses), rel=1e-5)
    assert min(losses) > 0.3
    assert max(losses) < 3  # of standardised targets, by a network that knows nothing
    assert all(float(outcome.values[f"weight/{name}"]) > 0 for name in WORKERS)
    assert all(parameter.grad is not None for parameter in strategy.model.parameters())
    if weighting != "uncertainty":
        weighted = sum(
            float(outcome.values[f"weight/{name}"]) * loss for name, loss in zip(WORKERS, losses, strict=True)
        )
        assert float(outcome.values["loss/weighted"]) == pytest.approx(weighted, rel=1e-5)


@pytest.mark.parametrize("weighting", [name for name in WEIGHTINGS if name != "equal"])
def test_the_weighting_turns_the_gradient_of_the_encoder(weighting: str) -> None:
    """Behind some steps, with the very weights of the plain sum: nothing but the weighting differs."""

    def gradient(name: str) -> torch.Tensor:
        strategy, context = alone(small(weighting=name, gradnorm_rate=0.2))
        for step in range(4):
            strategy.model.zero_grad()
            strategy.backward(batch(step, waveforms(step) / (1 + step)), context)
            if strategy._weighting.learned is not None:
                with torch.no_grad():
                    values = strategy._weighting.learned.values
                    values -= values.grad  # type: ignore[operator, arg-type]
            strategy.after_update(step)
        return encoder_gradient(strategy)

    found, plain = gradient(weighting), gradient("equal")
    assert float(torch.cosine_similarity(found, plain, dim=0)) < 0.99999


def test_fewer_workers_give_other_gradients() -> None:
    def gradient(*workers: str) -> torch.Tensor:
        strategy, context = alone(small(workers=workers))
        strategy.backward(batch(0), context)
        return encoder_gradient(strategy)

    every = [gradient(name) for name in ("chroma", "mfcc")]
    assert float(torch.cosine_similarity(*every, dim=0)) < 0.99


def test_it_learns(tmp_path: Path) -> None:
    trainer = make_trainer(small(steps=30, weighting="initial"))
    trainer.gradients(batch(0))
    losses = []
    for step in range(30):
        losses.append(trainer.gradients(batch(step % 3)).loss)
        trainer.update(step)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_resumed_run_is_an_unbroken_one_bit_for_bit(weighting: str, tmp_path: Path) -> None:
    recipe = small(weighting=weighting)
    unbroken = make_trainer(recipe)
    go(unbroken, tmp_path / "whole")
    go(make_trainer(recipe), tmp_path / "broken", stop=3)
    state = checkpoint.load(checkpoint.path_of(tmp_path / "broken", "last"))
    resumed = make_trainer(recipe)
    resumed.restore(state)
    go(resumed, tmp_path / "broken", 3, progress=Progress(3))
    for part in ("model", "strategy"):
        one, other = (
            _flat(checkpoint.load(checkpoint.path_of(tmp_path / name, "last"))[part]) for name in ("whole", "broken")
        )
        assert one.keys() == other.keys()
        for name, tensor in one.items():
            assert torch.equal(tensor, other[name]), name


def _flat(state: Any, before: str = "") -> dict[str, torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return {before: state}
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        found |= _flat(value, f"{before}/{name}")
    return found


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_silence_and_full_scale_have_finite_gradients(weighting: str, level: float) -> None:
    strategy, context = alone(small(weighting=weighting))
    for step in range(3):
        strategy.model.zero_grad()
        given = np.full((4, 160 * FRAMES), level, np.float32)
        given[:, ::2] *= -1
        outcome = strategy.backward(batch(step, given), context)
        assert math.isfinite(float(outcome.loss))
        assert torch.isfinite(encoder_gradient(strategy)).all()
        strategy.after_update(step)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_worker_whose_target_is_constant_blows_nothing_up(weighting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    constant = Worker(lambda crops: torch.full((len(crops.waveforms), 3, crops.frames), 1e6), 3)
    monkeypatch.setitem(table.WORKERS, "constant", constant)
    trainer = make_trainer(small(workers=("constant", "mfcc"), weighting=weighting, peak_learning_rate=1e-2))
    for step in range(20):
        outcome = trainer.gradients(batch(step))
        assert math.isfinite(outcome.gradient)
        assert outcome.gradient < 1e3
        assert outcome.values["loss/constant"] < 2
        trainer.update(step)
    assert outcome.values["loss/constant"] < 0.1  # zeros are learned at once


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = dataclasses.replace(WORKERS["mfcc"], target=lambda crops: WORKERS["waveform"].target(crops)[:, :20] / 0)
    monkeypatch.setitem(table.WORKERS, "broken", broken)
    trainer = make_trainer(small(workers=("broken", "chroma")))
    with pytest.raises(TrainingStopped, match="the loss of step 0 is nan"):
        go(trainer, tmp_path)


#: One of two processes: three steps under each weighting, from the joint batches.
PROCESS = """
import os, sys
import numpy as np, torch
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.pretrain import make_fabric
from benchmark.pretraining.strategies.multitask import MultitaskRecipe
from benchmark.pretraining.strategies.weightings import WEIGHTINGS
from benchmark.pretraining.training.trainer import Trainer

rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
torch.set_num_threads(1)
keys = dict(network="wave-cnn-tiny", batch=4, steps=10, warmup_steps=1, peak_learning_rate=1e-4, frames=32,
            worker_width=8, dwa_steps=1, adam_eps=1e-4)
fabric = make_fabric(MultitaskRecipe(**keys), "cpu")
found = {}
for weighting in WEIGHTINGS:
    trainer = Trainer(MultitaskRecipe(weighting=weighting, **keys), fabric)
    for step in range(3):
        rng = np.random.default_rng(step)
        levels = np.array([1, 0.2, 0.05, 0.5])[:, None]  # not alike in both parts
        waveforms = (rng.standard_normal((4, 5120)) * levels).astype(np.float32)
        part = waveforms[rank * 4 // world : (rank + 1) * 4 // world]
        outcome = trainer.gradients(Batch(step, np.arange(len(part)), None, None, None, waveforms=(part,)))
        if step < 2:
            trainer.update(step)
    found[weighting] = {
        "loss": outcome.loss,
        "values": torch.tensor([outcome.values[name] for name in sorted(outcome.values)]),
        "gradient": torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()]),
        "running": torch.cat([each.flatten() for each in trainer.model.buffers()]),
    }
if rank == 0:
    torch.save(found, sys.argv[1])
fabric.barrier()
"""


def run_two(script: Path, output: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    children = []
    for rank in range(2):
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "GROUP_RANK": "0",
            "TORCHELASTIC_RUN_ID": "test",
        }  # fmt: skip - what torchrun sets
        children.append(
            subprocess.Popen(
                [sys.executable, str(script), str(output)], env=environment, stderr=subprocess.PIPE, text=True
            )
        )
    for child in children:
        _, problems = child.communicate(timeout=240)
        assert child.returncode == 0, problems[-3000:]


def test_two_processes_have_the_loss_weights_and_gradients_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lightning_fabric")
    script = tmp_path / "process.py"
    script.write_text(PROCESS, encoding="utf-8")
    run_two(script, tmp_path / "two.pt")
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path / "one.pt")])
    threads = torch.get_num_threads()
    runpy.run_path(str(script))
    torch.set_num_threads(threads)
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one.pt", "two.pt"))
    for name, expected in one.items():
        assert two[name]["loss"] == pytest.approx(expected["loss"], abs=1e-5), name
        torch.testing.assert_close(two[name]["values"], expected["values"], rtol=1e-5, atol=1e-5, msg=name)
        torch.testing.assert_close(two[name]["running"], expected["running"], rtol=1e-4, atol=1e-5, msg=name)
        difference = (two[name]["gradient"] - expected["gradient"]).abs().max()
        assert difference < 1e-5 * expected["gradient"].abs().max(), name
