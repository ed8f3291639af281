"""The strategies by their names in recipes, and the module of each. Imports no torch, and no strategy unasked."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from tasks.spelling import did_you_mean

if TYPE_CHECKING:
    from benchmark.pretraining.strategies.contract import Strategy

_HERE = "benchmark.pretraining.strategies"

STRATEGIES: Mapping[str, str] = {
    "supervised": f"{_HERE}.supervised:Supervised",
    "simclr": f"{_HERE}.simclr:Simclr",
    "byol": f"{_HERE}.byol:Byol",
    "barlow": f"{_HERE}.barlow:Barlow",
    "vicreg": f"{_HERE}.vicreg:Vicreg",
    "clustering": f"{_HERE}.clustering:Clustering",
    "mulap": f"{_HERE}.mulap:Mulap",
    "multitask": f"{_HERE}.multitask:Multitask",
}


def strategy_class(name: str) -> type[Strategy]:
    """Return the class of a strategy.

    Raises:
        UserError: There is no such strategy.
    """
    if name not in STRATEGIES:
        hint = did_you_mean(name, STRATEGIES, "name another.")
        raise UserError(f"there is no objective {name!r}", f"{hint} There are {', '.join(STRATEGIES)}")
    module, _, attribute = STRATEGIES[name].partition(":")
    found: type[Strategy] = getattr(import_module(module), attribute)
    return found
