import csv
import gzip
import hashlib
import json
import shutil
from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from tasks.card import SPLITS, read_card
from tasks.collections import gtzan
from tasks.errors import TaskError
from tasks.sources.card import read_collection

CARD = read_card(Path(str(resources.files("tasks").joinpath("cards", "gtzan.toml"))))
PER_GENRE = {
    "blues": (46, 23, 31), "classical": (48, 20, 31), "country": (45, 23, 30), "disco": (42, 22, 29),
    "hiphop": (47, 18, 27), "jazz": (43, 17, 27), "metal": (44, 20, 27), "pop": (41, 13, 30),
    "reggae": (43, 17, 26), "rock": (44, 24, 32),
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """Three lists, of two excerpts and one and one."""
    (tmp_path / "train_filtered.txt").write_text("rock/rock.00001.wav\nblues/blues.00029.wav\n")
    (tmp_path / "valid_filtered.txt").write_text("jazz/jazz.00054.wav\n")
    (tmp_path / "test_filtered.txt").write_text("hiphop/hiphop.00000.wav\n")
    return tmp_path


def test_the_lists_are_read_in_order(root):
    items = gtzan.items(CARD, root)
    assert items.track_ids == ("rock.00001", "blues.00029", "jazz.00054", "hiphop.00000")
    assert items.splits == ("train", "train", "valid", "test")
    assert [items.labels[i] for i in items.targets] == ["rock", "blues", "jazz", "hiphop"]
    assert items.targets.dtype == np.int64
    assert items.groups is None
    assert items.audio[0] == root / "genres" / "rock" / "rock.00001.wav"


@pytest.mark.parametrize("folder", gtzan.FOLDERS)
@pytest.mark.parametrize("suffix", ["wav", "au"])
def test_audio_is_found_in_every_known_layout(root, folder, suffix):
    path = root / folder / "rock" / f"rock.00001.{suffix}"
    path.parent.mkdir(parents=True)
    path.touch()
    items = gtzan.items(CARD, root)
    assert items.audio[0] == path
    assert items.audio[1] == root / folder / "blues" / "blues.00029.wav"


def test_line_endings_spaces_and_empty_lines_do_not_count(root):
    (root / "train_filtered.txt").write_bytes(b"rock/rock.00001.wav \r\n\r\nblues/blues.00029.wav\r\n\r\n")
    assert gtzan.items(CARD, root).track_ids[:2] == ("rock.00001", "blues.00029")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("rock/blues.00001.wav", "is not a path such as"),
        ("rock.00001.wav/rock", "is not a path such as"),
        ("rock/rock.000", "is not a path such as"),
        ("rock/ rock.00001.wav", "is not a path such as"),
        ("../rock/rock.00001.wav", "is not a path such as"),
        ("polka/polka.00001.wav", "the genre 'polka' is not one of the card's labels"),
        ("jazz/jazz.00054.wav", r"'jazz.00054' is there twice, first in valid_filtered\.txt, line 1"),
    ],
)
def test_lines_that_cannot_be_used_are_named(root, line, complaint):
    (root / "test_filtered.txt").write_text(f"hiphop/hiphop.00000.wav\n{line}\n")
    with pytest.raises(TaskError, match=rf"test_filtered\.txt, line 2: .*{complaint}"):
        gtzan.items(CARD, root)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"<!DOCTYPE html>\n", "web page"), (b"", "is empty"), (b"rock\xff\n", "not UTF-8"), (None, "no annotation file")],
)
def test_files_that_cannot_be_used_are_named(root, content, complaint):
    (root / "valid_filtered.txt").unlink()
    if content is not None:
        (root / "valid_filtered.txt").write_bytes(content)
    with pytest.raises(TaskError) as error:
        gtzan.items(CARD, root)
    assert "valid_filtered.txt" in str(error.value)
    assert complaint in str(error.value)


@pytest.fixture(scope="module")
def items(annotations, tmp_path_factory):
    root = tmp_path_factory.mktemp("gtzan")
    for split in SPLITS:
        shutil.copy(annotations / "music_dataset_split" / "GTZAN_split" / f"{split}_filtered.txt", root)
    return gtzan.items(CARD, root)


def test_the_sources_are_pinned_to_the_files_that_these_tests_read(annotations):
    for source in read_collection("gtzan").sources[:3]:
        content = (annotations / "music_dataset_split" / "GTZAN_split" / source.file).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (source.sha256, source.size)


def test_the_fault_filtered_split_is_read(items):
    assert items.counts() == dict(CARD.sizes) == {"train": 443, "valid": 197, "test": 290}
    assert items.labels == CARD.labels == tuple(PER_GENRE)
    shown = {split: [items.track_ids[row] for row in items.rows(split)[[0, 9, -1]]] for split in SPLITS}
    assert shown == {
        "train": ["blues.00029", "blues.00038", "rock.00099"],
        "valid": ["blues.00000", "blues.00009", "rock.00085"],
        "test": ["blues.00012", "blues.00021", "rock.00090"],
    }
    counts = Counter(zip((items.labels[i] for i in items.targets), items.splits, strict=True))
    assert {genre: tuple(counts[genre, split] for split in SPLITS) for genre in items.labels} == PER_GENRE
    assert len(set(items.track_ids)) == 930
    assert items.splits[items.track_ids.index("jazz.00054")] == "train"


def test_jukemir_has_the_same_splits_and_genres(items, annotations):
    records = json.loads(gzip.decompress((annotations / "jukemir" / "gtzan_ff.json.gz").read_bytes()))
    theirs = {record["extra"]["id"]: (record["split"], record["y"]) for record in records.values()}
    genres = [items.labels[i] for i in items.targets]
    assert dict(zip(items.track_ids, zip(items.splits, genres, strict=True), strict=True)) == theirs


def test_the_published_results_have_the_same_labels_and_test_size(annotations):
    path = annotations / "pandora-results" / "GTZAN" / "precision.csv"
    header, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
    assert header[2:-1] == [f"precision_class_<{label}>_micro" for label in CARD.labels]
    right = np.array([float(row[-1]) for row in rows]) * CARD.sizes["test"]
    assert len(right) == 6
    np.testing.assert_allclose(right, right.round(), atol=1e-6)
