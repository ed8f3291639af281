import os
import subprocess
import sys

import pytest

from tasks.sources.layout import choose_folder, denied, folder_with, near_miss

FOLDERS = ("genres", "genres_original", "Data/genres_original")
SIGNS = ("blues", "rock")


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_the_folder_that_is_there_is_chosen_and_otherwise_the_first(tmp_path):
    assert choose_folder(tmp_path, ("a", "b")) == tmp_path / "a"
    (tmp_path / "b" / "0").mkdir(parents=True)
    assert choose_folder(tmp_path, ("a", "b")) == tmp_path / "b"
    (tmp_path / "a").mkdir()
    assert choose_folder(tmp_path, ("a", "b")) == tmp_path / "a"
    assert choose_folder(tmp_path, ("a", "b"), ("0",)) == tmp_path / "b"


@pytest.mark.parametrize(
    ("file", "chosen"),
    [
        ("genres/blues/1.wav", "genres"),
        ("genres_original/rock/1.wav", "genres_original"),
        ("Data/genres_original/rock/1.wav", "Data/genres_original"),
        ("blues/1.wav", ""),
        ("archive/Data/genres_original/rock/1.wav", "archive/Data/genres_original"),
        ("archive/genres/blues/1.wav", "archive/genres"),
        ("elsewhere/1.wav", "genres"),
        ("a/b/c/genres/blues/1.wav", "genres"),
    ],
)
def test_a_level_too_deep_or_too_high_is_taken(tmp_path, file, chosen):
    make(tmp_path, file)
    assert choose_folder(tmp_path, FOLDERS, SIGNS) == tmp_path / chosen


def test_the_folder_itself_comes_after_the_named_ones_and_two_below_are_not_guessed_from(tmp_path):
    make(tmp_path, "one/genres/blues/1.wav", "two/genres/blues/1.wav")
    assert choose_folder(tmp_path, FOLDERS, SIGNS) == tmp_path / "genres"
    make(tmp_path, "blues/1.wav", "genres/rock/1.wav")
    assert choose_folder(tmp_path, FOLDERS, SIGNS) == tmp_path / "genres"


def test_a_file_is_found_one_folder_below_or_two_above(tmp_path):
    make(tmp_path, "nsynth/nsynth-train/examples.json", "nsynth/nsynth-train/audio/a.wav")
    name = "nsynth-train/examples.json"
    for named in (tmp_path, tmp_path / "nsynth" / "nsynth-train", tmp_path / "nsynth" / "nsynth-train" / "audio"):
        assert folder_with(named, name) == tmp_path / "nsynth"
    assert folder_with(tmp_path, "nsynth-test/examples.json") is None
    make(tmp_path, "copy/nsynth-train/examples.json")
    assert folder_with(tmp_path, name) is None


def test_missing_files_tell_which_folder_was_meant(tmp_path):
    make(tmp_path, *(f"set/audio/{i % 3}/{i}.mp3" for i in range(9)))
    root = tmp_path / "set" / "audio" / "0"
    paths = [root / "audio" / str(i % 3) / f"{i}.mp3" for i in range(9)]
    assert near_miss(paths, root, root) == tmp_path / "set"
    other = tmp_path / "elsewhere"
    other.mkdir()
    assert near_miss([other / "audio" / "0" / "0.mp3"], other, other) is None


def test_a_missing_file_is_not_denied(tmp_path):
    assert denied(tmp_path / "none" / "a.wav") is None
    assert denied(tmp_path) is None
    assert denied(tmp_path / "a\0.wav") is None


CHILD = """
import os, sys
from pathlib import Path
from tasks.sources.layout import denied
os.setgid(65534); os.setuid(65534)
print(denied(Path(sys.argv[1])))
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may become somebody else")
def test_a_folder_without_permission_is_named(tmp_path):
    (tmp_path / "open" / "shut" / "deep").mkdir(parents=True)
    path = tmp_path / "open" / "shut" / "deep" / "a.wav"
    path.touch()
    for folder in [tmp_path, *tmp_path.parents[:-2]]:
        folder.chmod(0o755)
    (tmp_path / "open" / "shut").chmod(0o700)
    done = subprocess.run([sys.executable, "-c", CHILD, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "open" / "shut")


def test_a_folder_that_the_system_refuses_is_named(tmp_path, monkeypatch):
    (tmp_path / "shut").mkdir()
    real = os.stat

    def stat(path, *args, **kwargs):
        if str(path).startswith(str(tmp_path / "shut") + os.sep):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", stat)
    assert denied(tmp_path / "shut" / "deep" / "a.wav") == tmp_path / "shut"
