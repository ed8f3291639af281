"""``bench pretrain``: what is refused before any training, a run from audio to a record, and what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmark.cli.pretrain import pretrain_app
from benchmark.encoders.registry import resolve_one
from benchmark.errors import UserError
from benchmark.pretraining.data.shards import write_store
from benchmark.pretraining.pretrain import Choices, pretrain
from benchmark.pretraining.training import checkpoint
from benchmark.system.progress import Silent

pytest.importorskip("lightning_fabric")

QUICK = (
    "batch=4", "steps=4", "warmup_steps=1", "frames=32", "projector_width=16", "projector_layers=1",
    "checkpoint_every=2", "keep_every=2", "log_every=1",
)  # fmt: skip


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def noise_store(folder: Path, tracks: int = 6, *, labels: bool = False, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    features = ((f"t{i}", rng.random((120, 96)).astype(np.float16)) for i in range(tracks))
    write_store(folder, features, {f"t{i}": ["loud", "fast"][: 1 + i % 2] for i in range(tracks)} if labels else None)
    return folder


def choices(folder: Path, store: Path, *overrides: str, recipe: str = "tiny-simclr", **given: Any) -> Choices:
    return Choices(recipe, str(store), folder / "run", (*QUICK, *overrides), "cpu", folder / "home", **given)


@pytest.mark.parametrize("recipe", ["tiny-simclr", "tiny-sup"])
def test_a_run_leaves_all_that_tells_of_it(tmp_path: Path, recipe: str) -> None:
    store = noise_store(tmp_path / "store", labels=recipe == "tiny-sup")
    told = Told()
    weights = pretrain(choices(tmp_path, store, recipe=recipe), told)
    run = tmp_path / "run"
    assert weights == run / "encoder.safetensors"
    there = {path.name for path in run.iterdir()}
    assert {"recipe.toml", "data.json", "card.json", "metrics.csv", "checkpoints", "encoder.safetensors"} <= there
    assert list((run / "tensorboard").glob("events.*"))
    assert json.loads((run / "data.json").read_text(encoding="utf-8"))["tracks"] == 6
    assert "steps = 4\n" in (run / "recipe.toml").read_text(encoding="utf-8")
    assert any("pretrained:" in line for line in told.lines)
    assert resolve_one(f"pretrained:{run}", tmp_path).name == "run"
    told.lines.clear()
    before = weights.stat().st_mtime_ns
    pretrain(choices(tmp_path, store, recipe=recipe), told)  # a finished run is not trained again
    assert any("continues after step 4 of 4" in line for line in told.lines)
    assert weights.stat().st_mtime_ns >= before


def refused(given: Choices, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pretrain(given)


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = noise_store(tmp_path / "store")
    refused(choices(tmp_path, store, "batch=7"), "6 tracks, fewer than the batch of 7")
    refused(choices(tmp_path, store, "frames=121"), "has 120 frames, and a crop takes 121")
    refused(choices(tmp_path, store, recipe="tiny-sup"), "has no labels")
    refused(choices(tmp_path, tmp_path / "none"), "there is no store")
    refused(choices(tmp_path, store, probe_every=2), "--probe-every and --probe-task go together")
    refused(choices(tmp_path, store, probe_every=0, probe_tasks=("demo_key",)), "--probe-every is 0: give 1 at least")
    refused(choices(tmp_path, store, logs=("wandb2",)), "choose among wandb, mlflow")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_labels_of_another_number_are_refused(tmp_path: Path) -> None:
    store = noise_store(tmp_path / "store", labels=True)
    refused(choices(tmp_path, store, "labels=527", recipe="tiny-sup"), "expects 527 labels, .* has 2: .*labels=2")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    store = noise_store(tmp_path / "store")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("", encoding="utf-8")
    refused(choices(tmp_path, store), "holds thesis.tex and no run")
    (tmp_path / "run" / "thesis.tex").unlink()
    (tmp_path / "run").rmdir()
    (tmp_path / "run").write_text("", encoding="utf-8")
    refused(choices(tmp_path, store), "is a file")


def test_a_run_goes_on_with_its_own_recipe_and_store_only(tmp_path: Path) -> None:
    store = noise_store(tmp_path / "store")
    pretrain(choices(tmp_path, store))
    refused(choices(tmp_path, store, "steps=6", "seed=3"), "steps: 4 -> 6; seed: 0 -> 3")
    refused(choices(tmp_path, noise_store(tmp_path / "other", seed=1)), "it cannot continue with other data")
    assert pretrain(choices(tmp_path, store, "log_every=2", "licence=CC0")).is_file()


def test_a_run_that_diverges_says_so_and_keeps_its_checkpoints(tmp_path: Path) -> None:
    store = noise_store(tmp_path / "store")
    given = choices(tmp_path, store, "steps=60", "peak_learning_rate=1e18", "clip_norm=none", "warmup_steps=2")
    refused(given, r"was stopped: .* are kept in .* Begin again in a new folder")
    assert checkpoint.exists(tmp_path / "run")
    assert not (tmp_path / "run" / "encoder.safetensors").exists()


def test_without_tensorboard_the_log_is_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, told = noise_store(tmp_path / "store"), Told()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    pretrain(choices(tmp_path, store), told)
    assert any("TensorBoard is not installed" in line for line in told.lines)
    assert (tmp_path / "run" / "metrics.csv").stat().st_size > 100


def test_without_fabric_the_command_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = noise_store(tmp_path / "store")
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    refused(choices(tmp_path, store), r"pip install .*\[pretrain\]")


def test_two_processes_on_one_run(tmp_path: Path) -> None:
    from filelock import FileLock

    store = noise_store(tmp_path / "store")
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"):
        refused(choices(tmp_path, store), "another process trains")


def test_a_probe_while_training(tmp_path: Path, make_task: Callable[..., Path]) -> None:
    store, told = noise_store(tmp_path / "store"), Told()
    card = make_task(per_class=10)
    given = choices(tmp_path, store, probe_every=2, probe_tasks=(str(card),), probe_trials=1)
    pretrain(given, told)
    run = tmp_path / "run"
    assert sum("Probe at step" in line for line in told.lines) == 2, told.lines
    assert len(list((run / "results" / "runs" / "tones").glob("*.json"))) == 2
    assert "probe/tones/valid/accuracy" in (run / "metrics.csv").read_text(encoding="utf-8")
    assert not list((tmp_path / "home" / "embeddings").glob("run*"))


def test_an_unknown_probe_task_is_refused_before_training(tmp_path: Path) -> None:
    from tasks.errors import TaskError

    store = noise_store(tmp_path / "store")
    with pytest.raises((UserError, TaskError), match="demo_kee"):
        pretrain(choices(tmp_path, store, probe_every=2, probe_tasks=("demo_kee",)))
    assert not checkpoint.exists(tmp_path / "run")


def test_the_command_lists_recipes_and_trains(tmp_path: Path) -> None:
    runner = CliRunner()
    listed = runner.invoke(pretrain_app, [])
    assert "musicset-ularge" in listed.stdout
    assert "tiny-simclr" in listed.stdout
    store = noise_store(tmp_path / "store")
    arguments = ["tiny-simclr", "--data", str(store), "--out", str(tmp_path / "run"), "--device", "cpu", *QUICK]
    trained = runner.invoke(pretrain_app, [*arguments, "--home", str(tmp_path / "home")])
    assert trained.exit_code == 0, trained.output
    assert str(tmp_path / "run" / "encoder.safetensors") in trained.stdout
    wrong = runner.invoke(pretrain_app, ["tiny-simlcr", "--data", str(store), "--out", str(tmp_path / "no")])
    assert isinstance(wrong.exception, UserError)


def test_help_and_the_list_import_no_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from benchmark.cli.pretrain import pretrain_app\n"
        "run = CliRunner().invoke\n"
        "for arguments in (['--help'], ['train', '--help'], ['prepare', '--help'], []):\n"
        "    assert run(pretrain_app, arguments).exit_code == 0, arguments\n"
        "heavy = {'torch', 'lightning_fabric', 'pandas', 'sklearn', 'pyarrow', 'optuna'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
