"""Fixtures that every package's tests share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import UserError
from probes.errors import ProbeError
from results.record import RecordError
from tasks.errors import TaskError

SLOW = Path(__file__).with_name("slow.txt")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out the slow modules that tests/slow.txt lists")


def slow_modules() -> set[Path]:
    """Return the files that ``--fast`` leaves out; they are not imported then."""
    lines = SLOW.read_text(encoding="utf-8").splitlines()
    return {SLOW.parent / line for line in lines if line and not line.startswith("#")}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if config.getoption("--fast") and collection_path in slow_modules() else None


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep commands that are given no data home away from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(tmp_path_factory.mktemp("own-home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def instructions() -> Iterator[None]:
    """Hold every error for users that any test raises to an instruction that says something."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in (UserError, TaskError, RecordError, ProbeError):
            patch.setattr(kind, "__init__", _with_instruction(kind.__init__))
        yield


def _with_instruction(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def checked(error: Any, *given: Any, **named: Any) -> None:
        init(error, *given, **named)
        assert error.what.strip(), f"nothing is said: {error}"
        assert error.do.strip() not in ("", "."), f"no instruction: {error}"

    return checked


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The reference material that ``BENCH_TEST_DATA`` points at: real audio and the paper's tables."""
    folder = os.environ.get("BENCH_TEST_DATA")
    if not folder:
        pytest.skip("BENCH_TEST_DATA is not set: no real audio and no published tables to compare with")
    return Path(folder)
