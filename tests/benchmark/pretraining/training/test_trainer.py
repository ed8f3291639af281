"""The trainer: schedule, resumed runs, killed and interrupted ones, and what stops one."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.errors import UserError
from benchmark.pretraining.data.finishing import write_store
from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.pretrain import Choices, pretrain
from benchmark.pretraining.strategies.contract import Data
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.training import checkpoint
from benchmark.pretraining.training.collapse import TrainingStopped, Watch
from benchmark.pretraining.training.interrupt import Interrupt
from benchmark.pretraining.training.progress import Progress
from benchmark.pretraining.training.recipes import recipe_of
from benchmark.pretraining.training.schedule import learning_rate
from benchmark.pretraining.training.trainer import Outcome, Trainer, train
from benchmark.system.progress import Silent

pytest.importorskip("lightning_fabric")

SMALL: dict[str, Any] = {
    "network": "sf-nfnet-tiny", "batch": 4, "steps": 8, "warmup_steps": 2, "peak_learning_rate": 1e-3, "frames": 32,
    "projector_width": 16, "projector_layers": 1, "projection": 8, "checkpoint_every": 3, "keep_every": 6,
    "log_every": 2,
}  # fmt: skip


def small(objective: str = "simclr", **changes: Any) -> Recipe:
    return recipe_of({"objective": objective, **SMALL, **changes})


def make_trainer(recipe: Recipe) -> Trainer:
    from benchmark.pretraining.pretrain import make_fabric

    trainer = Trainer(recipe, make_fabric(recipe, "cpu"), Data(labels=3))
    for name, parameter in trainer.model.named_parameters():
        if name.endswith("skip_gain"):  # at 0, as they begin, residual branches have no gradient
            torch.nn.init.constant_(parameter, 0.5)
    return trainer


def make_batch(recipe: Recipe, step: int) -> Batch:
    rng = np.random.default_rng([9, step])
    first, second = rng.random((2, recipe.batch, 96, recipe.frames), dtype=np.float32)
    simclr = recipe.objective == "simclr"
    labels = None if simclr else (rng.random((recipe.batch, 3)) < 0.4).astype(np.float32)
    return Batch(step, np.arange(recipe.batch), first, second if simclr else None, labels)


def go(
    trainer: Trainer, run: Path, start: int = 0, stop: int | None = None, progress: Progress | None = None, **given: Any
) -> Progress:
    steps = range(start, trainer.recipe.steps if stop is None else stop)
    about = {"recipe": trainer.recipe.model_dump_json(), "data": "d", "world": 1}
    batches = (make_batch(trainer.recipe, step) for step in steps)
    return train(trainer, batches, run, progress or Progress(start), about=about, report=Silent(), **given)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in trainer.model.state_dict().items()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.0), (2_500, 1e-4), (5_000, 2e-4), (102_500, 1e-4), (200_000, 0.0), (250_000, 0.0)]
)
def test_the_published_schedule(step: int, expected: float) -> None:
    recipe = Recipe(objective="simclr", batch=2, steps=200_000)
    assert learning_rate(step, recipe) == pytest.approx(expected, abs=1e-16)


def test_the_optimiser_is_the_recipes() -> None:
    trainer = make_trainer(small(adam_beta2=0.95))
    trainer.gradients(make_batch(trainer.recipe, 0))
    assert trainer.update(1) == pytest.approx(5e-4)
    (group,) = trainer.optimizer.param_groups
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.95), 1e-7, 0)
    assert group["lr"] == pytest.approx(5e-4)


@pytest.mark.parametrize("objective", ["simclr", "supervised"])
def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(tmp_path: Path, objective: str) -> None:
    recipe = small(objective, drop_rate=0.5, chunk=3)
    unbroken = make_trainer(recipe)
    whole = go(unbroken, tmp_path / "whole")
    first = make_trainer(recipe)
    go(first, tmp_path / "parts", stop=5)  # its last checkpoint is that of step 3
    torch.rand(3)  # whatever else was drawn in between
    state = checkpoint.load(checkpoint.path_of(tmp_path / "parts", "last"))
    assert state["step"] == 3
    second = make_trainer(recipe)
    second.restore(state)
    progress = Progress(state["step"], state["best"], loss=state["loss"])
    again = go(second, tmp_path / "parts", start=3, progress=progress)
    assert_same(weights(second), weights(unbroken))
    assert (again.step, again.best, again.loss) == (whole.step, whole.best, whole.loss)
    ends = [checkpoint.load(checkpoint.path_of(tmp_path / name, "last")) for name in ("whole", "parts")]
    for one, other in zip(*(end["optimizer"]["state"].values() for end in ends), strict=True):
        assert_same(one, other)


def test_training_lowers_the_loss() -> None:
    recipe = small("supervised", steps=60, warmup_steps=1, peak_learning_rate=5e-3, mixup=False, drop_rate=0.0)
    trainer = make_trainer(recipe)
    losses = []
    for step in range(40):
        batch = make_batch(recipe, 0)
        losses.append(trainer.gradients(replace(batch, step=step)).loss)
        trainer.update(step)
    assert losses[0] == pytest.approx(math.log(2), abs=0.02)
    assert losses[-1] < 0.5 * losses[0]


def gradient_of(recipe: Recipe) -> torch.Tensor:
    trainer = make_trainer(recipe)
    trainer.gradients(make_batch(recipe, 1))
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


@pytest.mark.parametrize("objective", ["simclr", "supervised"])
def test_chunks_and_checkpointed_activations_change_no_gradient(objective: str) -> None:
    expected = gradient_of(small(objective, drop_rate=0.0))
    scale = expected.abs().max()
    for changes in ({"chunk": 3}, {"checkpoint_activations": True}):
        found = gradient_of(small(objective, drop_rate=0.0, **changes))
        assert (found - expected).abs().max() < 1e-5 * scale, changes
    dropped = gradient_of(small(objective, drop_rate=0.8))
    assert (dropped - expected).abs().max() > 1e-3 * scale
    both = gradient_of(small(objective, drop_rate=0.8, checkpoint_activations=True))
    assert (dropped - both).abs().max() < 1e-5 * scale  # the second forward drops what the first one did


def test_gradients_are_clipped_where_the_recipe_says_so() -> None:
    found = gradient_of(small(clip_norm=0.01))
    assert float(found.norm()) == pytest.approx(0.01, rel=1e-3)


def inputs_of(recipe: Recipe, batch: Batch) -> Any:
    trainer = make_trainer(recipe)
    strategy: Any = trainer.strategy
    return strategy.inputs(batch, trainer.context)


def test_mixup_mixes_both_views_by_draws_of_their_own() -> None:
    recipe = small()
    batch = make_batch(recipe, 0)
    same = replace(batch, second=batch.first)
    assert not torch.equal(*inputs_of(recipe, same).chunk(2))
    first, second = inputs_of(small(mixup=False), same).chunk(2)
    assert torch.equal(first, second)
    assert torch.equal(first, torch.from_numpy(batch.first))


def test_labels_are_mixed_too() -> None:
    recipe = small("supervised")
    _, labels = inputs_of(recipe, make_batch(recipe, 0))
    assert ((labels > 0) & (labels < 1)).any()


def test_a_batch_without_any_known_label_trains_nothing_and_stops_nothing(tmp_path: Path) -> None:
    recipe = small("supervised", mixup=False, steps=1, warmup_steps=0)
    trainer = make_trainer(recipe)
    batch = make_batch(recipe, 0)
    outcome = trainer.gradients(replace(batch, labels=np.full_like(batch.labels, np.nan), masked=True))
    assert (outcome.loss, outcome.gradient) == (0, 0)


def test_labels_that_are_not_known_are_left_out_of_the_loss() -> None:
    recipe = small("supervised", mixup=False, drop_rate=0.0)
    batch = make_batch(recipe, 0)
    unknown = np.array(batch.labels)
    unknown[1] = np.nan
    masked = make_trainer(recipe).gradients(replace(batch, labels=unknown, masked=True)).loss
    keep = np.array([0, 2, 3])
    alone = make_trainer(recipe).gradients(replace(batch, first=batch.first[keep], labels=batch.labels[keep])).loss
    assert masked == pytest.approx(alone, abs=1e-5)
    all_known = make_trainer(recipe).gradients(replace(batch, masked=True)).loss
    assert all_known == pytest.approx(make_trainer(recipe).gradients(batch).loss, abs=1e-6)


def test_pairs_of_one_track_are_masked_where_the_recipe_says_so() -> None:
    same = replace(make_batch(small(), 0), tracks=np.array([3, 3, 3, 3]))
    assert make_trainer(small(mixup=False)).gradients(same).loss > 0.1
    masked = small(mixup=False, same_track="masked")
    assert make_trainer(masked).gradients(same).loss == 0
    apart = replace(same, tracks=None)
    assert make_trainer(masked).gradients(apart).loss == make_trainer(small(mixup=False)).gradients(apart).loss


def test_the_log_and_the_checkpoints_of_a_run(tmp_path: Path) -> None:
    from benchmark.pretraining.training.logs import CsvLog

    log = CsvLog(tmp_path / "metrics.csv", 0)
    progress = go(make_trainer(small()), tmp_path, logs=[log])
    log.close()
    assert progress.step == 8
    assert checkpoint.steps_kept(tmp_path) == [6]
    assert checkpoint.load(checkpoint.path_of(tmp_path, "last"))["step"] == 8
    with (tmp_path / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {int(row["step"]) for row in rows} == {2, 4, 6, 8}
    assert {"loss", "gradient_norm", "embedding/deviation", "embedding/effective_rank"} <= {row["name"] for row in rows}
    resumed = CsvLog(tmp_path / "metrics.csv", 4)  # what was logged behind the checkpoint is logged again
    resumed.write(6, {"loss": 1.0})
    resumed.close()
    with (tmp_path / "metrics.csv").open(encoding="utf-8") as file:
        assert [int(row["step"]) for row in csv.DictReader(file) if row["name"] == "loss"] == [2, 4, 6]


def test_checkpoints_that_stay_are_written_between_the_others(tmp_path: Path) -> None:
    go(make_trainer(small(keep_every=4)), tmp_path)  # checkpoint_every is 3
    assert checkpoint.steps_kept(tmp_path) == [4, 8]


def test_the_best_checkpoint_is_that_of_the_lowest_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean loss between two checkpoints counts, so that one lucky step does not decide."""
    losses = iter([0.1, 5.0, 2.0, 1.0, 0.05, 9.0])
    gradients = Trainer.gradients

    def told(self: Trainer, batch: Batch) -> Outcome:
        return replace(gradients(self, batch), loss=next(losses))

    monkeypatch.setattr(Trainer, "gradients", told)
    progress = go(make_trainer(small(steps=6, checkpoint_every=2, keep_every=99)), tmp_path)
    assert checkpoint.load(checkpoint.path_of(tmp_path, "best"))["step"] == 4
    assert checkpoint.load(checkpoint.path_of(tmp_path, "last"))["step"] == 6
    assert progress.best == pytest.approx(1.5)


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(tmp_path: Path) -> None:
    recipe = small()
    trainer = make_trainer(recipe)
    about = {"recipe": recipe.model_dump_json(), "data": "d", "world": 1}
    good = [make_batch(recipe, step) for step in range(4)]
    bad = make_batch(recipe, 4)
    bad.first[0] = np.nan
    before: dict[str, torch.Tensor] = {}

    def batches() -> Any:
        yield from good
        before.update(weights(trainer))
        yield bad

    with pytest.raises(TrainingStopped, match="loss of step 4 is nan"):
        train(trainer, batches(), tmp_path, Progress(), about=about, report=Silent())
    assert_same(before, weights(trainer))
    assert checkpoint.load(checkpoint.path_of(tmp_path, "last"))["step"] == 3


def test_collapse_stops(tmp_path: Path) -> None:
    trainer = make_trainer(small())
    with pytest.raises(TrainingStopped, match="2 looks in a row up to step 4"):
        go(trainer, tmp_path, watch=Watch(least_deviation=1e9, patience=2))


def test_probes_are_called_and_logged(tmp_path: Path) -> None:
    class Kept:
        def __init__(self) -> None:
            self.rows: list[tuple[int, str]] = []

        def write(self, step: int, values: Any) -> None:
            self.rows += [(step, name) for name in values]

        def close(self) -> None: ...

    kept, asked = Kept(), []

    def probe(step: int) -> dict[str, float]:
        asked.append(step)
        return {"probe/x": 1.0}

    go(make_trainer(small()), tmp_path, logs=[kept], probe=probe, probe_every=3)
    assert asked == [3, 6, 8]
    assert [step for step, name in kept.rows if name == "probe/x"] == asked


def noise_store(folder: Path) -> str:
    rng = np.random.default_rng(0)
    write_store(folder, ((f"t{i}", rng.random((120, 96)).astype(np.float16)) for i in range(6)))
    return str(folder)


def short_run(folder: Path, store: str) -> Choices:
    overrides = ["batch=4", "steps=8", "warmup_steps=2", "frames=32", "projector_width=16", "projector_layers=1"]
    overrides += ["projection=8", "checkpoint_every=2", "keep_every=4", "log_every=1", "drop_rate=0.3"]
    return Choices("tiny-simclr", store, folder, overrides, "cpu", folder.parent / "home")


#: Kills itself when the step in its arguments has its gradients and not yet its weights.
KILLED = """
import os, signal, sys
from pathlib import Path
from benchmark.pretraining.pretrain import Choices, pretrain
from benchmark.pretraining.training.trainer import Trainer

folder, store, at, *overrides = sys.argv[1:]
update = Trainer.update
def counted(self, step):
    if step == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
    return update(self, step)
Trainer.update = counted
pretrain(Choices("tiny-simclr", store, Path(folder), overrides, "cpu", Path(folder).parent / "home"))
"""


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_a_folder_in_which_a_killed_process_left_half_a_file_may_be_begun_in(tmp_path: Path) -> None:
    store, run = noise_store(tmp_path / "store"), tmp_path / "run"
    run.mkdir()
    leftover = run / ".recipe.toml.da6e8bb3.tmp"
    leftover.write_bytes(b"")
    pretrain(short_run(run, store))
    assert (run / "encoder.safetensors").is_file()
    assert not leftover.exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / ".notes.tmp").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds \.notes\.tmp and no run: choose a new folder"):
        pretrain(short_run(other, store))


def test_a_killed_and_interrupted_run_ends_with_the_weights_of_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = noise_store(tmp_path / "store"), tmp_path / "broken"
    given = short_run(run, store)
    (tmp_path / "run.py").write_text(KILLED, encoding="utf-8")
    killed = subprocess.run(
        [sys.executable, str(tmp_path / "run.py"), str(run), store, "5", *given.overrides],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}, capture_output=True, timeout=240,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert checkpoint.load(checkpoint.path_of(run, "last"))["step"] == 4  # of 5 finished steps, with one every 2
    assert not (run / "encoder.safetensors").exists()

    told, update = Told(), Trainer.update

    def interrupting(self: Trainer, step: int) -> float:
        if step == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return update(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "update", interrupting)
        with pytest.raises(KeyboardInterrupt):
            pretrain(given, told)
    assert any("continues after step 4 of 8" in line for line in told.lines)
    assert "Stopped after step 7. The same command continues from there." in told.lines
    assert checkpoint.load(checkpoint.path_of(run, "last"))["step"] == 7

    pretrain(given)
    pretrain(short_run(tmp_path / "unbroken", store))
    ends = [checkpoint.load(checkpoint.path_of(tmp_path / name, "last")) for name in ("unbroken", "broken")]
    assert_same(ends[0]["model"], ends[1]["model"])
    cards = [json.loads((tmp_path / name / "card.json").read_text()) for name in ("unbroken", "broken")]
    assert cards[0]["weights_sha256"] == cards[1]["weights_sha256"]


def test_a_second_interrupt_stops_at_once() -> None:
    with Interrupt().watched() as interrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
