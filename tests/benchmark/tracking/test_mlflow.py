"""MLflow: a stand-in of its documented calls, and a database of its own where it is installed."""

import importlib.util
import sqlite3
import subprocess
import sys
import types

import pytest


class Client:
    """Keeps what it is told."""

    made = ()

    def __init__(self, tracking_uri):
        self.uri, self.batches, self.created, self.ended = tracking_uri, [], [], None
        Client.made = (*Client.made, self)

    def get_experiment_by_name(self, name):
        return types.SimpleNamespace(experiment_id="7") if name == "known" else None

    def create_experiment(self, name):
        self.created.append(name)
        return "8"

    def create_run(self, experiment, run_name=None):
        self.run = (experiment, run_name)
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))

    def log_batch(self, run_id, metrics=(), params=(), tags=()):
        self.batches.append((run_id, list(metrics), list(params), list(tags)))

    def set_terminated(self, run_id, status):
        self.ended = (run_id, status)


@pytest.fixture
def adapter(stand_in, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(Client, "made", ())
    entities = types.SimpleNamespace(
        Metric=lambda name, value, _, step: (name, value, step), Param=lambda *pair: pair, RunTag=lambda *pair: pair
    )
    return stand_in(
        "mlflow", mlflow=types.SimpleNamespace(), mlflow__entities=entities,
        mlflow__tracking=types.SimpleNamespace(MlflowClient=Client),
    )  # fmt: skip


@pytest.mark.parametrize(("status", "word"), [("finished", "FINISHED"), ("failed", "FAILED"), ("killed", "KILLED")])
def test_what_the_library_is_told(adapter, about, status, word):
    tracker = adapter.open_tracker(about)
    tracker.log(2, {"a": 1.0})
    tracker.summarise({"run_key": "abc", "test/x": 0.5, "probe/standardise": True})
    tracker.close(status)
    (client,) = Client.made
    assert client.uri == f"sqlite:///{about.folder}/mlflow.db"
    assert (client.created, client.run) == (["project"], ("8", "demo_key/logmel"))
    assert client.batches == [
        ("r1", [], [(name, str(value)) for name, value in about.settings.items()], []),
        ("r1", [("a", 1.0, 2)], [], []),
        ("r1", [("test/x", 0.5, 0), ("probe/standardise", 1.0, 0)], [], []),
        ("r1", [], [], [("run_key", "abc")]),
    ]
    assert client.ended == ("r1", word)


def test_the_users_own_server_and_experiment_are_taken(adapter, about, monkeypatch):
    from dataclasses import replace

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    adapter.open_tracker(replace(about, project="known"))
    (client,) = Client.made
    assert (client.uri, client.created, client.run[0]) == ("http://server:5000", [], "7")
    assert not about.folder.exists()


REAL = """
import sys
from pathlib import Path
from benchmark.system.progress import Terminal
from benchmark.tracking.contract import About
from benchmark.tracking.trackers import Trackers

folder = Path(sys.argv[1])
each = Trackers(["mlflow"], About("project", "a/b", folder, folder, {"encoder": "logmel", "trials": 3}), Terminal())
each.log(0, {"trial/valid": 0.25})
each.summarise({"run_key": "abc", "test/accuracy": 0.75})
each.close("killed")
assert each.problems == (), each.problems
"""


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed: extra mlflow")
def test_its_own_database_holds_the_run(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", REAL, str(tmp_path)], capture_output=True, text=True, timeout=500, cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path), "USER": "ada-lovelace"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "mlflow.db") as base:
        assert base.execute("select name, user_id, source_name, status from runs").fetchall() == [
            ("a/b", "unknown", "", "KILLED")
        ]
        assert dict(base.execute("select key, value from params")) == {"encoder": "logmel", "trials": "3"}
        assert dict(base.execute("select key, value from metrics")) == {"trial/valid": 0.25, "test/accuracy": 0.75}
        assert dict(base.execute("select key, value from tags")) == {"mlflow.runName": "a/b", "run_key": "abc"}
