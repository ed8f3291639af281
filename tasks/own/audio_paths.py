"""Find the audio files that the cells of a column name: paths as they stand, of other systems, or names alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.files import AUDIO_SUFFIXES
from tasks.spelling import AmbiguousNameError, composed, find


@dataclass(frozen=True)
class FoundAudio:
    """Where the audio files lie that n cells name.

    Attributes:
        files: n files; ``None`` where there is none, or several.
        direct: Whether every file that was found is found by its cell as it stands, relative to the table.
    """

    files: tuple[Path | None, ...]
    direct: bool

    @property
    def count(self) -> int:
        """How many were found."""
        return sum(file is not None for file in self.files)


def is_audio_name(name: str) -> bool:
    """Say whether a name ends as those of audio files do."""
    return PurePosixPath(name.replace("\\", "/")).suffix.lower() in AUDIO_SUFFIXES


class AudioBelow:
    """The audio files below a folder, by their names; the folder is listed when a name is first looked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, cells: Sequence[str], base: Path) -> FoundAudio:
        r"""Return the files that cells name.

        A cell is a path relative to ``base``, or a whole one; else the end of the path of one file alone below the
        folder, with ``/`` or the ``\`` of Windows between its parts, and with or without the ending of its name.

        Args:
            cells: n cells of a column.
            base: The folder of the table.
        """
        files: list[Path | None] = []
        direct = True
        for cell in cells:
            file = _there(base / cell) if cell else None
            if file is None and cell:
                file = self._below(cell)
                direct = direct and file is None
            files.append(file)
        return FoundAudio(tuple(files), direct)

    def _below(self, cell: str) -> Path | None:
        parts = [part for part in composed(cell).replace("\\", "/").split("/") if part not in ("", ".", "..")]
        if not parts:
            return None
        exact = _there(self.root.joinpath(*parts)) if not parts[0].endswith(":") else None
        if exact is not None:
            return exact
        if self._by_name is None:
            self._by_name = {}
            for path in audio_files(self.root):
                self._by_name.setdefault(composed(path.name), []).append(path)
                self._by_name.setdefault(composed(path.stem), []).append(path)
        found = self._by_name.get(parts[-1], [])
        for place in range(len(parts) - 2, -1, -1):  # folder by folder from the end, while several are left
            if len(found) < 2:
                break
            depth = len(parts) - place
            found = [
                path for path in found if len(path.parts) >= depth and composed(path.parts[-depth]) == parts[place]
            ]
        return found[0] if len(found) == 1 else None


def audio_files(folder: Path) -> Iterator[Path]:
    """Yield the audio files in a folder and all below it, sorted; hidden ones and hidden folders are passed over."""
    for path in all_files(folder):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            yield path


def all_files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and all below it, sorted, but for hidden ones; links to folders are followed once."""
    seen: set[str] = set()
    for where, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(where, name)


def relative_path(file: Path, folder: Path) -> str:
    """Return the path of a file relative to a folder, with ``/``; a whole path where they lie on different drives.

    Links in the folders on the way are resolved, for ``..`` would otherwise lead elsewhere; the file itself is not.
    """
    real = os.path.realpath(file.parent)
    try:
        between = os.path.relpath(real, os.path.realpath(folder))
    except ValueError:
        between = real
    name = (Path(between) / file.name).as_posix()
    return f"./{name}" if name != name.strip() else name  # a manifest's cells are stripped


def _there(path: Path) -> Path | None:
    try:
        file = find(path)
        return file if file is not None and file.is_file() else None
    except (AmbiguousNameError, OSError, ValueError):
        return None
