"""The key of embeddings: it changes with all that changes their numbers, and with nothing else."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.audio.decode import AudioRule
from benchmark.audio.windows import WindowRule
from benchmark.embeddings import space as spaces
from benchmark.embeddings.space import space_of
from benchmark.encoders.base import Encoder
from benchmark.encoders.registry import resolve_one
from benchmark.errors import UserError


class Example(Encoder):
    name, version, sample_rate, dim, minimum_seconds = "example", "1", 16000, 4, 0.5

    def __init__(self, weights: float = 1.0, **declared) -> None:
        vars(self).update(declared)
        self.net = torch.nn.Linear(2, 4)
        torch.nn.init.constant_(self.net.weight, weights)
        torch.nn.init.zeros_(self.net.bias)
        self.gain = 0.5
        self.device = "cpu"


def key(encoder: Encoder | None = None, window: float | None = None, hop: float | None = None) -> str:
    return space_of(encoder or Example(), window, hop).key


class TestKey:
    def test_two_instances_share_it(self):
        assert key() == key()

    @pytest.mark.parametrize(
        "declared",
        [
            {"name": "renamed"},
            {"version": "2"},
            {"weights": 2.0},
            {"sample_rate": 22050},
            {"channels": 2},
            {"window_seconds": 4.0},
            {"hop_seconds": 1.0},
            {"hop_seconds": None},
            {"minimum_seconds": 1.0},
            {"padding": "zero"},
            {"dim": 8},
            {"layers": ("a", "b")},
            {"arrays": "numpy"},
            {"extra": 1},
        ],
        ids=str,
    )
    def test_it_changes_with_what_an_encoder_declares(self, declared):
        assert key(Example(**declared)) != key()

    def test_it_changes_with_an_attribute(self):
        louder = Example()
        louder.gain = 0.6
        assert key(louder) != key()

    def test_it_changes_with_one_weight(self):
        other = Example()
        with torch.no_grad():
            other.net.bias[3] = 1e-7
        assert key(other) != key()

    def test_it_changes_with_a_tasks_window(self):
        keys = {key(), key(window=3.0), key(window=5.0), key(window=5.0, hop=1.0), key(window=5.0, hop=2.0)}
        assert len(keys) == 5

    def test_a_tasks_window_that_is_the_encoders_own_shares_it(self):
        assert key(window=3.0, hop=2.0) == key()

    @pytest.mark.parametrize("library", ["soundfile.__libsndfile_version__", "soxr.__version__"])
    def test_it_changes_with_the_decoder_and_the_resampler(self, monkeypatch, library):
        before = key()
        monkeypatch.setattr(library, "99.0")
        assert key() != before

    def test_it_changes_with_the_audio_pipeline(self, monkeypatch):
        before = key()
        monkeypatch.setattr("benchmark.audio.decode.PIPELINE_VERSION", 99)
        assert key() != before

    def test_it_changes_with_the_pooling(self, monkeypatch):
        before = key()
        monkeypatch.setattr(spaces, "POOLING", "max")
        assert key() != before

    def test_it_does_not_change_with_the_device(self):
        moved = Example()
        moved.to("cpu")
        moved.device = "cuda:1"
        assert key(moved) == key()

    def test_it_does_not_change_with_the_order_of_attributes(self):
        other = Example()
        other.net, other.gain = other.__dict__.pop("net"), other.__dict__.pop("gain")
        assert list(vars(other)) != list(vars(Example()))
        assert key(other) == key()

    def test_it_changes_with_the_code_of_a_plug_in(self, tmp_path):
        file = tmp_path / "mine.py"
        code = (
            "from benchmark import Encoder\nclass Mine(Encoder):\n    name, sample_rate, dim = 'mine', 16000, 1\n"
            "    def embed(self, x):\n        return x.mean((1, 2))[:, None]"
        )
        file.write_text(code + "\n")
        before, again = key(resolve_one(str(file))), key(resolve_one(str(file)))
        file.write_text(code + " * 2\n")
        assert before == again
        assert key(resolve_one(str(file))) != before

    def test_every_attribute_of_a_space_but_the_name_for_people_counts(self):
        space = space_of(Example(), None, None)
        others = {
            "version": "x",
            "fingerprint": "x",
            "pipeline": "x",
            "audio": AudioRule(8000),
            "windows": WindowRule(1, 1, 1, "zero"),
            "pooling": "x",
            "dim": 99,
            "layers": ("x",),
        }
        assert set(others) | {"encoder"} == set(space.describe()) - {"key"}
        assert all(replace(space, **{name: value}).key != space.key for name, value in others.items())
        assert replace(space, encoder="x").key == space.key


class TestSpace:
    def test_what_it_holds(self):
        space = space_of(Example(), None, None)
        assert (space.encoder, space.version, space.dim, space.layers, space.width) == ("example", "1", 4, None, 4)
        assert space.audio == AudioRule(16000, 1)
        assert space.windows == WindowRule(48000, 32000, 8000, "repeat")

    def test_layers_lie_side_by_side(self):
        assert space_of(Example(layers=("a", "b", "c")), None, None).width == 12

    @pytest.mark.parametrize("name", ["a/../b", "org/model@1", "Ünï ♪", "x" * 300, "..", "."])
    def test_the_folder_is_one_safe_name(self, name):
        folder = space_of(Example(name=name), None, None).folder
        assert len(folder) <= 77
        assert folder not in (".", "..")
        assert set(folder) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")

    def test_spaces_that_read_alike_have_their_own_folders(self):
        folders = {space_of(Example(name=name), None, None).folder for name in ("a/b", "a b", "a-b")}
        assert len(folders) == 3

    def test_its_description_is_json(self):
        space = space_of(Example(layers=("a",)), None, None)
        described = json.loads(json.dumps(space.describe()))
        assert described["key"] == space.key
        assert described["windows"] == {"window": 48000, "hop": 32000, "minimum": 8000, "padding": "repeat"}


class TestDeclarations:
    @pytest.mark.parametrize("missing", ["name", "sample_rate", "dim"])
    def test_what_is_missing_is_named(self, missing):
        members = {"name": "example", "sample_rate": 16000, "dim": 4}
        del members[missing]
        with pytest.raises(UserError, match=f"the encoder Partial does not declare {missing}"):
            space_of(type("Partial", (Encoder,), members)(), None, None)

    @pytest.mark.parametrize(
        ("attribute", "value"),
        [
            ("name", " "),
            ("name", 3),
            ("version", 1),
            ("version", ""),
            ("sample_rate", 16000.0),
            ("sample_rate", 0),
            ("sample_rate", "16000"),
            ("dim", -1),
            ("dim", 2.5),
            ("channels", 3),
            ("channels", "mono"),
            ("padding", "reflect"),
            ("padding", None),
            ("arrays", "jax"),
            ("window_seconds", "3"),
            ("window_seconds", np.nan),
            ("window_seconds", -1),
            ("hop_seconds", float("inf")),
            ("minimum_seconds", -0.1),
            ("maximum_seconds", "long"),
            ("layers", ()),
            ("layers", "abc"),
            ("layers", ["a", "b"]),
            ("layers", (1, 2)),
            ("layers", 3),
        ],
    )
    def test_what_is_wrong_is_named(self, attribute, value):
        with pytest.raises(UserError, match=f"Example declares {attribute} = "):
            space_of(Example(**{attribute: value}), None, None)

    def test_a_window_that_the_encoder_cannot_take_is_refused(self):
        with pytest.raises(UserError, match="choose another encoder"):
            space_of(Example(), 0.1, None)
