"""The names of splits that others use, as train, valid and test. Case and white space around them do not count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SPLIT_NAMES: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}


def split_named(text: str) -> str | None:
    """Return ``train``, ``valid`` or ``test``, as ``text`` means it; ``None`` where it means none of them.

    >>> split_named("Validation "), split_named("fold1")
    ('valid', None)
    """
    return SPLIT_NAMES.get(text.strip().casefold())


def are_splits(names: Iterable[str]) -> bool:
    """Say whether all names are those of splits, and two splits at least are among them, of which train is one."""
    found = {split_named(name) for name in names}
    return None not in found and "train" in found and len(found) > 1
