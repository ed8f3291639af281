"""Networks as files with a digest: what is read is what was written, or it is refused."""

import resource

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmark.encoders.published.mule import convert as mule
from benchmark.encoders.published.musicnn import convert as musicnn
from benchmark.encoders.published.musicnn.network import Musicnn
from benchmark.encoders.weights_file import DIGEST, content_digest, network_bytes, read_metadata, read_tensors
from benchmark.errors import UserError


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))  # which has a buffer without a dimension


def test_what_is_read_is_what_was_written(network, tmp_path):
    path = tmp_path / "network.safetensors"
    path.write_bytes(network_bytes(network, {"kind": "toy"}))
    found = read_tensors(path)
    assert found.keys() == network.state_dict().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in network.state_dict().items())
    assert read_metadata(path) == {"kind": "toy", DIGEST: content_digest(found, {"kind": "toy"})}


def test_one_flipped_bit_is_never_read(network, tmp_path):
    path = tmp_path / "network.safetensors"
    sound = network_bytes(network, {"kind": "toy"})
    path.write_bytes(sound)
    expected, refused = {name: tensor.numpy().tobytes() for name, tensor in read_tensors(path).items()}, 0
    for byte in range(len(sound)):
        flipped = bytearray(sound)
        flipped[byte] ^= 1 << byte % 8
        path.write_bytes(flipped)
        try:
            found, about = read_tensors(path), read_metadata(path)
        except UserError:
            refused += 1
            continue
        # White space, and the name of the digest itself: then the file is one of an older version.
        assert {name: tensor.numpy().tobytes() for name, tensor in found.items()} == expected
        assert about.get("kind") == "toy" or DIGEST not in about
    assert refused > 0.8 * len(sound)


def test_a_file_without_a_digest_is_read(network, tmp_path):
    path = tmp_path / "old.safetensors"
    save_file(network.state_dict(), path, {"kind": "toy"})
    assert torch.equal(read_tensors(path)["0.weight"], network.state_dict()["0.weight"])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"bands": ' + "9" * 10_000 + "}", "digits"),
        ('{"bands": 1000000000000}', "no size of a network"),
        ('{"bands": NaN}', "no size of a network"),
        ('{"temporal": [' + ",".join("1" * 500) + "]}", "a list of 500 values"),
        ("[1]", "no object of JSON"),
        ("", "Expecting value"),
        (" " * 1_000_001, "1,000,001 letters"),
    ],
)
def test_a_configuration_of_strangers_is_refused_in_a_sentence(tmp_path, config, said):
    path = tmp_path / "network.safetensors"
    tensors = {"a": torch.zeros(1)}
    for kind, load in (("musicnn", musicnn.load), ("sf-nfnet", mule.load)):
        save_file(tensors, path, {"kind": kind, "format_version": "1", "config": config, "source_sha256": "0"})
        with pytest.raises(UserError, match=said) as caught:
            load(path)
        assert "\n" not in str(caught.value)
        assert "sys.set_int" not in str(caught.value)


def test_sizes_that_the_tensors_do_not_have_take_no_memory(tmp_path):
    path = tmp_path / "network.safetensors"
    config = '{"bands": 96, "timbral": [[7, 38]], "temporal": [9], "units": 10000, "middle_channels": 10000}'
    save_file(
        {"a": torch.zeros(1)}, path, {"kind": "musicnn", "format_version": "1", "config": config, "source_sha256": "0"}
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="tensors are not those of the network that it describes"):
        musicnn.load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB; the network would take 3 GB


def test_fetched_weights_are_held_to_it(tmp_path):
    """Their fingerprint is that of the published file: another would not have been noticed."""
    path, weights = tmp_path / "musicnn.safetensors", Musicnn()
    musicnn.save(weights, path, "0" * 64)
    musicnn.load(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="is not as it was written: its digest differs"):
        musicnn.load(path)


def test_no_such_file_and_another_kind(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        read_tensors(tmp_path / "none")
    np.save(tmp_path / "other.npy", np.zeros(3))
    with pytest.raises(UserError, match="is not a whole safetensors file"):
        read_tensors(tmp_path / "other.npy")
