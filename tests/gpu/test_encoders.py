"""Encoders on the device: the embeddings of the CPU, in fp32 and in bf16, and how near they come to the card."""

from __future__ import annotations

import copy
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark.encoders import template
from benchmark.encoders.base import Encoder
from benchmark.encoders.check.check import check
from benchmark.encoders.outputs import as_rows, call_encoder
from benchmark.encoders.published import crepe
from benchmark.encoders.published.mule import convert as mule_weights
from benchmark.encoders.published.mule.encoder import Mule
from benchmark.encoders.published.mule.network import TINY, ULARGE, SlowFastNFNet
from benchmark.encoders.published.musicnn import convert as musicnn_weights
from benchmark.encoders.published.musicnn.encoder import MusicnnEncoder
from benchmark.encoders.published.musicnn.network import Musicnn
from benchmark.encoders.registry import resolve_one
from benchmark.encoders.spec import parse

pytestmark = pytest.mark.gpu
Maker = Callable[[], Encoder]


def randomise(network: torch.nn.Module) -> None:
    """Draw kernels that keep the size of what goes through, so that embeddings tell sounds apart."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5, generator=generator)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, small: bool) -> Path:
    """Write random weights of the published networks (on a CPU of a small one) in the forms that encoders read."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    mule = SlowFastNFNet(TINY if small else ULARGE)
    for name, parameter in mule.named_parameters():
        if name.endswith("skip_gain"):  # at 0, as they begin, residual branches are of no consequence
            torch.nn.init.constant_(parameter, 0.5)
    mule_weights.save(mule, folder / "mule.safetensors", {"source_name": "random", "source_sha256": "0" * 64})
    musicnn = Musicnn()
    randomise(musicnn)
    musicnn_weights.save(musicnn, folder / "musicnn.safetensors", "0" * 64)
    state = {}
    torch.manual_seed(0)
    network = crepe.CrepeNetwork(crepe.CHANNELS["tiny"])
    for i, (convolution, norm) in enumerate(zip(network.convolutions, network.norms, strict=True)):
        state |= {f"conv{i + 1}.weight": convolution.weight[..., None], f"conv{i + 1}.bias": convolution.bias}
        state |= {f"conv{i + 1}_BN.{name}": tensor for name, tensor in norm.state_dict().items()}
    torch.save(state, folder / "crepe.pth")
    template.write(folder / "mine.py")
    convolutional = torch.nn.Sequential(
        torch.nn.Conv1d(1, 8, 64, 16), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten()
    )
    torch.jit.trace(convolutional, torch.zeros(2, 1, 48_000)).save(str(folder / "scripted.pt"))
    return folder


@pytest.fixture(scope="module")
def makers(weights: Path, small: bool) -> dict[str, Maker]:
    """Return what opens each encoder anew."""

    def mule() -> Mule:
        encoder = Mule(weights / "mule.safetensors")
        encoder.dim = (TINY if small else ULARGE).dim
        return encoder

    return {
        "musicset-ularge": mule,
        "musicset-ularge, bf16": lambda: mule().with_precision("bf16"),
        "musicnn": lambda: MusicnnEncoder(weights / "musicnn.safetensors"),
        "torchcrepe": lambda: crepe.Crepe(weights / "crepe.pth"),
        "template": lambda: resolve_one(str(weights / "mine.py")),
        "torchscript": lambda: resolve_one(f"torchscript:{weights / 'scripted.pt'}?sample_rate=16000&window=3&trust=1"),
    }


NAMES = ("musicset-ularge", "musicset-ularge, bf16", "musicnn", "torchcrepe", "template", "torchscript")


def sounds(batch: int, seconds: float, channels: int = 1, rate: int = 16_000) -> np.ndarray:
    """Return tones in noise, float32 [batch, channels, n], each of another pitch and level."""
    rng = np.random.default_rng(0)
    found = rng.normal(0, 0.02, (batch, channels, round(seconds * rate)))
    time = np.arange(found.shape[2]) / rate
    for i, sound in enumerate(found):
        sound += 0.5 / (1 + i % 5) * np.sin(2 * np.pi * 110 * 1.5 ** (i % 8) * time * (1 + 0.1 * time))
    return found.astype(np.float32)


def rows(encoder: Encoder, waveforms: np.ndarray, device: str) -> np.ndarray:
    encoder.to(device)
    return as_rows(encoder, call_encoder(encoder, waveforms, device), len(waveforms))


@pytest.mark.parametrize("name", NAMES)
def test_embeds_as_on_the_cpu(makers, name, device, apart):
    waveforms = sounds(3, 4.0)
    here, there = (rows(makers[name](), waveforms, where) for where in (device, "cpu"))
    assert np.isfinite(here).all()
    assert apart(here, there) < (0.05 if "bf16" in name else 1e-3)
    assert apart(there[:1], there[1:2]) > 0.02  # they do hear a difference


@pytest.mark.parametrize("name", NAMES)
def test_the_fingerprint_does_not_know_the_device(makers, name, device):
    encoder = makers[name]()
    before = encoder.fingerprint()
    rows(encoder, sounds(2, 3.0), device)
    assert encoder.fingerprint() == before


@pytest.mark.parametrize("name", ["musicset-ularge", "musicset-ularge, bf16", "musicnn", "torchcrepe"])
def test_twice_gives_the_same(makers, name, device, apart):
    encoder = makers[name]()
    first, second = (rows(encoder, sounds(3, 3.0), device) for _ in range(2))
    assert apart(first, second) < 1e-5


def test_a_plug_in_passes_its_check(makers, device):
    found = check(makers["template"](), device)
    assert found.failures == ()
    assert found.speed is not None
    assert found.speed.memory >= 0
    if device.startswith("cuda"):
        assert found.speed.memory > 0  # of the GPU's allocator


def test_a_float32_convolution_is_not_rounded(device, apart):
    """TF32 keeps 10 bits of the inputs: a sum of 4,096 products would be off by 1e-3 of its size, not 1e-6."""

    class Summing(Encoder):
        name, sample_rate, dim = "summing", 16_000, 32

        def __init__(self) -> None:
            torch.manual_seed(0)
            self.layer = torch.nn.Conv1d(1, 32, 4096, 4096, bias=False)

        def embed(self, waveforms):
            return self.layer(waveforms).mean(2)

    encoder, waveforms = Summing(), sounds(8, 3.0)
    exact = copy.deepcopy(encoder.layer).double()(torch.from_numpy(waveforms).double()).mean(2).detach().numpy()
    assert apart(rows(encoder, waveforms, device), exact) < 5e-6


@pytest.mark.parametrize("name", ["musicset-ularge", "musicset-ularge, bf16", "musicnn", "torchcrepe"])
def test_rate(makers, name, device, small, rates):
    batch, seconds = (1, 3.0) if small else (32, 3.0) if name == "musicnn" else (16, 30.0)
    encoder, waveforms = makers[name](), sounds(batch, seconds)
    encoder.to(device)
    with FlopCounterMode(display=False) as counter:
        call_encoder(encoder, waveforms, device)
    took = rates.seconds(lambda: call_encoder(encoder, waveforms, device), times=1 if small else 3)
    heard = batch * seconds
    assert counter.get_total_flops() > 0
    rates.note(
        name, took, flop=counter.get_total_flops(), precision="bf16" if "bf16" in name else "fp32",
        words=f"{heard / took:,.0f} times real time, copies included",
    )  # fmt: skip


def test_half_of_the_free_memory_bounds_the_slices(device):
    from benchmark.encoders.published.mule.encoder import CPU_SLICES, MOST_SLICES, slices_at_once

    found = slices_at_once(device)
    assert CPU_SLICES <= found <= MOST_SLICES
    if device == "cpu":
        assert found == CPU_SLICES


HF = {
    "hubert": ("HubertConfig", "HubertModel", "Wav2Vec2FeatureExtractor"),
    "wav2vec2": ("Wav2Vec2Config", "Wav2Vec2Model", "Wav2Vec2FeatureExtractor"),
    "wavlm": ("WavLMConfig", "WavLMModel", "Wav2Vec2FeatureExtractor"),
    "encodec": ("EncodecConfig", "EncodecModel", "EncodecFeatureExtractor"),
}
WAVE = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16,
    "conv_dim": (8, 8, 8), "conv_kernel": (10, 8, 8), "conv_stride": (5, 8, 8), "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 3,
}  # fmt: skip
CODEC = {
    "num_filters": 4, "hidden_size": 16, "codebook_size": 16, "codebook_dim": 16, "num_lstm_layers": 1,
    "upsampling_ratios": [8, 4],
}  # fmt: skip


@pytest.mark.parametrize("family", HF)
def test_hugging_face_models_embed_as_on_the_cpu(family, device, tmp_path, apart, monkeypatch):
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed here")
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    import transformers

    from benchmark.encoders.packaged.huggingface import open_huggingface
    from benchmark.encoders.packaged.huggingface_encoder import windows_at_once

    config, model, extractor = (getattr(transformers, name) for name in HF[family])
    torch.manual_seed(0)
    model(config(**(CODEC if family == "encodec" else WAVE))).save_pretrained(tmp_path / family)
    extractor().save_pretrained(tmp_path / family)
    query = "" if family == "encodec" else "?layer=2"
    encoder, other = (open_huggingface(parse(f"hf:{tmp_path / family}{query}", {}), None) for _ in range(2))
    waveforms = sounds(4, 1.0, encoder.channels, encoder.sample_rate)
    before = encoder.fingerprint()
    assert apart(rows(encoder, waveforms, device), rows(other, waveforms, "cpu")) < 2e-3
    assert encoder.fingerprint() == before
    assert windows_at_once(device, 10.0) >= 1


def test_onnx_runs_on_the_device_or_says_what_is_missing(device, tmp_path, apart):
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed here")
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    from benchmark.errors import UserError

    weight = np.random.default_rng(0).normal(size=(48_000, 4)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["audio", "weight"], ["rows"])],
        "linear",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", 48_000])],
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor("weight", TensorProto.FLOAT, weight.shape, weight.tobytes(), raw=True)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, str(tmp_path / "linear.onnx"))
    encoder = resolve_one(f"onnx:{tmp_path / 'linear.onnx'}?sample_rate=16000&window=3")
    waveforms = sounds(3, 3.0)
    if device.startswith("cuda") and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(UserError, match="install onnxruntime-gpu, or use --device cpu"):
            encoder.to(device)
        return
    assert apart(rows(encoder, waveforms, device), waveforms[:, 0] @ weight) < 1e-4
