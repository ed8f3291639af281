"""Tiny models on a server that speaks the hub's protocol, and cards of them in a data home."""

import json
import os
import sys

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: nothing but the server here is asked

from tests.hub_server import HubServer

COMMIT, OTHER = "0123456789abcdef" * 2 + "01234567", "fedcba9876543210" * 2 + "fedcba98"
WIDTH, LAYERS = 16, 3
WAVE = {
    "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 16,
    "conv_dim": (8, 8, 8), "conv_kernel": (10, 8, 8), "conv_stride": (5, 8, 8), "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 3,
}  # fmt: skip
CARD = {
    "id": "tiny", "title": "Tiny HuBERT", "family": "HuBERT", "description": "a tiny model for tests",
    "opens": f"hf:somebody/tiny@{COMMIT}", "sample_rate": 16000, "window_seconds": 0.5, "layers": LAYERS + 1,
    "dim": WIDTH, "normalize": True,
}  # fmt: skip
REMOTE = """
from transformers import HubertConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.hubert import modeling_hubert as hubert


class TinyConfig(HubertConfig):
    model_type = "tiny_cards"


class TinyModel(PreTrainedModel):
    config_class = TinyConfig
    base_model_prefix = "tiny"

    def __init__(self, config):
        super().__init__(config)
        self.feature_extractor = hubert.HubertFeatureEncoder(config)
        self.feature_projection = hubert.HubertFeatureProjection(config)
        self.encoder = hubert.HubertEncoder(config)
        self.post_init()

    def forward(self, wave):
        hidden = self.feature_projection(self.feature_extractor(wave).transpose(1, 2))
        return BaseModelOutput(last_hidden_state=self.encoder(hidden, return_dict=True)[0])
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The folder of a tiny HuBERT with random weights."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")
    folder = tmp_path_factory.mktemp("hub-models") / "tiny"
    torch.manual_seed(0)
    transformers.HubertModel(transformers.HubertConfig(**WAVE)).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    (folder / "LICENSE").write_text("for tests\n")
    return folder


@pytest.fixture(scope="session")
def remote(tiny, tmp_path_factory):
    """The same whose code comes with it."""
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("hub-models") / "remote"
    shutil.copytree(tiny, folder)
    (folder / "modeling_tiny.py").write_text(REMOTE)
    config = json.loads((folder / "config.json").read_text()) | {
        "model_type": "tiny_cards", "architectures": ["TinyModel"],
        "auto_map": {"AutoConfig": "modeling_tiny.TinyConfig", "AutoModel": "modeling_tiny.TinyModel"},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("masked_spec_embed", None)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub of our own, which huggingface_hub asks in place of the real one."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra [hf]")
    server = HubServer()
    for module in ("huggingface_hub.constants", "huggingface_hub.hf_api", "huggingface_hub.file_download"):
        monkeypatch.setattr(f"{module}.ENDPOINT", server.url, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("tasks.sources.http.PAUSE", 0.0)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "remote-code"))
    yield server
    server.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty data home, which commands use too."""
    folder = tmp_path / "home"
    (folder / "encoders").mkdir(parents=True)
    monkeypatch.setenv("BENCH_HOME", str(folder))
    return folder


@pytest.fixture
def write_card(home):
    """Write a card into the data home; ``None`` leaves a key out."""

    def write(name="tiny", **changes):
        from tasks.files import toml_value

        values = {key: value for key, value in {**CARD, "id": name, **changes}.items() if value is not None}
        tables = {key: value for key, value in values.items() if isinstance(value, dict)}
        lines = [f"{key} = {text(value, toml_value)}" for key, value in values.items() if key not in tables]
        for key, table in tables.items():
            lines += [f"[{key}]", *(f"{name} = {text(value, toml_value)}" for name, value in table.items())]
        path = home / "encoders" / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def text(value, toml_value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return toml_value(value)
