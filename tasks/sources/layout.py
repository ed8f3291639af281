"""Which folder of a collection is meant: one that is named a level too deep or too high, or that may not be read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tasks.files import resolved

SAMPLE = 50  # files that are looked for elsewhere
CHILDREN = 200  # folders below the one that was named that are looked into


def choose_folder(root: Path, candidates: Sequence[str], signs: Iterable[str] = ("",)) -> Path:
    """Return the folder of a collection's audio: the first of ``candidates`` below ``root`` that holds a sign.

    Where none does, that is ``root`` itself, if it holds one (it was named a level too deep), else the only folder
    below ``root`` in which a candidate does (a level too high), else the first of the candidates that is there.

    Args:
        root: The collection's folder.
        candidates: Names of folders below it, which may have several parts.
        signs: Names of files or folders any of which tells the folder; by default the folder itself.
    """
    signs = tuple(signs)
    for name in candidates:
        if _holds(root / name, signs):
            return root / name
    first = next((root / name for name in candidates if os.path.lexists(root / name)), root / candidates[0])
    if signs == ("",):
        return first
    if _holds(root, signs):
        return root
    below = [
        found
        for child in _children(root)
        for found in [next((child / name for name in candidates if _holds(child / name, signs)), None)]
        if found is not None
    ]
    return below[0] if len(below) == 1 else first


def folder_with(root: Path, name: str) -> Path | None:
    """Return the folder near ``root`` that holds the file ``name`` of a collection, if one alone does.

    Looked at are the folders below ``root``, and the two above it.

    Args:
        root: The folder that was named.
        name: A path relative to the collection's folder, such as ``nsynth-train/examples.json``.
    """
    below = [child for child in _children(root) if os.path.lexists(child / name)]
    if len(below) == 1:
        return below[0]
    real = resolved(root)
    return next((folder for folder in list(real.parents)[:2] if os.path.lexists(folder / name)), None)


def near_miss(paths: Sequence[Path], root: Path, named: Path) -> Path | None:
    """Return the folder that was meant in place of ``named``, as far as a sample of files that are missing shows it.

    Args:
        paths: Files that are missing, below ``root``.
        root: The folder that they were looked for in.
        named: The folder that the user named, which ``root`` may stand for.
    """
    found: dict[Path, int] = {}
    for path in paths[:: max(1, len(paths) // SAMPLE)]:
        if not path.is_relative_to(root):
            continue
        parts = path.relative_to(root).parts
        # The folder of the audio may have another name than the one in the path.
        for rest in [parts, parts[1:]] if len(parts) > 2 else [parts]:
            folder = folder_with(named, str(Path(*rest)))
            if folder is not None:
                found[folder] = found.get(folder, 0) + 1
                break
    return max(found, key=lambda folder: found[folder]) if found else None


def denied(path: Path) -> Path | None:
    """Return the folder above ``path`` (or ``path`` itself) that may not be looked into; ``None`` if that is not it."""
    try:
        os.stat(path)  # noqa: PTH116, which is also what pathlib asks
    except PermissionError:
        pass
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    else:
        return None
    for folder in reversed(path.parents):
        try:
            os.stat(f"{folder}{os.sep}.")  # noqa: PTH116, the dot, which pathlib drops, asks whether one may look inside
        except PermissionError:
            return folder
        except OSError:
            return None
    return path.parent


def _holds(folder: Path, signs: Sequence[str]) -> bool:
    return any(os.path.lexists(folder / sign) for sign in signs)


def _children(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except OSError:
        return []
    return [root / name for name in names[:CHILDREN]]
