"""A record as the text of its file: written with digests of its parts, read with care."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from results.digests import content_digests, differing
from results.record import READ_VERSIONS, Record, RecordError
from results.rerun import advice

#: The schema whose records hold digests of their parts.
SIGNED_SINCE = 3


def encode(record: Record, path: Path) -> bytes:
    """Serialise a record and read it back, so that nothing is written which ``read`` would refuse."""
    content = record.model_dump(warnings=False)  # what is wrong, _decode refuses
    for field in _not_finite(content):
        raise RecordError(
            f"{path} was not written: field {field} is NaN or infinite, which JSON cannot hold",
            "Look for constant labels or a diverged probe in this run.",
        )
    content["sha256"] = content_digests(json.loads(json.dumps(content, allow_nan=False)))
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    decode(text, path)
    return text.encode("utf-8")


def decode(text: str, path: Path, *, checked: bool = True) -> Record:
    """Return the record that ``text`` is; ``checked`` says whether its digests must fit.

    Raises:
        RecordError: It is no JSON, of another schema version, breaks the schema, or is not what its digests say.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        content = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not whole JSON: {error}", advice(path, None)) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version not in READ_VERSIONS or isinstance(version, bool | float):
        raise RecordError(
            f"{path}: field schema_version is {version!r}, and this version of the package reads "
            f"{' and '.join(map(str, READ_VERSIONS))}",
            f"Install the version that wrote it. {advice(path, content)}",
        )
    digests = content.pop("sha256", None)
    try:
        record = Record.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{path}: field {field}: {first['msg']}", advice(path, content)) from error
    for field in _not_finite(content):  # 1e999 is JSON, and infinite
        raise RecordError(f"{path}: field {field} is not a finite number", advice(path, content))
    if checked and (differ := _changed(content, digests)):
        sign = shlex.join(["bench", "results", "verify", "--sign", str(path)])
        raise RecordError(
            f"{path} is not as it was written: its sha256 do not fit {', '.join(differ)}",
            f"If it was changed on purpose, {sign!r} signs it anew. Else: {advice(path, content)}",
        )
    return record


def changed_parts(text: str, path: Path) -> list[str]:
    """Return the parts of a record that are not what its digests say.

    Raises:
        RecordError: as :func:`decode` does, but for the digests.
    """
    decode(text, path, checked=False)
    content = json.loads(text)
    return _changed(content, content.pop("sha256", None))


def _changed(content: Mapping[str, object], digests: object) -> list[str]:
    """Return the parts of a record that are not what its digests say; an older record without any has none."""
    version = content["schema_version"]
    assert isinstance(version, int)
    return [] if version < SIGNED_SINCE and digests is None else differing(content, digests)


def _not_finite(value: object, field: str = "") -> Iterator[str]:
    """Yield the dotted name of every NaN or infinity in nested dictionaries and lists."""
    if isinstance(value, float) and not math.isfinite(value):
        yield field
    elif isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            yield from _not_finite(part, f"{field}.{key}" if field else str(key))
