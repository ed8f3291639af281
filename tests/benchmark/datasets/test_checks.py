"""What the checks say of single files and items; the commands that use them are tested in test_data.py."""

import hashlib

import numpy as np
import pytest
import soundfile

from benchmark.audio.integrity import CHANGED
from benchmark.datasets.checks import has, source_state, verify_audio, verify_items, verify_sources
from tasks.card import TaskCard
from tasks.items import Items
from tasks.sources.card import Source
from tasks.sources.locations import CollectionLocation
from tests.benchmark.sound_bytes import frame_starts, mp3, sound

SOURCE = Source(file="list.txt", what="annotations", sha256=hashlib.sha256(b"abc").hexdigest(), size=3)
CARD = TaskCard(
    id="t", title="T", kind="multilabel", metrics=("map",), collection="c", labels=("x", "y"), outputs=("tags",),
    sizes={"train": 2, "test": 1},
)  # fmt: skip


def problems(findings):
    """Print what was found, and return how many problems are among it."""
    findings = list(findings)
    print(*(finding.text for finding in findings), sep="\n")
    return sum(finding.is_error for finding in findings)


@pytest.fixture
def place(tmp_path):
    return CollectionLocation("c", tmp_path, tmp_path, False, "data home")


@pytest.fixture
def items(tmp_path):
    audio = tuple(tmp_path / f"{name}.wav" for name in "abc")
    for path in audio:
        soundfile.write(path, np.full(100, 0.1), 8000)
    targets = np.array([[1, 1], [0, 0], [0, 1]], np.float32)
    return Items(("a", "b", "c"), ("train", "train", "test"), audio, None, targets, ("x", "y"))


def test_the_state_of_a_source(place, tmp_path):
    own = SOURCE.model_copy(update={"urls": ("http://127.0.0.1:9/list.txt",)})
    assert source_state(SOURCE, place) == "not here; it cannot be downloaded"
    assert source_state(own, place) == "not here"
    (tmp_path / "list.txt").write_bytes(b"abc")
    assert has(SOURCE, place)
    assert source_state(SOURCE, place) == "here"
    (tmp_path / "audio").mkdir()
    assert source_state(Source(file="audio", what="audio"), place) == "here"


def test_sources_are_hashed_those_of_audio_only_on_demand(place, tmp_path, capsys):
    (tmp_path / "list.txt").write_bytes(b"abc")
    assert problems(verify_sources([SOURCE], place, everything=False)) == 0
    assert "list.txt: sha256 is right" in capsys.readouterr().out
    (tmp_path / "list.txt").write_bytes(b"abd")
    assert problems(verify_sources([SOURCE], place, everything=False)) == 1
    assert "PROBLEM" in capsys.readouterr().out
    audio = SOURCE.model_copy(update={"what": "audio"})
    assert problems(verify_sources([audio], place, everything=False)) == 0
    assert problems(verify_sources([audio], place, everything=True)) == 1


def test_items_are_compared_with_the_card(items, capsys):
    assert problems(verify_items(CARD, items)) == 0
    text = capsys.readouterr().out
    assert "t: train 2, valid 0, test 1 as the card says; 2 label(s)" in text
    assert "a  x, y" in text
    assert "b  no label" in text
    assert "audio:" not in text
    other = CARD.model_copy(update={"sizes": {"train": 3}, "labels": ("y", "x")})
    assert problems(verify_items(other, items)) == 2


def test_audio_is_looked_for_and_decoded(items, capsys):
    assert problems(verify_audio(items, everything=False)) == 0
    assert "decoded 3 file(s): all sound" in capsys.readouterr().out
    items.audio[0].write_bytes(b"")
    items.audio[1].unlink()
    items.audio[2].write_bytes(b"<html>")
    assert problems(verify_audio(items, everything=False)) == 3
    assert "decoded 1 file(s): 1 damaged" in capsys.readouterr().out
    items.audio[2].unlink()
    assert problems(verify_audio(items, everything=False)) == 2
    assert "no audio file was decoded" in capsys.readouterr().out


def test_what_is_odd_and_no_problem_is_told(items, capsys):
    items.audio[0].write_bytes(mp3(8000, tag=False)[:-30])
    data = mp3(8000)
    at = frame_starts(data)[10] + 30
    items.audio[1].write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    soundfile.write(items.audio[2], np.full(900, 0.1), 8000)
    assert problems(verify_audio(items, everything=False)) == 0
    text = capsys.readouterr().out
    assert f"note: 1 file(s): it ends inside an MPEG frame:\n      {items.audio[0]}" in text
    assert f"note: 1 file(s): {CHANGED}:\n      {items.audio[1]}" in text
    assert f"far shorter than the others (under a tenth of the median, 2.0 s):\n      {items.audio[2]}" in text


def test_a_flac_file_whose_digest_is_another_is_a_problem(items, capsys):
    data = sound("FLAC")
    items.audio[0].write_bytes(data[:26] + bytes([data[26] ^ 1]) + data[27:])
    assert problems(verify_audio(items, everything=False)) == 1
    assert "its samples fail FLAC's MD5" in capsys.readouterr().out
