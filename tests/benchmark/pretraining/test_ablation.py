"""Ablations: which variants there are, that they are trained, continued and tabled, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmark.cli.pretrain import pretrain_app
from benchmark.errors import UserError
from benchmark.pretraining.ablation import (
    TABLE,
    Asked,
    Variant,
    ablate,
    as_markdown,
    choices_of,
    last_losses,
    variants_of,
)
from benchmark.pretraining.data.finishing import write_store
from benchmark.pretraining.pretrain import Choices, pretrain, trains_on
from benchmark.pretraining.training import checkpoint
from benchmark.pretraining.training.collapse import TrainingStopped
from benchmark.system.progress import Silent
from benchmark.tracking.kinds import is_installed

pytest.importorskip("lightning_fabric")

QUICK = (
    "batch=4", "steps=4", "warmup_steps=1", "frames=32", "worker_width=8", "workers=chroma,mfcc", "checkpoint_every=2",
    "keep_every=4", "log_every=1",
)  # fmt: skip


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def music_store(folder: Path, *, waveforms: bool = True) -> Path:
    """Write log-mels of noise, with waveforms of noise that are as long."""
    rng = np.random.default_rng(0)
    features = [(f"t{i}", rng.random((120, 96)).astype(np.float16)) for i in range(5)]
    samples = {name: rng.normal(0, 0.1, (120, 160)).astype(np.float16) for name, _ in features}
    write_store(folder, features, waveforms=samples.__getitem__ if waveforms else None)
    return folder


def asked(folder: Path, over: str = "workers", *overrides: str, **given: Any) -> Asked:
    more = {"device": "cpu", "home": folder / "home", **given}
    return Asked("tiny-multitask", over, str(folder / "store"), folder / "out", (*QUICK, *overrides), **more)


def done(wanted: Asked, report: Any = None) -> Any:
    return ablate(wanted, trains_on(wanted.data, wanted.device, wanted.home), report)


def names(found: Any) -> list[str]:
    return [variant.name for variant in found]


class TestVariants:
    def test_of_a_list(self, tmp_path):
        three = "workers=chroma,mfcc,prosody"
        found = variants_of(asked(tmp_path, "workers", three, only_one=True))
        assert [(variant.name, variant.override) for variant in found] == [
            ("all", "workers=chroma,mfcc,prosody"),
            ("without-chroma", "workers=mfcc,prosody"),
            ("without-mfcc", "workers=chroma,prosody"),
            ("without-prosody", "workers=chroma,mfcc"),
            ("only-chroma", "workers=chroma"),
            ("only-mfcc", "workers=mfcc"),
            ("only-prosody", "workers=prosody"),
        ]
        assert names(variants_of(asked(tmp_path, "workers", three, drop_one=False, only_one=True))) == [
            "all", "only-chroma", "only-mfcc", "only-prosody",
        ]  # fmt: skip

    def test_equal_lists_are_trained_once(self, tmp_path):
        found = variants_of(asked(tmp_path, only_one=True))
        assert names(found) == ["all", "without-chroma", "without-mfcc"]

    def test_of_choices_and_of_values(self, tmp_path):
        found = variants_of(asked(tmp_path, "weighting"))
        assert names(found)[:2] == ["weighting-equal", "weighting-initial"]
        assert found[1].override == "weighting=initial"
        assert names(variants_of(asked(tmp_path, "seed=0,1"))) == ["seed-0", "seed-1"]
        assert choices_of(Literal["a", 2]) == ("a", 2)

    @pytest.mark.parametrize(
        ("over", "words", "do"),
        [
            ("worker", "no such key", "did you mean 'workers'"),
            ("objective", "no such key", "--over workers"),
            ("batch", "neither a list nor choices", "--over batch=A,B"),
            ("seed=1", "two different variants", "more values"),
            ("seed=1,1", "two different variants", "more values"),
            ("title=../a,b", "no name of a folder", "plain values"),
        ],
    )
    def test_what_is_no_ablation_is_refused(self, tmp_path, over, words, do):
        with pytest.raises(UserError, match=words) as refused:
            variants_of(asked(tmp_path, over))
        assert do in refused.value.do

    def test_a_single_worker_has_no_parts(self, tmp_path):
        with pytest.raises(UserError, match="two different variants"):
            variants_of(asked(tmp_path, "workers", "workers=chroma", only_one=True))


def test_workers_are_left_out_one_by_one(tmp_path: Path) -> None:
    music_store(tmp_path / "store")
    found = done(asked(tmp_path))
    assert [(variant.name, variant.status) for variant in found.variants] == [
        ("all", "finished"), ("without-chroma", "finished"), ("without-mfcc", "finished"),
    ]  # fmt: skip
    assert found.problems == ()
    assert set(found.variants[0].losses) == {"loss", "loss/weighted", "loss/chroma", "loss/mfcc"}
    assert "loss/chroma" not in found.variants[1].losses
    assert found.path.read_text() == found.text
    assert (tmp_path / "out" / "without-mfcc" / "encoder.safetensors").is_file()
    assert found.text.count("| finished |") == 3


def test_an_ablation_that_was_stopped_goes_on(tmp_path: Path) -> None:
    """Finished runs are not touched, the one that was stopped continues behind its checkpoint."""
    music_store(tmp_path / "store")
    whole = done(asked(tmp_path))
    (tmp_path / "whole").mkdir()
    for path in (tmp_path / "out").iterdir():
        path.rename(tmp_path / "whole" / path.name)
    wanted = asked(tmp_path)
    first, second = wanted.out / "all", wanted.out / "without-chroma"
    pretrain(Choices(wanted.recipe, wanted.data, first, (*QUICK, "workers=chroma,mfcc"), "cpu", wanted.home))
    touched = (first / "encoder.safetensors").stat().st_mtime_ns
    overrides = [text for text in QUICK if not text.startswith("steps")]
    with pytest.raises(KeyboardInterrupt):
        pretrain(
            Choices(wanted.recipe, wanted.data, second, (*overrides, "steps=4", "workers=mfcc"), "cpu", wanted.home),
            _Interrupts(),
        )
    assert not (second / "encoder.safetensors").exists()
    told = Told()
    found = done(wanted, told)
    assert (first / "encoder.safetensors").stat().st_mtime_ns == touched
    assert any("without-chroma continues after step" in line for line in told.lines)
    assert found.text == whole.text
    for name in names(found.variants):
        one, other = (
            checkpoint.load(checkpoint.path_of(folder / name, "last"))["model"]
            for folder in (wanted.out, tmp_path / "whole")
        )
        assert all(bool((tensor == other[key]).all()) for key, tensor in one.items())


class _Interrupts(Silent):
    """Presses Ctrl-C behind the first checkpoint."""

    def say(self, text: str) -> None:
        if "checkpoint written" in text:
            raise KeyboardInterrupt


def test_a_variant_that_cannot_be_trained_is_told_of(tmp_path: Path) -> None:
    music_store(tmp_path / "store")
    found = done(asked(tmp_path, "network=wave-cnn-tiny,sf-nfnet-tiny,mel-cnn-tiny"))
    status = {variant.name: variant.status for variant in found.variants}
    assert status["network-wave-cnn-tiny"] == status["network-mel-cnn-tiny"] == "finished"
    assert "has no frames" in status["network-sf-nfnet-tiny"]
    assert len(found.problems) == 1
    assert "has no frames" in found.text


def test_a_run_that_is_stopped_does_not_stop_the_others(tmp_path: Path) -> None:
    music_store(tmp_path / "store")
    trained: list[str] = []

    def stops(recipe: Path, out: Path, overrides: tuple[str, ...], report: Any) -> Path:
        trained.append(out.name)
        if out.name == "all":
            raise TrainingStopped("the loss of step 3 is nan", "begin again")
        return out

    found = ablate(asked(tmp_path), stops)
    assert trained == ["all", "without-chroma", "without-mfcc"]
    assert found.variants[0].status == "stopped: the loss of step 3 is nan"
    assert found.problems == ("all: stopped: the loss of step 3 is nan",)


def test_probes_are_of_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that is not there is refused before any training."""
    music_store(tmp_path / "store")
    with pytest.raises(Exception, match="demo_kee"):
        done(asked(tmp_path, tasks=("demo_kee",)))
    assert not (tmp_path / "out").exists()


def test_a_store_without_waveforms_is_refused_with_the_command(tmp_path: Path) -> None:
    music_store(tmp_path / "store", waveforms=False)
    wanted = asked(tmp_path)
    with pytest.raises(UserError, match="has no waveforms") as refused:
        pretrain(Choices(wanted.recipe, wanted.data, wanted.out, QUICK, "cpu", wanted.home))
    assert "bench pretrain prepare AUDIO" in refused.value.do
    assert "--waveforms" in refused.value.do
    with pytest.raises(UserError, match="has no waveforms"):
        done(wanted)
    assert not list((tmp_path / "out").glob("*/checkpoints/*"))


def test_another_ablation_in_its_place_is_refused(tmp_path: Path) -> None:
    music_store(tmp_path / "store")
    done(asked(tmp_path))
    with pytest.raises(UserError, match="another recipe"):
        done(asked(tmp_path, "workers", "peak_learning_rate=0.1"))


def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="by one process"):
        done(asked(tmp_path))


def test_last_losses_are_those_of_the_last_tenth(tmp_path: Path) -> None:
    lines = ["step,name,value", *(f"{step},loss,{step}" for step in range(1, 101)), "100,loss/mfcc,2.5", "100,seco"]
    (tmp_path / "metrics.csv").write_text("\n".join(lines))
    assert last_losses(tmp_path) == {"loss": 95.5, "loss/mfcc": 2.5}
    assert last_losses(tmp_path / "nothing") == {}


def test_the_table_has_a_column_for_each_number(tmp_path: Path) -> None:
    variants = [
        Variant("all", "workers=a,b", losses={"loss": 0.5, "loss/a": 0.25}, scores={"demo_key accuracy": 0.75}),
        Variant("only-b", "workers=b", status="stopped: a|b", losses={"loss": 0.7}),
    ]
    lines = as_markdown(asked(tmp_path), variants).splitlines()
    assert "| variant | loss | loss/a | demo_key accuracy (valid) | state |" in lines
    assert "| all | 0.5 | 0.25 | 0.75 | finished |" in lines
    assert "| only-b | 0.7 |  |  | stopped: a\\|b |" in lines


def test_from_the_command_line(tmp_path: Path) -> None:
    music_store(tmp_path / "store")
    words = [
        "ablate", "tiny-multitask", "--over", "weighting=equal,dwa", "--data", str(tmp_path / "store"), "--out",
        str(tmp_path / "out"), "--device", "cpu", "--home", str(tmp_path / "home"), *QUICK,
    ]  # fmt: skip
    found = CliRunner().invoke(pretrain_app, words)
    assert found.exit_code == 0, found.output
    assert "| weighting-dwa |" in found.output
    assert (tmp_path / "out" / TABLE).is_file()
    assert (tmp_path / "out" / "weighting-equal" / "tensorboard").is_dir() == is_installed("tensorboard")
