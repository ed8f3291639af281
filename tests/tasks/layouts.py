"""Tiny copies of the collections in their true layouts: annotations in the documented formats, and short sounds.

Each function fills ``root`` and returns what a reader must find: by track id, the split, the audio file and the label
(for several labels the set of them, for regression the values in the order of the card's targets).
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import itertools
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile

from tasks.card import TaskCard, read_card

RATE = 16000
CYCLE = ("train", "train", "train", "valid", "test")


@dataclass(frozen=True)
class Expected:
    """What a reader must find about one track."""

    split: str
    audio: Path
    target: str | frozenset[str] | tuple[float, ...]


Found = dict[str, Expected]


def card(name: str) -> TaskCard:
    return read_card(Path(str(resources.files("tasks").joinpath("cards", f"{name}.toml"))))


def sound(path: Path, seed: int, pitch: float = 440.0, seconds: float = 1.2) -> Path:
    """Write a tone in some noise, as the suffix says, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    samples = 0.3 * np.sin(2 * np.pi * pitch * time) + 0.02 * rng.normal(size=len(time))
    soundfile.write(path, samples, RATE, format={".mp3": "MP3", ".wav": "WAV"}[path.suffix])
    return path


def lines(path: Path, *text: str, end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}{end}" for line in text).encode())


def gtzan(root: Path, per_genre: int = 5) -> Found:
    """Three lists of paths, and WAV files in ``genres/``."""
    lists: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    found = {}
    for place, genre in enumerate(card("gtzan").labels or ()):
        for n in range(per_genre):
            name, split = f"{genre}.{n:05d}", CYCLE[n % 5]
            audio = sound(root / "genres" / genre / f"{name}.wav", 100 * place + n, 375 + 250 * place)
            lists[split].append(f"{genre}/{name}.wav")
            found[name] = Expected(split, audio, genre)
    for split, listed in lists.items():
        lines(root / f"{split}_filtered.txt", *listed)
    return found


def mtt(root: Path, n: int = 60) -> Found:
    """The JSON of jukemir, and MP3 clips in folders 0 to f, of which c is valid and d to f are test."""
    labels, records, found = card("mtt").labels or (), {}, {}
    for i, folder in zip(range(n), itertools.cycle("05abbccdef"), strict=False):
        split = "valid" if folder == "c" else "test" if folder in "def" else "train"
        tags = sorted({labels[i % 50], labels[7 * i % 50]}) if i % 9 else []
        path = f"{folder}/artist_{i}-album-01-title-0-29.mp3"
        extra = {"clip_id": str(i + 1), "mp3_path": path, "artist": f"artist {i}"}
        records[f"{i + 1:05d}"] = {"split": split, "y": tags, "y_all": tags, "extra": extra}
        found[str(i + 1)] = Expected(split, sound(root / "mp3" / path, i, 200 + 40 * i), frozenset(tags))
    records["35644"] = {"split": None, "y": [], "extra": {"clip_id": "35644", "mp3_path": "6/x.mp3", "artist": "x"}}
    (root / "magnatagatune.json.gz").write_bytes(gzip.compress(json.dumps(records).encode()))
    return found


def emomusic(root: Path, n: int = 60) -> Found:
    """The JSON of jukemir, and ``clips_45seconds/``; a song of the development set is split by its artist."""
    records, found = {}, {}
    for i in range(n):
        artist = f"band {chr(97 + i // 26)}{chr(97 + i % 26)}"
        digest = int(hashlib.sha1(artist.encode()).hexdigest(), 16)
        split = "test" if i % 4 == 0 else "train" if digest % 10 < 8 else "valid"
        valence, arousal = 2 + 0.1 * i, 8 - 0.05 * i
        info = {
            "song_id": str(i + 2),
            "Artist": artist.title(),
            "Mediaeval 2013 set": "evaluation" if split == "test" else "development",
        }
        ratings = {"song_id": str(i + 2), "mean_arousal": f"{arousal:.2f}", "mean_valence": f"{valence:.2f}"}
        extra = {"songs_info": info, "static_annotations": ratings}
        records[f"{i + 2:04d}"] = {"split": split, "extra": extra}
        audio = sound(root / "clips_45seconds" / f"{i + 2}.mp3", i, 200 + 40 * i)
        found[str(i + 2)] = Expected(split, audio, (round(valence, 2), round(arousal, 2)))
    (root / "emomusic.json.gz").write_bytes(gzip.compress(json.dumps(records).encode()))
    return found


def giantsteps(root: Path, train: int = 36, valid: int = 12, test: int = 12) -> Found:
    """The two tables of the MTG set, in sharps, the JSON of jukemir for test, and ``audio/<id>.LOFI.mp3``."""
    labels, found = card("gs_key").labels or (), {}
    sharps = {"Db": "C#", "Eb": "D#", "Gb": "F#", "Ab": "G#", "Bb": "A#"}
    keys, artists = [["ID", "MANUAL KEY", "C"]], [["ID", "ARTIST", "SONG TITLE", "MIX"]]
    names = {split: _artists(split) for split in ("train", "valid")}

    def audio(number: int) -> Path:
        return sound(root / "audio" / f"{number}.LOFI.mp3", number, 200 + 20 * (number % 24))

    for i, split in enumerate(["train"] * train + ["valid"] * valid):
        number, (tonic, mode) = 1000 + i, labels[i % 24].split()
        keys.append([str(number), f"{sharps.get(tonic, tonic)} {mode}", "2"])
        artists.append([str(number), next(names[split]), "Title", "Mix"])
        found[str(number)] = Expected(split, audio(number), labels[i % 24])
    for number, key, confidence in ((900, "A major", "1"), (901, "C minor / G minor", "2")):
        keys.append([str(number), key, confidence])  # not confident, or of two keys: no items
        artists.append([str(number), next(names["train"]), "Title", "Mix"])
    folder = root / "giantsteps-mtg-key-dataset" / "annotations"
    lines(folder / "annotations.txt", *("\t".join(row) for row in keys))
    lines(folder / "beatport_metadata.txt", *("\t".join(row) for row in artists))
    clips: dict[str, object] = {"0001000-0": {"split": "train"}}
    for i in range(test):
        number, key = 5000 + i, labels[5 * i % 24]
        for clip in range(2):
            uid = f"{number:07d}"
            clips[f"{uid}-{clip}"] = {"split": "test", "clip": {"audio_uid": uid}, "extra": {"key": key}}
        found[str(number)] = Expected("test", audio(number), key)
    (root / "giantsteps_clips.json.gz").write_bytes(gzip.compress(json.dumps(clips).encode()))
    return found


def _artists(split: str) -> Iterator[str]:
    """Yield names that the hash of the published split puts into ``split``."""
    for i in itertools.count():
        name = f"Artist {i}"
        if (int(hashlib.sha1(name.lower().encode()).hexdigest(), 16) % 116 < 100) == (split == "train"):
            yield name


def nsynth(root: Path, name: str) -> Found:
    """Three folders with ``examples.json`` and notes of exactly 4 s; what is expected is for the task ``name``."""
    families, found = card("nsynth_i").labels or (), {}
    for first, split, n in ((0, "train", 36), (100, "valid", 12), (200, "test", 12)):
        records, folder = {}, root / f"nsynth-{split}"
        for i in range(n):
            family, pitch = families[i % len(families)], 36 + 2 * i
            instrument = f"{family}_acoustic_{first + i:03d}"
            note = f"{instrument}-{pitch:03d}-100"
            records[note] = {
                "note_str": note,
                "pitch": pitch,
                "velocity": 100,
                "instrument_str": instrument,
                "instrument_family": i % len(families),
                "instrument_family_str": family,
                "sample_rate": 16000,
            }
            audio = folder / "audio" / f"{note}.wav"
            if not audio.exists():
                sound(audio, first + i, 440 * 2 ** ((pitch - 69) / 12), 4.0)
            found[note] = Expected(split, audio, str(pitch) if name == "nsynth_p" else family)
        (folder / "examples.json").write_text(json.dumps(records))
    return found


def jamendo(root: Path, name: str, n: int = 60) -> Found:
    """The tables of split 0 of the three tasks, one cell a tag and CRLF at the ends, and ``audio/14/214.mp3``."""
    tables = {"jam_50": "autotagging_top50tags", "jam_all": "autotagging", "jam_mt": "autotagging_moodtheme"}
    known = {task: set(card(task).labels or ()) for task in tables}
    moods, genres = sorted(known["jam_mt"] & known["jam_50"]), sorted(known["jam_50"] - known["jam_mt"])
    rare = sorted(known["jam_all"] - known["jam_50"] - known["jam_mt"])
    head = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
    rows: dict[str, dict[str, list[str]]] = {
        task: {"train": [head], "valid": [head], "test": [head]} for task in tables
    }
    found = {}
    for i in range(n):
        split, number = CYCLE[i % 5], 214 + 13 * i
        tags = {genres[i % len(genres)], rare[i % len(rare)], moods[i // 5 % len(moods)]}
        path, track = f"{number % 100:02d}/{number}.mp3", f"track_{number:07d}"
        start = f"{track}\tartist_{i:06d}\talbum_{i:06d}\t{path}\t1.2"
        for task in tables:
            rows[task][split].append("\t".join([start, *sorted(tags & known[task])]))
        audio = root / "audio" / path
        if not audio.exists():
            sound(audio, i, 200 + 40 * i)
        found[track] = Expected(split, audio, frozenset(tags & known[name]))
    for task, stem in tables.items():
        for split, part in (("train", "train"), ("valid", "validation"), ("test", "test")):
            lines(root / "data" / "splits" / "split-0" / f"{stem}-{part}.tsv", *rows[task][split], end="\r\n")
    return found


def msd(root: Path, name: str, n: int = 60) -> Found:
    """The two dictionaries that lead to the clips, ``audio/``, and the files of the task ``name``."""
    labels = card(name).labels or tuple(f"tag {i:03d}" for i in range(int(name[3:])))
    tracks = [f"TRAAAAA128F{i:07X}" for i in range(n)]
    splits = [CYCLE[i % 5] for i in range(n)]
    clips = [f"{i % 10}/{i // 10}/{1000 + i}.clip.mp3" for i in range(n)]
    _pickled(root / "MSD_id_to_7D_id.pkl", {track: str(1000 + i) for i, track in enumerate(tracks)})
    _pickled(root / "7D_id_to_path.pkl", {str(1000 + i): clip for i, clip in enumerate(clips)})
    for i, clip in enumerate(clips):
        if not (root / "audio" / clip).exists():
            sound(root / "audio" / clip, i, 200 + 40 * i)
    targets = np.zeros((n, len(labels)), np.int8)
    # An album of MuMu has tracks 5 apart, which are of one split, and they share its genres.
    first = [(i % 5) + 5 * (i // 10) if name == "mumu" else i for i in range(n)]
    targets[np.arange(n), [7 * i % len(labels) for i in first]] = 1
    targets[np.arange(n), [i % 6 for i in first]] = 1
    parts = {split: [i for i in range(n) if splits[i] == split] for split in ("train", "valid", "test")}
    write = {"msds": _msds, "mumu": _mumu, "amm": _amm}.get(name, _cleaned)
    write(root / ("lastfm" if name == "msds" else name), labels, tracks, targets, parts, first)
    return {
        track: Expected(
            splits[i], root / "audio" / clips[i], frozenset(labels[column] for column in np.flatnonzero(targets[i]))
        )
        for i, track in enumerate(tracks)
    }


Rows = dict[str, list[int]]


def _msds(folder: Path, labels: Sequence[str], tracks: list[str], targets: np.ndarray, parts: Rows, _: object) -> None:
    lines(folder / "50tagList.txt", *labels)
    _pickled(folder / "filtered_list_train.cP", [tracks[i] for i in parts["train"] + parts["valid"]])
    _pickled(folder / "filtered_list_test.cP", [tracks[i] for i in parts["test"]])
    vectors = {track: targets[i].astype(bool).reshape(-1, 1) for i, track in enumerate(tracks)}
    _pickled(folder / "msd_id_to_tag_vector.cP", vectors)


def _cleaned(
    folder: Path, labels: Sequence[str], tracks: list[str], targets: np.ndarray, parts: Rows, _: object
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    prefix = "sub_" if folder.name == "msd50" else ""
    np.save(folder / f"{prefix}tags.npy", np.array(labels))
    np.save(folder / f"{prefix}binaries.npy", targets.astype(float))
    for split, rows in parts.items():
        np.save(folder / f"{prefix}{split}_ids.npy", np.array([f"{i}//{tracks[i]}" for i in rows]))


def _mumu(
    folder: Path, labels: Sequence[str], tracks: list[str], targets: np.ndarray, parts: Rows, first: list[int]
) -> None:
    (folder / "splits").mkdir(parents=True, exist_ok=True)
    with (folder / "MuMu_dataset_multi-label.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["amazon_id", "artist_mbid", "MSD_track_id", "genres"])
        writer.writerows(
            [f"B{first[i]:03d}", f"artist, {first[i]}", track, "Rock,Pop"] for i, track in enumerate(tracks)
        )
    lines(folder / "splits" / "genre_labels_MuMu.tsv", *labels)
    for split, rows in parts.items():
        part, albums = split.replace("valid", "val"), sorted({first[i] for i in rows})
        lines(folder / "splits" / f"items_index_{part}_MuMu.tsv", *(f"B{album:03d}" for album in albums))
        np.save(folder / "splits" / f"y_{part}_class_250_MuMu.npy", targets[[first.index(album) for album in albums]])


def _amm(folder: Path, labels: Sequence[str], tracks: list[str], targets: np.ndarray, parts: Rows, _: object) -> None:
    rows = [f"AR{i // 2:016d},SO{i:016d},{track},{i // 2},A,B,C" for i, track in enumerate(tracks)]
    lines(folder / "metadata.csv", "artist_id,song_id,track_id,album_id,artist,album,track", *rows)
    lines(folder / "moods.txt", *labels)
    np.save(folder / "mood_target.npy", targets)
    for split, numbers in parts.items():
        np.save(folder / f"{split.replace('valid', 'val')}_idx.npy", np.array(numbers))


def tinysol(root: Path, n: int = 60) -> Found:
    """The table and the index of mirdata's loader, and ``audio/``; its split is dealt out, so none is expected."""
    rows = ["Path,Fold,Family,Instrument (abbr.),Instrument (in full),a,b,Pitch,Pitch ID,d,e,i,s,Resampled"]
    tracks, found = {}, {}
    for i in range(n):
        short, pitch = ("Vn", "Fl", "Hn")[i % 3], f"{'CDEFG'[i % 5]}4"
        track = f"{short}-ord-{pitch}-mf-{i}"
        rows.append(f"x/{track}.wav,{i % 5},F,{short},Full {short},o,ord,{pitch},{60 + i % 5},mf,2,0,,FALSE")
        tracks[track] = {"audio": [f"audio/{track}.wav", "0"]}
        found[track] = Expected("", sound(root / "audio" / f"{track}.wav", i, 262 * 1.3 ** (i % 5)), pitch)
    lines(root / "annotation" / "TinySOL_metadata.csv", *rows)
    (root / "tinysol_index_6.0.json").write_text(json.dumps({"version": "1", "tracks": tracks}))
    return found


def _pickled(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=0))


WRITERS: dict[str, tuple[str, Callable[[Path], Found]]] = {
    "mtt": ("mtt", mtt),
    "gtzan": ("gtzan", gtzan),
    "emo": ("emomusic", emomusic),
    "gs_key": ("giantsteps", giantsteps),
    **{name: ("nsynth", lambda root, name=name: nsynth(root, name)) for name in ("nsynth_p", "nsynth_i")},
    **{name: ("jamendo", lambda root, name=name: jamendo(root, name)) for name in ("jam_50", "jam_all", "jam_mt")},
    **{
        name: ("msd", lambda root, name=name: msd(root, name))
        for name in ("msds", "msd50", "msd100", "msd500", "mumu", "amm")
    },
    "mirdata:tinysol:pitch": ("mirdata_tinysol", tinysol),
}
"""By task: its collection, and what writes it."""
