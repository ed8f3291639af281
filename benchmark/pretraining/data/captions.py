"""Captions from a CSV with the columns ``caption`` and ``track_id`` (or ``track``), or ``path``.

Ids are those of the source; a path is one as the source writes it (relative to the folder, or as the manifest has it),
or that of the file itself, relative to the CSV. A track may have several rows: it has several captions then.

A caption is one line of text in Unicode's form NFC: line feeds and runs of spaces become one space. An empty cell is a
caption that is missing. Other control characters are refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.errors import UserError
from benchmark.pretraining.data.csv_rows import ABSENT, refuse_rows, rows_of, some
from benchmark.system.progress import Reporter

#: Columns that name the track; where a file has several, the first of these decides.
TRACK_COLUMNS = ("track_id", "track", "path")
COLUMN = "caption"


def read_captions(
    path: Path, source: Path, named: Mapping[str, tuple[Path, str]], report: Reporter
) -> dict[str, tuple[str, ...]]:
    """Return the captions of the tracks that have any, in the order of the file.

    Args:
        path: The CSV.
        source: What the tracks are of, for messages.
        named: The file of each track, and how the source names it, by id.
        report: Is told how many tracks have no caption, and of rows of other tracks.

    Raises:
        UserError: It is no such file, a row cannot be used (file and line are named), or none is of these tracks.
    """
    column, rows = _read(path)
    found: dict[str, list[str]] = {}
    others: list[str] = []
    tracks_of = _tracks_of(column, path, named, [name for name, _ in rows])
    for name, caption in rows:
        tracks = tracks_of.get(name, ())
        if not tracks:
            others.append(name)
        for track_id in tracks if caption else ():
            found.setdefault(track_id, []).append(caption)
    if len(others) == len(rows):
        raise UserError(
            f"{path} does not match {source}: none of its {len(rows)} rows is of one of the {len(named)} tracks there "
            f"({some(sorted(named))}); its column {column!r} has {some(others)}",
            "Write ids as the source has them: in a folder they are paths relative to it",
        )
    if others:
        report.say(f"{path}: {len(others)} of its {len(rows)} rows are of no track of {source} ({some(others)})")
    if not found:
        raise UserError(f"{path}: every caption of a track of {source} is empty", "fill the column 'caption'")
    without = len(named) - len(found)
    if without:
        report.say(f"{path}: {without} of the {len(named)} tracks of {source} have no caption")
    return {track_id: tuple(captions) for track_id, captions in sorted(found.items())}


def _read(path: Path) -> tuple[str, list[tuple[str, str]]]:
    """Return the column that names tracks, and of each row its cell and the caption."""
    column, rows = "", []
    problems: list[str] = []
    for line, row in rows_of(path, (COLUMN,), TRACK_COLUMNS):
        if not column:
            column = next((name for name in TRACK_COLUMNS if name in row), "")
            if not column:
                raise UserError(
                    f"{path}, line 1: no column says of which track a caption is: it has neither "
                    f"{', '.join(TRACK_COLUMNS[:-1])} nor {TRACK_COLUMNS[-1]}",
                    "Write the missing name into it",
                )
        caption, problem = _caption(row[COLUMN])
        problem = problem or ("" if row[column] else f"the {column} is empty")
        if problem:
            problems.append(f"line {line}: {problem}")
        rows.append((row[column], caption))
    refuse_rows(path, problems)
    return column, rows


def _caption(cell: str) -> tuple[str, str]:
    """Return the caption of a cell, and what is wrong with it."""
    text = " ".join(unicodedata.normalize("NFC", cell).split())
    control = [character for character in text if unicodedata.category(character) == "Cc"]
    if control:
        return text, f"the caption has the control character U+{ord(control[0]):04X}"
    if text.lower() in ABSENT:
        return text, f"the caption {text!r}: leave the cell empty where there is none"
    return text, ""


def _tracks_of(
    column: str, file: Path, named: Mapping[str, tuple[Path, str]], names: Sequence[str]
) -> dict[str, list[str]]:
    """Return the ids of the tracks that each of ``names`` is of: a manifest may name one file twice."""
    if column != "path":
        return {track_id: [track_id] for track_id in named}
    found: dict[str, list[str]] = {}
    for track_id, (_, name) in named.items():
        found.setdefault(name, []).append(track_id)
    if any(name not in found for name in names):
        of_files: dict[Path, list[str]] = {}
        for track_id, (path, _) in named.items():
            of_files.setdefault(path.resolve(), []).append(track_id)
        for name in names:
            if name and name not in found:
                found[name] = of_files.get((file.parent / name).resolve(), [])
    return found
