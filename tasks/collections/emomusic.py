"""EmoMusic: static valence and arousal ratings (1 to 9) of 744 clips of 45 s.

Test is the evaluation set of MediaEval 2013. The development set is split by the SHA-1 of the artist's name, in lower
case and without anything but ASCII letters and single spaces: its remainder by 10 is 0 to 7 for train, 8 or 9 for valid
(Castellon et al. 2021). The annotations are read from ``emomusic.json.gz`` (of jukemir, which holds the dataset's rows)
or, where that is not there, from the dataset's own tables in ``annotations/``; both give the same items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.card import TaskCard
from tasks.errors import TaskError
from tasks.items import Items
from tasks.readers.tables import Ids, TableRow, read_records, read_table
from tasks.sources.layout import choose_folder

JUKEMIR, SONGS, RATINGS = "emomusic.json.gz", "annotations/songs_info.csv", "annotations/static_annotations.csv"
LOWEST, HIGHEST = 1.0, 9.0
TARGETS = ("arousal", "valence")


@dataclass(frozen=True)
class Song:
    """One clip, with the ratings by target name."""

    number: int
    artist: str
    split: str
    ratings: dict[str, float]
    record: TableRow


def items(card: TaskCard, root: Path) -> Items:
    """Return the clips in order of their ids; groups are artists, with names as they were hashed.

    Raises:
        TaskError: An annotation file that is missing or cannot be used, named with the line or record.
    """
    songs = sorted(_songs(root), key=lambda song: song.number)
    ids = Ids()
    for song in songs:
        ids.take(str(song.number), song.record)
    for target in card.targets:
        if target not in TARGETS:
            raise TaskError(
                f"the card {card.id!r} predicts {target!r}, which EmoMusic does not have",
                f"write one of {', '.join(TARGETS)} there",
            )
    folder = choose_folder(root, ("clips_45seconds", "audio"), [f"{song.number}.mp3" for song in songs])
    return Items(
        tuple(ids.taken),
        tuple(song.split for song in songs),
        tuple((folder / f"{song.number}.mp3").absolute() for song in songs),
        tuple(song.artist for song in songs),
        np.array([[song.ratings[target] for target in card.targets] for song in songs], np.float32),
        card.targets,
    )


def normalised(artist: str) -> str:
    """Return an artist's name as the split hashes it.

    >>> normalised(" Vieux  Farka Touré ")
    'vieux farka tour'
    """
    kept = [letter for letter in artist.lower() if ord(letter) < 128 and (letter.isalpha() or letter.isspace())]
    return " ".join("".join(kept).split())


def _songs(root: Path) -> Iterable[Song]:
    if (root / JUKEMIR).exists():
        return _from_jukemir(root / JUKEMIR)
    if (root / SONGS).exists():
        return _from_tables(root / SONGS, root / RATINGS)
    raise TaskError(f"there are no annotations of EmoMusic in {root}", f"put {JUKEMIR} there, or {SONGS} and {RATINGS}")


def _from_jukemir(path: Path) -> Iterator[Song]:
    info, static = ("extra", "songs_info"), ("extra", "static_annotations")
    for name, record in read_records(path):
        number = record.whole(*info, "song_id")
        if not name == f"{number:04d}" == f"{record.whole(*static, 'song_id'):04d}":
            raise record.error(f"its song_id is {number}")
        artist, song_set = record.text(*info, "Artist"), record.text(*info, "Mediaeval 2013 set")
        ratings = {
            "arousal": _rating(record, *static, "mean_arousal"),
            "valence": _rating(record, *static, "mean_valence"),
        }
        song = _song(record, number, artist, song_set, ratings)
        if record.value("split") != song.split:
            raise record.error(f"its split is {record.value('split')!r}, but its artist gives {song.split!r}")
        yield song


def _from_tables(songs_path: Path, ratings_path: Path) -> Iterator[Song]:
    rated: dict[int, dict[str, float]] = {}
    for record in read_table(ratings_path, ("song_id", "mean_arousal", "mean_valence"), ","):
        rated[record.whole("song_id")] = {
            "arousal": _rating(record, "mean_arousal"),
            "valence": _rating(record, "mean_valence"),
        }
    for record in read_table(songs_path, ("song_id", "Artist", "Mediaeval 2013 set"), ","):
        number = record.whole("song_id")
        if number not in rated:
            fault = f"has no ratings in {ratings_path.name}, or is there twice: is one file truncated?"
            raise record.error(f"the song {number} {fault}")
        yield _song(record, number, record.text("Artist"), record.text("Mediaeval 2013 set"), rated.pop(number))
    if rated:
        raise TaskError(
            f"{ratings_path} rates {len(rated)} songs, such as {min(rated)}, that are not in {songs_path}",
            "Fetch both again: bench data fetch emo",
        )


def _song(record: TableRow, number: int, artist: str, song_set: str, ratings: dict[str, float]) -> Song:
    if song_set not in ("development", "evaluation"):
        raise record.error(f"the MediaEval 2013 set is {song_set!r}, neither 'development' nor 'evaluation'")
    name = normalised(artist)
    if not name:
        raise record.error(f"the artist {artist!r} has no letters")
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    split = "test" if song_set == "evaluation" else "train" if int(digest, 16) % 10 < 8 else "valid"
    return Song(number, name, split, ratings, record)


def _rating(record: TableRow, *names: str) -> float:
    rating = record.number(*names)
    if not LOWEST <= rating <= HIGHEST:
        raise record.error(f"{names[-1]!r} is {rating:g}, not on the scale of {LOWEST:g} to {HIGHEST:g}")
    return rating
