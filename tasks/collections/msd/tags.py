"""The four kinds of annotation of the Million Song Dataset, as their authors publish them.

Conventions: an MSD track id has 18 characters, ``TR``, five letters and eleven hexadecimal digits. Every file must be
whole: an item without labels, labels without an item, or an item in two splits is refused, never left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.card import TaskCard
from tasks.errors import TaskError
from tasks.readers.pickles import read_list, read_vectors
from tasks.readers.tables import Problems, check_ids, load_array, load_binary, read_names, read_rows, refuse
from tasks.spelling import composed

TRACK = re.compile(r"TR[A-Z]{5}[0-9A-F]{11}")
ARTIST = re.compile(r"AR[0-9A-Z]{16}")
FORM = "an MSD track id such as TRAAAAW128F429D538"
MSDS_TRAIN = 201_680  # the rest of the list is valid


@dataclass(frozen=True)
class Tagged:
    """n tracks with their splits, their groups where known, and their targets, float32 [n, labels]."""

    track_ids: list[str]
    splits: list[str]
    groups: list[str] | None
    targets: np.ndarray
    labels: tuple[str, ...]


def read_msds(card: TaskCard, root: Path) -> Tagged:
    """Read the conventional split from ``lastfm/`` (jongpillee/music_dataset_split, folder MSD_split).

    If the files of keunwoochoi/MSD_split_for_tagging are in ``choi/``, the labels of the test tracks are compared with
    those, which are the source of this split.
    """
    folder = root / "lastfm"
    labels = _labels(card, read_names(folder / "50tagList.txt"), folder / "50tagList.txt")
    train, test = folder / "filtered_list_train.cP", folder / "filtered_list_test.cP"
    ids = read_list(train)
    check_ids(train, ids, TRACK.fullmatch, FORM)
    if len(ids) <= MSDS_TRAIN:
        raise TaskError(
            f"{train} has {len(ids)} tracks, but the first {MSDS_TRAIN} are train and the rest valid",
            f"copy the files of the published split there again ('bench data where {card.id}' names them)",
        )
    splits = ["train"] * MSDS_TRAIN + ["valid"] * (len(ids) - MSDS_TRAIN)
    held_out = read_list(test)
    check_ids(test, held_out, TRACK.fullmatch, FORM)
    both = set(ids).intersection(held_out)
    if both:
        raise TaskError(
            f"{test}: {len(both)} tracks are also in {train.name}, such as {min(both)}",
            f"copy the files of the published split there again ('bench data where {card.id}' names them)",
        )
    ids, splits = ids + held_out, splits + ["test"] * len(held_out)
    vectors = folder / "msd_id_to_tag_vector.cP"
    keys, values = read_vectors(vectors, len(labels))
    row = {key: i for i, key in enumerate(keys)}
    bare = [track for track in ids if track not in row]
    if bare:
        raise TaskError(
            f"{vectors} has no labels for {len(bare)} of {len(ids)} tracks, such as {bare[0]}",
            f"copy the files of the published split there again ('bench data where {card.id}' names them)",
        )
    targets = values[[row[track] for track in ids]]
    if (root / "choi").is_dir():
        _compare_with_choi(root / "choi", vectors, held_out, targets[-len(held_out) :])
    return Tagged(ids, splits, None, targets, labels)


def choi_test_labels(folder: Path, n_labels: int = 50) -> dict[str, np.ndarray]:
    """Return the labels of the 28,540 test tracks of the parent split, float32 [n_labels] each."""
    path = folder / "test_x_msd_id.txt"
    ids = read_names(path)
    check_ids(path, ids, TRACK.fullmatch, FORM)
    return dict(zip(ids, load_binary(folder / "test_y.npy", (len(ids), n_labels)), strict=True))


def _compare_with_choi(folder: Path, vectors: Path, ids: list[str], targets: np.ndarray) -> None:
    known = choi_test_labels(folder, targets.shape[1])
    bare = [track for track in ids if track not in known]
    if bare:
        raise TaskError(
            f"{folder / 'test_x_msd_id.txt'} lacks {len(bare)} test tracks of msds, such as {bare[0]}",
            "copy the files of the published split there again ('bench data where msds' names them)",
        )
    differ = np.flatnonzero((np.stack([known[track] for track in ids]) != targets).any(axis=1))
    if len(differ):
        raise TaskError(
            f"{vectors} and {folder / 'test_y.npy'} disagree about the labels of {len(differ)} of {len(ids)} test "
            f"tracks, such as {ids[differ[0]]}",
            f"download both again, or remove {folder} to continue without comparing",
        )


def read_cleaned(card: TaskCard, root: Path) -> Tagged:
    """Read msd50, msd100 or msd500 from the folder of that name (``reproducible_splits`` of Won et al. 2021).

    ``train_ids.npy`` and so on hold texts ``<row>//<track id>``, ``binaries.npy`` has a row of labels for each row
    number, and ``tags.npy`` names the labels. The files of msd50 begin with ``sub_``.
    """
    folder, prefix = root / card.id, "sub_" if card.id == "msd50" else ""
    advice = f"copy the {prefix}*.npy files of the published split into {folder} (see the card of {card.id})"
    path = folder / f"{prefix}tags.npy"
    labels = _labels(card, _texts(path, advice), path)
    binaries = load_binary(folder / f"{prefix}binaries.npy", (None, len(labels)), advice)
    ids: list[str] = []
    rows: list[int] = []
    splits: list[str] = []
    owner: dict[int | str, str] = {}
    for split in ("train", "valid", "test"):
        path = folder / f"{prefix}{split}_ids.npy"
        problems = Problems(path)
        for i, entry in enumerate(_texts(path, advice)):
            number, _, track = entry.partition("//")
            if not (number.isascii() and number.isdecimal() and TRACK.fullmatch(track)):
                problems.add(i + 1, f"{entry!r} is not of the form <row>//<MSD track id>")
            elif int(number) >= len(binaries):
                problems.add(i + 1, f"{entry!r}: there is no such row among {len(binaries)} rows of labels")
            elif int(number) in owner or track in owner:
                problems.add(i + 1, f"{entry!r} stands twice; {owner.get(track, owner.get(int(number)))} has it")
            else:
                owner[track] = owner[int(number)] = split
                ids.append(track)
                rows.append(int(number))
                splits.append(split)
        problems.refuse()
    return Tagged(ids, splits, None, binaries[rows], labels)


def _texts(path: Path, advice: str) -> list[str]:
    values = load_array(path, advice)
    if values.ndim != 1 or values.dtype.kind not in "US":
        raise TaskError(
            f"{path} should be a list of texts, but is {values.dtype} of the shape {values.shape}",
            advice,
        )
    try:
        return [composed(value) for value in values.astype(str).tolist()]
    except UnicodeDecodeError as error:
        raise TaskError(f"{path} holds text that is not ASCII ({error})", advice) from None


def read_mumu(card: TaskCard, root: Path) -> Tagged:
    """Read MuMu from ``mumu/``: lists of albums with their genres, and the table that leads to their tracks.

    The tracks of an album follow it in the order of the table. The group of a track is its artist's MusicBrainz id
    where every row of the table has one, else its album.
    """
    folder = root / "mumu"
    lists = sorted((folder / "splits").glob("items_index_train_*.tsv"))
    if len(lists) != 1:
        raise TaskError(
            f"{folder / 'splits'} should have one items_index_train_<name>.tsv, but has {len(lists)}",
            f"copy the folder 'splits' of the MuMu data for the ISMIR experiments there (see the card of {card.id})",
        )
    name = lists[0].stem.removeprefix("items_index_train_")
    path = folder / "splits" / f"genre_labels_{name}.tsv"
    labels = _labels(card, read_names(path), path)
    table = folder / "MuMu_dataset_multi-label.csv"
    tracks, groups = _tracks_of_albums(table)
    ids: list[str] = []
    splits: list[str] = []
    targets: list[np.ndarray] = []
    owner: dict[str, str] = {}
    for split, part in (("train", "train"), ("valid", "val"), ("test", "test")):
        path = folder / "splits" / f"items_index_{part}_{name}.tsv"
        albums = read_names(path)
        values = load_binary(folder / "splits" / f"y_{part}_class_{len(labels)}_{name}.npy", (len(albums), len(labels)))
        problems = Problems(path)
        for i, album in enumerate(albums):
            if album in owner:
                problems.add(i + 1, f"the album {album!r} stands twice; {owner[album]} has it")
            elif album not in tracks:
                problems.add(i + 1, f"the album {album!r} has no track in {table.name}")
            else:
                owner[album] = split
                ids += tracks[album]
                splits += [split] * len(tracks[album])
                targets += [values[i]] * len(tracks[album])
        problems.refuse()
    spare = [album for album in tracks if album not in owner]
    if spare:
        raise TaskError(
            f"{table} has {len(spare)} albums that are in no split, such as {spare[0]!r}",
            f"copy the folder 'splits' of the same release there ('bench data where {card.id}' says which)",
        )
    return Tagged(ids, splits, [groups[track] for track in ids], np.stack(targets), labels)


def _tracks_of_albums(path: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    rows = read_rows(path, ",", "get it again from the MuMu archive on Zenodo")
    _, header = next(rows)
    missing = [name for name in ("amazon_id", "MSD_track_id") if name not in header]
    if missing:
        raise TaskError(
            f"{path}, line 1: there is no column {' or '.join(missing)}, only {', '.join(header)}",
            "download it again ('bench data where mumu' says where from)",
        )
    album, track = header.index("amazon_id"), header.index("MSD_track_id")
    artist = header.index("artist_mbid") if "artist_mbid" in header else None
    tracks: dict[str, list[str]] = {}
    albums: dict[str, str] = {}
    artists: dict[str, str] = {}
    problems = Problems(path)
    for line, row in rows:
        if len(row) != len(header):
            problems.add(line, f"{len(row)} cells where the header has {len(header)}")
        elif not TRACK.fullmatch(row[track]) or not row[album] or row[album] != row[album].strip():
            problems.add(line, f"{row[track]!r} is not {FORM}, or {row[album]!r} is not an album id")
        elif row[track] in albums:
            problems.add(line, f"the track {row[track]} stands twice")
        else:
            tracks.setdefault(row[album], []).append(row[track])
            albums[row[track]] = row[album]
            if artist is not None and row[artist].strip():
                artists[row[track]] = row[artist].strip()
    problems.refuse()
    return tracks, artists if len(artists) == len(albums) else albums


HOW_TO_BUILD_MOODS = (
    "make it, for AllMusic's moods may not be passed on: look up the moods of the album of each row of "
    "metadata.csv, and save, with numpy.save, a matrix of 0 and 1 that has a row for each row of metadata.csv (without "
    "its header) and a column for each line of moods.txt, in that order; an album's moods go to all of its tracks"
)


def read_amm(card: TaskCard, root: Path) -> Tagged:
    """Read the AllMusic moods from ``amm/``: the folder ``data`` of fdlm/listening-moods, and the user's matrix.

    The arrays of the splits hold row numbers. In ``metadata.csv`` the columns of track and artist ids are found by the
    form of what they hold. The group of a track is its MSD artist id, where every row has one.
    """
    folder = root / "amm"
    labels = _labels(card, read_names(folder / "moods.txt"), folder / "moods.txt")
    path = folder / "metadata.csv"
    rows = list(read_rows(path, ","))
    if not any(TRACK.fullmatch(cell) for cell in rows[0][1]):
        rows = rows[1:]
    refuse(
        path, [(line, f"{len(row)} cells, not {len(rows[0][1])}") for line, row in rows if len(row) != len(rows[0][1])]
    )
    tracks, artists = _column(rows, TRACK), _column(rows, ARTIST)
    if tracks is None:
        raise TaskError(
            f"{path} has no column in which every row holds {FORM}",
            "copy the metadata.csv of fdlm/listening-moods there again",
        )
    check_ids(path, tracks, TRACK.fullmatch, FORM, line=rows[0][0])
    moods = folder / "mood_target.npy"
    if not moods.is_file():
        raise TaskError(f"no file at {moods}", HOW_TO_BUILD_MOODS)
    targets = load_binary(moods, (len(tracks), len(labels)), HOW_TO_BUILD_MOODS)
    order: list[int] = []
    splits: list[str] = []
    owner: dict[int, str] = {}
    for split, part in (("train", "train"), ("valid", "val"), ("test", "test")):
        path = folder / f"{part}_idx.npy"
        numbers = load_array(path)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise TaskError(
                f"{path} should be a list of whole numbers, but is {numbers.dtype} {numbers.shape}",
                "copy the file of fdlm/listening-moods there again",
            )
        problems = Problems(path)
        for i, number in enumerate(numbers.tolist()):
            if not 0 <= number < len(tracks):
                problems.add(i + 1, f"{number} is not the number of one of {len(tracks)} rows of metadata.csv")
            elif number in owner:
                problems.add(i + 1, f"the row {number} stands twice; {owner[number]} has it")
            else:
                owner[number] = split
                order.append(number)
                splits.append(split)
        problems.refuse()
    groups = None if artists is None else [artists[i] for i in order]
    return Tagged([tracks[i] for i in order], splits, groups, targets[order], labels)


def _column(rows: list[tuple[int, list[str]]], form: re.Pattern[str]) -> list[str] | None:
    """Return the first column whose cells all have the form."""
    width = len(rows[0][1]) if rows else 0
    found = (c for c in range(width) if all(form.fullmatch(row[c]) for _, row in rows))
    column = next(found, None)
    return None if column is None else [row[column] for _, row in rows]


def _labels(card: TaskCard, names: list[str], path: Path) -> tuple[str, ...]:
    """Return the labels of a file, which must be those of the card if it names any."""
    if len(set(names)) < len(names) or not names:
        raise TaskError(
            f"{path} should name every label once",
            f"copy the published file there again ('bench data where {card.id}' says where from)",
        )
    if card.labels is not None and tuple(names) != card.labels:
        at = next((i for i, (a, b) in enumerate(zip(names, card.labels, strict=False)) if a != b), None)
        what = f"label {at + 1} is {names[at]!r}, not {card.labels[at]!r}" if at is not None else f"{len(names)} labels"
        raise TaskError(
            f"{path} does not have the {len(card.labels)} labels of {card.id}: {what}",
            f"Copy the published file there again ('bench data where {card.id}' says where from)",
        )
    return tuple(names)
