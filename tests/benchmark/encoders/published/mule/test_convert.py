"""Conversion of Keras files: every way in which one may differ and still be right, and every way in which it is wrong.

The files are written here, from networks whose weights are known, in the layout of the published one.
"""

import hashlib
import io
import json
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmark.encoders.published.mule.convert import convert, load, read_keras, save
from benchmark.encoders.published.mule.network import TINY, ULARGE, SlowFastNFNet
from benchmark.encoders.weights_file import DIGEST, read_metadata
from benchmark.errors import UserError

STEMS = {"WeightStandardization": "weight_standardization", "Dense": "dense", "ScalarMultiply": "scalar_multiply"}


def seeded(seed: int = 11) -> SlowFastNFNet:
    network = SlowFastNFNet(TINY).eval()
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.from_numpy(np.asarray(rng.standard_normal(tuple(parameter.shape)))))
    return network


class KerasFile:
    """A Keras file of a network: its layers as dicts, its tensors by layer, both free to be spoilt before writing."""

    def __init__(self, network: SlowFastNFNet, frames: int | None = 300) -> None:
        self.layers: list[dict] = []
        self.tensors: dict[str, dict[str, np.ndarray]] = {}
        self.roles: dict[str, str] = {}
        self.extra: dict[str, np.ndarray] = {}
        start = self.add("InputLayer", [], batch_input_shape=[None, network.config.mels, frames, 1])
        slow, fast = self.stem(network.slow_stem, start, "slow_stem"), self.stem(network.fast_stem, start, "fast_stem")
        for i, fusion in enumerate(network.fusions):
            fused = self.conv(fusion.time, fast, f"fusions.{i}.time")
            fused = self.conv(fusion.widen, fused, f"fusions.{i}.widen")
            slow = self.add("Concatenate", [slow, fused], axis=-1)
            for j, (a, b) in enumerate(zip(network.slow_stages[i], network.fast_stages[i], strict=True)):
                slow, fast = self.block(a, slow, f"slow_stages.{i}.{j}"), self.block(b, fast, f"fast_stages.{i}.{j}")
        pools = [self.add("GlobalAveragePooling2D", [name]) for name in (slow, fast)]
        self.output = self.gelu(self.add("Concatenate", pools, axis=-1))
        self.input = start

    def add(self, kind: str, inputs: list[str], constants: dict | None = None, **config) -> str:
        name = f"{kind.lower()}_{len(self.layers)}"
        if kind == "TFOpLambda":
            second = {"y": [inputs[1], 0, 0]} if len(inputs) > 1 else {}
            nodes = [[inputs[0], 0, 0, {**second, **(constants or {})}]]
        else:
            nodes = [[[before, 0, 0, {}] for before in inputs]] if inputs else []
        self.layers.append({"class_name": kind, "name": name, "config": config, "inbound_nodes": nodes})
        return name

    def stem(self, stem, x: str, role: str) -> str:
        for i, conv in enumerate(stem.convs):
            x = self.conv(conv, self.gelu(x) if i else x, f"{role}.convs.{i}")
        return x

    def gelu(self, x: str) -> str:
        activation = {"module": "builtins", "class_name": "function", "config": "_scaled_gelu_activation"}
        return self.add("Activation", [x], activation=activation)

    def conv(self, conv, x: str, role: str, stride: tuple[int, int] | None = None) -> str:
        inner = {
            "filters": conv.weight.shape[0],
            "kernel_size": list(conv.weight.shape[2:]),
            "strides": list(stride or conv.stride),
            "padding": "same",
            "data_format": "channels_last",
            "dilation_rate": [1, 1],
            "groups": conv.groups,
            "activation": "linear",
            "use_bias": True,
        }
        name = self.add("WeightStandardization", [x], layer={"class_name": "Conv2D", "config": inner})
        kernel = conv.weight.detach().numpy().transpose(2, 3, 1, 0)
        rest = {"vars/1": conv.gain.detach().numpy(), "layer/vars/0": conv.bias.detach().numpy()}
        self.tensors[name] = {"vars/0": kernel, **rest}
        self.roles[role] = name
        return name

    def dense(self, layer, x: str, activation: str, role: str) -> str:
        name = self.add("Dense", [x], units=layer.out_features, activation=activation, use_bias=True)
        self.tensors[name] = {"vars/0": layer.weight.detach().numpy().T, "vars/1": layer.bias.detach().numpy()}
        self.roles[role] = name
        return name

    def scale(self, x: str, value: float, role: str) -> str:
        self.roles[role] = self.add("ScalarMultiply", [x], init_gain=value, learnable=False)
        return self.roles[role]

    def block(self, block, x: str, role: str) -> str:
        h = self.scale(self.gelu(x), block.beta, f"{role}.beta")
        r = self.gelu(self.conv(block.conv0, h, f"{role}.conv0"))
        r = self.gelu(self.conv(block.conv1, r, f"{role}.conv1", (block.stride, 1)))
        r = self.gelu(self.conv(block.conv2, r, f"{role}.conv2"))
        r = self.conv(block.conv3, r, f"{role}.conv3")
        gates = self.add("GlobalAveragePooling2D", [r])
        gates = self.dense(block.gate.squeeze, gates, "relu", f"{role}.gate.squeeze")
        gates = self.dense(block.gate.excite, gates, "sigmoid", f"{role}.gate.excite")
        gates = self.add("TFOpLambda", [gates], {"y": 2.0, "name": None}, function="math.multiply")
        self.roles[f"{role}.double"] = gates
        for _ in range(2):
            gates = self.add("TFOpLambda", [gates], {"axis": 1}, function="expand_dims")
        r = self.add("TFOpLambda", [gates, r], {"name": None}, function="math.multiply")
        gain = self.add("ScalarMultiply", [r], init_gain=0.0, learnable=True)
        self.tensors[gain] = {"vars/0": block.skip_gain.detach().numpy()}
        self.roles[f"{role}.skip_gain"] = gain
        r = self.scale(gain, block.alpha, f"{role}.alpha")
        shortcut = x
        if block.shortcut is not None:
            if block.stride > 1:
                h = self.add("AveragePooling2D", [h], pool_size=[2, 1], strides=[2, 1], padding="same")
            shortcut = self.conv(block.shortcut, h, f"{role}.shortcut")
        depth = {"survival_probability": block.survival, "scale_during_test": False}
        self.roles[role] = self.add("StochDepth", [shortcut, r], **depth)
        return self.roles[role]

    def layer(self, role: str) -> dict:
        return next(layer for layer in self.layers if layer["name"] == self.roles[role])

    def inner(self, role: str) -> dict:
        return self.layer(role)["config"]["layer"]["config"]

    def rename(self) -> None:
        """Give every layer another name, as a model has that was loaded and saved again."""
        names = {layer["name"]: f"layer_{random.Random(i).getrandbits(40)}" for i, layer in enumerate(self.layers)}
        text = json.dumps([self.layers, self.input, self.output])
        text = re.sub(r'"([a-z0-9]+_\d+)"', lambda match: json.dumps(names.get(match[1], match[1])), text)
        self.layers, self.input, self.output = json.loads(text)
        self.tensors = {names[name]: tensors for name, tensors in self.tensors.items()}
        self.roles = {role: names[name] for role, name in self.roles.items()}

    def paths(self) -> dict[str, np.ndarray]:
        """Number the groups as Keras does: two on after a layer with weights, one on after another of its class."""
        counters = dict.fromkeys(STEMS, 0)
        found = {}
        for layer in self.layers:
            kind, name = layer["class_name"], layer["name"]
            if kind in STEMS:
                group = STEMS[kind] + (f"_{counters[kind]}" if counters[kind] else "")
                counters[kind] += 2 if name in self.tensors else 1
                for place, array in self.tensors.get(name, {}).items():
                    found[f"_layer_checkpoint_dependencies/{group}/{place}"] = array
        return {**found, **self.extra}

    def write(self, path: Path) -> Path:
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            for place, array in self.paths().items():
                file.create_dataset(place, data=np.asarray(array, dtype=np.float32))
            file.create_group("_layer_checkpoint_dependencies/activation/vars")
        inputs = {"input_layers": [[self.input, 0, 0]], "output_layers": [[self.output, 0, 0]]}
        graph = {"class_name": "Functional", "config": {"name": "model", "layers": self.layers, **inputs}}
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", json.dumps({"keras_version": "2.13.1"}))
            archive.writestr("config.json", json.dumps(graph))
            archive.writestr("model.weights.h5", buffer.getvalue())
        return path


@pytest.fixture(scope="module")
def network() -> SlowFastNFNet:
    return seeded()


@pytest.fixture
def keras(network) -> KerasFile:
    return KerasFile(network)


def same(found: SlowFastNFNet, expected: SlowFastNFNet) -> bool:
    state = expected.state_dict()
    return found.state_dict().keys() == state.keys() and all(
        torch.equal(value, state[name]) for name, value in found.state_dict().items()
    )


class TestReads:
    def test_as_written(self, keras, network, tmp_path):
        found = read_keras(keras.write(tmp_path / "model.keras"), TINY)
        assert same(found, network)
        assert not found.training

    def test_renamed_layers(self, keras, network, tmp_path):
        keras.rename()
        assert same(read_keras(keras.write(tmp_path / "model.keras"), TINY), network)

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_shuffled_layers(self, keras, network, tmp_path, seed):
        random.Random(seed).shuffle(keras.layers)
        assert same(read_keras(keras.write(tmp_path / "model.keras"), TINY), network)

    def test_any_length(self, network, tmp_path):
        assert same(read_keras(KerasFile(network, None).write(tmp_path / "model.keras"), TINY), network)

    def test_groups_of_an_optimizer(self, keras, network, tmp_path):
        keras.extra = {"optimizer/vars/0": np.zeros(()), "optimizer/vars/1": np.ones((3, 1, 1, 16))}
        assert same(read_keras(keras.write(tmp_path / "model.keras"), TINY), network)

    def test_numbers_that_start_elsewhere(self, keras, network, tmp_path, monkeypatch):
        paths = {re.sub(r"dense_(\d+)/", lambda m: f"dense_{int(m[1]) + 90}/", p): a for p, a in keras.paths().items()}
        monkeypatch.setattr(keras, "paths", lambda: paths)
        assert same(read_keras(keras.write(tmp_path / "model.keras"), TINY), network)


def spoil(keras: KerasFile, what: str) -> str:
    """Spoil a file in the way named and return what its refusal says."""
    role = "slow_stages.2.1"
    name = keras.roles[f"{role}.conv1"]
    match what:
        case "missing bias":
            del keras.tensors[name]["layer/vars/0"]
            return rf"no tensor \S+layer/vars/0, which holds {role}.conv1.bias"
        case "missing layer":
            del keras.tensors[keras.roles[f"{role}.gate.squeeze"]]
            return "tensors of 19 Dense layers, config.json has 20"
        case "wrong shape":
            keras.tensors[name]["vars/0"] = keras.tensors[name]["vars/0"][..., :-1]
            return rf"{role}.conv1.weight has the shape \[95, 16, 1, 3\], expected \[96, 16, 1, 3\]"
        case "wrong axes":
            keras.tensors[name]["vars/0"] = keras.tensors[name]["vars/0"][0]
            return "expected 4 axes"
        case "not finite":
            keras.tensors[name]["vars/1"] = keras.tensors[name]["vars/1"] * np.nan
            return f"{role}.conv1.gain holds values that are not finite"
        case "groups":
            keras.inner(f"{role}.conv1")["groups"] = 3
            return "has groups 3, expected 6"
        case "strides":
            keras.inner("slow_stages.1.0.conv1")["strides"] = [1, 1]
            return r"has strides \[1, 1\], expected \[2, 1\]"
        case "padding":
            keras.inner(f"{role}.conv1")["padding"] = "valid"
            return "has padding valid, expected same"
        case "alpha":
            keras.layer(f"{role}.alpha")["config"]["init_gain"] = 0.3
            return "has init_gain 0.3, expected 0.2"
        case "beta":
            keras.layer(f"{role}.beta")["config"]["init_gain"] = 1.0
            return "has init_gain 1.0, expected 0.96"
        case "survival":
            keras.layer(role)["config"]["survival_probability"] = 1.0
            return "has survival_probability 1.0, expected 0.94"
        case "doubling":
            keras.layer(f"{role}.double")["inbound_nodes"][0][3]["y"] = 1.0
            return "is called with {'y': 1.0}, expected {'y': 2.0}"
        case "activation":
            keras.layers[-1]["config"]["activation"]["config"] = "gelu"
            return "is the activation gelu, expected the scaled GELU"
        case "no last activation":
            keras.output = keras.layers.pop()["inbound_nodes"][0][0][0]
            return "is a Concatenate, expected a Activation"
        case "wiring":
            keras.layer(role)["inbound_nodes"][0][0][0] = keras.roles["slow_stages.2.1.beta"]
            return "the shortcut of slow_stages.2.1 is connected to"
        case "mels":
            keras.layers[0]["config"]["batch_input_shape"][1] = 128
            return r"expected \[null, 96, T, 1\]"
        case "a layer more":
            keras.dense(torch.nn.Linear(216, 10), keras.output, "linear", "head")
            return "layers with weights that this network has not: dense_"
        case "no graph":
            keras.layers = []
            return "config.json is not the graph"
    raise AssertionError(what)


SPOILT = (
    *("missing bias", "missing layer", "wrong shape", "wrong axes", "not finite", "groups", "strides", "padding"),
    *("alpha", "beta", "survival", "doubling", "activation", "no last activation", "wiring", "mels", "a layer more"),
    "no graph",
)


class TestRefuses:
    @pytest.mark.parametrize("what", SPOILT)
    def test_a_file_of_another_network(self, keras, tmp_path, what):
        message = spoil(keras, what)
        path = keras.write(tmp_path / "model.keras")
        with pytest.raises(UserError, match=message) as refused:
            read_keras(path, TINY)
        assert str(path) in str(refused.value)

    def test_the_published_configuration(self, keras, tmp_path):
        with pytest.raises(UserError, match="expected"):
            read_keras(keras.write(tmp_path / "model.keras"), ULARGE)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"<!DOCTYPE html><html>Not found</html>", "it is a web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "pointer that Git LFS keeps"),
            (b"", "not a zip archive"),
            (b"\x89HDF\r\n\x1a\n" + bytes(100), "not a zip archive"),
        ],
    )
    def test_another_kind_of_file(self, tmp_path, content, message):
        path = tmp_path / "model.keras"
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            convert(path, tmp_path / "weights.safetensors", TINY)
        assert list(tmp_path.iterdir()) == [path]

    def test_a_truncated_file(self, keras, tmp_path):
        path = keras.write(tmp_path / "model.keras")
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(UserError, match="a zip archive without an end"):
            read_keras(path, TINY)

    def test_a_damaged_file(self, keras, tmp_path):
        path = keras.write(tmp_path / "model.keras")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            read_keras(path, TINY)

    def test_an_archive_of_something_else(self, tmp_path):
        path = tmp_path / "model.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")
        with pytest.raises(UserError, match=r"holds config.json and model.weights.h5"):
            read_keras(path, TINY)

    def test_no_file(self, tmp_path):
        with pytest.raises(UserError, match="there is no file"):
            read_keras(tmp_path / "model.keras", TINY)


class TestSafetensors:
    def test_convert_and_load(self, keras, network, tmp_path):
        source, weights = keras.write(tmp_path / "model.keras"), tmp_path / "deep" / "weights.safetensors"
        convert(source, weights, TINY)
        assert same(load(weights), network)
        assert load(weights).config == TINY
        assert not load(weights).training
        assert [entry.name for entry in weights.parent.iterdir()] == ["weights.safetensors"]
        metadata = read_metadata(weights)
        assert metadata["format_version"] == "1"
        assert metadata["source_name"] == "model.keras"
        assert metadata["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()

    def test_save_replaces_whole(self, network, tmp_path):
        path = tmp_path / "weights.safetensors"
        path.write_text("old")
        save(network, path, {"trained_on": "demo"})
        assert same(load(path), network)
        assert read_metadata(path)["trained_on"] == "demo"

    def test_loaded_weights_train(self, network, tmp_path):
        save(network, tmp_path / "weights.safetensors")
        loaded = load(tmp_path / "weights.safetensors").train()
        loaded(torch.zeros(2, 96, 32)).sum().backward()
        assert loaded.fusions[0].time.weight.grad is not None

    def test_refuses_other_files(self, network, tmp_path):
        path = tmp_path / "weights.safetensors"
        with pytest.raises(UserError, match="there is no file"):
            load(path)
        path.write_text("<html>")
        with pytest.raises(UserError, match="not a whole safetensors file"):
            load(path)
        save(network, path)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(UserError, match="not a whole safetensors file"):
            load(path)
        save_file({"a": torch.zeros(1)}, path)
        with pytest.raises(UserError, match="kind and version"):
            load(path)

    def test_refuses_tensors_that_do_not_fit(self, network, tmp_path):
        path = tmp_path / "weights.safetensors"
        save(network, path)
        metadata = {key: value for key, value in read_metadata(path).items() if key != DIGEST}
        state = {name: value.clone() for name, value in network.state_dict().items()}
        bias = state.pop("fusions.0.time.bias")
        save_file(state, path, metadata)
        with pytest.raises(UserError, match=r"tensor fusions.0.time.bias \[4\] is missing"):
            load(path)
        save_file({**state, "fusions.0.time.bias": bias[:2].clone()}, path, metadata)
        with pytest.raises(UserError, match=r"shape \[2\], expected \[4\]"):
            load(path)
        save_file({**state, "fusions.0.time.bias": bias, "more": bias.clone()}, path, metadata)
        with pytest.raises(UserError, match="no tensor more"):
            load(path)
        save_file(state, path, {**metadata, "config": json.dumps({"breadth": 3})})
        with pytest.raises(UserError, match="configuration"):
            load(path)


def test_the_published_layout(reference_data, tmp_path):
    source, weights = tmp_path / "model.keras", tmp_path / "weights.safetensors"
    script = reference_data / "golden" / "mule" / "make_reference_checkpoint.py"
    subprocess.run([sys.executable, str(script), str(source)], check=True, capture_output=True)
    convert(source, weights)
    source.unlink()
    golden = np.load(reference_data / "golden" / "mule" / "io.npz")
    x = torch.from_numpy(golden["x300"][:1, ..., 0])
    with torch.no_grad():
        found = load(weights)(x).numpy()
    assert np.linalg.norm(found - golden["y300"][:1]) / np.linalg.norm(golden["y300"][:1]) < 1e-5


class TestHostileFiles:
    """What claims more than the network holds is refused before it takes memory, in a sentence."""

    @pytest.mark.parametrize("text", ["[" * 100_000, '{"config": ' + "9" * 10_000 + "}", "[1]"])
    def test_a_graph_that_is_none(self, tmp_path, text):
        with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
            archive.writestr("config.json", text)
            archive.writestr("model.weights.h5", b"")
        with pytest.raises(UserError, match="is not a checkpoint of this network") as caught:
            read_keras(tmp_path / "model.keras", TINY)
        assert "sys.set_int" not in str(caught.value)

    @pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
    def test_a_member_that_is_a_bomb(self, tmp_path, name):
        with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
            for each in ("config.json", "model.weights.h5"):
                with archive.open(each, "w") as member:
                    for _ in range(200 if each == name else 0):
                        member.write(bytes(1_000_000))
                    member.write(b"{}")
        with pytest.raises(UserError, match=f"{name} would take 200,000,002 bytes, expected"):
            read_keras(tmp_path / "model.keras", TINY)

    def test_a_tensor_that_claims_what_its_bytes_cannot_hold(self, keras, tmp_path, monkeypatch):
        place = next(iter(keras.paths()))
        create = h5py.File.create_dataset

        def claiming(file, name, data=None, **more):
            if name == place:  # chunks that are not there: no bytes at all
                return create(file, name, shape=(1000, *[10_000] * (data.ndim - 1), 10_000), chunks=True, dtype="f4")
            return create(file, name, data=data, **more)

        monkeypatch.setattr(h5py.File, "create_dataset", claiming)
        with pytest.raises(UserError, match=r"has the shape \(1000, .*10000\), expected \["):
            read_keras(keras.write(tmp_path / "model.keras"), TINY)

    def test_groups_within_groups_without_end(self, keras, tmp_path):
        keras.write(tmp_path / "model.keras")
        with zipfile.ZipFile(tmp_path / "model.keras") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        weights = io.BytesIO(members["model.weights.h5"])
        with h5py.File(weights, "a") as file:
            loop = file.create_group("_layer_checkpoint_dependencies/dense_99")
            loop["again"] = loop
        with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
            for name, content in (members | {"model.weights.h5": weights.getvalue()}).items():
                archive.writestr(name, content)
        with pytest.raises(UserError, match="groups within groups without end"):
            read_keras(tmp_path / "model.keras", TINY)
