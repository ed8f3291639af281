"""Stand-ins for libraries of trackers, and what a run is told to be."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from typing import Any

import pytest

from benchmark.system.progress import Silent
from benchmark.tracking.contract import About

SETTINGS = {"encoder": "logmel|`x`", "trials": 3, "own_windows": False, "dropout": 0.5}


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def about(tmp_path: Any) -> About:
    return About("project", "demo_key/logmel", tmp_path / "events", tmp_path / "files", SETTINGS)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Put modules in place of a library, and return the adapter that imports them."""
    adapters: list[str] = []

    def make(adapter: str, **modules: types.SimpleNamespace) -> Any:
        for name, content in modules.items():
            module = types.ModuleType(name)
            vars(module).update(vars(content))
            module.__spec__ = ModuleSpec(name, None)
            module.__path__ = []
            monkeypatch.setitem(sys.modules, name.replace("__", "."), module)
        adapters.append(f"benchmark.tracking.{adapter}")
        sys.modules.pop(adapters[-1], None)
        return importlib.import_module(adapters[-1])

    yield make
    for name in adapters:
        sys.modules.pop(name, None)
