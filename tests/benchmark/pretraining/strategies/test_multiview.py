"""BYOL, Barlow Twins, VICReg and clustering as strategies: processes, resumed runs, other networks, training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmark.errors import UserError
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.networks.table import NETWORKS
from benchmark.pretraining.pretrain import make_fabric
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.training import checkpoint, recipes
from benchmark.pretraining.training.collapse import TrainingStopped, Watch
from benchmark.pretraining.training.progress import Progress
from benchmark.pretraining.training.trainer import Trainer, train
from benchmark.system.progress import Silent

pytest.importorskip("lightning_fabric")

NAMES = ["byol", "barlow", "vicreg", "clustering"]
TEACHERS = ["byol", "clustering"]


def small(name: str, *changes: str) -> Recipe:
    """Return the tiny recipe of a strategy, smaller still."""
    return recipes.load(
        f"tiny-{name}",
        ["batch=6", "steps=8", "warmup_steps=1", "frames=100", "projector_width=32", "projection=16", "log_every=2",
         "checkpoint_every=3", "keep_every=6", *(["prototypes=24"] if name == "clustering" else []), *changes],
    )  # fmt: skip


def make_trainer(recipe: Recipe) -> Trainer:
    return Trainer(recipe, make_fabric(recipe, "cpu"))


def make_batch(recipe: Recipe, step: int) -> Batch:
    rng = np.random.default_rng([9, step])
    if NETWORKS[recipe.network].signal == "waveform":
        waveforms = rng.standard_normal((2, recipe.batch, 160 * recipe.frames), dtype=np.float32)
        return Batch(step, np.arange(recipe.batch), None, None, None, waveforms=tuple(waveforms))
    first, second = rng.random((2, recipe.batch, 96, recipe.frames), dtype=np.float32)
    return Batch(step, np.arange(recipe.batch), first, second, None)


def go(trainer: Trainer, run: Path, start: int = 0, stop: int | None = None, **given: Any) -> Progress:
    about = {"recipe": trainer.recipe.model_dump_json(), "data": "d", "world": 1}
    batches = (make_batch(trainer.recipe, step) for step in range(start, stop or trainer.recipe.steps))
    return train(trainer, batches, run, Progress(start), about=about, report=Silent(), **given)


def tensors(state: Any, name: str = "") -> dict[str, torch.Tensor]:
    """Return all tensors of nested state by their paths."""
    if isinstance(state, torch.Tensor):
        return {name: state}
    if not isinstance(state, dict):
        return {}
    return {k: v for key, value in state.items() for k, v in tensors(value, f"{name}/{key}").items()}


def assert_same(one: Any, other: Any) -> None:
    found, expected = tensors(one), tensors(other)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_of_views_is_the_unbroken_one(tmp_path: Path, name: str) -> None:
    changes = ["frozen_prototype_steps=4"] if name == "clustering" else []
    unbroken = make_trainer(small(name, *changes))
    go(unbroken, tmp_path / "whole")
    go(make_trainer(small(name, *changes)), tmp_path / "parts", stop=5)
    torch.rand(3)  # whatever else was drawn in between
    state = checkpoint.load(checkpoint.path_of(tmp_path / "parts", "last"))
    assert state["step"] == 3
    resumed = make_trainer(small(name, *changes))
    resumed.restore(state)
    go(resumed, tmp_path / "parts", start=3)
    assert_same(resumed.state(), unbroken.state())
    assert ("strategy" in unbroken.state()) == (name in TEACHERS)


@pytest.mark.parametrize("name", TEACHERS)
def test_the_teacher_follows_and_is_not_trained(name: str) -> None:
    trainer = make_trainer(small(name, "teacher_momentum=0.5"))
    teacher: Any = trainer.strategy.teacher
    ours = {id(parameter) for parameter in trainer.model.parameters()}
    assert not ours & {id(parameter) for parameter in teacher.module.parameters()}
    before = {key: tensor.clone() for key, tensor in teacher.state().items()}
    trainer.gradients(make_batch(trainer.recipe, 0))
    assert all(parameter.grad is None for parameter in teacher.module.parameters())
    assert_same(teacher.state(), before)  # a step's gradients change nothing
    trainer.update(1)  # at step 0 the learning rate is 0
    student = trainer.model.state_dict()
    name_of = {key: key if key in student else key.replace("head.", "head.0.", 1) for key in before}
    momentum = 1 - 0.5 * (1 + np.cos(np.pi / 8)) / 2
    for key, tensor in teacher.state().items():
        new = student[name_of[key]]
        expected = momentum * before[key] + (1 - momentum) * new if new.is_floating_point() else new
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-7, msg=key)
    assert any(not torch.equal(tensor, before[key]) for key, tensor in teacher.state().items())


@pytest.mark.parametrize("name", TEACHERS)
def test_a_network_that_begins_with_given_weights_has_a_teacher_of_them(name: str) -> None:
    one, other = make_trainer(small(name)), make_trainer(small(name, "seed=5"))
    one.begin_with(other.network)
    assert_same(one.strategy.teacher.module.network.state_dict(), other.network.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_any_network_does(name: str) -> None:
    """On log-mels as on waveforms: a strategy knows no network."""
    for network in ("clip-resnet-tiny", "sf-nfnet-tiny"):
        recipe = small(name, f"network={network}", "frames=100", "batch=4")
        trainer = make_trainer(recipe)
        outcome = trainer.gradients(make_batch(recipe, 0))
        assert outcome.embeddings.shape == (8, NETWORKS[network].dim)
        assert outcome.gradient > 0
        assert all(parameter.grad is not None for parameter in trainer.network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_chunks_are_refused_for_statistics_are_of_the_whole_batch(name: str) -> None:
    with pytest.raises(UserError, match="cannot take a step in chunks"):
        make_trainer(small(name, "chunk=2"))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_one_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="batch: Input should be greater than or equal to 2"):
        small(name, "batch=1")


@pytest.mark.parametrize(
    ("name", "logged"),
    [
        ("byol", {"teacher/deviation"}),
        ("barlow", {"correlation/same_feature", "correlation/other_features"}),
        ("vicreg", {"loss/invariance", "loss/variance", "loss/covariance"}),
        ("clustering", {"teacher/entropy", "teacher/prototypes_used"}),
    ],
)
def test_what_is_logged(name: str, logged: set[str]) -> None:
    values = make_trainer(small(name)).gradients(make_batch(small(name), 0)).values
    assert values.keys() == logged
    assert all(np.isfinite(value) for value in values.values())


def test_the_loss_of_vicreg_is_the_weighted_sum_of_what_is_logged() -> None:
    recipe = small("vicreg", "invariance=2", "variance=3", "covariance=5")
    found = make_trainer(recipe).gradients(make_batch(recipe, 0))
    terms = [found.values[f"loss/{term}"] for term in ("invariance", "variance", "covariance")]
    assert found.loss == pytest.approx(2 * terms[0] + 3 * terms[1] + 5 * terms[2], rel=1e-5)


def test_the_off_diagonal_weight_is_the_recipes() -> None:
    losses = []
    for weight in (0.0, 1.0, 2.0):
        recipe = small("barlow", f"off_diagonal={weight}")
        losses.append(make_trainer(recipe).gradients(make_batch(recipe, 0)).loss)
    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-4)
    assert losses[1] > losses[0]


def test_prototypes_stay_for_as_long_as_the_recipe_says() -> None:
    recipe = small("clustering", "frozen_prototype_steps=2")
    trainer = make_trainer(recipe)
    weights = dict(trainer.model.named_parameters())["head.1.weight"]
    drawn = weights.detach().clone()
    for step in (0, 1, 2):
        trainer.gradients(make_batch(recipe, step))
        assert (weights.grad is None) == (step < 2)
        trainer.update(step)
    assert not torch.equal(weights, drawn)


def test_the_centre_is_a_tenth_of_the_mean_logits_behind_a_step() -> None:
    trainer = make_trainer(small("clustering"))
    strategy: Any = trainer.strategy
    batch = make_batch(trainer.recipe, 0)
    inputs = strategy.inputs(batch, trainer.context)
    logits = strategy.teacher.module.parts(strategy.teacher(inputs))[1]
    trainer.gradients(batch)
    assert torch.equal(strategy.centre, torch.zeros_like(strategy.centre))
    trainer.update(0)
    torch.testing.assert_close(strategy.centre, 0.1 * logits.mean(0))


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_is_what_the_method_makes_of_the_outputs(name: str) -> None:
    """Swapped views have the same loss; identical ones have less, where no prediction is between them."""
    recipe = small(name)
    batch = make_batch(recipe, 0)
    first, second = batch.waveforms
    swapped = make_trainer(recipe).gradients(replace(batch, waveforms=(second, first))).loss
    plain = make_trainer(recipe).gradients(batch).loss
    assert swapped == pytest.approx(plain, rel=1e-4)
    if name not in TEACHERS:
        alike = make_trainer(recipe).gradients(replace(batch, waveforms=(first, first))).loss
        assert alike < plain


#: A step of each strategy in one of two processes, or in one with the joint batch; the second step has a teacher that
#: followed.
PROCESS = """
import os, sys
import numpy as np, torch
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.pretrain import make_fabric
from benchmark.pretraining.training import recipes
from benchmark.pretraining.training.trainer import Trainer

rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
found, fabric = {}, None
torch.set_default_dtype(torch.float64)
for name in ("byol", "barlow", "vicreg", "clustering"):
    more = ["prototypes=24", "frozen_prototype_steps=0"] if name == "clustering" else []
    recipe = recipes.load(f"tiny-{name}", ["batch=8", "steps=8", "warmup_steps=0", "frames=100",
                          "projector_width=32", "projection=16", "peak_learning_rate=1e-4", "clip_norm=1e9", *more])
    fabric = fabric or make_fabric(recipe, "cpu")
    trainer = Trainer(recipe, fabric)
    torch.manual_seed(1)
    for key, parameter in trainer.model.named_parameters():
        if "norm3.weight" in key:  # at 0, as they begin, residual branches have no gradient
            torch.nn.init.constant_(parameter, 0.5)
    trainer.strategy.begun()
    part = slice(rank * 8 // world, (rank + 1) * 8 // world)
    for step in range(2):
        rng = np.random.default_rng([3, step])
        waves = rng.standard_normal((2, 8, 16000), dtype=np.float32)[:, part]
        outcome = trainer.gradients(Batch(step, np.arange(8)[part], None, None, None, waveforms=tuple(waves)))
        found[f"{name}-{step}"] = {
            "loss": torch.tensor(outcome.loss),
            "gradient": torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()]),
        }
        for parameter in trainer.model.parameters():
            parameter.grad.mul_(1e-3)  # Adam takes signs of gradients, and that of a 0 is chance
        with torch.no_grad():
            for parameter in trainer.model.parameters():
                parameter.sub_(parameter.grad)
        trainer.optimizer.zero_grad()
        trainer.strategy.after_update(step)
    centre = getattr(trainer.strategy, "centre", None)
    if centre is not None:
        found["centre"] = {"gradient": centre}
    running = [buffer for key, buffer in trainer.model.named_buffers() if key.endswith("running_var")]
    found[f"{name}-running"] = {"gradient": torch.cat(running)}
if rank == 0:
    torch.save(found, sys.argv[1])
fabric.barrier()
"""


def test_two_processes_have_the_loss_and_gradients_of_one(
    tmp_path: Path, two_processes: Callable[..., Any], one_process: Callable[..., Any]
) -> None:
    """In float64, for of so many normalised layers float32 leaves 4e-5 of a gradient to chance."""
    try:
        one, two = one_process(PROCESS, tmp_path / "one.pt"), two_processes(PROCESS, tmp_path / "two.pt")
    finally:
        torch.set_default_dtype(torch.float32)
    assert len(one) == 13
    for name, expected in one.items():
        if "loss" in expected:
            assert float(two[name]["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-8), name
        difference = (two[name]["gradient"] - expected["gradient"]).abs().max()
        assert difference < 1e-8 * expected["gradient"].abs().max(), name


def tones(rng: np.random.Generator, tracks: int, seconds: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return two crops of each of some tracks: three tones of its own, under hum and noise that are the crop's."""
    time = np.arange(round(16_000 * seconds)) / 16_000
    hz = np.exp(rng.uniform(np.log(300), np.log(6000), (tracks, 3, 1)))
    views = []
    for _ in range(2):
        phases = rng.uniform(0, 2 * np.pi, (tracks, 3, 1))
        noise = np.exp(rng.uniform(-5, -4, (tracks, 1))) * rng.standard_normal((tracks, len(time)))
        hum = np.exp(rng.uniform(-2, 0, (tracks, 1))) * np.sin(2 * np.pi * 60 * time)
        views.append((np.sin(2 * np.pi * hz * time + phases).sum(1) + noise + hum).astype(np.float32))
    return views[0], views[1]


def nearer(trainer: Trainer) -> float:
    """Return the share of other tracks that are farther from a crop than its own track's other crop, of 64 new ones."""
    network: Any = trainer.network
    network.eval()
    with torch.no_grad():
        views = [network.embedded(torch.from_numpy(view)) for view in tones(np.random.default_rng(99), 64)]
    network.train()
    first, second = (functional.normalize(view - view.mean(0), dim=1) for view in views)
    cosines = first @ second.T
    return float((cosines < cosines.diagonal()[:, None]).float().sum() / (64 * 63))


#: What lets forty steps show that it learns: prototypes that move at once, a teacher that follows sooner.
FASTER = {
    "clustering": ["frozen_prototype_steps=0"], "byol": ["teacher_momentum=0.9", "peak_learning_rate=3e-3"],
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_short_training_improves(name: str) -> None:
    recipe = recipes.load(
        f"tiny-{name}",
        ["batch=16", "steps=40", "warmup_steps=5", "frames=100", "projector_width=64", "projection=32",
         *FASTER.get(name, [])],
    )  # fmt: skip
    trainer, losses, embed = make_trainer(recipe), [], torch.no_grad()
    for step in range(10):  # the running statistics of what is drawn: without them it has no fair beginning
        with embed:
            trainer.network.embedded(torch.from_numpy(np.concatenate(tones(np.random.default_rng([1, step]), 16))))
    before = nearer(trainer)
    for step in range(40):
        views = tones(np.random.default_rng([1, step]), 16)
        losses.append(trainer.gradients(Batch(step, np.arange(16), None, None, None, waveforms=views)).loss)
        trainer.update(step)
    if name != "clustering":  # whose teacher's shares change as it learns, and the loss with their entropy
        assert np.mean(losses[-10:]) < 0.9 * losses[0]
    assert nearer(trainer) > before + 0.03


@pytest.mark.parametrize("name", NAMES)
def test_a_collapse_is_noticed_and_stops_the_run(tmp_path: Path, name: str) -> None:
    """The heads' batch normalisation spreads what the embeddings no longer are: the watch looks at these."""
    trainer = make_trainer(small(name, "steps=8", "log_every=1", "peak_learning_rate=1e-12"))
    with torch.no_grad():  # embeddings lie on a line
        trainer.network.pool.output.weight[1:] = 0
        trainer.network.pool.output.bias.normal_()
        trainer.network.pool.output.bias[1:] *= 10
    with pytest.raises(TrainingStopped, match="effective rank"):
        go(trainer, tmp_path, watch=Watch(least_deviation=0, largest_gradient=math.inf))
