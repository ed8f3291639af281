"""Files that cells name in all sorts of ways."""

import pytest

from tasks.own.audio_paths import AudioBelow, all_files, audio_files, is_audio_name, relative_path


@pytest.fixture
def music(tmp_path):
    for name in ("a/one.wav", "b/one.wav", "a/two words.mp3", "b/ü.flac", "b/note.txt", ".hidden/x.wav", "b/.y.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("cell", "file", "direct"),
    [
        ("a/one.wav", "a/one.wav", True),
        ("a\\one.wav", "a/one.wav", False),
        ("C:\\music\\b\\one.wav", "b/one.wav", False),
        ("/old/place/a/one.wav", "a/one.wav", False),
        ("two words.mp3", "a/two words.mp3", False),
        ("two words", "a/two words.mp3", False),
        ("b/u\u0308.flac", "b/ü.flac", True),
        ("one.wav", None, True),
        ("one", None, True),
        ("c/one.wav", None, True),
        ("none.wav", None, True),
        ("..", None, True),
        ("", None, True),
        ("x" * 300 + ".wav", None, True),
    ],
)
def test_a_cell_is_found_as_it_stands_or_by_the_end_of_its_path(music, cell, file, direct):
    found = AudioBelow(music).find([cell], music)
    assert found.files == (None if file is None else music / file,)
    assert found.direct == direct
    assert found.count == (file is not None)


def test_absolute_paths_stand(music, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    found = AudioBelow(elsewhere).find([str(music / "a" / "one.wav")], elsewhere)
    assert found.direct
    assert found.files == (music / "a" / "one.wav",)


def test_hidden_files_and_other_files_are_passed_over_and_circles_of_links_end(music):
    (music / "a" / "up").symlink_to(music)
    assert [path.relative_to(music).as_posix() for path in audio_files(music)] == [
        "a/one.wav", "a/two words.mp3", "b/one.wav", "b/ü.flac",
    ]  # fmt: skip
    assert sum(path.suffix == ".txt" for path in all_files(music)) == 1


def test_a_linked_folder_is_looked_into(music, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "linked").symlink_to(music / "a")
    assert [path.name for path in audio_files(other)] == ["one.wav", "two words.mp3"]


def test_relative_paths_lead_back_through_links(music, tmp_path_factory):
    real = tmp_path_factory.mktemp("real")
    link = music / "link"
    link.symlink_to(real)
    told = relative_path(music / "a" / "one.wav", link)
    assert (real / told).samefile(music / "a" / "one.wav")
    assert relative_path(music / "a" / "one.wav", music) == "a/one.wav"
    assert relative_path(music / " x.wav", music) == "./ x.wav"


def test_names_of_audio():
    assert is_audio_name("C:\\a\\B.WAV")
    assert not is_audio_name("a.wav/b")
    assert not is_audio_name("a")
