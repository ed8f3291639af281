"""Networks as files with a digest: what is read is what was written, or it is refused."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

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
