"""The campaigns of harm themselves: that they do what they say, count what ended badly, and know damaged sound."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.campaigns import damage, hostile, swapped
from tests.campaigns.campaign import table
from tests.campaigns.damage import FORMATS, KINDS, Found, verdicts
from tests.campaigns.faults import changes
from tests.campaigns.trial import LIBRARIES, MEMORY, Ended, run


def test_damaged_sound_is_what_the_table_says(tmp_path):
    """34 kinds of damage in 12 formats, one draw of each."""
    found = list(damage.damaged(tmp_path, 1, 0))
    assert len(found) == len(KINDS) * len(FORMATS)
    bad = [f"{name}, {word}: {told}" for name, word, told in verdicts(found) if word.isupper()]
    assert not bad


def test_the_table_has_every_kind_in_every_format():
    assert damage.pinned().keys() == {(kind, name) for kind in KINDS for name in FORMATS}


@pytest.mark.parametrize("name", ["flac", "flac24", "ogg", "opus"])
def test_formats_with_checksums_hide_nothing(name):
    assert not [kind for (kind, each), outcomes in damage.pinned().items() if each == name and "other" in outcomes]


@pytest.mark.parametrize(
    ("kind", "outcome", "word"),
    [
        ("cut at 50 %", "refused", "refusal"),
        ("cut at 50 %", "other", "SILENT"),
        ("cut at 50 %", "whole", "UNPINNED"),
        ("4 kB of noise", "whole", "ok"),
        ("4 kB of noise", "other", "SILENT"),
        ("4 kB of noise", "TRACEBACK", "TRACEBACK"),
    ],
)
def test_an_outcome_that_is_not_pinned(kind, outcome, word):
    assert [found[1] for found in verdicts([Found(kind, "flac", Counter({outcome: 2}), "")])] == [word, word]


@pytest.mark.parametrize(
    ("ended", "word"),
    [
        (Ended(0, 1.0, 0, "done", ""), "ok"),
        (Ended(2, 1.0, 0, "", "bench: no"), "refusal"),
        (Ended(143, 1.0, 0, "", "bench: ended by SIGTERM"), "refusal"),
        (Ended(2, 1.0, 0, "", ""), "CRASH"),
        (Ended(-11, 1.0, 0, "", "bench: no"), "CRASH"),
        (Ended(1, 1.0, 0, "", "Traceback (most recent call last):\nKeyError"), "TRACEBACK"),
        (Ended(None, 1.0, 0, "", ""), "HANG"),
        (Ended(0, 61.0, 0, "", ""), "HANG"),
        (Ended(0, 1.0, MEMORY + LIBRARIES + 1, "", ""), "MEMORY"),
    ],
)
def test_how_a_command_ended(ended, word):
    assert ended.word == word


def test_a_command_that_takes_too_long_is_stopped(tmp_path):
    ended = run([sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"], tmp_path, wall=2.0)
    assert (ended.status, ended.word, ended.last) == (None, "HANG", "begun")


def test_which_events_change_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert changes("open", ("a", "w", 0o1101))
    assert changes("os.rename", (str(tmp_path / "a"), "b"))
    assert not changes("open", ("a", "r", 0))
    assert not changes("open", ("/elsewhere/a", "w", 0o1101))
    assert not changes("import", ("json",))


def test_there_are_300_hostile_files():
    cases = hostile.CASES | swapped.cases()
    assert len(cases) == len(hostile.CASES) + len(swapped.cases()) >= 300


def test_archives_are_given_to_what_unpacks_them(tmp_path):
    """The campaign writes a script for it: where a module was moved away, its traceback would be ours."""
    _, write = hostile.CASES["archive: noise"]
    ended = run(write(tmp_path), tmp_path)
    assert (ended.word, ended.status) == ("refusal", 2), ended.err


def test_what_takes_the_place_of_a_file(tmp_path):
    for name, swap in (swapped.ANY | swapped.TEXTS).items():
        path = Path(tmp_path / name.replace("/", " "))
        path.write_bytes(b'{"a": 1}' * 100)
        before = path.read_bytes()
        swap(path)
        assert not path.is_file() or path.stat().st_size == 0 or "/dev/zero" in name or path.read_bytes() != before


def test_the_table():
    found = table("kills", {"run": Counter(ok=2, LOST=1), "embed": Counter(ok=1)}, 90.0)
    assert found.splitlines() == [
        "## kills: 4 in 1.5 minutes", "", "| | ok | LOST |", "| --- | ---: | ---: |", "| run | 2 | 1 |",
        "| embed | 1 |  |", "| all | 3 | 1 |",
    ]  # fmt: skip
