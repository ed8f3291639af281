r"""MTG-Jamendo: full-length music under Creative Commons, and three tasks on it (Bogdanov et al. 2019).

Conventions: the tables of split 0, as the repository MTG/mtg-jamendo-dataset has them, below ``data/splits/split-0``.
A table has tabs between its cells and ``\r\n`` at the end of its lines; after the five columns of a track, each tag has
a cell of its own, so rows differ in length. Ids, paths and tags are kept as they are written.

Audio is ``audio/14/214.mp3`` (320 kbit/s) or ``audio/14/214.low.mp3`` (the smaller edition). All items of a task have
the edition of which more files exist, see `edition`: two editions of one collection are never mixed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tasks.card import TaskCard
from tasks.errors import TaskError
from tasks.items import Items
from tasks.readers.tables import Problems, read_rows
from tasks.sources.layout import choose_folder

TABLES = {"jam_50": "autotagging_top50tags", "jam_all": "autotagging", "jam_mt": "autotagging_moodtheme"}
PARTS = {"train": "train", "valid": "validation", "test": "test"}
HEADER = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
FULL, LOW = ".mp3", ".low.mp3"
FOLDERS = tuple(f"{number:02d}" for number in range(100))  # below the folder of the audio
ADVICE = "download it again, or run 'git checkout' in the clone of MTG/mtg-jamendo-dataset"

TRACK, ARTIST, ALBUM = re.compile(r"track_(\d{7})"), re.compile(r"artist_\d{6}"), re.compile(r"album_\d{6}")
DURATION = re.compile(r"\d+(\.\d+)?")


def items(card: TaskCard, root: Path) -> Items:
    """Return the items of ``jam_50``, ``jam_all`` or ``jam_mt``: train, valid, test, each in the order of its table.

    Raises:
        TaskError: A table is missing or damaged; every row that cannot be used is named with its line, the first 10
            in full.
    """
    if card.id not in TABLES or card.labels is None:
        raise TaskError(
            f"the collection jamendo has no task {card.id!r}",
            f"write one of {', '.join(TABLES)} as id into the card",
        )
    column = {label: i for i, label in enumerate(card.labels)}
    ids: list[str] = []
    artists: list[str] = []
    paths: list[str] = []
    splits: list[str] = []
    found: list[list[int]] = []
    parts: dict[str, str] = {}  # of each artist
    seen: set[str] = set()
    for split, part in PARTS.items():
        path = root / "data" / "splits" / "split-0" / f"{TABLES[card.id]}-{part}.tsv"
        problems = Problems(path)
        for line, row in _rows(path):
            problem = _problem(row, column)
            if problem is None and row[0] in seen:
                problem = f"{row[0]!r} stands twice in the tables of the task"
            elif problem is None and parts.setdefault(row[1], split) != split:
                problem = f"the artist {row[1]!r} is also in {parts[row[1]]}"
            if problem is not None:
                problems.add(line, problem)
                continue
            seen.add(row[0])
            ids.append(row[0])
            artists.append(row[1])
            paths.append(row[3])
            splits.append(split)
            found.append([column[tag] for tag in row[5:]])
        problems.refuse()
        if split not in splits:
            raise TaskError(f"{path} has no tracks", ADVICE)
    targets = np.zeros((len(ids), len(column)), np.float32)
    targets[np.repeat(np.arange(len(ids)), [len(tags) for tags in found]), np.concatenate(found)] = 1
    audio = choose_folder(root.absolute(), ("audio",), FOLDERS)
    suffix = edition(audio, paths)
    return Items(
        tuple(ids),
        tuple(splits),
        tuple(audio / (path.removesuffix(FULL) + suffix) for path in paths),
        tuple(artists),
        targets,
        card.labels,
    )


def edition(audio: Path, paths: Iterable[str]) -> str:
    """Return ``.mp3`` or ``.low.mp3``: the ending with which more of ``paths`` exist below ``audio``, else ``.mp3``.

    Args:
        audio: The folder of the audio.
        paths: As the tables have them, such as ``14/214.mp3``.
    """
    stems: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.partition("/")
        stems.setdefault(folder, set()).add(name.removesuffix(FULL))
    full = low = 0
    for folder, names in stems.items():
        try:
            present = os.listdir(audio / folder)  # noqa: PTH208  # names only: the folders hold 55,000 files
        except OSError:
            continue
        for name in present:
            if name.endswith(LOW):
                low += name.removesuffix(LOW) in names
            elif name.endswith(FULL):
                full += name.removesuffix(FULL) in names
    return LOW if low > full else FULL


def _rows(path: Path) -> Iterable[tuple[int, list[str]]]:
    rows = read_rows(path, "\t", ADVICE)
    line, header = next(rows)
    if header != HEADER:
        raise TaskError(f"{path}, line {line}: the header should be {' '.join(HEADER)}, but is {header}", ADVICE)
    return rows


def _problem(row: list[str], labels: dict[str, int]) -> str | None:
    """Return what is wrong with a row, in words, or ``None``."""
    if len(row) < len(HEADER):
        return (
            f"{len(row)} cells, where a track has five and at least one tag: the line is cut off or not split by tabs"
        )
    track = TRACK.fullmatch(row[0])
    if track is None:
        return f"TRACK_ID is {row[0]!r}, which is not of the form track_0000214"
    if not ARTIST.fullmatch(row[1]):
        return f"ARTIST_ID is {row[1]!r}, which is not of the form artist_000014"
    if not ALBUM.fullmatch(row[2]):
        return f"ALBUM_ID is {row[2]!r}, which is not of the form album_000031"
    number = int(track[1])
    if row[3] != f"{number % 100:02d}/{number}.mp3":
        return f"PATH is {row[3]!r}, but the track {row[0]} lies at {number % 100:02d}/{number}.mp3"
    if not DURATION.fullmatch(row[4]):
        return f"DURATION is {row[4]!r}, not a number of seconds"
    tags = row[5:]
    unknown = [tag for tag in tags if tag not in labels]
    if unknown:
        return f"the tag {unknown[0]!r} is not a label of the task"
    if len(set(tags)) < len(tags):
        return "a tag stands twice"
    return None
