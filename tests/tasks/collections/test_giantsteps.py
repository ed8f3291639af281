import csv
import gzip
import hashlib
import json
import tarfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from tasks.card import SPLITS, read_card
from tasks.collections import giantsteps
from tasks.errors import TaskError
from tasks.sources.card import read_collection

CARD = read_card(Path(str(resources.files("tasks").joinpath("cards", "gs_key.toml"))))
KEYS = (("10", "D# minor", "2"), ("7", "A major ", "2"), ("8", "C minor / G minor", "2"), ("9", "A major", "1"))
ARTISTS = (("7", "Al, Bo"), ("8", "Cy"), ("9", "Di"), ("10", "Ébène"))


def write_table(path, header, rows, end="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join("\t".join(cells) + end for cells in (header, *rows))
    path.write_bytes(text.encode())


def write(root, keys=KEYS, artists=ARTISTS, test=(("30", "Gb major"), ("20", "F minor")), end="\n"):
    """Write the three annotation files."""
    write_table(root / giantsteps.KEYS, ("ID", "MANUAL KEY", "C"), keys, end)
    rows = [(number, names, "Title", "Mix") for number, names in artists]
    write_table(root / giantsteps.ARTISTS, ("ID", "ARTIST", "SONG TITLE", "MIX"), rows, end)
    clips = {
        f"{int(number):07d}-{clip}": {
            "split": "test", "clip": {"audio_uid": f"{int(number):07d}"}, "extra": {"key": key}
        }
        for number, key in test for clip in range(2)
    }  # fmt: skip
    clips["0000010-0"] = {"split": "train"}
    (root / giantsteps.JUKEMIR).write_bytes(gzip.compress(json.dumps(clips).encode()))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_confident_tracks_with_one_key_are_read_and_then_test(tmp_path, end):
    write(tmp_path, end=end)
    items = giantsteps.items(CARD, tmp_path)
    assert items.track_ids == ("7", "10", "20", "30")
    assert items.splits[2:] == ("test", "test")
    assert [items.labels[i] for i in items.targets] == ["A major", "Eb minor", "F minor", "Gb major"]
    assert items.groups == ("Al", "Ébène", "track 20", "track 30")
    assert items.targets.dtype == np.int64
    assert items.audio[0] == tmp_path / "audio" / "7.LOFI.mp3"


def test_audio_may_lie_in_the_two_repositories(tmp_path):
    write(tmp_path)
    for name in (giantsteps.MTG, giantsteps.TEST):
        (tmp_path / name / "audio").mkdir(parents=True)
    audio = giantsteps.items(CARD, tmp_path).audio
    assert audio[0] == tmp_path / giantsteps.MTG / "audio" / "7.LOFI.mp3"
    assert audio[2] == tmp_path / giantsteps.TEST / "audio" / "20.LOFI.mp3"


def hashed(split):
    """Return names that the hash puts into ``split``."""
    names = [f"artist {number}" for number in range(400)]
    return [name for name in names if giantsteps.artist_splits([(name,)])[name] == split]


def test_collaborators_of_valid_artists_move_to_valid_two_hops_far():
    (valid, *_), (one, two, three, four, *_) = hashed("valid"), hashed("train")
    chain = [(valid, one), (one, two), (two, three), (three, four)]
    assert set(giantsteps.artist_splits(chain).values()) == {"valid"}  # in this order one hop goes all the way
    backwards = giantsteps.artist_splits(chain[::-1])
    assert [backwards[name] for name in (valid, one, two, three, four)] == ["valid"] * 3 + ["train"] * 2


def test_the_hash_leaves_out_case_and_the_rule_does_not():
    (name, *_) = hashed("valid")
    assert giantsteps.artist_splits([(name.upper(),)]) == {name.upper(): "valid"}


def test_circles_join_artists_through_common_tracks():
    assert giantsteps.circles([("Cy", "Bo"), ("Bo", "Al"), ("Di",), ()]) == {
        "Al": "Al", "Bo": "Al", "Cy": "Al", "Di": "Di",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"keys": (*KEYS[:3], ("9", "2", "A major"))}, r"annotations\.txt, line 5: 'C' is 'A major', not a whole"),
        ({"keys": (*KEYS[:3], ("9", "A major", "3"))}, r"annotations\.txt, line 5: the confidence is 3"),
        ({"keys": (*KEYS[:3], ("9", "H major", "2"))}, r"annotations\.txt, line 5: the key 'H major' is not one"),
        ({"keys": (*KEYS[:3], ("9", "Cb major", "2"))}, r"annotations\.txt, line 5: the key 'Cb major' is not one of"),
        ({"keys": (*KEYS[:3], ("x 9", "A major", "2"))}, r"annotations\.txt, line 5: 'ID' is 'x 9'"),
        ({"keys": (*KEYS[:3], ("9", "A major"))}, r"annotations\.txt, line 5: 2 cells where the header has 3"),
        ({"keys": (*KEYS, ("11", "A major", "2"))}, r"annotations\.txt, line 6: the track 11 is not in"),
        ({"keys": (*KEYS, KEYS[0])}, r"annotations\.txt, line 6: the id '10' is there twice, first in .*, line 2"),
        ({"keys": KEYS[:3]}, r"annotations\.txt lacks 1 tracks, such as 9"),
        ({"artists": (*ARTISTS, ("11", "Al,, Bo"))}, r"beatport_metadata\.txt, line 6: an artist of 'Al,, Bo' has no"),
        ({"artists": (*ARTISTS, ("7", "Al"))}, r"beatport_metadata\.txt, line 6: the id 7 is there twice"),
        ({"test": (("20", "f minor"),)}, r"clips\.json\.gz, record '0000020-0': the key 'f minor' is not one such"),
        ({"test": (("10", "F minor"),)}, r"clips\.json\.gz, record '0000010-1': the id '10' is there twice, first in"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, change, complaint):
    write(tmp_path, **change)
    with pytest.raises(TaskError, match=complaint):
        giantsteps.items(CARD, tmp_path)


@pytest.mark.parametrize("name", [giantsteps.KEYS, giantsteps.ARTISTS, giantsteps.JUKEMIR])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"<html>", "web page"), (b"", "is empty"), (b"\x1f\x8b\x08\0\0", "truncated"), (None, "no annotation file")],
)
def test_files_that_cannot_be_used_are_named(tmp_path, name, content, complaint):
    write(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError) as error:
        giantsteps.items(CARD, tmp_path)
    assert name in str(error.value)
    assert complaint in str(error.value)


@pytest.fixture(scope="module")
def sources(annotations):
    """The files of the reference material by their places below the root."""
    mtg = annotations / "giantsteps-mtg-key"
    return {
        giantsteps.KEYS: mtg / "annotations.txt",
        giantsteps.ARTISTS: mtg / "beatport_metadata.txt",
        giantsteps.JUKEMIR: annotations / "jukemir" / giantsteps.JUKEMIR,
    }


@pytest.fixture(scope="module")
def items(sources, tmp_path_factory):
    root = tmp_path_factory.mktemp("giantsteps")
    for place, path in sources.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).symlink_to(path)
    return giantsteps.items(CARD, root)


@pytest.fixture(scope="module")
def jukemir(sources):
    records = json.loads(gzip.decompress(sources[giantsteps.JUKEMIR].read_bytes()))
    return {str(int(record["clip"]["audio_uid"])): (record["split"], record["y"]) for record in records.values()}


def test_the_sources_are_pinned_to_the_files_that_these_tests_read(sources):
    for source in read_collection("giantsteps").sources[:3]:
        content = sources[source.file].read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (source.sha256, source.size)


def test_the_published_sizes_are_read(items):
    assert items.counts() == dict(CARD.sizes) == {"train": 923, "valid": 236, "test": 604}
    assert items.labels == CARD.labels
    shown = {
        split: [(items.track_ids[row], items.labels[items.targets[row]]) for row in items.rows(split)[[0, 9, -1]]]
        for split in SPLITS
    }
    assert shown == {
        "train": [("5061", "Eb minor"), ("19613", "D minor"), ("6574410", "A major")],
        "valid": [("14720", "D minor"), ("159301", "B minor"), ("6390202", "Ab minor")],
        "test": [("10089", "D major"), ("209206", "G major"), ("5740146", "Eb minor")],
    }
    test = items.targets[items.rows("test")]
    assert np.bincount(test, minlength=24)[CARD.labels.index("F minor")] == 73
    assert len(set(test.tolist())) == 24


def test_the_split_that_is_computed_here_is_that_of_jukemir_key_by_key(items, jukemir):
    keys = [items.labels[i] for i in items.targets]
    assert dict(zip(items.track_ids, zip(items.splits, keys, strict=True), strict=True)) == jukemir


def test_the_keys_of_test_are_those_of_the_key_files(items, annotations):
    folder = annotations / "giantsteps-key"
    with tarfile.open(folder / "giantsteps-key-annotations.tar.gz") as archive:
        files = {
            Path(member.name).name.split(".")[0]: archive.extractfile(member).read().decode().strip()
            for member in archive.getmembers()
            if member.name.endswith(".LOFI.key")
        }
    rows = list(csv.DictReader((folder / "keys.tsv").read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    ours = {items.track_ids[row]: items.labels[items.targets[row]] for row in items.rows("test")}
    assert len(files) == 604
    assert ours == files == {row["id"]: row["key"] for row in rows}


def test_the_keys_of_train_and_valid_are_those_of_the_key_files(items, annotations):
    with tarfile.open(annotations / "giantsteps-mtg-key" / "giantsteps-mtg-key-annotations.tar.gz") as archive:
        files = {
            Path(member.name).name.split(".")[0]: archive.extractfile(member).read().decode().split("\t")
            for member in archive.getmembers()
            if member.name.endswith(".LOFI.key")
        }
    assert len(files) == 1486
    sharps = {flat.lower(): sharp.lower() for sharp, flat in giantsteps.FLATS.items()}
    for row in (row for split in ("train", "valid") for row in items.rows(split)):
        tonic, mode = items.labels[items.targets[row]].lower().split()
        key, confidence, *_ = files[items.track_ids[row]]
        assert (key.strip(), confidence) == (f"{sharps.get(tonic, tonic)} {mode}", "2")


def test_no_artist_and_no_group_is_in_train_and_in_valid(items, sources):
    rows = csv.DictReader(sources[giantsteps.ARTISTS].read_text(encoding="utf-8").splitlines(), delimiter="\t")
    credited = {row["ID"]: {artist.strip().lower() for artist in row["ARTIST"].split(",")} for row in rows}
    names = {
        split: set().union(*(credited[items.track_ids[row]] for row in items.rows(split)))
        for split in ("train", "valid")
    }
    assert (len(names["train"]), len(names["valid"])) == (1126, 332)
    assert not names["train"] & names["valid"]
    groups = {split: {items.groups[row] for row in items.rows(split)} for split in SPLITS}
    assert {split: len(found) for split, found in groups.items()} == {"train": 816, "valid": 196, "test": 604}
    assert not groups["train"] & groups["valid"]
    assert not (groups["train"] | groups["valid"]) & groups["test"]


def test_the_published_scores_are_those_of_604_tracks(annotations):
    path = annotations / "pandora-results" / "GS_Key" / "weighted.csv"
    _, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
    tenths = np.array([float(row[-1]) for row in rows]) * CARD.sizes["test"] * 10
    assert len(tenths) == 6
    np.testing.assert_allclose(tenths, tenths.round(), atol=1e-6)
