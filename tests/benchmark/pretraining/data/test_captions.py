"""Files of captions: each belongs to its track, and what cannot be used is refused by its line."""

from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.pretraining.data.sources import read_source
from benchmark.system.progress import Silent


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("b/2.mp3", "a/1.WAV", "c.flac"):
        (tmp_path / "audio" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "audio" / name).write_bytes(b"x")
    return tmp_path / "audio"


@pytest.fixture
def read(folder, tmp_path):
    """Return what a file of this content gives, of the folder or of another source, and what is said."""

    def reading(content: str | bytes, source: Path = folder) -> tuple[dict[str, tuple[str, ...]] | None, list[str]]:
        path, told = tmp_path / "captions.csv", Told()
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_source(source, None, told, path).captions, told.lines

    return reading


class TestContents:
    @pytest.mark.parametrize("column", ["track_id", "track", "path"])
    def test_tracks_are_named_by_ids_or_paths_and_may_have_several_captions(self, read, column):
        found, told = read(
            f"{column},caption\na/1.WAV,loud drums\nc.flac,calm\nb/2.mp3,x\na/1.WAV,fast\na/1.WAV,fast\n"
        )
        assert found == {"a/1.WAV": ("loud drums", "fast", "fast"), "b/2.mp3": ("x",), "c.flac": ("calm",)}
        assert told == []

    def test_paths_are_those_of_the_manifest_or_of_the_files(self, read, folder, tmp_path):
        manifest = folder / "all.csv"
        manifest.write_text("track_id,path\nx,c.flac\ny,b/2.mp3\nz,c.flac\n")
        found, _ = read(f"path,caption\nc.flac,one\naudio/b/2.mp3,two\n{folder / 'b' / '2.mp3'},three\n", manifest)
        assert found == {"x": ("one",), "y": ("two", "three"), "z": ("one",)}

    def test_an_id_decides_where_a_path_stands_beside_it(self, read):
        assert read("path,caption,track_id\nelsewhere.wav,calm,c.flac\n")[0] == {"c.flac": ("calm",)}

    def test_text_is_one_line_in_nfc_whatever_wrote_the_file(self, read):
        content = (
            '\ufefftrack_id,caption\r\nc.flac,"A cafe\u0301,\r\n  slow\tand ""warm"""\r\na/1.WAV,  flu\u0302te  \r\n'
        )
        found, _ = read(content)
        assert found == {"a/1.WAV": ("fl\u00fbte",), "c.flac": ('A caf\u00e9, slow and "warm"',)}

    def test_an_empty_caption_is_one_that_is_missing_and_is_told(self, read):
        found, told = read('track_id,caption\na/1.WAV,\nb/2.mp3,x\nc.flac,"  "\n')
        assert found == {"b/2.mp3": ("x",)}
        assert len(told) == 1
        assert "2 of the 3 tracks" in told[0]
        assert "have no caption" in told[0]

    def test_rows_of_other_tracks_are_counted(self, read):
        found, told = read("track_id,caption\na/1.WAV,x\nother.wav,y\nanother.wav,z\nb/2.mp3,x\nc.flac,x\n")
        assert found == {"a/1.WAV": ("x",), "b/2.mp3": ("x",), "c.flac": ("x",)}
        assert told == [told[0]]
        assert "2 of its 5 rows are of no track of" in told[0]
        assert "other.wav, another.wav" in told[0]


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("track_id,text\na/1.WAV,x\n", "line 1: the header lacks caption; it has track_id, text"),
            (
                "file,caption\na/1.WAV,x\n",
                "line 1: no column says of which track a caption is: it has neither track_id, ",
            ),
            ("track_id,caption,caption\na/1.WAV,x,y\n", "line 1: the header names caption more than once"),
            ("track_id,caption\n", "has no rows below its header"),
            ("", "line 1: the header lacks caption; it has nothing"),
            ("track_id,caption\na/1.WAV,slow, calm\n", "line 2: 3 cells where the header has 2"),
            ("track_id,caption\n,x\n", "line 2: the track_id is empty"),
            ("path,caption\n,x\n", "line 2: the path is empty"),
            ("track_id,caption\na/1.WAV,nan\n", "line 2: the caption 'nan': leave the cell empty"),
            ("track_id,caption\na/1.WAV,x\x00y\n", r"line 2: the caption has the control character U\+0000"),
            ("track_id,caption\na/1.WAV,\x1b[2J\n", r"line 2: the caption has the control character U\+001B"),
            ('track_id,caption\na/1.WAV,"x\n', "line"),
            (
                "track_id,caption\nx.wav,one\ny.wav,two\n",
                r"none of its 2 rows is of one of the 3 tracks .*x.wav, y.wav",
            ),
            ("path,caption\nx.wav,one\n", r"its column 'path' has x.wav"),
            ("track_id,caption\na/1.WAV,\nb/2.mp3,\n", "every caption of a track of .* is empty"),
        ],
    )
    def test_every_problem_names_the_file(self, read, content, message):
        with pytest.raises(UserError, match=message) as refused:
            read(content)
        assert "captions.csv" in str(refused.value)

    @pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp932"])
    def test_another_encoding_is_refused(self, read, encoding):
        text = "track_id,caption\nc.flac,音楽\n" if encoding == "cp932" else "track_id,caption\nc.flac,fl\u00fbte\n"
        with pytest.raises(UserError, match=r"captions.csv is not UTF-8 text.*: save it as UTF-8"):
            read(text.encode(encoding))

    def test_utf_16_without_a_mark_is_refused_too(self, read):
        with pytest.raises(UserError, match="the header lacks caption"):
            read("track_id,caption\nc.flac,calm\n".encode("utf-16-le"))

    def test_a_file_that_is_not_there(self, folder, tmp_path):
        with pytest.raises(UserError, match=r"cannot read .*gone.csv"):
            read_source(folder, None, Silent(), tmp_path / "gone.csv")
