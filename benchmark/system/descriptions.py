"""Small JSON files that lie beside embeddings, runs and stores: written by this package, perhaps changed by others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.errors import TaskError
from tasks.files import DESCRIPTION, parse_json, read_text


def read_description(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no ordinary file, too large, not UTF-8, no JSON, nested too deep, or not an object. The
            message names the file.
    """
    try:
        content = parse_json(read_text(path, DESCRIPTION), path)
    except TaskError as error:
        raise ValueError(str(error)) from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not read: it is no JSON object")  # noqa: TRY004 - one error for all that is wrong
    return content
