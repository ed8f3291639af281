"""What is to be prepared: a folder of audio or a manifest, labels, captions. Nothing is left aside without a word.

A manifest is a CSV with the columns ``track_id``, ``path`` (relative to the manifest) and optionally ``labels``; a
label file has ``track_id`` and ``labels``. Labels of a track are separated by ``|``. ``-`` is a track that has none of
them; an empty cell is a track whose labels nobody knows, and ``?rock`` says so of one label: the loss leaves them out.
Captions lie in a file of their own: :mod:`benchmark.pretraining.data.captions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmark.audio.folders import files_below
from benchmark.errors import UserError
from benchmark.pretraining.data.captions import read_captions
from benchmark.pretraining.data.csv_rows import ABSENT, refuse_rows, rows_of, some
from benchmark.pretraining.data.label_rows import UNKNOWN_MARK, codes_of, names_of
from benchmark.system.progress import Reporter
from tasks.files import AUDIO_SUFFIXES

SEPARATOR = "|"
NO_LABEL = "-"


class SourceTrack(NamedTuple):
    """A track to prepare: its id, its file, how the source names that file, and its labels.

    ``labels`` are their numbers, as :mod:`benchmark.pretraining.data.label_rows` writes them: a label that is not known
    as its complement, ``~number``, and :data:`~benchmark.pretraining.data.label_rows.ALL_UNKNOWN` where none is known.
    """

    track_id: str
    path: Path
    name: str
    labels: tuple[int, ...]


class Source(NamedTuple):
    """All tracks of a source, in order of their ids.

    ``labels`` are the names of the labels, sorted, and ``captions`` the captions of the tracks that have any, by id;
    each ``None`` where there are none.
    """

    path: Path
    tracks: list[SourceTrack]
    labels: tuple[str, ...] | None
    captions: dict[str, tuple[str, ...]] | None = None


def read_source(source: Path, labels: Path | None, report: Reporter, captions: Path | None = None) -> Source:
    """Return the tracks of a folder of audio or of a manifest.

    Args:
        source: A folder, searched with all that is in it but hidden files and folders, or a manifest.
        labels: A label file; rows of tracks that the source does not have are told and left aside.
        report: Is told of what is left aside.
        captions: A file of captions.

    Raises:
        UserError: There is no such source, it has no tracks, a row cannot be used (file and line are named), or a track
            is not in the label file.
    """
    given: dict[str, tuple[str, ...] | None] | None = None
    if source.is_dir():
        named = _of_folder(source, report)
    elif source.is_file():
        named, given = _of_manifest(source)
    else:
        raise UserError(f"there is neither a folder of audio nor a manifest at {source}", "check the path")
    if labels is not None:
        if given is not None:
            raise UserError(f"{source} has labels of its own", f"leave {labels} out, or drop the column 'labels'")
        given = _matching(read_labels(labels), labels, source, named, report)
    for track_id in named:
        _refuse_unwritable_name(track_id, source)
    names = None if given is None else names_of(given.values())
    if names == ():
        raise UserError(f"{labels or source}: the column 'labels' names no label at all", "leave it out, or fill it")
    numbers = {name: number for number, name in enumerate(names or ())}
    own: Mapping[str, Sequence[str] | None] = given or {}
    unknown = sum(cell is None for cell in own.values())
    if unknown:
        report.say(
            f"{labels or source}: the labels of {unknown} of {len(own)} tracks are empty, so they are not known, and a "
            f"supervised training leaves them out of its loss. Write {NO_LABEL} where a track has none of them"
        )
    return Source(
        source,
        [
            SourceTrack(track_id, path, name, codes_of(own.get(track_id, ()), numbers))
            for track_id, (path, name) in sorted(named.items())
        ],
        names,
        None if captions is None else read_captions(captions, source, named, report),
    )


def read_labels(path: Path) -> dict[str, tuple[str, ...] | None]:
    """Return the labels of each track of a label file; ``None`` where they are not known.

    Raises:
        UserError: It is missing, no CSV with the columns ``track_id`` and ``labels``, or has rows that cannot be used.
    """
    found: dict[str, tuple[str, ...] | None] = {}
    problems: list[str] = []
    for line, row in rows_of(path, ("track_id", "labels"), ()):
        problem = _problem_of_id(row["track_id"], found)
        parsed, label_problem = _labels(row["labels"])
        if problem or label_problem:
            problems.append(f"line {line}: {problem or label_problem}")
        found.setdefault(row["track_id"], parsed)
    refuse_rows(path, problems)
    return found


def _of_folder(folder: Path, report: Reporter) -> dict[str, tuple[Path, str]]:
    found: dict[str, tuple[Path, str]] = {}
    others = 0
    for path in files_below(folder):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            name = path.relative_to(folder).as_posix()
            found[name] = path, name
        else:
            others += 1
    if not found:
        raise UserError(
            f"no audio in {folder}: it holds {others} files, none with a suffix of audio (.wav, .mp3, ...)",
            "name another folder, or a manifest with the columns track_id,path",
        )
    if others:
        report.say(f"{folder}: {others} files have no suffix of audio and are no tracks")
    return found


def _of_manifest(path: Path) -> tuple[dict[str, tuple[Path, str]], dict[str, tuple[str, ...] | None] | None]:
    found: dict[str, tuple[Path, str]] = {}
    labels: dict[str, tuple[str, ...] | None] = {}
    problems: list[str] = []
    labelled = False
    for line, row in rows_of(path, ("track_id", "path"), ("labels",)):
        track_id, name = row["track_id"], row["path"]
        audio = path.parent / name
        problem = _problem_of_id(track_id, found)
        if not problem and not name:
            problem = "the path is empty"
        elif not problem and not audio.is_file():
            problem = f"there is no file {audio}"
        if "labels" in row:
            labelled = True
            labels[track_id], label_problem = _labels(row["labels"])
            problem = problem or label_problem
        if problem:
            problems.append(f"line {line}: {problem}")
        found.setdefault(track_id, (audio, name))
    refuse_rows(path, problems)
    return found, labels if labelled else None


def _matching(
    given: dict[str, tuple[str, ...] | None],
    labels: Path,
    source: Path,
    named: Mapping[str, object],
    report: Reporter,
) -> dict[str, tuple[str, ...] | None]:
    """Return the labels of the source's tracks alone; each must have its row."""
    without = sorted(track_id for track_id in named if track_id not in given)
    if without:
        raise UserError(
            f"{labels} does not match {source}: {len(without)} of its {len(named)} tracks have no row there "
            f"({some(without)}), while it names {len(given)} ids such as {some(list(given)[:3])}",
            "Write the same texts as ids in both: in a folder they are paths relative to it. A track whose labels are "
            "not known has a row with an empty cell",
        )
    surplus = [track_id for track_id in given if track_id not in named]
    if surplus:
        report.say(f"{labels}: {len(surplus)} of its {len(given)} ids are no tracks of {source} ({some(surplus)})")
    return {track_id: given[track_id] for track_id in named}


def _problem_of_id(track_id: str, found: Mapping[str, object]) -> str:
    if not track_id:
        return "the track_id is empty"
    return f"the track_id {track_id!r} is there twice" if track_id in found else ""


def _labels(cell: str) -> tuple[tuple[str, ...] | None, str]:
    """Return the labels of a cell, ``None`` where they are not known, and what is wrong with it."""
    if not cell:
        return None, ""
    if cell == NO_LABEL:
        return (), ""
    labels = tuple(
        UNKNOWN_MARK + label[1:].strip() if label.startswith(UNKNOWN_MARK) else label
        for label in (part.strip() for part in cell.split(SEPARATOR))
    )
    names = [label.removeprefix(UNKNOWN_MARK) for label in labels]
    if "" in names:
        return labels, f"an empty label in {cell!r}"
    if NO_LABEL in names:
        return labels, f"{NO_LABEL} stands for no label, and {cell!r} has others too"
    absent = [name for name in names if name.lower() in ABSENT]
    if absent:
        return labels, f"the label {absent[0]!r}: leave the cell empty where labels are not known"
    twice = [name for name in names if names.count(name) > 1]
    return labels, f"the label {twice[0]!r} is there twice" if twice else ""


def _refuse_unwritable_name(track_id: str, source: Path) -> None:
    try:
        track_id.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{source}: the file name {track_id!r} is not UTF-8", "rename it, for it names a track"
        ) from None
