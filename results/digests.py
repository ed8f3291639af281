"""Digests of records and predictions: one flipped bit in either is noticed when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def content_digests(content: Mapping[str, object]) -> dict[str, str]:
    """Return the sha256 of each part of a record, by its name: JSON with sorted keys, without spaces.

    Args:
        content: What ``json.loads`` gives of the record's file, without these digests. How the file is laid out does
            not count.
    """
    return {name: _digest(part) for name, part in content.items()}


def differing(content: Mapping[str, object], digests: object) -> list[str]:
    """Return the names of the parts of a record that are not what its digests say, in order.

    Args:
        content: As for :func:`content_digests`.
        digests: What the file holds as its digests; what is none counts as differing in everything.
    """
    known = digests if isinstance(digests, dict) else {}
    found = content_digests(content)
    return [name for name in {**found, **known} if found.get(name) != known.get(name)]


def file_digest(data: bytes) -> str:
    """Return the sha256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def _digest(part: object) -> str:
    text = json.dumps(part, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
