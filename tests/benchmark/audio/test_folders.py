import os

import pytest

from benchmark.audio.folders import files_below
from benchmark.errors import UserError
from tasks.files import AUDIO_SUFFIXES


def test_files_come_in_order_of_names_without_hidden_ones_and_circles(tmp_path):
    for name in ("b/2.wav", "b/1.wav", "a.txt", ".hidden/x.wav", "b/.y.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "around").symlink_to(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)] == ["a.txt", "b/1.wav", "b/2.wav"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def shut(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", shut)
    with pytest.raises(UserError, match=rf"cannot look into {tmp_path}: Permission denied\. Let it be read"):
        list(files_below(tmp_path))


def test_suffixes_are_small_letters():
    assert {suffix.lower() for suffix in AUDIO_SUFFIXES} == AUDIO_SUFFIXES
    assert {".wav", ".mp3", ".flac", ".m4a"} <= AUDIO_SUFFIXES
