"""A tracker that fails in any call, or hangs, is told of once; the others and the run go on."""

import sys
import threading
import time
import types

import pytest

from benchmark.tracking import trackers
from benchmark.tracking.kinds import Kind
from benchmark.tracking.trackers import Trackers


class Fake:
    """Keeps its calls; fails or waits in the one that it is told to."""

    def __init__(self, calls, fails="", error=ConnectionError, release=None):
        self.calls, self.fails, self.error, self.release = calls, fails, error, release

    def __call__(self, about):
        self._call("open", about.name)
        return self

    def _call(self, name, *values):
        if name == self.fails:
            if self.release is not None:
                self.release.wait(60)
            else:
                raise self.error("no route\nto host\x1b[31m")
        self.calls.append((name, *values))

    def log(self, step, values):
        self._call("log", step, values)

    def summarise(self, values):
        self._call("summarise", values)

    def close(self, status):
        self._call("close", status)


@pytest.fixture
def put(monkeypatch):
    """Make a tracker of that name."""
    table = {}
    monkeypatch.setattr(trackers, "KINDS", table)

    def add(name, fake):
        module = types.ModuleType(f"adapter_{name}")
        module.open_tracker = fake
        monkeypatch.setitem(sys.modules, module.__name__, module)
        table[name] = Kind(module.__name__, name)
        return fake.calls

    return add


def follow(each):
    each.log(1, {"a": 1.0})
    each.summarise({"b": "x"})
    each.close("finished")


def test_calls_are_made_in_order_and_with_what_was_then(put, about, told):
    calls = put("one", Fake([]))
    each = Trackers(["one"], about, told)
    values = {"a": 1.0}
    each.log(1, values)
    values["a"] = 2.0
    each.log(2, values)
    each.close("killed")
    assert calls == [("open", about.name), ("log", 1, {"a": 1.0}), ("log", 2, {"a": 2.0}), ("close", "killed")]
    assert (told.lines, each.problems) == ([], ())


@pytest.mark.parametrize("error", [ConnectionError, OSError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("fails", ["open", "log", "summarise", "close"])
def test_one_that_fails_is_told_of_once_and_the_other_goes_on(put, about, told, fails, error):
    put("bad", Fake([], fails, error))
    good = put("good", Fake([]))
    each = Trackers(["bad", "good"], about, told)
    for step in range(3):
        each.log(step, {"a": 0.0})
    follow(each)
    assert [call[0] for call in good] == ["open", "log", "log", "log", "log", "summarise", "close"]
    assert told.lines == list(each.problems)
    (line,) = told.lines
    assert line == (
        f"bad does not follow the run, which goes on without it: {error.__name__}: no route to host\\u001b[31m"
    )


def test_one_that_failed_is_closed_and_called_no_more(put, about, told):
    calls = put("bad", Fake([], "log"))
    each = Trackers(["bad"], about, told)
    each.log(1, {})
    while not each._each[0].problem:
        time.sleep(0.01)
    follow(each)
    assert [call[0] for call in calls] == ["open", "close"]


def test_a_library_that_cannot_be_imported(monkeypatch, about, told):
    monkeypatch.setattr(trackers, "KINDS", {"none": Kind("benchmark.tracking.no_such", "none")})
    follow(Trackers(["none"], about, told))
    assert len(told.lines) == 1
    assert "none does not follow the run, which goes on without it: ModuleNotFoundError" in told.lines[0]


@pytest.mark.parametrize("fails", ["open", "log", "close"])
def test_one_that_hangs_is_not_waited_for(put, about, told, monkeypatch, fails):
    monkeypatch.setattr(trackers, "PATIENCE", 0.2)
    release = threading.Event()
    put("slow", Fake([], fails, release=release))
    good = put("good", Fake([]))
    began = time.monotonic()
    follow(Trackers(["slow", "good"], about, told))
    assert time.monotonic() - began < 30
    assert [call[0] for call in good] == ["open", "log", "summarise", "close"]
    assert told.lines == [
        "slow does not follow the run, which goes on without it: it has not taken all within 0.2 s of the end"
    ]
    release.set()


def test_one_that_does_not_keep_up_takes_no_more_memory(put, about, told, monkeypatch):
    monkeypatch.setattr(trackers, "PATIENCE", 0.2)
    monkeypatch.setattr(trackers, "WAITING", 5)
    release = threading.Event()
    put("slow", Fake([], "open", release=release))
    each = Trackers(["slow"], about, told)
    for step in range(20):
        each.log(step, {})
    assert told.lines == ["slow does not follow the run, which goes on without it: it is 5 calls behind"]
    assert each._each[0]._calls.qsize() == 5
    release.set()
    each.close("finished")
