import csv
import gzip
import hashlib
import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from tasks.card import SPLITS, read_card
from tasks.collections import emomusic
from tasks.errors import TaskError
from tasks.sources.card import read_collection

CARD = read_card(Path(str(resources.files("tasks").joinpath("cards", "emo.toml"))))


def song(number, artist, split, arousal="5.5", valence="4", song_set=None):
    song_set = song_set or ("evaluation" if split == "test" else "development")
    info = {"song_id": str(number), "Artist": artist, "Song title": "A, B", "Mediaeval 2013 set": song_set}
    static = {"song_id": str(number), "mean_arousal": arousal, "std_arousal": "1", "mean_valence": valence}
    return f"{number:04d}", {"split": split, "extra": {"songs_info": info, "static_annotations": static}}


SONGS = (  # the splits are those of the dataset
    song(3, "Kevin MacLeod", "test", "3.3", "3.5"),
    song(2, "The New Mystikal Troubadours", "valid", "3", "3.1"),
    song(1000, " Short   Hand!", "train"),
)


def write_json(root, songs):
    (root / emomusic.JUKEMIR).write_bytes(gzip.compress(json.dumps(dict(songs)).encode()))


def write_tables(root, songs, end="\n"):
    (root / "annotations").mkdir(exist_ok=True)
    for name, key in ((emomusic.SONGS, "songs_info"), (emomusic.RATINGS, "static_annotations")):
        with (root / name).open("w", newline="", encoding="utf-8") as file:
            rows = [record["extra"][key] for _, record in songs]
            writer = csv.DictWriter(file, list(rows[0]), lineterminator=end)
            writer.writeheader()
            writer.writerows(rows)


@pytest.fixture(params=["json", "tables", "tables with CRLF"])
def read(request, tmp_path):
    """Write songs as one of the sources, and read them."""

    def read(songs):
        if request.param == "json":
            write_json(tmp_path, songs)
        else:
            write_tables(tmp_path, songs, "\r\n" if "CRLF" in request.param else "\n")
        return emomusic.items(CARD, tmp_path)

    return read


def test_clips_are_sorted_and_split_by_set_and_artist(read, tmp_path):
    items = read(SONGS)
    assert items.track_ids == ("2", "3", "1000")
    assert items.splits == ("valid", "test", "train")
    assert items.groups == ("the new mystikal troubadours", "kevin macleod", "short hand")
    assert items.labels == ("valence", "arousal")
    np.testing.assert_array_equal(items.targets, np.array([[3.1, 3], [3.5, 3.3], [4, 5.5]], np.float32))
    assert items.targets.dtype == np.float32
    assert items.audio[2] == tmp_path / "clips_45seconds" / "1000.mp3"


def test_an_artist_is_hashed_by_ascii_letters_in_lower_case():
    assert emomusic.normalised(" Vieux  Farka Touré ") == "vieux farka tour"
    assert emomusic.normalised("Marcus-Aux puces nº2") == "marcusaux puces n"


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (song(7, "Al", "train", arousal="0.5"), "'mean_arousal' is 0.5, not on the scale of 1 to 9"),
        (song(7, "Al", "train", valence="x"), "'.*mean_valence' is 'x', not a finite number: are columns swapped"),
        (song(7, "!", "train"), "the artist '!' has no letters"),
        (song(7, "Al", "train", song_set="dev"), "the MediaEval 2013 set is 'dev'"),
    ],
)
def test_rows_that_cannot_be_used_are_named(read, bad, complaint):
    with pytest.raises(TaskError, match=rf"(record '0007'|line 5): {complaint}"):
        read((*SONGS, bad))


def test_records_of_the_json_are_held_against_each_other(tmp_path):
    write_json(tmp_path, (*SONGS, song(7, "Kevin MacLeod", "test", song_set="development")))
    with pytest.raises(TaskError, match=r"record '0007': its split is 'test', but its artist gives '(train|valid)'"):
        emomusic.items(CARD, tmp_path)
    write_json(tmp_path, (*SONGS, ("0008", song(7, "Al", "test")[1])))
    with pytest.raises(TaskError, match="record '0008': its song_id is 7"):
        emomusic.items(CARD, tmp_path)


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        (emomusic.RATINGS, "mean_arousal", "arousal_mean", "line 1: the column 'mean_arousal' is missing"),
        (emomusic.SONGS, "song_id", "id", "line 1: the column 'song_id' is missing"),
        (emomusic.SONGS, "\n2,", "\n3,", "line 3: the song 3 has no ratings in .*, or is there twice"),
        (emomusic.RATINGS, "\n2,", "\n4,", "line 3: the song 2 has no ratings"),
        (emomusic.SONGS, "\n3,Kevin", "\nKevin,3", "line 2: 'song_id' is 'Kevin', not a whole number"),
        (emomusic.SONGS, ",development\n1000", "\n1000", "line 3: 3 cells where the header has 4: is the file trunc"),
        (emomusic.SONGS, "Kevin", "<html>", None),
    ],
)
def test_rows_of_the_tables_that_cannot_be_used_are_named(tmp_path, name, old, new, complaint):
    write_tables(tmp_path, SONGS)
    edit(tmp_path / name, old, new)
    if complaint is None:  # a page inside a cell is not a page
        assert len(emomusic.items(CARD, tmp_path)) == 3
        return
    with pytest.raises(TaskError, match=rf"\.csv, {complaint}"):
        emomusic.items(CARD, tmp_path)


def test_ratings_of_songs_that_are_not_listed_are_refused(tmp_path):
    write_tables(tmp_path, SONGS)
    text = (tmp_path / emomusic.SONGS).read_text()
    (tmp_path / emomusic.SONGS).write_text("\n".join(text.splitlines()[:-1]) + "\n")
    with pytest.raises(TaskError, match=r"static_annotations\.csv rates 1 songs, such as 1000, that are not in"):
        emomusic.items(CARD, tmp_path)


def test_missing_annotations_are_named(tmp_path):
    with pytest.raises(TaskError, match=f"put {emomusic.JUKEMIR} there, or {emomusic.SONGS} and"):
        emomusic.items(CARD, tmp_path)
    write_tables(tmp_path, SONGS)
    (tmp_path / emomusic.RATINGS).unlink()
    with pytest.raises(TaskError, match=r"there is no annotation file .*static_annotations\.csv"):
        emomusic.items(CARD, tmp_path)


@pytest.fixture(scope="module")
def jukemir(annotations):
    return json.loads(gzip.decompress((annotations / "jukemir" / emomusic.JUKEMIR).read_bytes()))


@pytest.fixture(scope="module")
def items(annotations, tmp_path_factory):
    root = tmp_path_factory.mktemp("emomusic")
    (root / emomusic.JUKEMIR).symlink_to(annotations / "jukemir" / emomusic.JUKEMIR)
    return emomusic.items(CARD, root)


def test_the_source_is_pinned_to_the_file_that_these_tests_read(annotations):
    source = read_collection("emomusic").sources[0]
    content = (annotations / "jukemir" / source.file).read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (source.sha256, source.size)


def test_the_published_split_is_read(items):
    assert items.counts() == dict(CARD.sizes) == {"train": 504, "valid": 115, "test": 125}
    shown = {
        split: [(items.track_ids[row], *items.targets[row].round(4).tolist()) for row in items.rows(split)[[0, 9, -1]]]
        for split in SPLITS
    }
    assert {split: [name for name, *_ in found] for split, found in shown.items()} == {
        "train": ["5", "31", "999"],
        "valid": ["2", "62", "994"],
        "test": ["3", "67", "1000"],
    }
    ratings = [values for split in SPLITS for _, *values in shown[split]]
    np.testing.assert_allclose(
        ratings,
        [
            [5.3, 4.4], [3.8, 4.7], [5.9, 4.1],
            [3.0, 3.1], [3.9, 6.2], [5.3, 6.6],
            [3.3, 3.5], [6.8, 7.2], [5.8889, 7.2222],
        ],
        atol=1e-6,
    )  # fmt: skip
    valence, arousal = items.targets.T
    np.testing.assert_allclose([valence.min(), valence.max(), arousal.min(), arousal.max()], [1.6, 8.1, 1.6, 8.4])


def test_the_targets_are_those_of_jukemir_before_it_standardised_them(items, jukemir):
    dev = np.asarray(items.splits) != "test"
    arousal_first = items.targets[:, ::-1].astype(np.float64)
    standardised = (arousal_first - arousal_first[dev].mean(0)) / arousal_first[dev].std(0)
    theirs = np.array([jukemir[f"{int(name):04d}"]["y"] for name in items.track_ids])
    np.testing.assert_allclose(standardised, theirs, atol=1e-5)


def test_valence_and_arousal_are_those_of_the_continuous_ratings(items, jukemir):
    def mean(record, name):
        return np.mean([float(value) for key, value in record["extra"][name].items() if key.startswith("sample_")])

    records = [jukemir[f"{int(name):04d}"] for name in items.track_ids]
    for target, name in zip(items.targets.T, ("valence_cont_average", "arousal_cont_average"), strict=True):
        assert np.corrcoef(target, [mean(record, name) for record in records])[0, 1] > 0.94


def test_train_and_valid_share_no_artist_but_test_does(items):
    artists = {split: {items.groups[row] for row in items.rows(split)} for split in SPLITS}
    assert {split: len(names) for split, names in artists.items()} == {"train": 285, "valid": 65, "test": 112}
    assert not artists["train"] & artists["valid"]
    assert len(artists["test"] & artists["train"]) == 44
    assert len(artists["test"] & artists["valid"]) == 9


def test_the_datasets_own_tables_give_the_same_items(items, jukemir, tmp_path):
    write_tables(tmp_path, list(jukemir.items())[::-1], "\r\n")
    assert emomusic.items(CARD, tmp_path).digest() == items.digest()
