"""Which audio files a command means: files, folders with all that is below them, manifests, and lists of paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmark.audio.folders import files_below
from benchmark.errors import UserError
from benchmark.system.progress import Reporter
from results.markdown import folded
from tasks.errors import TaskError
from tasks.files import AUDIO_SUFFIXES, expanded
from tasks.readers.tables import TableRow, read_lines, read_table, read_text
from tasks.spelling import AmbiguousNameError, find

#: Names of the column of a manifest that holds the paths, the first of them that it has.
COLUMNS = ("path", "audio", "file", "filename", "file_path", "filepath", "audio_path")
MANIFESTS = (".csv", ".tsv")
SEPARATORS = (",", ";", "\t")
SHOWN = 5


def audio_files(named: Iterable[Path | str], report: Reporter) -> list[Path]:
    """Return the files that are meant, in the order of ``named``, those of a folder in order of their names.

    Args:
        named: Files, which are taken whatever their names; folders, of which files with a suffix of audio are taken;
            manifests (``.csv``, ``.tsv``) with a column of paths; ``@FILE``, a text with a path a line. Paths in
            manifests and lists are relative to the folder that these lie in. Files need not be there.
        report: Is told of files without a suffix of audio, and of files that are named more than once.

    Raises:
        UserError: A folder, a manifest or a list has no audio file or cannot be read, or a row has no path.
    """
    found: dict[Path, None] = {}
    twice = 0
    for path in (path for name in named for path in _meant(name, report)):
        twice += path in found
        found[path] = None
    if twice:
        report.say(f"{twice} files are named more than once, and taken once")
    return list(found)


def _meant(name: Path | str, report: Reporter) -> Sequence[Path]:
    try:
        if str(name).startswith("@"):
            listing = expanded(str(name)[1:])
            return _paths(listing, read_lines(listing), "line")
        path = expanded(name)
        if path.is_dir():
            return _of_folder(path, report)
        if path.suffix.lower() in MANIFESTS:
            if not path.exists():
                raise UserError(
                    f"there is no manifest {path}",
                    "name a CSV with a column 'path', a folder, or audio files",
                )
            return _of_manifest(path)
    except TaskError as error:
        raise UserError(error.what, error.do, error.rows) from None
    return [path]


def _of_folder(folder: Path, report: Reporter) -> list[Path]:
    audio: list[Path] = []
    others: list[Path] = []
    for path in files_below(folder):
        (audio if path.suffix.lower() in AUDIO_SUFFIXES else others).append(path)
    suffixes = ", ".join(sorted(AUDIO_SUFFIXES))
    aside = _some(folder, others)
    if not audio:
        holds = f"none of its {len(others)} files has a suffix of audio ({aside})" if others else "it holds no file"
        raise UserError(
            f"no audio in {folder}: {holds}. Suffixes of audio are {suffixes}",
            "Name a file of another suffix itself, or another folder",
        )
    if others:
        report.say(
            f"{folder}: {len(others)} files have no suffix of audio and are left aside: {aside}. Name one itself if it "
            "is audio"
        )
    return audio


def _some(folder: Path, files: Sequence[Path]) -> str:
    names = [folded(path.relative_to(folder).as_posix()) for path in files[:SHOWN]]
    return ", ".join(names) + (f" and {len(files) - SHOWN} more" if len(files) > SHOWN else "")


def _of_manifest(path: Path) -> Sequence[Path]:
    lines = read_text(path, "name an audio file, a folder, or a CSV with a column 'path'").splitlines()
    first = next((line for line in lines if line.strip()), "")
    separator = "\t" if path.suffix.lower() == ".tsv" else max(SEPARATORS, key=first.count)
    header = [name.strip().strip('"') for name in first.split(separator)]
    column = next((name for name in COLUMNS if name in header), None)
    if column is None:
        raise UserError(
            f"{path} has no column of paths: its header has {', '.join(map(repr, header[:12]))}",
            "Call the column 'path'",
        )
    return _paths(path, read_table(path, [column], separator), column)


def _paths(source: Path, rows: Iterator[TableRow], column: str) -> list[Path]:
    """Return the file that each row names, as the disk spells it where it is there."""
    found = []
    for row in rows:
        name = row.text(column)
        if not name:
            raise row.error(f"the column {column!r} is empty", "name the file, or take the row out")
        file = source.parent / name
        try:
            found.append(find(file) or file)
        except AmbiguousNameError as error:
            raise row.error(error.what, error.do) from None
    if not found:
        raise UserError(f"{source} names no file", "write a row for each, below the column 'path'")
    return found
