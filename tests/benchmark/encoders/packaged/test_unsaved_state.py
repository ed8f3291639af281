"""State that no file holds: tiny models whose code comes with them, opened several times."""

import json
import os
import random
import shutil
import sys
import textwrap

import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported, which reads it once

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")

from safetensors.torch import load_file, save_file  # noqa: E402

from benchmark.encoders.packaged import unsaved_state  # noqa: E402
from benchmark.encoders.packaged.huggingface import open_huggingface  # noqa: E402
from benchmark.encoders.spec import parse  # noqa: E402
from benchmark.errors import UserError  # noqa: E402
from benchmark.reports import encoders  # noqa: E402

WIDTH = 8

#: A model as MERT-v2 is one: position tables that are computed when it is built and are no part of its weights.
CODE = """
import math
import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class TableConfig(PretrainedConfig):
    model_type = "table_music"

    def __init__(self, hidden_size=8, num_hidden_layers=2, scale=16.0, **others):
        super().__init__(**others)
        self.hidden_size, self.num_hidden_layers, self.scale = hidden_size, num_hidden_layers, scale


class Window:
    def __init__(self, length):
        self.values = torch.hann_window(length)


class Positions(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config.hidden_size
        frequencies = 1.0 / 100 ** (torch.arange(0, width, 2).float() / width)
        self.register_buffer("inv_freq", frequencies, persistent=False)
        self.scale = config.scale

    def forward(self, frames):
        angles = torch.arange(frames).float()[:, None] * self.inv_freq
        return self.scale * torch.cat([angles.sin(), angles.cos()], dim=1)


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.linear = nn.Linear(config.hidden_size, config.hidden_size)
        {block}

    def forward(self, hidden):
        return hidden + self.linear(hidden){used}


class TableModel(PreTrainedModel):
    config_class = TableConfig
    base_model_prefix = "table"
    {attributes}

    def __init__(self, config):
        super().__init__(config)
        self.frames = nn.Conv1d(1, config.hidden_size, 160, 160)
        self.positions = Positions(config)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        {init}
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Conv1d, Block)):
            for parameter in module.parameters(recurse=False):
                parameter.data.normal_(0, 0.5)  # written over, as code from before transformers 5 does it

    def forward(self, wave):
        hidden = self.frames(wave[:, None]).transpose(1, 2)
        hidden = hidden + self.positions(hidden.shape[1])
        for layer in self.layers:
            hidden = layer(hidden)
        {forward}
        return BaseModelOutput(last_hidden_state=hidden)
"""


@pytest.fixture(scope="module", autouse=True)
def modules_cache(tmp_path_factory):
    """Keep the copies that transformers makes of remote code out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path_factory.mktemp("remote-code")))
        yield


@pytest.fixture
def make(tmp_path):
    """Write a model with code of its own, changed as asked, and return its folder."""

    def write(name="table", init="", forward="", attributes="", block="", used=""):
        folder = tmp_path / name
        folder.mkdir()
        inside = {"init": init, "forward": forward, "block": block}
        parts = {key: textwrap.indent(text, " " * 8).strip() or "pass" for key, text in inside.items()}
        code = CODE
        for key, text in {**parts, "attributes": attributes or "pass", "used": used}.items():
            code = code.replace(f"{{{key}}}", text)
        (folder / "modeling_table.py").write_text(code)
        config = {
            "model_type": "table_music", "architectures": ["TableModel"], "hidden_size": WIDTH, "scale": 16.0,
            "auto_map": {"AutoConfig": "modeling_table.TableConfig", "AutoModel": "modeling_table.TableModel"},
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config))
        space = {}
        exec(compile(code, "made by the test", "exec"), space)
        torch.manual_seed(0)
        model = space["TableModel"](space["TableConfig"](hidden_size=WIDTH)).eval()
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors", PT)
        transformers.Wav2Vec2FeatureExtractor(sampling_rate=16000, do_normalize=False).save_pretrained(folder)
        models[folder] = model
        return folder

    models = {}
    write.models = models
    return write


PT = {"format": "pt"}


def opened(folder, query="window=1"):
    return open_huggingface(parse(f"hf:{folder}?remote_code=1&{query}"), None)


def noise(seconds=1.0):
    return 0.3 * torch.randn(3, 1, round(16000 * seconds), generator=torch.Generator().manual_seed(1))


def expected(make, folder):
    with torch.no_grad():
        return make.models[folder](noise()[:, 0]).last_hidden_state.mean(1)


def opened_often_as_built(make, folder, times=3):
    """Open a model with other memory each time; every opening must give what the model gave that was saved."""
    prints = set()
    for number in range(times):
        rubbish = [torch.full((n,), float(number) or float("nan")) for n in (4, 8, 16, 64, 400) for _ in range(50)]
        del rubbish  # what fresh memory then holds
        encoder = opened(folder)
        prints.add(encoder.fingerprint())
        torch.testing.assert_close(encoder.embed(noise()), expected(make, folder))
    assert len(prints) == 1


PLAIN = {
    "an attribute": ("self.window = torch.hann_window(8)", "hidden = hidden * self.window"),
    "a list": ("self.windows = [torch.hann_window(8), 1]", "hidden = hidden * self.windows[0]"),
    "a mapping": ('self.windows = {"a": (torch.hann_window(8),)}', 'hidden = hidden * self.windows["a"][0]'),
    "an object": ("self.window = Window(8)", "hidden = hidden * self.window.values"),
    "an alias": ("self.kept = self.positions.inv_freq", "hidden = hidden + self.kept.sum()"),
    "numpy": (
        "import numpy\nself.register_buffer('a', torch.from_numpy(numpy.arange(8.0)).float(), persistent=False)",
        "hidden = hidden * self.a",
    ),
    "a seed": (
        "torch.manual_seed(7)\nself.register_buffer('a', torch.randn(8), persistent=False)", "hidden = hidden * self.a",
    ),
    "shared": (
        "self.other = nn.Module()\nself.other.register_buffer('a', self.positions.inv_freq, persistent=False)",
        "hidden = hidden + self.other.a.sum()",
    ),
    "a part that is run": (
        "self.out = self.frames(torch.zeros(1, 1, 480)).shape[-1]\n"
        "self.register_buffer('a', torch.full((8,), float(self.out)), persistent=False)",
        "hidden = hidden * self.a",
    ),
    "weight norm": (
        "self.last = torch.nn.utils.weight_norm(nn.Linear(8, 8))", "hidden = self.last(hidden)",
    ),
}  # fmt: skip


class TestRepaired:
    def test_a_table_that_no_file_holds_is_computed(self, make):
        folder = make()
        assert "positions.inv_freq" not in load_file(folder / "model.safetensors")
        opened_often_as_built(make, folder)

    @pytest.mark.parametrize("kind", PLAIN)
    def test_plain_tensors_and_other_buffers_too(self, make, kind):
        init, forward = PLAIN[kind]
        opened_often_as_built(make, make("plain", init, forward))

    def test_weights_beside_a_table_are_not_drawn_anew(self, make):
        block = (
            'self.gain = nn.Parameter(torch.ones(8))\nself.register_buffer("mask", torch.arange(8.0), persistent=False)'
        )
        folder = make("gains", block=block, used=" * self.gain * self.mask")
        opened_often_as_built(make, folder)

    def test_a_saved_buffer_that_the_model_computes_may_be_missing(self, make):
        folder = make(
            "ids", "self.register_buffer('ids', torch.arange(8.0))", "hidden = hidden * self.ids",
            '_keys_to_ignore_on_load_missing = ["ids"]',
        )  # fmt: skip
        without(folder, "ids")
        opened_often_as_built(make, folder)

    def test_the_default_dtype_of_the_process_does_not_matter(self, make):
        folder = make("plain", *PLAIN["an attribute"])
        wanted = opened(folder).fingerprint()
        torch.set_default_dtype(torch.float64)
        try:
            encoder = opened(folder)
            assert torch.get_default_dtype() == torch.float64
        finally:
            torch.set_default_dtype(torch.float32)
        assert encoder.fingerprint() == wanted
        torch.testing.assert_close(encoder.embed(noise()), expected(make, folder))

    def test_opening_leaves_random_numbers_and_settings_as_they_were(self, make):
        folder = make()

        def state():
            return torch.randn(3).tolist(), random.random(), np.random.random()  # noqa: NPY002

        def seeded():
            torch.manual_seed(3), random.seed(3), np.random.seed(3)  # noqa: NPY002

        model = opened(folder)._model
        settings = torch.utils.deterministic.fill_uninitialized_memory, torch.are_deterministic_algorithms_enabled()
        seeded()
        before = state()
        seeded()
        unsaved_state.restore(model, frozenset(), "it")
        assert state() == before
        assert settings == (
            torch.utils.deterministic.fill_uninitialized_memory, torch.are_deterministic_algorithms_enabled()
        )  # fmt: skip
        assert not torch.nn.Linear(2, 2).weight.is_meta

    def test_a_mask_that_only_training_uses_is_the_same_every_time(self, tmp_path):
        config = transformers.HubertConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8,),
            conv_kernel=(10,), conv_stride=(5,), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
            num_feat_extract_layers=1,
        )  # fmt: skip
        transformers.HubertModel(config).save_pretrained(tmp_path)
        transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
        without(tmp_path, "masked_spec_embed")
        assert len({open_huggingface(parse(f"hf:{tmp_path}"), None).fingerprint() for _ in range(3)}) == 1


def without(folder, name):
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", PT)


def test_the_check_opens_it_twice(make, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "copies"))  # of the other process
    name = f"hf:{make()}?remote_code=1&window=1"
    arguments = {"arguments": (), "task": (), "data_roots": (), "device": "cpu", "batch_size": 2}
    text, kept = encoders.check(name, tmp_path, **arguments)
    assert kept, text
    assert "pass  opened twice" in text
    monkeypatch.setattr(unsaved_state, "restore", lambda *_: None)  # here alone, not in the other process
    text, kept = encoders.check(name, tmp_path, **arguments)
    assert not kept
    assert "FAIL  opened twice" in text


REFUSED = {
    "drawn": (
        "self.register_buffer('noise', torch.randn(8), persistent=False)", "hidden = hidden * self.noise",
        r"keeps noise, which no file holds and which come out otherwise each time",
    ),
    "never filled": (
        "self.register_buffer('rest', torch.empty(8), persistent=False)", "hidden = hidden * self.rest",
        "keeps rest, which no file holds and which come out otherwise",
    ),
    "whole numbers never filled": (
        "self.register_buffer('rest', torch.empty(8, dtype=torch.long), persistent=False)", "", "keeps rest, which",
    ),
    "a plain one, drawn by numpy": (
        "import numpy\nself.noise = torch.from_numpy(numpy.random.rand(8))", "hidden = hidden * self.noise.float()",
        "keeps noise, which no file holds",
    ),
    "a network in a list": (
        "self.parts = [nn.Linear(8, 8)]", "hidden = self.parts[0](hidden)", r"keeps parts\.0\.(weight|bias), parts\.0",
    ),
    "of a weight": (
        "self.register_buffer('copy', self.frames.weight.detach().mean(), persistent=False)",
        "hidden = hidden * self.copy", "keeps copy, which no file holds and which come out otherwise",
    ),
}  # fmt: skip


class TestRefused:
    @pytest.mark.parametrize("kind", REFUSED)
    def test_what_cannot_be_repaired_is_named(self, make, kind):
        init, forward, message = REFUSED[kind]
        with pytest.raises(UserError, match=message):
            opened(make("lost", init, forward))

    def test_weights_that_are_not_there_cannot_be_hidden(self, make):
        folder = make("hidden", attributes='_keys_to_ignore_on_load_missing = [".*"]')
        without(folder, "layers.1.linear.weight")
        with pytest.raises(UserError, match=r"lack 1 tensor\(s\) of TableModel.*: layers\.1\.linear\.weight"):
            opened(folder)

    def test_nor_can_what_a_normalisation_counted(self, make):
        folder = make(
            "norm", "self.norm = nn.BatchNorm1d(8)", "hidden = self.norm(hidden.transpose(1, 2)).transpose(1, 2)",
            '_keys_to_ignore_on_load_missing = ["norm"]',
        )  # fmt: skip
        without(folder, "norm.running_var")
        with pytest.raises(UserError, match=r"lack 1 tensor\(s\).*norm\.running_var"):
            opened(folder)

    def test_a_model_that_its_configuration_does_not_build_is_named(self, make):
        folder = make(
            "once",
            "if type(self).__module__.startswith('transformers_modules') and not "
            "torch.empty(0).is_meta:\n    raise OSError('only once')",
        )
        with pytest.raises(UserError, match=r"cannot be built from its configuration alone.*OSError: only once"):
            opened(folder)


def test_another_table_is_another_fingerprint(make):
    folder = make()
    first = opened(folder).fingerprint()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"scale": 1.6}))
    assert opened(folder).fingerprint() != first
    moved = folder.parent / "moved" / folder.name
    shutil.copytree(folder, moved)
    assert opened(moved).fingerprint() == opened(folder).fingerprint()
