"""``bench pretrain``: what is refused before any training, a run from audio to a record, and what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmark.cli.pretrain import pretrain_app
from benchmark.encoders.registry import resolve_one
from benchmark.errors import UserError
from benchmark.pretraining.data.finishing import write_store
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
    refused(choices(tmp_path, store, "steps=3", "seed=3"), "steps: 4 -> 3; seed: 0 -> 3")
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
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    pretrain(choices(tmp_path, store), told)
    assert any("TensorBoard is not installed" in line for line in told.lines)
    assert (tmp_path / "run" / "metrics.csv").stat().st_size > 100


def test_trackers_get_what_the_table_holds_and_one_that_fails_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from benchmark.tracking import kinds, trackers
    from benchmark.tracking.kinds import Kind, tracking_of

    class Broken:
        def __init__(self, about: Any) -> None:
            print("printed by a library")
            raise ConnectionError("no route to host")

    module: Any = types.ModuleType("broken_adapter")
    module.open_tracker = Broken
    monkeypatch.setitem(sys.modules, "broken_adapter", module)
    table = {**kinds.KINDS, "wandb": Kind("broken_adapter", "json")}
    monkeypatch.setattr(kinds, "KINDS", table)
    monkeypatch.setattr(trackers, "KINDS", table)
    store, told = noise_store(tmp_path / "store"), Told()
    assert pretrain(choices(tmp_path, store, tracking=tracking_of(["tensorboard", "wandb"])), told).is_file()
    assert sum("no route to host" in line for line in told.lines) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("printed by a library")) == ("", 1)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    rows = (tmp_path / "run" / "metrics.csv").read_text(encoding="utf-8").splitlines()[1:]
    losses = {int(step): float(value) for step, name, value in (row.split(",") for row in rows) if name == "loss"}
    assert {event.step: event.value for event in events.Scalars("loss")} == pytest.approx(losses)
    assert set(losses) == {1, 2, 3, 4}


def test_a_tracker_that_is_not_here_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.tracking.kinds import tracking_of

    monkeypatch.setitem(sys.modules, "wandb", None)
    given = choices(tmp_path, noise_store(tmp_path / "store"), tracking=tracking_of("wandb"))
    refused(given, r"--track wandb needs the package wandb: install it:\n.*pip install")
    assert not (tmp_path / "run").exists()
    words = ["tiny-simclr", "--data", str(tmp_path / "store"), "--out", str(tmp_path / "run")]
    for old in ("--log", "--track"):  # --log is its former name
        wrong = CliRunner().invoke(pretrain_app, [*words, old, "wandb2"])
        assert "did you mean 'wandb'" in str(wrong.exception)


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


def as_made_by(store: Path, frontend: str) -> None:
    """Let a store say that it is of another front end."""
    from benchmark.pretraining.data.description import StoreCard
    from benchmark.pretraining.data.shards import DESCRIPTION

    card = StoreCard.model_validate_json((store / DESCRIPTION).read_text(encoding="utf-8"))
    card = card.model_copy(update={"frontend": frontend})
    card = card.model_copy(update={"fingerprint": card.expected_fingerprint()})
    (store / DESCRIPTION).write_text(card.model_dump_json(), encoding="utf-8")


def test_a_store_of_another_front_end_is_refused(tmp_path: Path) -> None:
    store = noise_store(tmp_path / "store")
    as_made_by(store, "mule log-mel 0; audio 2 (of older libraries)")
    with pytest.raises(UserError, match=r"'mule log-mel 0', .* compute 'mule log-mel 1': make it again: bench"):
        pretrain(choices(tmp_path, store))
    assert not (tmp_path / "run").exists()


def test_a_store_of_other_libraries_is_told_of(tmp_path: Path) -> None:
    store = noise_store(tmp_path / "store")
    as_made_by(store, "mule log-mel 1; audio 2 (of older libraries); from 1 s")
    told = Told()
    pretrain(choices(tmp_path, store), told)
    assert any("was made with 2 (of older libraries), and here is" in line for line in told.lines)


def test_an_encoder_trained_on_another_front_end_is_refused(tmp_path: Path) -> None:
    pretrain(choices(tmp_path, noise_store(tmp_path / "store")))
    run = tmp_path / "run"
    for name in ("data.json", "card.json"):
        about = json.loads((run / name).read_text(encoding="utf-8"))
        about.get("data", about)["frontend"] = "mule log-mel 0; audio x"
        (run / name).write_text(json.dumps(about), encoding="utf-8")
    for which in ("", "@last"):
        with pytest.raises(UserError, match=r"what the run .*run was trained on is of the front end 'mule log-mel 0'"):
            resolve_one(f"pretrained:{run}{which}", tmp_path)


def test_a_finished_run_can_be_made_longer_and_the_schedule_is_told(tmp_path: Path) -> None:
    store, told = noise_store(tmp_path / "store"), Told()
    pretrain(choices(tmp_path, store))
    pretrain(choices(tmp_path, store, "steps=6"), told)
    assert any(
        "It was to have 4 steps. The learning rate follows the schedule of 6 from now on: 0.000345 at this step, "
        "where the schedule before had 0." in line
        for line in told.lines
    ), "\n".join(told.lines)
    run = tmp_path / "run"
    assert json.loads((run / "card.json").read_text(encoding="utf-8"))["steps"] == 6
    longer = json.loads((run / "data.json").read_text(encoding="utf-8"))["longer"]
    assert longer == [{"after_step": 4, "steps_before": 4, "steps": 6}]
    pretrain(choices(tmp_path, store, "steps=6"))  # nothing is left to be done, and that is no reason to forget it
    assert json.loads((run / "data.json").read_text(encoding="utf-8"))["longer"] == longer
    with pytest.raises(UserError, match="steps: 6 -> 4"):
        pretrain(choices(tmp_path, store))


def test_a_run_begins_with_the_weights_of_another(tmp_path: Path) -> None:
    from benchmark.pretraining.networks.files import weights_digest
    from benchmark.pretraining.training.export import network_of, read_run

    store = noise_store(tmp_path / "store")
    (tmp_path / "a").mkdir()
    pretrain(choices(tmp_path / "a", store))
    _, network, _ = read_run(tmp_path / "a" / "run", None)
    first = weights_digest(network)
    # At a learning rate of almost 0 the weights stay where they began.
    still = ("peak_learning_rate=1e-30", "seed=5")
    for number, given in enumerate(("run", "run@last", "run/encoder.safetensors")):
        folder = tmp_path / f"b{number}"
        pretrain(choices(folder, store, *still, init=str(tmp_path / "a" / given)))
        state = checkpoint.load(checkpoint.path_of(folder / "run", "last"))
        for name, tensor in network_of(state)[1].state_dict().items():
            np.testing.assert_allclose(tensor.numpy(), network.state_dict()[name].numpy(), atol=1e-20, err_msg=name)
        begun = json.loads((folder / "run" / "data.json").read_text(encoding="utf-8"))["init"]
        assert begun == {"name": given.replace("last", "4").rpartition("/")[2], "weights_sha256": first}
    pretrain(choices(tmp_path / "b0", store, *still, "steps=5"))  # without --init it goes on as it began
    assert json.loads((tmp_path / "b0/run/data.json").read_text(encoding="utf-8"))["init"]["weights_sha256"] == first
    pretrain(choices(tmp_path / "c", store, "seed=9"))
    with pytest.raises(UserError, match=r"began with the weights of run, not with .*leave --init out"):
        pretrain(choices(tmp_path / "b0", store, *still, "steps=5", init=str(tmp_path / "c" / "run")))


@pytest.mark.parametrize("given", ["nowhere", "nowhere@3", "store"])
def test_what_no_run_begins_with(tmp_path: Path, given: str) -> None:
    store = noise_store(tmp_path / "store")
    with pytest.raises(UserError, match="no run"):
        pretrain(choices(tmp_path, store, init=str(tmp_path / given)))
    assert not (tmp_path / "run").exists()


def test_equal_runs_export_equal_bytes(tmp_path: Path) -> None:
    store = noise_store(tmp_path / "store")
    for name in ("a", "b"):
        pretrain(choices(tmp_path / name, store))
    for file in ("encoder.safetensors", "card.json", "data.json", "recipe.toml"):
        assert (tmp_path / "a/run" / file).read_bytes() == (tmp_path / "b/run" / file).read_bytes(), file


@pytest.mark.parametrize(("text", "option"), [("device=cuda", "--device"), ("probe_every=3", "--probe-every")])
def test_an_option_as_a_key_points_to_the_option(tmp_path: Path, text: str, option: str) -> None:
    with pytest.raises(UserError, match=f"no key of a recipe but an option: write {option} VALUE"):
        pretrain(choices(tmp_path, noise_store(tmp_path / "store"), text))


def test_tracks_under_the_limit_and_too_many_left_out(tmp_path: Path) -> None:
    import soundfile

    audio = tmp_path / "audio"
    audio.mkdir()
    for number, seconds in enumerate([1.2, 1.5, 2.0, 4.0]):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, round(16_000 * seconds))
        soundfile.write(audio / f"{number}.wav", noise, 16_000)
    command = [str(audio), "--out", str(tmp_path / "store"), "--workers", "0"]
    result = CliRunner().invoke(pretrain_app, ["prepare", *command])
    assert isinstance(result.exception, UserError)
    assert "3 of the 4 tracks" in str(result.exception)
    assert "3 of them are short: --shortest SECONDS" in str(result.exception)
    assert "--allow-left-out 3" in str(result.exception)
    assert not (tmp_path / "store" / "store.json").exists()
    lines = (tmp_path / "store" / "left_out.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert CliRunner().invoke(pretrain_app, ["prepare", *command, "--allow-left-out", "3"]).exit_code == 0
    other = [str(audio), "--out", str(tmp_path / "other"), "--workers", "0", "--shortest", "1.1"]
    assert CliRunner().invoke(pretrain_app, ["prepare", *other]).exit_code == 0
    from benchmark.pretraining.data.store import open_store

    assert open_store(tmp_path / "store").tracks == 1
    assert open_store(tmp_path / "other").tracks == 4
    assert open_store(tmp_path / "other").frontend.endswith("; from 1.1 s")
    again = CliRunner().invoke(pretrain_app, ["prepare", *command[:2], str(tmp_path / "other"), "--workers", "0"])
    assert "was not made from what" in str(again.exception)  # another limit is another store
    cut = CliRunner().invoke(pretrain_app, ["prepare", *other, "--cut", "2"])
    assert cut.exit_code == 0, cut.exception
    assert open_store(tmp_path / "other").tracks == 5
    for bad in (["--cut", "0.5"], ["--shortest", "0"], ["--cut", "nan"], ["--shortest", "inf"]):
        refused = CliRunner().invoke(pretrain_app, ["prepare", *command, *bad])
        assert isinstance(refused.exception, UserError), bad


def test_of_several_processes_of_a_machine_one_says_what_all_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["tiny-simclr", "--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "run")]
    refused = CliRunner().invoke(pretrain_app, command)
    assert isinstance(refused.exception, UserError)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    silent = CliRunner().invoke(pretrain_app, command)
    assert (silent.exit_code, silent.output) == (2, "")
    monkeypatch.setenv("LOCAL_RANK", "0")  # the first of another machine, which may lack what this one has
    assert isinstance(CliRunner().invoke(pretrain_app, command).exception, UserError)


def test_messages_of_other_processes_say_whose_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmark.cli import main

    monkeypatch.setenv("RANK", "1")
    main._complain("something is wrong")
    assert capsys.readouterr().err == "bench (process 1): something is wrong\n"
    monkeypatch.setenv("RANK", "0")
    main._complain("something is wrong")
    assert capsys.readouterr().err == "bench: something is wrong\n"
