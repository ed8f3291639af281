import csv
import gzip
import pickle
import time
from pathlib import Path

import numpy as np
import pytest

import tasks
from tasks.card import read_card
from tasks.collections.msd import collection as msd
from tasks.collections.msd import paths, tags
from tasks.errors import TaskError
from tasks.readers.pickles import read_list
from tasks.readers.tables import read_names
from tasks.sources.card import read_collection

CARDS = {name: read_card(Path(tasks.__file__).parent / "cards" / f"{name}.toml") for name in msd.READERS}
PUBLISHED = {"msds": "MSDS", "msd50": "MSD50", "mumu": "MuMu", "amm": "AMM"}


def track(number):
    return f"TRAAAAA128F{number:07X}"


def pickled(path, value):
    """Write as Python 2 did: protocol 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=0))


def saved(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def written(path, *lines, end="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(end.join([*lines, ""]), encoding="utf-8")


@pytest.fixture
def root(tmp_path):
    """A root in which the tracks 0 to 9 have audio paths."""
    pickled(tmp_path / "MSD_id_to_7D_id.pkl", {track(i): str(1000 + i) for i in range(9)})
    pickled(tmp_path / "7D_id_to_path.pkl", {str(1000 + i): f"{i}/0/{1000 + i}.clip.mp3" for i in range(9)})
    return tmp_path


def refusal(name, root):
    with pytest.raises(TaskError) as error:
        msd.items(CARDS[name], root)
    return str(error.value)


class TestPaths:
    def test_the_rule_of_the_two_dictionaries(self, root):
        found = paths.audio_paths(root, [track(1), track(0)])
        assert found == (root / "audio/1/0/1001.clip.mp3", root / "audio/0/0/1000.clip.mp3")

    def test_a_track_that_nobody_knows_counts_as_missing(self, root):
        assert paths.audio_paths(root, [track(9)]) == (root / "audio" / f"{track(9)}.mp3",)

    def test_the_users_list_wins(self, root):
        written(
            root / "tracks.csv", "path,note,track_id", f"x/a.mp3,,{track(1)}", f"/far/b.mp3,n,{track(2)}", end="\r\n"
        )
        found = paths.audio_paths(root, [track(1), track(2), track(3)])
        assert found == (root / "x/a.mp3", Path("/far/b.mp3"), root / "audio" / f"{track(3)}.mp3")

    @pytest.mark.parametrize(
        ("lines", "words"),
        [
            (["track,path", "a,b"], "line 1: the columns are track,path: write track_id,path there"),
            (["track_id,path", "a,b", "a,c"], "line 3: 'a' stands twice, first in line 2"),
            (["track_id,path", "a,"], "line 2: ['a', ''] has no path"),
            (["track_id,path", " a,b"], "line 2: [' a', 'b'] has no path, or spaces"),
            (["track_id,path", "a"], "line 2: 1 cells where the header has 2"),
        ],
    )
    def test_a_damaged_list(self, root, lines, words):
        written(root / "tracks.csv", *lines)
        with pytest.raises(TaskError) as error:
            paths.audio_paths(root, [track(1)])
        assert str(root / "tracks.csv") in str(error.value)
        assert words in str(error.value)

    def test_without_either(self, tmp_path):
        with pytest.raises(TaskError, match=r"MSD_id_to_7D_id.pkl and 7D_id_to_path.pkl.*tracks.csv"):
            paths.audio_paths(tmp_path, [track(1)])


class TestMsds:
    """With the split after 5 tracks instead of 201,680."""

    @pytest.fixture
    def root(self, root, monkeypatch):
        monkeypatch.setattr(tags, "MSDS_TRAIN", 5)
        labels = CARDS["msds"].labels
        written(root / "lastfm" / "50tagList.txt", *labels)
        pickled(root / "lastfm" / "filtered_list_train.cP", [track(i) for i in (3, 1, 2, 0, 4, 6, 5)])
        pickled(root / "lastfm" / "filtered_list_test.cP", [track(8), track(7)])
        vectors = {track(i): np.arange(50).reshape(50, 1) == i for i in range(9)}
        pickled(root / "lastfm" / "msd_id_to_tag_vector.cP", vectors)
        return root

    def test_items(self, root):
        found = msd.items(CARDS["msds"], root)
        assert found.track_ids == tuple(track(i) for i in (3, 1, 2, 0, 4, 6, 5, 8, 7))
        assert found.counts() == {"train": 5, "valid": 2, "test": 2}
        assert found.targets.argmax(axis=1).tolist() == [3, 1, 2, 0, 4, 6, 5, 8, 7]
        assert found.targets.sum() == 9
        assert found.targets.dtype == np.float32
        assert found.groups is None
        assert found.audio[0] == root / "audio/3/0/1003.clip.mp3"
        assert found.labels == CARDS["msds"].labels

    def test_the_labels_of_test_are_compared_with_the_parent_split(self, root):
        written(root / "choi" / "test_x_msd_id.txt", track(7), track(8), track(20))
        labels = np.zeros((3, 50), bool)
        labels[[0, 1, 2], [7, 8, 9]] = True
        saved(root / "choi" / "test_y.npy", labels)
        assert len(msd.items(CARDS["msds"], root)) == 9
        saved(root / "choi" / "test_y.npy", labels[[1, 0, 2]])
        assert "disagree about the labels of 2 of 2 test tracks" in refusal("msds", root)
        written(root / "choi" / "test_x_msd_id.txt", track(7), track(9), track(20))
        assert f"lacks 1 test tracks of msds, such as {track(8)}" in refusal("msds", root)

    def test_what_does_not_fit_is_refused(self, root):
        folder = root / "lastfm"
        pickled(folder / "filtered_list_test.cP", [track(3), track(7)])
        assert f"1 tracks are also in filtered_list_train.cP, such as {track(3)}" in refusal("msds", root)
        pickled(folder / "filtered_list_test.cP", [track(8), track(7) + " "])
        assert f"line 2: '{track(7)} ' is not an MSD track id" in refusal("msds", root)
        pickled(folder / "filtered_list_test.cP", [track(8), track(8)])
        assert f"line 2: '{track(8)}' stands twice, first in line 1" in refusal("msds", root)
        pickled(folder / "filtered_list_test.cP", [track(8), track(9)])
        assert f"has no labels for 1 of 9 tracks, such as {track(9)}" in refusal("msds", root)
        pickled(folder / "filtered_list_train.cP", [track(i) for i in range(5)])
        assert "has 5 tracks, but the first 5 are train and the rest valid" in refusal("msds", root)
        written(folder / "50tagList.txt", *reversed(CARDS["msds"].labels))
        assert "label 1 is 'happy', not 'rock'" in refusal("msds", root)
        written(folder / "50tagList.txt", " rock", "pop")
        assert "line 1: ' rock' is empty, or has spaces around it" in refusal("msds", root)
        (folder / "50tagList.txt").unlink()
        assert f"there is no annotation file {folder / '50tagList.txt'}" in refusal("msds", root)


class TestCleaned:
    @pytest.fixture(params=["msd50", "msd100", "msd500"])
    def name(self, request, root):
        name, prefix = request.param, "sub_" if request.param == "msd50" else ""
        self.labels = CARDS[name].labels or tuple(f"tag {i:03d}" for i in range(int(name[3:])))
        binaries = np.zeros((9, len(self.labels)))
        binaries[np.arange(9), np.arange(9)] = 1
        self.folder, self.prefix = root / name, prefix
        saved(self.path("tags"), np.array(self.labels))
        saved(self.path("binaries"), binaries)
        saved(self.path("train_ids"), np.array([f"{i}//{track(i)}" for i in (7, 2, 5, 0)]))
        saved(self.path("valid_ids"), np.array([f"{i}//{track(i)}" for i in (1, 3)]))
        saved(self.path("test_ids"), np.array([f"{i}//{track(i)}" for i in (8, 4)]))
        return name

    def path(self, what):
        return self.folder / f"{self.prefix}{what}.npy"

    def test_items(self, name, root):
        found = msd.items(CARDS[name], root)
        assert found.track_ids == tuple(track(i) for i in (7, 2, 5, 0, 1, 3, 8, 4))
        assert found.splits == ("train",) * 4 + ("valid",) * 2 + ("test",) * 2
        assert found.targets.argmax(axis=1).tolist() == [7, 2, 5, 0, 1, 3, 8, 4]
        assert found.targets.shape == (8, int(name[3:]))
        assert found.labels == self.labels
        assert found.groups is None

    def test_the_texts_of_python_2(self, name, root):
        saved(self.path("test_ids"), np.array([f"{i}//{track(i)}".encode() for i in (8, 4)]))
        assert msd.items(CARDS[name], root).track_ids[-1] == track(4)

    def test_what_does_not_fit_is_refused(self, name, root):
        for entry, words in (
            (f"8/{track(8)}", "line 1: '8/"),
            (f"-1//{track(8)}", "is not of the form <row>//<MSD track id>"),
            (f"8//{track(8)} ", "is not of the form <row>//<MSD track id>"),
            (f"9//{track(8)}", "there is no such row among 9 rows of labels"),
            (f"7//{track(8)}", "stands twice; train has it"),
            (f"8//{track(1)}", "stands twice; valid has it"),
        ):
            saved(self.path("test_ids"), np.array([entry]))
            assert words in refusal(name, root)
        saved(self.path("test_ids"), np.arange(3))
        assert "should be a list of texts" in refusal(name, root)
        saved(self.path("binaries"), np.full((9, len(self.labels)), 2.0))
        assert "row 0 (the first is 0): 9 row(s) hold other values than 0 and 1" in refusal(name, root)
        saved(self.path("binaries"), np.zeros((9, 3)))
        assert f"should be a any x {len(self.labels)} matrix" in refusal(name, root)
        self.path("binaries").write_bytes(self.path("binaries").read_bytes()[:-5])
        assert "is not a NumPy array of numbers or text" in refusal(name, root)
        saved(self.path("binaries"), np.array([{"a": 1}], dtype=object))
        assert "it holds Python objects, which are never loaded" in refusal(name, root)
        self.path("tags").write_bytes(b"<html>too many requests</html>")
        assert "line 1: this is a web page" in refusal(name, root)
        self.path("tags").unlink()
        assert f"copy the {self.prefix}*.npy files of the published split into {self.folder}" in refusal(name, root)

    def test_labels_that_are_not_the_cards(self, root):
        saved(root / "msd50" / "sub_tags.npy", np.array(["acoustic", "african"]))
        assert "does not have the 50 labels of msd50" in refusal("msd50", root)


class TestMumu:
    @pytest.fixture
    def root(self, root):
        folder = root / "mumu"
        rows = [("B1", 3, "m1"), ("B2", 1, "m2"), ("B1", 0, "m1"), ("B3", 5, "m3"), ("B2", 4, "m2"), ("B4", 2, "m1")]
        lines = [f'{album},"{mbid}, x",{track(i)},"Rock,Pop"' for album, i, mbid in rows]
        written(folder / "MuMu_dataset_multi-label.csv", "amazon_id,artist_mbid,MSD_track_id,genres", *lines)
        written(folder / "splits" / "genre_labels_MuMu.tsv", *CARDS["mumu"].labels)
        for part, albums in (("train", ["B2", "B1"]), ("val", ["B3"]), ("test", ["B4"])):
            written(folder / "splits" / f"items_index_{part}_MuMu.tsv", *albums)
            y = np.zeros((len(albums), 250), np.int8)
            y[np.arange(len(albums)), [int(album[1]) for album in albums]] = 1
            saved(folder / "splits" / f"y_{part}_class_250_MuMu.npy", y)
        return root

    def test_tracks_follow_their_albums(self, root):
        found = msd.items(CARDS["mumu"], root)
        assert found.track_ids == tuple(track(i) for i in (1, 4, 3, 0, 5, 2))
        assert found.splits == ("train",) * 4 + ("valid", "test")
        assert found.targets.argmax(axis=1).tolist() == [2, 2, 1, 1, 3, 4]
        assert found.groups == ("m2, x", "m2, x", "m1, x", "m1, x", "m3, x", "m1, x")

    def test_the_album_is_the_group_where_artists_are_not_known(self, root):
        path = root / "mumu" / "MuMu_dataset_multi-label.csv"
        path.write_text(path.read_text().replace('"m3, x"', ""))
        assert msd.items(CARDS["mumu"], root).groups == ("B2", "B2", "B1", "B1", "B3", "B4")

    def test_what_does_not_fit_is_refused(self, root):
        folder = root / "mumu"
        table, whole = folder / "MuMu_dataset_multi-label.csv", (folder / "MuMu_dataset_multi-label.csv").read_text()
        for text, words in (
            (whole.replace("MSD_track_id", "msd"), "line 1: there is no column MSD_track_id"),
            (whole.replace(track(5), track(5)[:17]), "line 5: "),
            (whole.replace(track(5), track(4)), f"line 6: the track {track(4)} stands twice"),
            (whole + f"B9,,{track(8)},\n", "1 albums that are in no split, such as 'B9'"),
            (whole + "B9,x\n", "line 8: 2 cells where the header has 4"),
            (whole.replace("B4", "B3"), "the album 'B4' has no track in MuMu_dataset_multi-label.csv"),
            (whole[:-4], "line 7: "),
        ):
            table.write_text(text)
            message = refusal("mumu", root)
            assert str(table.parent) in message
            assert words in message
        table.write_text(whole)
        written(folder / "splits" / "items_index_test_MuMu.tsv", "B1")
        assert "line 1: the album 'B1' stands twice; train has it" in refusal("mumu", root)
        written(folder / "splits" / "items_index_test_MuMu.tsv", "B4", "B5")
        assert "y_test_class_250_MuMu.npy should be a 2 x 250 matrix, but has the shape (1, 250)" in refusal(
            "mumu", root
        )
        written(folder / "splits" / "items_index_train_other.tsv", "B1")
        assert "should have one items_index_train_<name>.tsv, but has 2" in refusal("mumu", root)


class TestAmm:
    @pytest.fixture
    def root(self, root):
        folder = root / "amm"
        written(folder / "moods.txt", *CARDS["amm"].labels)
        rows = [f'AR00000000000000{i // 2:02d},SO{i:016d},{track(i)},{i // 2},A,B,"C, {i}"' for i in range(8)]
        written(folder / "metadata.csv", "artist_id,song_id,track_id,album_id,artist,album,track", *rows)
        for part, numbers in (("train", [5, 0, 4, 1]), ("val", [2, 3]), ("test", [7, 6])):
            saved(folder / f"{part}_idx.npy", np.array(numbers))
        saved(folder / "mood_target.npy", np.eye(8, 188))
        return root

    def test_items(self, root):
        found = msd.items(CARDS["amm"], root)
        assert found.track_ids == tuple(track(i) for i in (5, 0, 4, 1, 2, 3, 7, 6))
        assert found.splits == ("train",) * 4 + ("valid",) * 2 + ("test",) * 2
        assert found.targets.argmax(axis=1).tolist() == [5, 0, 4, 1, 2, 3, 7, 6]
        assert [int(group[-2:]) for group in found.groups] == [2, 0, 2, 0, 1, 1, 3, 3]

    def test_the_table_may_come_without_header_and_artists(self, root):
        written(root / "amm" / "metadata.csv", *(f"{i},{track(i)}" for i in range(8)))
        found = msd.items(CARDS["amm"], root)
        assert found.groups is None
        assert found.track_ids[0] == track(5)

    def test_the_matrix_that_the_user_makes(self, root):
        (root / "amm" / "mood_target.npy").unlink()
        message = refusal("amm", root)
        assert f"no file at {root / 'amm' / 'mood_target.npy'}" in message
        assert "numpy.save, a matrix of 0 and 1 that has a row for each row of metadata.csv" in message
        saved(root / "amm" / "mood_target.npy", np.eye(9, 188))
        assert "should be a 8 x 188 matrix, but has the shape (9, 188)" in refusal("amm", root)
        saved(root / "amm" / "mood_target.npy", np.eye(8, 188) * 0.5)
        assert "hold other values than 0 and 1" in refusal("amm", root)

    def test_what_does_not_fit_is_refused(self, root):
        folder = root / "amm"
        saved(folder / "test_idx.npy", np.array([7, 8]))
        assert "line 2: 8 is not the number of one of 8 rows of metadata.csv" in refusal("amm", root)
        saved(folder / "test_idx.npy", np.array([5, 7]))
        assert "line 1: the row 5 stands twice; train has it" in refusal("amm", root)
        saved(folder / "test_idx.npy", np.array([5.0]))
        assert "should be a list of whole numbers" in refusal("amm", root)
        written(folder / "test_idx.npy", "version https://git-lfs.github.com/spec/v1", "oid sha256:0", "size 9")
        assert "line 1: this is a Git LFS pointer" in refusal("amm", root)
        written(folder / "metadata.csv", "artist_id,track_id", "AR1,TR1")
        assert "has no column in which every row holds an MSD track id" in refusal("amm", root)
        written(folder / "metadata.csv", "artist_id,track_id", f"A,{track(0)}", f"A,{track(0)}")
        assert f"line 3: '{track(0)}' stands twice, first in line 2" in refusal("amm", root)
        written(folder / "metadata.csv", "artist_id,track_id", f"A,{track(0)}", f"A,{track(1)},x")
        assert "line 3: 3 cells, not 2" in refusal("amm", root)


def test_another_task(tmp_path):
    with pytest.raises(TaskError, match="msds, msd50, msd100, msd500, mumu, amm"):
        msd.items(CARDS["amm"].model_copy(update={"id": "other"}), tmp_path)


def test_the_groups_are_those_of_the_tables():
    for card in CARDS.values():
        assert card.groups == ("paper", "table4", "msd")
        assert card.counts_verified is False


@pytest.fixture(scope="session")
def annotations(reference_data):
    return reference_data / "annotations"


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("metric", ["map", "roc-auc"])
def test_labels_are_those_of_the_paper(annotations, name, metric):
    with (annotations / "pandora-results" / PUBLISHED[name] / f"{metric}.csv").open() as lines:
        published = [column.removeprefix(f"{metric}_") for column in next(csv.reader(lines))[2:]]
    assert published == sorted(label for label in CARDS[name].labels if "all" not in label)


def test_the_order_of_labels_is_that_of_the_files(annotations):
    assert CARDS["msds"].labels == tuple(read_names(annotations / "music_dataset_split/MSD_split/50tagList.txt"))
    assert CARDS["amm"].labels == tuple(read_names(annotations / "listening-moods/data/moods.txt"))
    assert CARDS["mumu"].labels == tuple(read_names(annotations / "mumu/genre_labels_MuMu.tsv"))
    assert [len(CARDS[name].labels) for name in ("msds", "msd50", "mumu", "amm")] == [50, 50, 250, 188]
    assert {"Ballets & Dances", "Dance Hall"} <= set(CARDS["mumu"].labels)


def test_the_test_list(annotations):
    ids = read_list(annotations / "music_dataset_split/MSD_split/filtered_list_test.cP")
    assert len(ids) == len(set(ids)) == 28_435
    assert [ids[0], ids[9], ids[-1]] == ["TRAADIN128F931D672", "TRAAHTX12903CDBBDD", "TRZZZZD128F4236844"]
    known = tags.choi_test_labels(annotations / "msd-keunwoochoi")
    assert len(known) == 28_540
    assert set(ids) <= set(known)
    labels = np.stack([known[track_id] for track_id in ids])
    assert labels.any(axis=1).all()
    assert labels.any(axis=0).all()
    for part in ("train_x_msd_id.txt.gz", "valid_x_msd_id.txt"):
        opened = gzip.open if part.endswith("gz") else open
        with opened(annotations / "msd-keunwoochoi" / part, "rt") as lines:
            assert not set(ids) & {line.strip() for line in lines}


def test_checksums_and_sizes_of_the_card(annotations):
    with (annotations / "MANIFEST.tsv").open() as lines:
        known = {row["sha256"]: row for row in csv.DictReader(lines, delimiter="\t")}
    pointers = {p.read_text() for p in (annotations / "listening-moods" / "data").glob("*_idx.npy")}
    sources = [source for source in read_collection("msd").sources if source.sha256]
    assert len(sources) == 9
    for source in sources:
        if source.file.endswith("_idx.npy"):
            assert any(f"oid sha256:{source.sha256}\nsize {source.size}\n" in pointer for pointer in pointers)
        else:
            assert int(known[source.sha256]["bytes"]) == source.size
            assert all(url in known[source.sha256]["source_url"] for url in source.urls)


def test_the_whole_of_msds(annotations, tmp_path):
    """With the real test list; train and valid, whose lists are not at hand, are stood in for by the parent split."""
    folder, choi = tmp_path / "lastfm", tmp_path / "choi"
    folder.mkdir()
    choi.mkdir()
    for name in ("50tagList.txt", "filtered_list_test.cP"):
        (folder / name).symlink_to(annotations / "music_dataset_split" / "MSD_split" / name)
    for name in ("test_x_msd_id.txt", "test_y.npy"):
        (choi / name).symlink_to(annotations / "msd-keunwoochoi" / name)
    with gzip.open(annotations / "msd-keunwoochoi" / "train_x_msd_id.txt.gz", "rt") as lines:
        ids = lines.read().split()
    ids += (annotations / "msd-keunwoochoi" / "valid_x_msd_id.txt").read_text().split()[:11_774]
    vectors = tags.choi_test_labels(choi)
    tagged = dict.fromkeys(ids, np.arange(50) == 0) | vectors
    (folder / "filtered_list_train.cP").write_bytes(("(lp1\n" + "".join(f"S'{i}'\np2\na" for i in ids) + ".").encode())
    raw = {values.tobytes(): "".join(f"\\x0{int(v)}" for v in values) for values in tagged.values()}
    head = (
        "cnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntS'b'\ntp6\nR(I1\n(I50\nI1\nt"
        "cnumpy\ndtype\n(S'b1'\nI0\nI1\ntRp13\n(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
    )
    again = "g3\ng6\nR(I1\n(I50\nI1\ntg13\n"
    entries = (
        f"S'{key}'\np2\n{again if i else head}I00\nS'{raw[vector.tobytes()]}'\np9\ntbs"
        for i, (key, vector) in enumerate(tagged.items())
    )
    (folder / "msd_id_to_tag_vector.cP").write_text("(dp1\n" + "".join(entries) + ".")
    written(tmp_path / "tracks.csv", "track_id,path", *(f"{i},{i[2]}/{i}.mp3" for i in tagged))

    begin = time.process_time()
    assert len(read_list(folder / "filtered_list_train.cP")) == 213_454
    assert time.process_time() - begin < 2

    found = msd.items(CARDS["msds"], tmp_path)
    assert found.counts() == CARDS["msds"].sizes == {"train": 201_680, "valid": 11_774, "test": 28_435}
    np.testing.assert_array_equal(found.targets[-1], vectors[found.track_ids[-1]])
    assert found.audio[-1] == tmp_path / "Z" / "TRZZZZD128F4236844.mp3"
