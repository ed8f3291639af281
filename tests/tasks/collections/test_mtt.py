import csv
import gzip
import hashlib
import json
import re
from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from tasks.card import read_card
from tasks.collections import mtt
from tasks.errors import TaskError
from tasks.sources.card import read_collection

CARD = read_card(Path(str(resources.files("tasks").joinpath("cards", "mtt.toml"))))
CORRUPT = ("35644", "55753", "57881")


def clip(number, mp3_path, split, y, artist="Al"):
    extra = {"clip_id": str(number), "mp3_path": mp3_path, "artist": artist}
    return f"{number:05d}", {"split": split, "y": y, "y_all": y, "extra": extra}


CLIPS = (
    clip(900, "c/c.mp3", "valid", ["choral", "guitar"]),
    clip(2, "f/a.mp3", "test", []),
    clip(6, "b/b.mp3", "train", ["no voice"], "Bo"),
    clip(215, "", None, None),
    clip(35644, "6/x.mp3", None, ["guitar"]),
)


def write_json(root, clips):
    (root / mtt.JUKEMIR).write_bytes(gzip.compress(json.dumps(dict(clips)).encode()))


def write_tables(root, clips, tags=CARD.labels, end="\n"):
    """Write the dataset's own tables, tab-separated and quoted, with all clips and with the annotated ones."""
    with (root / mtt.CLIPS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator=end)
        writer.writerow(["clip_id", "track_number", "artist", "mp3_path"])
        writer.writerows([c["extra"]["clip_id"], "1", c["extra"]["artist"], c["extra"]["mp3_path"]] for _, c in clips)
    with (root / mtt.TAGS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator=end)
        writer.writerow(["clip_id", *tags, "mp3_path"])
        for _, c in clips:
            if c["y_all"] is not None:
                cells = ["1" if tag in c["y_all"] else "0" for tag in tags]
                writer.writerow([c["extra"]["clip_id"], *cells, c["extra"]["mp3_path"]])


@pytest.fixture(params=["json", "tables", "tables with CRLF"])
def read(request, tmp_path):
    """Write clips as one of the sources, and read them."""

    def read(clips):
        if request.param == "json":
            write_json(tmp_path, clips)
        else:
            write_tables(tmp_path, clips, end="\r\n" if "CRLF" in request.param else "\n")
        return mtt.items(CARD, tmp_path)

    return read


def test_clips_are_sorted_split_by_folder_and_kept_without_tags(read, tmp_path):
    items = read(CLIPS)
    assert items.track_ids == ("2", "6", "900")
    assert items.splits == ("test", "train", "valid")
    assert items.groups == ("Al", "Bo", "Al")
    assert items.audio == tuple(tmp_path / "mp3" / name for name in ("f/a.mp3", "b/b.mp3", "c/c.mp3"))
    assert [[items.labels[i] for i in np.flatnonzero(row)] for row in items.targets] == [
        [],
        ["no voice"],
        ["guitar", "choral"],
    ]
    assert (items.targets.dtype, items.targets.shape) == (np.float32, (3, 50))


def test_the_audio_may_lie_in_the_root(tmp_path):
    write_json(tmp_path, CLIPS)
    (tmp_path / "0").mkdir()
    assert mtt.items(CARD, tmp_path).audio[0] == tmp_path / "f" / "a.mp3"


def test_paths_are_absolute(tmp_path, monkeypatch):
    write_json(tmp_path, CLIPS)
    monkeypatch.chdir(tmp_path)
    assert mtt.items(CARD, Path()).audio[0] == tmp_path / "mp3" / "f" / "a.mp3"


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (clip(7, "g/a.mp3", "test", []), "'g/a.mp3' is not a path"),
        (clip(7, "../../a.mp3", "test", []), "is not a path"),
        (clip(7, "f/a.mp3", "test", [], ""), "the artist is empty"),
    ],
)
def test_clips_that_cannot_be_used_are_named(read, bad, complaint):
    with pytest.raises(TaskError, match=rf"(record '00007'|line 6): .*{complaint}"):
        read((*CLIPS, bad))


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (clip(7, "f/a.mp3", "train", []), "split is 'train', but its folder says 'test'"),
        (clip(7, "f/a.mp3", "test", ["electro"]), "'electro' is not one of the card's 50 labels"),
        (clip(7, "f/a.mp3", "test", "guitar"), "'guitar', not a list of tags"),
        (("00008", clip(7, "f/a.mp3", "test", [])[1]), "its clip_id is 7"),
        (("00007", {"extra": {}}), "there is no 'extra.clip_id'"),
    ],
)
def test_records_of_the_json_that_cannot_be_used_are_named(tmp_path, bad, complaint):
    write_json(tmp_path, (*CLIPS, bad))
    with pytest.raises(TaskError, match=rf"{mtt.JUKEMIR}, record '0000[78]': .*{complaint}"):
        mtt.items(CARD, tmp_path)


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        (mtt.TAGS, '"clip_id"', '"id"', "line 1: the column 'clip_id' is missing"),
        (mtt.TAGS, '"choral"', '"chorus"', "line 1: the column 'choral' is missing"),
        (mtt.TAGS, '"900"\t"1"', '"900"\t"2"', "line 2: the tag 'guitar' is '2', neither 0 nor 1"),
        (mtt.TAGS, '"900"', '"c/c.mp3"', "line 2: 'clip_id' is 'c/c.mp3', not a whole number: are columns swapped"),
        (mtt.TAGS, '"900"', '"901"', "line 2: the mp3_path of clip 901 is 'c/c.mp3', but in .* ''"),
        (mtt.CLIPS, '"c/c.mp3"', '"c/d.mp3"', "line 2: the mp3_path of clip 900 is 'c/c.mp3', but in .* 'c/d.mp3'"),
        (mtt.TAGS, '\t"c/c.mp3"\n', "\n", "line 2: 51 cells where the header has 52: is the file truncated"),
    ],
)
def test_rows_of_the_tables_that_cannot_be_used_are_named(tmp_path, name, old, new, complaint):
    write_tables(tmp_path, CLIPS)
    edit(tmp_path / name, old, new)
    with pytest.raises(TaskError, match=rf"{mtt.TAGS}, {complaint}"):
        mtt.items(CARD, tmp_path)


def test_ids_with_spaces_around_them_are_read_and_repeated_ones_refused(tmp_path):
    write_tables(tmp_path, CLIPS)
    edit(tmp_path / mtt.TAGS, '"900"', '" 900 "')
    assert mtt.items(CARD, tmp_path).track_ids == ("2", "6", "900")
    with (tmp_path / mtt.TAGS).open("a") as file:
        file.write((tmp_path / mtt.TAGS).read_text().splitlines()[2] + "\n")
    with pytest.raises(TaskError, match=r"line 6: the id '2' is there twice, first in .*, line 3"):
        mtt.items(CARD, tmp_path)


def test_missing_annotations_are_named(tmp_path):
    with pytest.raises(TaskError, match=f"put {mtt.JUKEMIR} there, or {mtt.TAGS} together with {mtt.CLIPS}"):
        mtt.items(CARD, tmp_path)
    write_tables(tmp_path, CLIPS)
    (tmp_path / mtt.CLIPS).unlink()
    with pytest.raises(TaskError, match=rf"there is no annotation file .*{mtt.CLIPS}"):
        mtt.items(CARD, tmp_path)


@pytest.fixture(scope="module")
def jukemir(annotations):
    return json.loads(gzip.decompress((annotations / "jukemir" / mtt.JUKEMIR).read_bytes()))


@pytest.fixture(scope="module")
def items(annotations, tmp_path_factory):
    root = tmp_path_factory.mktemp("mtt")
    (root / mtt.JUKEMIR).symlink_to(annotations / "jukemir" / mtt.JUKEMIR)
    return mtt.items(CARD, root)


def tags_of(items, row):
    return [items.labels[i] for i in np.flatnonzero(items.targets[row])]


def test_the_source_is_pinned_to_the_file_that_these_tests_read(annotations):
    source = read_collection("mtt").sources[0]
    content = (annotations / "jukemir" / source.file).read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (source.sha256, source.size)


def test_the_published_split_is_read(items):
    assert items.counts() == dict(CARD.sizes) == {"train": 18706, "valid": 1825, "test": 5329}
    assert items.labels == CARD.labels
    shown = {s: [(items.track_ids[r], tags_of(items, r)) for r in items.rows(s)[[0, 9, -1]]] for s in set(items.splits)}
    assert shown == {
        "train": [("25", []), ("53", ["classical", "vocal", "opera"]), ("58915", ["guitar", "classical", "slow"])],
        "valid": [
            ("14", ["techno"]),
            ("293", ["techno", "drums", "beat", "beats"]),
            ("58737", ["guitar", "classical", "slow", "strings", "harpsichord", "solo"]),
        ],
        "test": [
            ("2", ["classical", "strings", "violin", "opera"]),
            ("38", ["female", "pop"]),
            ("58801", ["slow", "ambient", "no vocals", "quiet", "no vocal", "soft", "no voice", "weird"]),
        ],
    }
    assert not set(items.track_ids) & set(CORRUPT)


def test_untagged_clips_stay(items):
    empty = [int((items.targets[items.rows(split)].sum(1) == 0).sum()) for split in ("train", "valid", "test")]
    assert empty == [3459, 296, 997]


def test_splits_share_artists_but_no_songs(items, jukemir):
    artists = {split: {items.groups[row] for row in items.rows(split)} for split in ("train", "valid", "test")}
    assert {split: len(names) for split, names in artists.items()} == {"train": 190, "valid": 26, "test": 75}
    assert len(artists["test"] & artists["train"]) == 45
    assert len(artists["test"] & artists["valid"]) == 8
    songs = {split: set() for split in artists}
    for record in jukemir.values():
        if record["split"]:
            songs[record["split"]].add(tuple(record["clip"]["audio_uid"]))
    assert not songs["train"] & songs["test"]
    assert not songs["train"] & songs["valid"]
    assert not songs["valid"] & songs["test"]


def test_the_labels_are_the_most_frequent_tags_in_order(jukemir):
    counts = Counter(tag for record in jukemir.values() for tag in record["y_all"] or ())
    assert len(counts) == 188
    assert {tag for tag, _ in counts.most_common(50)} == set(CARD.labels)
    assert [counts[label] for label in CARD.labels] == sorted((counts[label] for label in CARD.labels), reverse=True)


def test_the_datasets_own_tables_give_the_same_items(items, jukemir, tmp_path):
    tags = sorted({tag for record in jukemir.values() for tag in record["y_all"] or ()})
    write_tables(tmp_path, list(jukemir.items())[::-1], tags, "\r\n")
    assert mtt.items(CARD, tmp_path).digest() == items.digest()


def test_the_lists_and_labels_of_another_split_repository_agree(items, annotations):
    folder = annotations / "music_dataset_split" / "MTAT_split"

    def listed(split):
        names = re.findall(r"S'([^']*)'", (folder / f"{split}_list_pub.cP").read_text(encoding="ascii"))
        return [name.removesuffix(".npy") + ".mp3" for name in names]

    labels = re.sub(r"([A-Z])", r" \1", (folder / "top50_tags.txt").read_text(encoding="ascii")).lower().splitlines()
    assert set(labels) == set(CARD.labels)
    order = [items.labels.index(label) for label in labels]
    rows = {"/".join(path.parts[-2:]): row for row, path in enumerate(items.audio)}
    for split, size in (("valid", 1529), ("test", 4332)):
        wanted = [rows[name] for name in listed(split)]
        assert len(wanted) == size
        assert {items.splits[row] for row in wanted} == {split}
        np.testing.assert_array_equal(items.targets[wanted][:, order], np.load(folder / f"y_{split}_pub.npy"))
    tagged = {str(row) for row in items.rows("train") if items.targets[row].any()}
    left_out = {items.track_ids[int(row)] for row in tagged - {str(rows[name]) for name in listed("train")}}
    assert left_out == {"29", "11268", "11269"}


def test_the_labels_are_those_of_the_published_results(annotations):
    for name, prefix in (("map", "map_"), ("roc-auc", "roc-auc_")):
        header = (annotations / "pandora-results" / "MTT" / f"{name}.csv").read_text(encoding="utf-8").splitlines()[0]
        columns = next(csv.reader([header]))[2:]
        assert {column.removeprefix(prefix) for column in columns} == set(CARD.labels)
