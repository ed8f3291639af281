"""Weights & Biases: a stand-in of its documented calls, and its offline mode where it is installed."""

import importlib.util
import socket
import subprocess
import sys
import types

import pytest


class Run:
    def __init__(self, **given):
        self.given, self.rows, self.summary, self.ended = given, [], {}, None

    def log(self, data, step=None):
        self.rows.append((step, data))

    def finish(self, exit_code=None):
        self.ended = exit_code


@pytest.mark.parametrize(("status", "code"), [("finished", 0), ("failed", 1), ("killed", 1)])
def test_what_the_library_is_told(stand_in, about, monkeypatch, status, code):
    made = []

    def init(**given):
        made.append(Run(**given))
        return made[-1]

    monkeypatch.delenv("WANDB_DIR", raising=False)
    library = types.SimpleNamespace(init=init, Settings=lambda **given: given)
    tracker = stand_in("wandb", wandb=library).open_tracker(about)
    tracker.log(1, {"a": 1.0})
    tracker.summarise({"run_key": "abc", "test/x": 0.5})
    tracker.close(status)
    (run,) = made
    assert (run.given["project"], run.given["name"], run.given["config"]) == (
        "project", "demo_key/logmel", about.settings,
    )  # fmt: skip
    assert run.given["dir"] == str(about.folder)
    assert run.given["reinit"] == "create_new"  # a run that the caller has open is left alone
    settings = run.given["settings"]
    assert settings["x_disable_stats"]
    assert settings["x_disable_meta"]
    assert settings["x_disable_machine_info"]
    assert (settings["host"], settings["console"], settings["save_code"]) == ("", "off", False)
    assert (run.rows, run.summary, run.ended) == ([(1, {"a": 1.0})], {"run_key": "abc", "test/x": 0.5}, code)


def test_its_own_folder_is_the_users(stand_in, about, monkeypatch, tmp_path):
    made = []
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    library = types.SimpleNamespace(init=lambda **given: made.append(given), Settings=lambda **given: given)
    stand_in("wandb", wandb=library).open_tracker(about)
    assert "dir" not in made[0]


REAL = """
import sys
from pathlib import Path
from benchmark.system.progress import Terminal
from benchmark.tracking.contract import About
from benchmark.tracking.trackers import Trackers

folder = Path(sys.argv[1])
each = Trackers(["wandb"], About("project", "a/b", folder, folder, {"encoder": "logmel", "trials": 3}), Terminal())
each.log(0, {"trial/valid": 0.25})
each.summarise({"run_key": "abcdef", "test/accuracy": 0.75})
each.close("finished")
assert each.problems == (), each.problems
"""


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed: extra wandb")
def test_its_offline_file_holds_the_run_and_no_name_of_the_machine(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", REAL, str(tmp_path)], capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path), "WANDB_MODE": "offline", "USER": "ada-lovelace"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    content = file.read_bytes()
    for there in (b"trial/valid", b"run_key", b"abcdef", b"logmel", b"a/b"):
        assert there in content
    name = socket.gethostname()
    assert len(name) < 4 or name.encode() not in content
    for absent in (b"ada-lovelace", str(tmp_path).encode(), sys.executable.encode()):
        assert absent not in content
