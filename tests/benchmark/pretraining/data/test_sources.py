"""Sources: every track has its place or its line in a message, and labels belong to the tracks that they name."""

from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.pretraining.data.label_rows import ALL_UNKNOWN
from benchmark.pretraining.data.sources import read_source
from benchmark.system.progress import Silent


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def read(source: Path, labels: Path | None = None, report: Silent | None = None):
    return read_source(source, labels, report or Silent())


def csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("b/2.mp3", "a/1.WAV", "c.flac"):
        (tmp_path / "audio" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "audio" / name).write_bytes(b"x")
    return tmp_path / "audio"


class TestFolders:
    def test_tracks_are_relative_paths_in_order_and_the_rest_is_told(self, folder):
        (folder / "cover.jpg").write_bytes(b"x")
        (folder / ".hidden.mp3").write_bytes(b"x")
        told = Told()
        found = read(folder, report=told)
        assert [track.track_id for track in found.tracks] == ["a/1.WAV", "b/2.mp3", "c.flac"]
        assert found.tracks[0].path == folder / "a" / "1.WAV"
        assert found.labels is None
        assert len(told.lines) == 1
        assert "1 files" in told.lines[0]

    def test_links_are_followed_but_not_in_circles(self, folder):
        (folder / "a" / "up").symlink_to(folder)
        assert [track.track_id for track in read(folder).tracks] == ["a/1.WAV", "b/2.mp3", "c.flac"]
        (folder / "linked").symlink_to(folder / "b")
        assert "linked/2.mp3" in [track.track_id for track in read(folder).tracks]

    def test_nothing_and_nowhere_are_refused(self, tmp_path):
        with pytest.raises(UserError, match="neither a folder of audio nor a manifest"):
            read(tmp_path / "nowhere")
        (tmp_path / "empty").mkdir()
        with pytest.raises(UserError, match="no audio in"):
            read(tmp_path / "empty")

    def test_a_name_that_is_not_utf_8_is_refused(self, folder):
        import os

        Path(os.fsdecode(os.fsencode(folder) + b"/\xff.wav")).write_bytes(b"x")
        with pytest.raises(UserError, match=r"not UTF-8: rename it"):
            read(folder)


class TestManifests:
    def test_rows_are_tracks_and_labels_are_sorted_names(self, folder):
        manifest = csv(
            folder / "all.csv",
            '\ufefftrack_id, path ,labels,year\nz,c.flac,"rock|calm",1\na,b/2.mp3,-,2\n\nm,a/1.WAV,calm,3\n',
        )
        found = read(manifest)
        assert found.labels == ("calm", "rock")
        assert [(track.track_id, track.name, track.labels) for track in found.tracks] == [
            ("a", "b/2.mp3", ()),
            ("m", "a/1.WAV", (0,)),
            ("z", "c.flac", (0, 1)),
        ]

    def test_labels_that_are_not_known_are_told_from_those_that_are_not_there(self, folder):
        manifest = csv(folder / "all.csv", "track_id,path,labels\na,c.flac,?rock|calm\nb,b/2.mp3,\nc,a/1.WAV, - \n")
        told = Told()
        found = read(manifest, report=told)
        assert found.labels == ("calm", "rock")
        assert [track.labels for track in found.tracks] == [(~1, 0), (ALL_UNKNOWN,), ()]
        assert len(told.lines) == 1
        assert "the labels of 1 of 3 tracks are empty" in told.lines[0]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("id,path\na,c.flac\n", "line 1: the header lacks track_id; it has id, path"),
            ("track_id,path,path\na,c.flac,x\n", "line 1: the header names path more than once"),
            ("track_id,path\n", "no rows"),
            ("", "line 1: the header lacks track_id, path; it has nothing"),
            ("track_id,path\na,c.flac,1\n", "line 2: 3 cells where the header has 2"),
            ("track_id,path\na,c.flac\na,b/2.mp3\n", "line 3: the track_id 'a' is there twice"),
            ("track_id,path\n,c.flac\n", "line 2: the track_id is empty"),
            ("track_id,path\na,\n", "line 2: the path is empty"),
            ("track_id,path\na,gone.wav\n", "line 2: there is no file .*gone.wav"),
            ("track_id,path,labels\na,c.flac,x||y\n", "line 2: an empty label in 'x||y'"),
            ("track_id,path,labels\na,c.flac,x|x\n", "line 2: the label 'x' is there twice"),
            ("track_id,path,labels\na,c.flac,\n", "names no label at all"),
            ("track_id,path,labels\na,c.flac,-\n", "names no label at all"),
            ("track_id,path,labels\na,c.flac,?\n", "line 2: an empty label in '\\?'"),
            ("track_id,path,labels\na,c.flac,x|?x\n", "line 2: the label 'x' is there twice"),
            ("track_id,path,labels\na,c.flac,x|-\n", "line 2: - stands for no label"),
            ("track_id,path,labels\na,c.flac,nan\n", "line 2: the label 'nan': leave the cell empty"),
            ("track_id,path,labels\na,c.flac,x|NaN\n", "line 2: the label 'NaN': leave the cell empty"),
            ('track_id,path\n"a,c.flac\n', "line"),
        ],
    )
    def test_every_problem_names_file_and_line(self, folder, text, message):
        manifest = csv(folder / "all.csv", text)
        with pytest.raises(UserError, match=message) as refused:
            read(manifest)
        assert "all.csv" in str(refused.value)

    def test_text_that_is_not_utf_8_is_refused(self, folder):
        (folder / "all.csv").write_bytes(b"track_id,path\n\xe9,c.flac\n")
        with pytest.raises(UserError, match=r"not UTF-8"):
            read(folder / "all.csv")


class TestLabelFiles:
    def test_a_file_of_labels_gives_them_by_id_and_surplus_is_told(self, folder, tmp_path):
        labels = csv(tmp_path / "labels.csv", "track_id,labels\nc.flac,x|y\na/1.WAV,-\nb/2.mp3,y\nother.wav,z\n")
        told = Told()
        found = read(folder, labels, told)
        assert found.labels == ("x", "y")
        assert [track.labels for track in found.tracks] == [(), (1,), (0, 1)]
        assert "other.wav" in told.lines[-1]

    def test_a_track_without_a_row_is_refused(self, folder, tmp_path):
        labels = csv(tmp_path / "labels.csv", "track_id,labels\n1,x\n2,y\n")
        with pytest.raises(UserError, match=r"does not match .*: 3 of its 3 tracks have no row there .*such as 1, 2"):
            read(folder, labels)

    def test_labels_twice_are_refused(self, folder, tmp_path):
        labels = csv(tmp_path / "labels.csv", "track_id,labels\na,x\n")
        manifest = csv(folder / "all.csv", "track_id,path,labels\na,c.flac,x\n")
        with pytest.raises(UserError, match="labels of its own"):
            read(manifest, labels)

    def test_rows_that_cannot_be_used_are_refused(self, folder, tmp_path):
        labels = csv(tmp_path / "labels.csv", "track_id,labels\na/1.WAV,x\na/1.WAV,y\n")
        with pytest.raises(UserError, match=r"labels.csv cannot be used: mend these rows:\nline 3: .*twice"):
            read(folder, labels)
        with pytest.raises(UserError, match=r"cannot read .*gone.csv"):
            read(folder, tmp_path / "gone.csv")
