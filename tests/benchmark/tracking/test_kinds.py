"""The table of trackers: what is named, what is here, and that asking costs no import."""

import importlib
import re
import subprocess
import sys

import pytest

from benchmark.errors import UserError
from benchmark.system.extras import packages_of
from benchmark.tracking.kinds import KINDS, PROJECT, Tracking, is_installed, refuse_missing, tracking_of


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        ((), ()),
        ("wandb", ("wandb",)),
        (["tensorboard", "wandb, mlflow", "wandb"], ("tensorboard", "wandb", "mlflow")),
        ([""], ()),
    ],
)
def test_names_are_taken_once_in_order(given, kinds):
    assert tracking_of(given) == Tracking(kinds, PROJECT)


@pytest.mark.parametrize(
    ("given", "project", "message"),
    [
        ("tensorbaord", PROJECT, "--track 'tensorbaord' is no tracker: did you mean 'tensorboard'?"),
        ("neptune", PROJECT, "choose among tensorboard, wandb, trackio, mlflow"),
        ("wandb", " ", "--track-project is empty: give a name, such as music-probe-benchmark"),
    ],
)
def test_what_there_is_not_is_refused(given, project, message):
    with pytest.raises(UserError, match=re.escape(message)):
        tracking_of(given, project)


@pytest.mark.parametrize("kind", KINDS)
def test_each_has_an_extra_and_is_refused_with_the_command_that_installs_it(kind, monkeypatch):
    assert packages_of(kind)
    monkeypatch.setitem(sys.modules, KINDS[kind].package, None)
    assert not is_installed(kind)
    with pytest.raises(UserError, match=rf"{kind} needs the package {KINDS[kind].package}: install it:\n.*pip"):
        refuse_missing(["tensorboard", kind])


def test_tensorboard_is_here_for_these_tests():
    refuse_missing(["tensorboard"])
    assert importlib.import_module(KINDS["tensorboard"].module).open_tracker


def test_the_table_imports_no_library():
    code = (
        "import sys; from benchmark.tracking.kinds import KINDS, tracking_of; tracking_of(list(KINDS))\n"
        "assert not {'wandb', 'mlflow', 'trackio', 'tensorboard', 'torch', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
