"""One voice of several processes: torchrun starts as many as there are devices, and each would say the same."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.errors import UserError


def rank() -> int:
    """Return the number of this process among those that torchrun started, from 0; 0 where there is no other."""
    return _number("RANK")


@contextmanager
def said_once() -> Iterator[None]:
    """Let the first process of a machine alone say what all of them find; the others end with the same status.

    Raises:
        SystemExit: This is another process of the machine, and something is refused.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # each process would greet
    try:
        yield
    except UserError:
        if _number("LOCAL_RANK"):
            raise SystemExit(2) from None
        raise


def _number(variable: str) -> int:
    text = os.environ.get(variable, "0")
    return int(text) if text.isdecimal() else 0
