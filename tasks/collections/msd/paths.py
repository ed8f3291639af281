"""Where the audio of a track of the Million Song Dataset lies: the user's own list, or the rule of the 7digital clips.

The rule has two steps, each a pickled dictionary of jongpillee/music_dataset_split: from the MSD id to the 7digital id
(``MSD_id_to_7D_id.pkl``), and from there to a path such as ``8/9/8947470.clip.mp3`` (``7D_id_to_path.pkl``), which is
relative to ``audio/``. Who keeps the clips otherwise writes a ``tracks.csv`` with the columns track_id and path.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks.errors import TaskError
from tasks.readers.pickles import read_strings
from tasks.readers.tables import Problems, check_ids, read_rows

LIST, TO_7DIGITAL, TO_PATH = "tracks.csv", "MSD_id_to_7D_id.pkl", "7D_id_to_path.pkl"


def audio_paths(root: Path, track_ids: Sequence[str]) -> tuple[Path, ...]:
    """Return the absolute path of each track's audio, whether or not it exists.

    ``tracks.csv`` wins where there is one; its relative paths are below ``root``. A track that the list or the two
    dictionaries do not know gets ``audio/<track id>.mp3``, so that it counts as missing unless the file is put there.

    Raises:
        TaskError: There is neither the list nor both dictionaries, or one of them cannot be read.
    """
    root = root.absolute()
    if (root / LIST).is_file():
        known = {track: root / path for track, path in _listed(root / LIST).items()}
    elif (root / TO_7DIGITAL).is_file() and (root / TO_PATH).is_file():
        numbers = read_strings(root / TO_7DIGITAL, frozenset(track_ids))
        paths = read_strings(root / TO_PATH, frozenset(numbers.values()))
        known = {track: root / "audio" / paths[number] for track, number in numbers.items() if number in paths}
    else:
        raise TaskError(
            f"nothing in {root} says where the audio of a track lies",
            f"put {TO_7DIGITAL} and {TO_PATH} there (from jongpillee/music_dataset_split, folder MSD_split) with the "
            f"clips below audio/, or write {LIST} with the columns track_id,path, one row a track",
        )
    fallback = root / "audio"
    return tuple(known.get(track) or fallback / f"{track}.mp3" for track in track_ids)


def _listed(path: Path) -> dict[str, str]:
    rows = read_rows(path, ",", "its first row is track_id,path and each line has an end")
    _, header = next(rows)
    if not {"track_id", "path"} <= set(header):
        raise TaskError(f"{path}, line 1: the columns are {','.join(header)}", "write track_id,path there")
    track, audio = header.index("track_id"), header.index("path")
    found: dict[str, str] = {}
    ids: list[str] = []
    problems = Problems(path)
    for line, row in rows:
        if len(row) != len(header):
            problems.add(line, f"{len(row)} cells where the header has {len(header)}")
        elif not row[audio].strip() or row[track] != row[track].strip():
            problems.add(line, f"{row} has no path, or spaces around its id")
        else:
            ids.append(row[track])
            found[row[track]] = row[audio].strip()
    problems.refuse()
    check_ids(path, ids, bool, "a track id", line=2)
    return found
