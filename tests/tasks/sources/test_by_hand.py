"""What is said of files that are to be brought by hand."""

import hashlib

import pytest

from tasks.errors import TaskError
from tasks.sources.by_hand import absent, by_hand
from tasks.sources.card import Source
from tasks.sources.fetch import refuse_other

CONTENT = b"annotations"


def source(file="a.txt", **more):
    known = {
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "size": len(CONTENT),
        "urls": ("http://one/a", "http://two/a"),
    }
    return Source(file=file, what="annotations", **(known | more))


def test_a_file_is_told_with_all_that_is_known(tmp_path):
    told = by_hand(absent([source(note="Ask  the\nauthors.")], tmp_path), "bench data fetch x")
    assert told.splitlines()[1:] == [
        f"  {tmp_path / 'a.txt'}",
        f"      11 bytes, sha256 {hashlib.sha256(CONTENT).hexdigest()}",
        "      from http://one/a",
        "      from http://two/a",
        "      Ask the authors.",
        "Then: bench data fetch x",
    ]


def test_nothing_is_told_where_all_is_here(tmp_path):
    (tmp_path / "a.txt").write_bytes(CONTENT)
    assert absent([source()], tmp_path) == []
    assert by_hand([], "bench data fetch x") == ""


def test_a_file_of_other_bytes_is_absent(tmp_path):
    (tmp_path / "a.txt").write_bytes(CONTENT[::-1])
    assert [path.name for _, path in absent([source()], tmp_path)] == ["a.txt"]


def test_a_folder_in_the_place_of_a_source_without_address_is_here(tmp_path):
    folder = source("audio", urls=(), size=None, sha256=None)
    assert len(absent([folder], tmp_path)) == 1
    (tmp_path / "audio").mkdir()
    assert absent([folder], tmp_path) == []


def test_large_files_are_held_to_their_checksum(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.sources.state.SMALL", 5)
    (tmp_path / "a.txt").write_bytes(CONTENT[::-1])
    with pytest.raises(TaskError, match=r"a\.txt: wrong sha256: .*Remove it, then run the same command again"):
        refuse_other([source()], tmp_path)
    (tmp_path / "a.txt").write_bytes(CONTENT)
    refuse_other([source()], tmp_path)
