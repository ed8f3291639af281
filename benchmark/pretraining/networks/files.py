"""Trained networks as files: written, read, and told apart by what they hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from benchmark.encoders.published.mule.convert import KIND as NFNET_KIND
from benchmark.encoders.published.mule.convert import load as load_nfnet
from benchmark.encoders.published.mule.convert import save as save_nfnet
from benchmark.encoders.published.mule.network import SlowFastNFNet
from benchmark.encoders.weights_file import network_bytes, read_metadata, read_tensors
from benchmark.errors import UserError
from benchmark.pretraining.networks.table import NETWORKS, build
from results.files import replace_file

KIND, FORMAT_VERSION = "pretrained-network", "1"


def save(name: str, network: nn.Module, path: Path, notes: Mapping[str, str]) -> None:
    """Write the network ``name`` of a recipe as safetensors, with ``notes``. Whole or not at all.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    if isinstance(network, SlowFastNFNet):
        save_nfnet(network, path, notes)  # the file of the published model's family, which says its sizes itself
        return
    metadata = {**notes, "kind": KIND, "format_version": FORMAT_VERSION, "network": name}
    replace_file(path, network_bytes(network, metadata))


def load(path: Path) -> tuple[str, nn.Module]:
    """Return the network that :func:`save` wrote, in evaluation mode, and its name; none for a file of the NFNets.

    Raises:
        UserError: No such file, another kind of file, one that is not as it was written, or of a network that this
            version does not have.
    """
    metadata = read_metadata(path)
    kind = metadata.get("kind")
    if kind == NFNET_KIND:
        return "", load_nfnet(path)
    name = metadata.get("network", "")
    if (kind, metadata.get("format_version")) != (KIND, FORMAT_VERSION) or name not in NETWORKS:
        raise UserError(
            f"{path} holds no network of this version: its kind is {kind!r}, its network {name!r}",
            "name a file that bench pretrain wrote, or install the version that wrote it",
        )
    return name, filled(build(name).eval(), read_tensors(path), f"{path} is not of the network {name}")


def filled(network: nn.Module, tensors: Mapping[str, torch.Tensor], problem: str) -> nn.Module:
    """Return ``network`` with ``tensors`` by their names.

    Raises:
        UserError: They are of another network; ``problem`` begins what is said.
    """
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise UserError(
            f"{problem}: {str(error).splitlines()[-1].strip()}", "give the recipe that it was trained with"
        ) from error
    return network


def weights_digest(network: nn.Module, name: str = "") -> str:
    """Return the sha256 of a network: what it is, and its parameters and buffers, whatever file they came in."""
    about = json.dumps(asdict(network.config)) if isinstance(network, SlowFastNFNet) else name
    digest = hashlib.sha256(about.encode())
    for key, tensor in sorted(network.state_dict().items()):
        data = tensor.detach().cpu().float().contiguous()
        digest.update(f"{key}{list(data.shape)}".encode())
        digest.update(data.numpy().tobytes())
    return digest.hexdigest()
