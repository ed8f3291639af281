"""trackio: a stand-in of its documented calls, and its own database where it is installed."""

import importlib.util
import sqlite3
import subprocess
import sys
import types

import pytest


class Run:
    def __init__(self, **given):
        self.given, self.rows, self.finished = given, [], False
        self.config = {**given["config"], "_Username": "ada"}

    def log(self, metrics, step=None):
        self.rows.append((step, metrics))

    def finish(self):
        self.finished = True


def test_what_the_library_is_told(stand_in, about):
    made = []

    def init(**given):
        made.append(Run(**given))
        return made[-1]

    tracker = stand_in("trackio", trackio=types.SimpleNamespace(init=init)).open_tracker(about)
    tracker.log(1, {"a": 1.0})
    tracker.log(4, {"a": 2.0})
    tracker.summarise({"run_key": "abc", "test/x": 0.5})
    tracker.close("killed")
    (run,) = made
    assert (run.given["project"], run.given["name"]) == ("project", "demo_key/logmel")
    assert run.config == about.settings  # without the name of the account
    assert run.given["auto_log_gpu"] is run.given["auto_log_cpu"] is run.given["embed"] is False
    assert run.rows == [
        (1, {"a": 1.0}), (4, {"a": 2.0}), (4, {"run_key": "abc", "test/x": 0.5}), (4, {"status": "killed"}),
    ]  # fmt: skip
    assert run.finished


REAL = """
import sys
from pathlib import Path
from benchmark.system.progress import Terminal
from benchmark.tracking.contract import About
from benchmark.tracking.trackers import Trackers

folder = Path(sys.argv[1])
each = Trackers(["trackio"], About("project", "a/b", folder, folder, {"encoder": "logmel", "trials": 3}), Terminal())
each.log(0, {"trial/valid": 0.25})
each.log(1, {"trial/valid": 0.5})
each.summarise({"run_key": "abc", "test/accuracy": 0.75})
each.close("finished")
assert each.problems == (), each.problems
"""


@pytest.mark.skipif(importlib.util.find_spec("trackio") is None, reason="trackio is not installed: extra trackio")
def test_its_own_database_holds_the_run(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", REAL, str(tmp_path)], capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path), "TRACKIO_DIR": str(tmp_path / "t"), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "t" / "project.db") as base:
        rows = base.execute("select run_name, step, metrics from metrics order by id").fetchall()
        (config,) = base.execute("select config from configs").fetchone()
    assert [row[:2] for row in rows] == [("a/b", 0), ("a/b", 1), ("a/b", 1)]
    assert b'"trial/valid":0.5' in bytes(rows[1][2])
    assert b'"test/accuracy":0.75' in bytes(rows[2][2])
    assert b'"encoder":"logmel"' in bytes(config)
    assert b"_Username" not in bytes(config)
