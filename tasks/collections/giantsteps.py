"""GiantSteps key: previews of electronic dance music of about two minutes, in 24 keys.

Train and valid are the tracks of the GiantSteps MTG set that have one key and the highest confidence; test is all of
the GiantSteps key set. Train and valid are split by artist: the SHA-1 of the name in lower case, by 116, leaves a
remainder of 0 to 99 for train, 100 to 115 for valid; then everybody who appears with an artist of valid moves to valid,
twice over (Castellon et al. 2021). The split is computed here from the MTG set's own two tables.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.card import TaskCard
from tasks.errors import TaskError
from tasks.items import Items
from tasks.readers.tables import Ids, TableRow, label_indices, read_records, read_table
from tasks.sources.layout import choose_folder

MTG, TEST = "giantsteps-mtg-key-dataset", "giantsteps-key-dataset"
KEYS, ARTISTS = f"{MTG}/annotations/annotations.txt", f"{MTG}/annotations/beatport_metadata.txt"
JUKEMIR = "giantsteps_clips.json.gz"
FLATS = {"C#": "Db", "D#": "Eb", "F#": "Gb", "G#": "Ab", "A#": "Bb"}
KEY = re.compile(r"([A-G][#b]?)\s+(major|minor)")
CONFIDENT = 2
BUCKETS, TRAIN_BUCKETS, HOPS = 116, 100, 2


@dataclass(frozen=True)
class GiantStepsTrack:
    """One track; those of test have no artists."""

    number: int
    key: str
    split: str
    artists: tuple[str, ...]
    record: TableRow


def items(card: TaskCard, root: Path) -> Items:
    """Return the MTG tracks, then those of test, each in order of their ids.

    Groups are artists joined with all they appear with, named by the first of them in the alphabet; a track of test,
    whose artist nobody recorded, is a group of its own.

    Raises:
        TaskError: An annotation file that is missing or cannot be used, named with the line or record.
    """
    index = label_indices(card)
    tracks = [*_mtg_tracks(root), *_test_tracks(root / JUKEMIR)]
    tracks.sort(key=lambda track: (track.split == "test", track.number))
    ids = Ids()
    for track in tracks:
        ids.take(str(track.number), track.record)
        if track.key not in index:
            raise track.record.error(f"the key {track.key!r} is not one of the card's labels")
    group_of = circles(track.artists for track in tracks)
    names = {
        part: [f"{track.number}.LOFI.mp3" for track in tracks if (track.split == "test") == (part == "test")]
        for part in ("test", "mtg")
    }
    folders = {
        "test": choose_folder(root, ("audio", f"{TEST}/audio"), names["test"]),
        "mtg": choose_folder(root, ("audio", f"{MTG}/audio"), names["mtg"]),
    }
    return Items(
        tuple(ids.taken),
        tuple(track.split for track in tracks),
        tuple(
            (folders["test" if track.split == "test" else "mtg"] / f"{track.number}.LOFI.mp3").absolute()
            for track in tracks
        ),
        tuple(group_of[track.artists[0]] if track.artists else f"track {track.number}" for track in tracks),
        np.array([index[track.key] for track in tracks], np.int64),
        tuple(index),
    )


def artist_splits(credits_in_order: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """Return ``train`` or ``valid`` for every artist, given the artists of all tracks of the MTG set in order.

    The order counts: within a hop, a later track sees the artists that an earlier one moved.
    """
    splits = {}
    for artist in (artist for artists in credits_in_order for artist in artists):
        digest = hashlib.sha1(artist.lower().encode(), usedforsecurity=False).hexdigest()
        splits[artist] = "train" if int(digest, 16) % BUCKETS < TRAIN_BUCKETS else "valid"
    for _ in range(HOPS):
        for artists in credits_in_order:
            if any(splits[artist] == "valid" for artist in artists):
                splits.update(dict.fromkeys(artists, "valid"))
    return splits


def circles(credits_of_tracks: Iterable[tuple[str, ...]]) -> Mapping[str, str]:
    """Return for every artist the first, in the alphabet, of those joined with it through common tracks.

    >>> circles([("Cleo", "Bo"), ("Bo", "Al"), ("Di",)])
    {'Cleo': 'Al', 'Bo': 'Al', 'Al': 'Al', 'Di': 'Di'}
    """
    parent: dict[str, str] = {}

    def first(artist: str) -> str:
        while parent[artist] != artist:
            artist = parent[artist]
        return artist

    for artists in credits_of_tracks:
        for artist in artists:
            parent.setdefault(artist, artist)
            one, other = sorted((first(artists[0]), first(artist)))
            parent[other] = one
    return {artist: first(artist) for artist in parent}


def _mtg_tracks(root: Path) -> Iterator[GiantStepsTrack]:
    credited: dict[int, tuple[str, ...]] = {}
    for record in read_table(root / ARTISTS, ("ID", "ARTIST"), "\t"):
        number = record.whole("ID")
        artists = tuple(artist.strip() for artist in record.text("ARTIST").split(","))
        if not all(artists):
            raise record.error(f"an artist of {record.text('ARTIST')!r} has no name")
        if number in credited:
            raise record.error(f"the id {number} is there twice")
        credited[number] = artists
    splits = artist_splits(list(credited.values()))
    missing = set(credited)
    for record in read_table(root / KEYS, ("ID", "MANUAL KEY", "C"), "\t"):
        number, key = record.whole("ID"), record.text("MANUAL KEY")
        if number not in credited:
            raise record.error(f"the track {number} is not in {ARTISTS}: is one file truncated?")
        missing.discard(number)
        if record.whole("C") > CONFIDENT:
            raise record.error(f"the confidence is {record.whole('C')}, not 0, 1 or 2")
        if record.whole("C") < CONFIDENT or "/" in key:
            continue
        found = {splits[artist] for artist in credited[number]}
        if len(found) > 1:
            raise record.error(f"the artists of track {number} are in train and in valid: is {ARTISTS} complete?")
        yield GiantStepsTrack(number, _flat(key, record), found.pop(), credited[number], record)
    if missing:
        raise TaskError(
            f"{root / KEYS} lacks {len(missing)} tracks, such as {min(missing)}, that are in {ARTISTS}: was it cut?",
            "Fetch it again: bench data fetch gs_key",
        )


def _test_tracks(path: Path) -> Iterator[GiantStepsTrack]:
    seen: dict[int, str] = {}  # the file has one record for every 30 s of a track
    for name, record in read_records(path):
        if record.value("split") != "test":
            continue
        uid, key = record.text("clip", "audio_uid"), record.text("extra", "key")
        if not uid.isdecimal() or not name.startswith(f"{uid}-"):
            raise record.error(f"its audio_uid is {uid!r}")
        if int(uid) not in seen:
            yield GiantStepsTrack(int(uid), _flat(key, record), "test", (), record)
        elif seen[int(uid)] != key:
            raise record.error(f"its key is {key!r}, but {seen[int(uid)]!r} in another clip of the track")
        seen[int(uid)] = key


def _flat(key: str, record: TableRow) -> str:
    found = KEY.fullmatch(key)
    if found is None:
        raise record.error(f"the key {key!r} is not one such as 'D# minor': are columns swapped?")
    return f"{FLATS.get(found[1], found[1])} {found[2]}"
