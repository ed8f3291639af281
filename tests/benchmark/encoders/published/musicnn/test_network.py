"""MusiCNN's network: equal to the original graph on its golden numbers, and to a plain writing of the same graph."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[3]))

from musicnn_variables import name_of, variables
from tensor_bundles import Bundle

from benchmark.encoders.published.musicnn.convert import convert, load, read_checksum, save
from benchmark.encoders.published.musicnn.network import (
    LAYERS,
    PUBLISHED,
    TINY,
    Musicnn,
    MusicnnConfig,
    parameters_from,
)
from benchmark.encoders.weights_file import DIGEST
from benchmark.errors import UserError


def network_of(found: dict[str, np.ndarray], config: MusicnnConfig = TINY) -> Musicnn:
    network = Musicnn(config)
    network.load_state_dict(parameters_from({k: torch.from_numpy(v) for k, v in found.items()}, config))
    return network.eval()


def plain(found: dict[str, np.ndarray], frames: np.ndarray, config: MusicnnConfig = TINY) -> dict[str, np.ndarray]:
    """Return all layers as the graph is written in the publication: no step is moved, float64."""
    v = {name: torch.from_numpy(array).double() for name, array in found.items()}

    def norm(x: torch.Tensor, i: int) -> torch.Tensor:
        parts = ("moving_mean", "moving_variance", "gamma", "beta")
        return functional.batch_norm(x, *(v[f"{name_of('batch_normalization', i)}/{part}"] for part in parts), eps=1e-3)

    def conv(x: torch.Tensor, i: int) -> torch.Tensor:
        kernel = v[f"{name_of('conv2d', i)}/kernel"].permute(3, 2, 0, 1)
        x = functional.pad(x, (0, 0, (kernel.shape[2] - 1) // 2, kernel.shape[2] // 2))
        return norm(torch.relu(functional.conv2d(x, kernel, v[f"{name_of('conv2d', i)}/bias"])), i + 1)

    x = norm(torch.from_numpy(frames).double()[:, None], 0)
    count = len(config.timbral) + len(config.temporal)
    front = torch.cat([conv(x, i).amax(3) for i in range(count)], 1)
    features, last = [front], None
    for i in range(config.middle):
        width = (front if last is None else last).transpose(1, 2)[:, None]
        found_here = conv(width, count + i)[..., 0]
        last = found_here if last is None else last + found_here
        features.append(last)
    every = torch.cat(features, 1)
    pool = torch.stack([every.amax(2), every.mean(2)], -1).flatten(1)
    hidden = torch.relu(norm(pool, count + config.middle + 1) @ v["dense/kernel"] + v["dense/bias"])
    penultimate = norm(hidden, count + config.middle + 2)
    tags = torch.sigmoid(penultimate @ v["dense_1/kernel"] + v["dense_1/bias"])
    answers = (penultimate, every.amax(2), every.mean(2), pool, tags)
    return {layer: answer.numpy() for layer, answer in zip(LAYERS, answers, strict=True)}


@pytest.fixture(scope="module")
def fetched() -> Path:
    folder = os.environ.get("BENCH_MUSICNN")
    if not folder:
        pytest.skip(
            "BENCH_MUSICNN is not set: the folder that holds musicnn-msd and musicnn-mtt after 'bench encoders fetch'"
        )
    return Path(folder)


class TestGolden:
    @pytest.mark.parametrize(("name", "model"), [("musicnn-mtt", "MTT_musicnn"), ("musicnn-msd", "MSD_musicnn")])
    def test_equals_the_original_graph(self, reference_data, fetched, name, model):
        golden = np.load(reference_data / "golden" / "musicnn" / "io.npz")
        network = load(fetched / name / "musicnn.safetensors").prepare()
        frames = torch.from_numpy(golden["logmel"].astype(np.float32))
        with torch.inference_mode():
            tags, penultimate = (
                torch.cat([network(one[None], layer) for one in frames]).numpy() for layer in ("taggram", "penultimate")
            )
        np.testing.assert_allclose(tags, golden[f"{model}_tags"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(penultimate, golden[f"{model}_penultimate"], rtol=0, atol=2e-5)

    def test_the_published_size(self):
        network = Musicnn()
        assert sum(parameter.numel() for parameter in network.parameters()) == 787_159
        assert [PUBLISHED.width(layer) for layer in LAYERS] == [200, 753, 753, 1506, 50]


class TestGraph:
    @pytest.mark.parametrize("layer", LAYERS)
    @pytest.mark.parametrize("length", [1, 2, 7, 40])
    def test_moving_the_maximum_forward_changes_nothing(self, layer, length):
        found = variables()
        frames = np.random.default_rng(1).uniform(0, 4, (2, length, TINY.bands)).astype(np.float32)
        network = network_of(found)
        expected = plain(found, frames)[layer]
        with torch.inference_mode():
            fresh, prepared = network(torch.from_numpy(frames), layer), None
            prepared = network.prepare()(torch.from_numpy(frames), layer)
        assert fresh.shape == (2, TINY.width(layer))
        assert torch.equal(fresh, prepared)
        np.testing.assert_allclose(fresh.numpy(), expected, rtol=1e-4, atol=1e-5)

    def test_pool_is_maximum_and_mean_interleaved(self):
        network = network_of(variables())
        frames = torch.rand(2, 20, TINY.bands)
        with torch.inference_mode():
            pool, largest, mean = (network(frames, layer) for layer in ("pool", "max_pool", "mean_pool"))
        assert torch.equal(pool[:, 0::2], largest)
        assert torch.equal(pool[:, 1::2], mean)

    def test_an_unknown_layer(self):
        with pytest.raises(ValueError, match="no layer 'x'"):
            network_of(variables())(torch.rand(1, 5, TINY.bands), "x")


class TestConversion:
    @pytest.fixture
    def place(self, tmp_path):
        return tmp_path / "checkpoint.index", tmp_path / "checkpoint.data", tmp_path / "weights.safetensors"

    def test_a_checkpoint_becomes_its_network(self, place):
        found = variables()
        adam = {"conv2d/kernel/Adam": np.zeros(3, np.float32), "beta1_power": np.ones(1, np.float32)}
        Bundle({**found, **adam}).write(*place[:2])
        convert(*place, TINY)
        network, frames = load(place[2]), torch.rand(1, 30, TINY.bands)
        assert network.config == TINY
        assert not network.training
        with torch.inference_mode():
            assert torch.equal(network(frames), network_of(found)(frames))
        assert [path.name for path in place[2].parent.iterdir() if path.name.startswith(".")] == []

    def test_two_checkpoints_have_two_checksums(self, place):
        sums = []
        for seed in (0, 1, 0):
            Bundle(variables(seed=seed)).write(*place[:2])
            convert(*place, TINY)
            sums.append(read_checksum(place[2])[0])
        assert sums[0] == sums[2] != sums[1]

    @pytest.mark.parametrize(
        ("spoil", "match"),
        [
            (lambda v: v.pop("dense_1/bias"), "no variable dense_1/bias"),
            (lambda v: v.update({"conv2d/bias": np.zeros(9, np.float32)}), r"conv2d/bias has the shape \[9\]"),
            (lambda v: v["dense/kernel"].fill(np.nan), "dense.weight does not hold finite"),
            (lambda v: v["batch_normalization_1/moving_variance"].fill(-1), "does not hold finite"),
        ],
    )
    def test_another_network_is_refused_and_nothing_is_written(self, place, spoil, match):
        found = variables()
        spoil(found)
        Bundle(found).write(*place[:2])
        with pytest.raises(UserError, match=match):
            convert(*place, TINY)
        assert not place[2].exists()

    def test_a_file_of_another_kind_is_refused(self, tmp_path, place):
        from safetensors.torch import save_file

        with pytest.raises(UserError, match="there is no file"):
            load(place[2])
        place[2].write_bytes(b"x" * 100)
        with pytest.raises(UserError, match="not a whole safetensors file"):
            load(place[2])
        save_file({"x": torch.zeros(1)}, place[2], {"kind": "sf-nfnet", "format_version": "1"})
        with pytest.raises(UserError, match="kind and version"):
            load(place[2])
        network = network_of(variables())
        save(network, place[2], "0" * 64)
        from safetensors import safe_open

        with safe_open(place[2], framework="pt") as file:
            metadata, state = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        del state["output.bias"], metadata[DIGEST]
        save_file(state, place[2], metadata)
        with pytest.raises(UserError, match=r"output\.bias"):
            load(place[2])
        save_file(state, place[2], {**metadata, "config": "{}"})
        with pytest.raises(UserError, match="says of itself"):
            load(place[2])
