"""How many parameters an encoder has, counted from what it holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.encoders.base import Encoder
from benchmark.encoders.remote import RemoteEncoder

DEEPEST = 3  # containers and objects within each other


def parameter_count(encoder: Encoder) -> int | None:
    """Return the number of parameters of the networks of torch that an encoder holds, each counted once.

    Returns:
        ``None`` where it holds none: it has no network, opens it later, or lets another library run it.
    """
    if isinstance(encoder, RemoteEncoder):
        return encoder.parameter_total
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    sizes = {}
    for network in _networks(vars(encoder), torch.nn.Module, DEEPEST):
        sizes.update({id(parameter): parameter.numel() for parameter in network.parameters()})
    return sum(sizes.values()) or None


def _networks(value: object, kind: type, depth: int) -> Iterator[Any]:
    if isinstance(value, kind):
        yield value
    elif depth and isinstance(value, Mapping):
        for part in value.values():
            yield from _networks(part, kind, depth - 1)
    elif depth and isinstance(value, (list, tuple)):
        for part in value:
            yield from _networks(part, kind, depth - 1)
    elif depth and not isinstance(value, type) and type(value).__module__.partition(".")[0] == "benchmark":
        yield from _networks(getattr(value, "__dict__", {}), kind, depth - 1)
