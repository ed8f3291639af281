"""What commands print with ``--json``: keys that stay, numbers in full, and nothing else on stdout."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from benchmark.system.finding import Finding


def json_text(content: object) -> str:
    """Return a record, a list of records, or whatever is made of them, as JSON.

    Dataclasses and pydantic records become objects with their fields as keys, paths texts.

    Raises:
        ValueError: A number is NaN or infinite.
        TypeError: Something in it is no record, mapping, list, text or number.
    """
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)


def findings_of(findings: Iterable[Finding]) -> dict[str, Any]:
    """Return the findings of a check as an object: each with its text, and how many are errors."""
    found = [{"text": finding.text.strip(), "is_error": finding.is_error} for finding in findings]
    return {"findings": found, "errors": sum(bool(each["is_error"]) for each in found)}


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):  # a record of pydantic's, which is not imported for this
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
