"""Audio files below a folder: by their suffixes, in order, through links but never around in a circle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from benchmark.errors import UserError


def files_below(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Yield the files below a folder in order of their names, without hidden files and folders.

    Args:
        folder: The folder; links to other folders are followed, but never around in a circle.
        above: Device and number of the folders that lead to it.

    Raises:
        UserError: A folder cannot be looked into.
    """
    try:
        stat = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(
            f"cannot look into {folder}: {error.strerror or error}",
            "Let it be read, or name other folders",
        ) from None
    here = (stat.st_dev, stat.st_ino)
    if here in above:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from files_below(Path(entry.path), above | {here})
        else:
            yield Path(entry.path)
