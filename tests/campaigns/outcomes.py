"""A plugin of pytest that writes down how each test ended, and by what kind of exception it failed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: Names the file that one line a test is added to.
FILE = "MUTANT_OUTCOMES"


def kinds(error: BaseException) -> list[str]:
    """Return the names of an exception's class and of its bases; of a group, those that all of its members share."""
    if isinstance(error, BaseExceptionGroup):
        shared = [kinds(each) for each in error.exceptions]
        return [name for name in shared[0] if all(name in each for each in shared)]
    return [base.__name__ for base in type(error).__mro__]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    report = yield
    if call.when == "call" or report.outcome != "passed":
        error = call.excinfo.value if call.excinfo is not None else None
        line = {
            "test": item.nodeid.partition("[")[0],
            "when": call.when,
            "outcome": report.outcome,
            "kinds": [] if error is None else kinds(error),
            "message": "" if error is None else f"{type(error).__name__}: {error}"[:300],
        }
        with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    return report
