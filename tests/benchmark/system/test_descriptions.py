"""Files beside embeddings, runs and stores that somebody has replaced: said or passed over, never waited for."""

from __future__ import annotations

import hashlib
import json
import os
import time

import pytest

from benchmark.embeddings.store import FOLDER
from benchmark.errors import UserError
from benchmark.pretraining.data.hashes import NAME, FileHashes
from benchmark.pretraining.data.store import DESCRIPTION, open_store
from benchmark.pretraining.runs import CARD, DATA, RECIPE, RUNS, data_of, runs
from benchmark.reports.cache import cached_spaces
from benchmark.system.descriptions import read_description

CONTENTS = {
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "digits": b'{"dim": ' + b"9" * 10_000 + b"}",
    "infinite": b'{"encoder": "x", "dim": 1e999, "layers": 3}',
    "nan": b'{"encoder": "x", "dim": NaN, "layers": {"a": 1}}',
    "negative": b'{"encoder": "x", "dim": -4}',
    "text": b'{"encoder": "x", "dim": "abc", "steps": [], "title": ["a"], "fingerprint": {}}',
    "list": b"[1]",
    "surrogate": b'{"encoder": "\\ud800", "fingerprint": 7}',
    "not utf-8": b'{"a": "\xff"}',
    "empty": b"",
}


def place_content(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def place_sparse(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(5 * 2**30)


def place_folder(path):
    path.mkdir(parents=True)


def place_link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def place_pipe(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


HOSTILE = {
    **{name: (lambda path, content=content: place_content(path, content)) for name, content in CONTENTS.items()},
    "5 GB": place_sparse,
    "folder": place_folder,
    "itself": lambda path: place_link(path, path.name),
    **({"device": lambda path: place_link(path, "/dev/zero"), "pipe": place_pipe} if hasattr(os, "mkfifo") else {}),
}


@pytest.fixture(params=sorted(HOSTILE))
def hostile(request):
    return HOSTILE[request.param]


@pytest.fixture(autouse=True)
def at_once():
    begun = time.process_time()
    yield
    assert time.process_time() - begun < 10


def test_a_description_is_an_object_or_an_error(tmp_path, hostile):
    hostile(tmp_path / "x.json")
    said = ""
    try:
        read = read_description(tmp_path / "x.json")
    except (OSError, ValueError) as error:
        read, said = {}, str(error)
    assert isinstance(read, dict)
    assert not said or (str(tmp_path / "x.json") in said and "\n" not in said)


def test_spaces_are_listed_with_any_description(tmp_path, hostile):
    hostile(tmp_path / FOLDER / "space" / "space.json")
    (space,) = cached_spaces(tmp_path)
    assert (space.width, space.tracks) == (0, 0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files on this system")
def test_spaces_are_listed_with_a_pipe_among_their_shards(tmp_path):
    state = {"dim": 3}
    key = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
    folder = tmp_path / FOLDER / f"x-{key[:16]}"
    place_content(folder / "space.json", json.dumps({"key": key, "encoder": "x", **state}).encode())
    place_pipe(folder / "1.parquet")
    (space,) = cached_spaces(tmp_path)
    assert (space.encoder, space.width, space.tracks) == ("x", 3, 0)


def test_runs_are_listed_with_any_card(tmp_path, hostile):
    place_content(tmp_path / RUNS / "mine" / RECIPE, b"")
    hostile(tmp_path / RUNS / "mine" / CARD)
    (run,) = runs(tmp_path)
    assert run.name == "mine"
    assert run.step is None
    assert isinstance(run.title, str)


def test_what_a_run_says_of_its_store_is_refused_in_a_sentence(tmp_path, hostile):
    hostile(tmp_path / DATA)
    with pytest.raises(UserError, match=f"{DATA}.*(restore it, or train into a new --out)") as told:
        data_of(tmp_path)
    assert "\n" not in str(told.value)


def test_any_store_is_refused_in_a_sentence(tmp_path, hostile):
    hostile(tmp_path / DESCRIPTION)
    with pytest.raises(UserError, match="bench pretrain prepare") as told:
        open_store(tmp_path)
    assert "\n" not in str(told.value)


def test_files_are_hashed_again_where_what_was_seen_cannot_be_read(tmp_path, hostile):
    hostile(tmp_path / NAME)
    (tmp_path / "file").write_bytes(b"content")
    assert not FileHashes(tmp_path).knows(tmp_path / "file", "0" * 64)


def test_a_hugging_face_folder_is_refused_in_a_sentence(tmp_path, hostile):
    pytest.importorskip("transformers")
    from benchmark.encoders.registry import resolve

    hostile(tmp_path / "config.json")
    with pytest.raises(UserError, match=r"hf:") as told:
        resolve(f"hf:{tmp_path}", tmp_path)
    assert len(str(told.value)) < 2000
