"""Digests of records and predictions: one flipped bit in either is noticed when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def content_digest(content: Mapping[str, object]) -> str:
    """Return the sha256 of a record's content, as JSON with sorted keys, without the digest itself.

    Args:
        content: What ``json.loads`` gives of the record's file; how the file is laid out does not count.
    """
    rest = {name: part for name, part in content.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_digest(data: bytes) -> str:
    """Return the sha256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()
