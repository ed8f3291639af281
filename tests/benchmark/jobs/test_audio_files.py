from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.jobs.audio_files import audio_files


class Said:
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.fixture
def said():
    return Said()


def touched(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return [folder / name for name in names]


def test_files_are_taken_as_they_are_named_whatever_their_suffix_and_if_they_are_missing(tmp_path, said):
    named = [*touched(tmp_path, "b.wav", "a.bin"), tmp_path / "nowhere.mp3"]
    assert audio_files(named, said) == named
    assert said.lines == []


def test_a_folder_gives_all_audio_below_it_and_the_rest_is_named_and_counted(tmp_path, said):
    touched(tmp_path, "x/same.wav", "y/same.WAV", "z.mp3", "cover.jpg", "notes.txt", "c", "d", "e", "f")
    found = audio_files([tmp_path], said)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["x/same.wav", "y/same.WAV", "z.mp3"]
    (line,) = said.lines
    assert f"{tmp_path}: 6 files have no suffix of audio and are left aside: c, cover.jpg, d, e, f and 1 more" in line


@pytest.mark.parametrize(
    ("names", "words"),
    [((), "it holds no file"), (("notes.txt", "cover.jpg"), r"none of its 2 files .* \(cover.jpg, notes.txt\)")],
)
def test_a_folder_without_audio_is_refused(tmp_path, said, names, words):
    touched(tmp_path, *names)
    with pytest.raises(UserError, match=rf"no audio in {tmp_path}: {words}.*\.wav.*or another folder"):
        audio_files([tmp_path], said)


def test_a_name_with_escape_sequences_is_inert_in_messages(tmp_path, said):
    touched(tmp_path, "a.wav", "b\x1b[31m\nbench: all is well.txt")
    audio_files([tmp_path], said)
    assert "\x1b" not in said.lines[0]
    assert "\n" not in said.lines[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", "path\nx/a.wav\n\nb.wav\n"),
        ("m.csv", "id;audio;mood\n1;x/a.wav;calm\n2; b.wav ;wild\n"),
        ("m.tsv", "file\tmood\nx/a.wav\tcalm, wild\nb.wav\twild\n"),
        ("M.CSV", '\ufeff"path","title"\n"x/a.wav","a, b"\nb.wav,c\n'),
    ],
)
def test_a_manifest_names_files_relative_to_itself(tmp_path, said, name, text):
    touched(tmp_path / "data", "x/a.wav")
    (tmp_path / "data" / name).write_text(text, encoding="utf-8")
    assert audio_files([tmp_path / "data" / name], said) == [tmp_path / "data/x/a.wav", tmp_path / "data/b.wav"]


def test_a_list_has_a_path_a_line(tmp_path, said):
    touched(tmp_path, "a.wav")
    (tmp_path / "list.txt").write_text(f"a.wav\n\n/absent/b c.wav\n{tmp_path}/a.wav\n")
    found = audio_files([Path(f"@{tmp_path}/list.txt")], said)
    assert found == [tmp_path / "a.wav", Path("/absent/b c.wav")]
    assert said.lines == ["1 files are named more than once, and taken once"]


def test_names_are_found_in_the_form_of_the_disk(tmp_path, said):
    touched(tmp_path, "Sen\u0303or.wav")
    (tmp_path / "m.csv").write_text("path\nSe\u00f1or.wav\n", encoding="utf-8")
    assert audio_files([tmp_path / "m.csv"], said)[0].is_file()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,title\n1,x\n", r"no column of paths: its header has 'id', 'title'\. Call the column 'path'"),
        ("path,id\n,1\n", "line 2: the column 'path' is empty: name the file"),
        ("path\n", "names no file: write a row"),
        ("", "is empty"),
        ("path,path\na,b\n", "the column 'path' is there twice"),
        ("path,id\na.wav\n", "1 cells where the header has 2"),
    ],
)
def test_a_manifest_that_names_nothing_is_refused(tmp_path, said, text, words):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        audio_files([tmp_path / "m.csv"], said)


def test_a_manifest_or_list_that_is_not_there_is_refused(tmp_path, said):
    with pytest.raises(UserError, match=r"there is no manifest .*m\.csv: name a CSV"):
        audio_files([tmp_path / "m.csv"], said)
    with pytest.raises(UserError, match=r"list\.txt"):
        audio_files([Path(f"@{tmp_path}/list.txt")], said)
