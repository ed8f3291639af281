"""The state of a source of a collection: is it here, is it sound, is it unpacked. Nothing is fetched or written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tasks.errors import TaskError
from tasks.sources.card import Source

if TYPE_CHECKING:
    pass


def mismatch(path: Path, source: Source) -> str:
    """Return how size or checksum differ from the source's, or nothing."""
    size = path.stat().st_size
    if source.size is not None and size != source.size:
        return f"wrong size: expected {source.size} bytes, found {size}"
    if size == 0:
        return "it is empty"
    expected = {name: wanted for name in ("sha256", "md5") if (wanted := getattr(source, name))}
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in expected}
    if digests:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                for digest in digests.values():
                    digest.update(block)
    for name, digest in digests.items():
        if digest.hexdigest() != expected[name]:
            return f"wrong {name}: expected {expected[name]}, found {digest.hexdigest()}"
    return ""


SMALL = 1 << 24  # bytes up to which a file that is there is hashed each time, not only measured


def target_of(source: Source, root: Path) -> Path:
    """Return where ``source`` lies below ``root``.

    Raises:
        TaskError: Its ``file`` would lie elsewhere.
    """
    parts = PurePosixPath(source.file).parts
    if not parts or source.file.startswith("/") or ".." in parts or "\\" in source.file or "\0" in source.file:
        raise TaskError(f"the source {source.file!r} does not lie below its collection's root", "mend its card")
    return root.joinpath(*parts)


def is_here(source: Source, root: Path) -> bool:
    """Say whether the file is there with the size it should have; its bytes are not read, see :func:`problem_of`."""
    target = target_of(source, root)
    try:
        size = target.stat().st_size
    except OSError:
        return False
    return target.is_file() and (size == source.size if source.size is not None else size > 0)


def is_sound(source: Source, root: Path) -> bool:
    """Say whether the file is there and, when it is small, whether its bytes are right."""
    if not is_here(source, root):
        return False
    return target_of(source, root).stat().st_size > SMALL or not problem_of(source, root)


def problem_of(source: Source, root: Path) -> str:
    """Read the file whole; return what is wrong with it, or nothing."""
    target = target_of(source, root)
    if not target.is_file():
        return "it is missing"
    try:
        return mismatch(target, source)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"


def is_unpacked(source: Source, root: Path) -> bool:
    """Say whether this version of the archive was unpacked below ``root`` to its end."""
    try:
        found = json.loads(marker_of(source, root).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return found == identity_of(source)


def marker_of(source: Source, root: Path) -> Path:
    """Return the file that says which version of an archive was unpacked."""
    return root / MARKERS / (source.file.replace("/", "_") + ".json")


def identity_of(source: Source) -> dict[str, object]:
    """Return what tells one version of an archive from another."""
    return {"file": source.file, "unpack": source.unpack, "is": source.sha256 or source.md5 or source.size}


MARKERS = ".unpacked"
