import csv
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

import tasks
from tasks.card import read_card
from tasks.collections import jamendo
from tasks.errors import TaskError
from tasks.sources.card import read_collection

CARDS = {name: read_card(Path(tasks.__file__).parent / "cards" / f"{name}.toml") for name in jamendo.TABLES}
COUNTS = {
    "jam_50": (32136, 10888, 11356),
    "jam_all": (32859, 11101, 11565),
    "jam_mt": (9949, 3802, 4231),
}
# The first, tenth and last rows of each table, read off the files.
ROWS = {
    ("jam_50", "train"): (
        ("241", "000005", "genre---rock"),
        ("384", "000020", "genre---classical instrument---voice"),
        ("1422060", "496314", "genre---soundtrack instrument---computer"),
    ),
    ("jam_50", "valid"): (
        ("773", "000104", "genre---electronic"),
        ("1729", "000264", "genre---pop genre---poprock genre---rock"),
        ("1421793", "343164", "genre---indie"),
    ),
    ("jam_50", "test"): (
        ("215", "000014", "genre---metal"),
        ("231", "000014", "genre---metal"),
        ("1421614", "421137", "genre---electronic genre---house genre---techno"),
    ),
    ("jam_all", "train"): (
        ("241", "000005", "genre---rock"),
        ("384", "000020", "genre---classical instrument---voice"),
        (
            "1422060",
            "496314",
            "genre---soundtrack instrument---computer mood/theme---advertising mood/theme---dramatic mood/theme---epic"
            " mood/theme---movie",
        ),
    ),
    ("jam_all", "valid"): (
        ("773", "000104", "genre---electronic"),
        ("1729", "000264", "genre---pop genre---poprock genre---rock"),
        ("1421793", "343164", "genre---electropop genre---indie genre---synthpop"),
    ),
    ("jam_all", "test"): (
        ("214", "000014", "genre---punkrock"),
        ("223", "000014", "genre---metal"),
        ("1421614", "421137", "genre---electronic genre---house genre---techno"),
    ),
    ("jam_mt", "train"): (
        ("948", "000087", "mood/theme---background"),
        ("4639", "000087", "mood/theme---children mood/theme---relaxing"),
        (
            "1422060",
            "496314",
            "mood/theme---advertising mood/theme---dramatic mood/theme---epic mood/theme---movie",
        ),
    ),
    ("jam_mt", "valid"): (
        ("3346", "000517", "mood/theme---calm mood/theme---melodic"),
        ("9834", "001491", "mood/theme---heavy"),
        ("1421788", "343164", "mood/theme---love"),
    ),
    ("jam_mt", "test"): (
        ("3524", "000530", "mood/theme---melodic"),
        ("5089", "000696", "mood/theme---cool"),
        ("1420850", "496074", "mood/theme---dramatic mood/theme---epic"),
    ),
}
PUBLISHED = {"jam_50": "Jam-50", "jam_all": "Jam-All", "jam_mt": "Jam-MT"}


@pytest.fixture(scope="session")
def root(reference_data):
    return reference_data / "annotations" / "mtg-jamendo"


@pytest.fixture(scope="session")
def items(root):
    return {name: jamendo.items(card, root) for name, card in CARDS.items()}


@pytest.mark.parametrize("name", CARDS)
def test_counts(items, name):
    assert tuple(items[name].counts().values()) == COUNTS[name]
    assert tuple(CARDS[name].sizes.values()) == COUNTS[name]
    assert len(set(items[name].track_ids)) == len(items[name])
    assert items[name].targets.shape == (sum(COUNTS[name]), len(CARDS[name].labels))
    assert items[name].targets.dtype == np.float32


@pytest.mark.parametrize(("name", "split"), ROWS)
def test_first_tenth_and_last(items, root, name, split):
    found, rows = items[name], items[name].rows(split)
    for row, (number, artist, tags) in zip(rows[[0, 9, -1]], ROWS[name, split], strict=True):
        assert found.track_ids[row] == f"track_{int(number):07d}"
        assert found.groups[row] == f"artist_{artist}"
        assert found.audio[row] == root / "audio" / f"{number[-2:]}" / f"{number}.mp3"
        assert [found.labels[i] for i in np.flatnonzero(found.targets[row])] == tags.split()


@pytest.mark.parametrize("name", CARDS)
def test_artists_are_in_one_split_only(items, name):
    artists = [{items[name].groups[i] for i in items[name].rows(split)} for split in ("train", "valid", "test")]
    assert not artists[0] & artists[1]
    assert not artists[0] & artists[2]
    assert not artists[1] & artists[2]


def test_the_order_of_labels_is_that_of_the_files_of_tags(root):
    assert list(CARDS["jam_50"].labels) == (root / "data/tags/top50.txt").read_text().split()
    moods = (root / "data/tags/moodtheme.txt").read_text().split()
    dropped = {f"mood/theme---{mood}" for mood in ("ambiental", "horror", "mellow")}
    assert list(CARDS["jam_mt"].labels) == [mood for mood in moods if mood not in dropped]
    assert list(CARDS["jam_all"].labels) == sorted(CARDS["jam_all"].labels)
    kinds = [label.split("---")[0] for label in CARDS["jam_all"].labels]
    assert [kinds.count(kind) for kind in ("genre", "instrument", "mood/theme")] == [87, 40, 56]


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("metric", ["map", "roc-auc"])
def test_labels_are_those_of_the_paper(reference_data, name, metric):
    path = reference_data / "annotations" / "pandora-results" / PUBLISHED[name] / f"{metric}.csv"
    with path.open() as lines:
        published = [column.removeprefix(f"{metric}_") for column in next(csv.reader(lines))[2:]]
    assert published == [label for label in CARDS[name].labels if "all" not in label]


@pytest.mark.parametrize("name", CARDS)
def test_every_label_is_in_every_split(items, name):
    for split in ("train", "valid", "test"):
        assert items[name].targets[items[name].rows(split)].any(axis=0).all()


def test_mean_tags_per_track(items):
    means = {name: float(found.targets.sum(axis=1).mean()) for name, found in items.items()}
    assert means == pytest.approx({"jam_50": 3.07, "jam_all": 4.15, "jam_mt": 1.77}, abs=0.005)


def test_the_largest_task_is_read_in_seconds(root):
    begin = time.process_time()
    jamendo.items(CARDS["jam_all"], root)
    assert time.process_time() - begin < 5


def test_checksums_and_sizes_of_the_card(reference_data):
    with (reference_data / "annotations" / "MANIFEST.tsv").open() as lines:
        known = {row["file"]: row for row in csv.DictReader(lines, delimiter="\t")}
    for source in read_collection("jamendo").sources:
        if source.what == "annotations":
            row = known[f"mtg-jamendo/{source.file}"]
            assert (source.sha256, source.size) == (row["sha256"], int(row["bytes"]))
            assert source.urls[0] in row["source_url"]


HEAD = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
TABLE = {
    "train": ["track_0000214\tartist_000014\talbum_000031\t14/214.mp3\t124.6\tmood/theme---epic\tmood/theme---film"],
    "validation": ["track_0000001\tartist_000001\talbum_000001\t01/1.mp3\t9.0\tmood/theme---epic"],
    "test": ["track_1009600\tartist_000002\talbum_000002\t00/1009600.mp3\t10\tmood/theme---action"],
}


@pytest.fixture
def read(tmp_path):
    """Write the tables of jam_mt, one of them changed, and read them."""

    def read(part=None, data=None, end="\r\n"):
        folder = tmp_path / "data" / "splits" / "split-0"
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in TABLE.items():
            text = end.join([HEAD, *rows, ""])
            (folder / f"autotagging_moodtheme-{name}.tsv").write_bytes(text.encode())
        if part is not None:
            data = data if isinstance(data, bytes) else "\r\n".join([HEAD, *data, ""]).encode()
            (folder / f"autotagging_moodtheme-{part}.tsv").write_bytes(data)
        return jamendo.items(CARDS["jam_mt"], tmp_path)

    return read


def test_a_small_collection(read, tmp_path):
    for end in ("\r\n", "\n"):
        found = read(end=end)
        assert found.track_ids == ("track_0000214", "track_0000001", "track_1009600")
        assert found.splits == ("train", "valid", "test")
        assert found.groups == ("artist_000014", "artist_000001", "artist_000002")
        assert found.audio[0] == tmp_path / "audio" / "14" / "214.mp3"
        assert found.targets.sum() == 4


def test_the_edition_is_the_one_on_the_disk(read, tmp_path):
    (tmp_path / "audio" / "14").mkdir(parents=True)
    (tmp_path / "audio" / "14" / "214.low.mp3").touch()
    found = read()
    assert [path.name for path in found.audio] == ["214.low.mp3", "1.low.mp3", "1009600.low.mp3"]
    assert jamendo.edition(tmp_path / "audio", ["14/214.mp3"]) == ".low.mp3"
    (tmp_path / "audio" / "14" / "214.mp3").touch()
    (tmp_path / "audio" / "14" / "999.low.mp3").touch()  # of another task
    assert [path.name for path in read().audio] == ["214.mp3", "1.mp3", "1009600.mp3"]
    shutil.rmtree(tmp_path / "audio")
    assert jamendo.edition(tmp_path / "audio", ["14/214.mp3"]) == ".mp3"


ROW = TABLE["train"][0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html><body>404</body></html>\r\n", "line 1: this is a web page"),
        (b"", "is empty"),
        ((HEAD + "\r\n").encode(), "has no tracks"),
        ((HEAD + "\r\n" + ROW).encode(), "line 2: the file ends within a line, so it is cut off"),
        ((HEAD + "\r\n" + ROW[:40] + "\r\n").encode(), "line 2: 3 cells"),
        ((HEAD + "\r\n" + ROW + "\r\n").encode("utf-16"), "not UTF-8"),
        ((HEAD + "\r\n" + ROW + "é\r\n").encode("latin-1"), "line 2: this is not UTF-8"),
        ((ROW + "\r\n").encode(), "line 1: the header should be"),
        ((HEAD.replace("\t", ",") + "\r\n").encode(), "line 1: the header should be"),
        ([ROW, "", ROW], "line 3: an empty line"),
        ([ROW.replace("track_0000214", " track_0000214")], "line 2: TRACK_ID is ' track_0000214'"),
        ([ROW.replace("artist_000014\talbum_000031", "album_000031\tartist_000014")], "line 2: ARTIST_ID is"),
        ([ROW.replace("14/214.mp3\t124.6", "124.6\t14/214.mp3")], "line 2: PATH is '124.6'"),
        ([ROW.replace("14/214", "15/214")], "line 2: PATH is '15/214.mp3'"),
        ([ROW.replace("124.6", "124,6")], "line 2: DURATION is '124,6'"),
        ([ROW.replace("epic", "epical")], "line 2: the tag 'mood/theme---epical' is not a label"),
        ([ROW + "\t"], "line 2: the tag '' is not a label"),
        ([ROW + "\tmood/theme---epic"], "line 2: a tag stands twice"),
        ([ROW, ROW], "line 3: 'track_0000214' stands twice"),
    ],
)
def test_a_damaged_table_is_refused(read, tmp_path, data, words):
    with pytest.raises(TaskError) as error:
        read("train", data)
    assert str(tmp_path / "data" / "splits" / "split-0" / "autotagging_moodtheme-train.tsv") in str(error.value)
    assert words in str(error.value)


def test_leaks_between_the_tables_are_refused(read):
    with pytest.raises(TaskError, match=r"test.tsv.*\n.*line 2: 'track_0000214' stands twice"):
        read("test", [ROW])
    with pytest.raises(TaskError, match="the artist 'artist_000014' is also in train"):
        read("test", [TABLE["test"][0].replace("artist_000002", "artist_000014")])


def test_problems_are_counted_and_ten_are_shown(read):
    with pytest.raises(TaskError) as error:
        read("train", [ROW.replace("0000214", f"{i:07d}") for i in range(100, 120)])
    assert len(str(error.value).splitlines()) == 12
    assert "… and 10 more" in str(error.value)


def test_a_missing_table_and_another_task(tmp_path):
    with pytest.raises(TaskError, match=r"there is no annotation file .*autotagging_moodtheme-train.tsv"):
        jamendo.items(CARDS["jam_mt"], tmp_path)
    with pytest.raises(TaskError, match="jam_50, jam_all, jam_mt"):
        jamendo.items(CARDS["jam_mt"].model_copy(update={"id": "other"}), tmp_path)
