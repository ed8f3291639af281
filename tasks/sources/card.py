"""The collection card: what a body of audio is, where its files come from, and where they lie. Read from TOML.

A built-in collection is a module ``tasks/collections/<name>.py`` with ``items(card, root)`` and a card
``tasks/collections/<name>.toml`` beside it. URLs, sizes and checksums live in the card, never in code.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from tasks.card import Part
from tasks.errors import TaskError


class Source(Part):
    """One file of a collection.

    Attributes:
        file: Where it is kept, relative to the collection's root.
        what: ``annotations`` (small, always fetched) or ``audio``.
        urls: Mirrors, in the order in which they are tried; empty when the file cannot be downloaded.
        sha256: Of the file, where it is known.
        size: Bytes, where they are known.
        unpack: The folder, relative to the root, into which the archive is unpacked; ``None`` for a plain file.
        note: What a user must know, such as how to get a file that cannot be downloaded.
        tasks: Ids of the tasks that need it; empty when all of the collection's do.
    """

    file: str
    what: Literal["annotations", "audio"]
    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = ()
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    size: Annotated[int, Field(gt=0)] | None = None
    unpack: str | None = None
    note: str = ""
    tasks: tuple[str, ...] = ()


class CollectionCard(Part):
    """A body of audio. ``layout`` shows the files below its root as a tree; ``audio`` says how the audio is had."""

    name: str
    title: str
    audio: str
    licence: str
    layout: str
    sources: tuple[Source, ...] = ()
    hours: float | None = None
    gigabytes: float | None = None

    def sources_of(self, tasks: Collection[str] = ()) -> tuple[Source, ...]:
        """Return the sources that any of ``tasks`` (ids) needs, in the card's order; all when no task is named."""
        if not tasks:
            return self.sources
        return tuple(source for source in self.sources if not source.tasks or set(source.tasks) & set(tasks))


def read_collection(name: str) -> CollectionCard:
    """Return the card of a built-in collection.

    Raises:
        TaskError: There is none of this name, or it is not valid.
    """
    path = Path(str(resources.files("tasks").joinpath("collections", f"{name}.toml")))
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return CollectionCard.model_validate_json(json.dumps(data), strict=True)
    except FileNotFoundError:
        raise TaskError(f"there is no collection {name!r}", "See those that there are with: bench data list") from None
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise TaskError(
            f"{path} is not valid: {error}", "Install the package again, or mend that file if it is yours"
        ) from None


def archives_of(sources: Sequence[Source]) -> list[list[Source]]:
    """Return the parts of each archive, mostly one, and each plain file as a list of its own.

    Raises:
        TaskError: See :func:`parts_of`.
    """
    archives: dict[str, list[Source]] = {}
    for source in (source for source in sources if source.unpack is not None):
        parts = parts_of(source, sources)
        archives[parts[0].file] = parts
    in_archives = {part.file for parts in archives.values() for part in parts}
    archives |= {source.file: [source] for source in sources if source.file not in in_archives}
    return list(archives.values())


def parts_of(source: Source, sources: Sequence[Source]) -> list[Source]:
    """Return the parts of a split archive in their order; ``source`` alone if it is not split.

    Raises:
        TaskError: A number between 1 and the last is missing.
    """
    if _part_number(source.file) is None:
        return [source]
    stem = source.file.rpartition(".")[0]
    found = {_part_number(s.file): s for s in sources if s.file.rpartition(".")[0] == stem and _part_number(s.file)}
    missing = [str(number) for number in range(1, len(found) + 1) if number not in found]
    if missing:
        raise TaskError(f"the parts of {stem} are not complete", f"add part {', '.join(missing)} to the card")
    return [found[number] for number in range(1, len(found) + 1)]


def _part_number(name: str) -> int | None:
    found = re.search(r"\.(\d{3})$", name)
    return int(found[1]) if found else None
