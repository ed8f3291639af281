"""Conversion of MusiCNN's weights: the published checkpoint to safetensors, and reading them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import torch

from benchmark.encoders.published.mule.convert import unwritable
from benchmark.encoders.published.musicnn.checkpoint import read_checkpoint
from benchmark.encoders.published.musicnn.network import PUBLISHED, Musicnn, MusicnnConfig, parameters_from
from benchmark.encoders.weights_file import network_bytes, read_configuration, read_metadata, read_tensors
from benchmark.errors import UserError
from results.files import replace_file

KIND, FORMAT_VERSION = "musicnn", "1"


def convert(index: Path, data: Path, destination: Path, config: MusicnnConfig = PUBLISHED) -> None:
    """Write the checkpoint of ``index`` and ``data`` as safetensors, with their sha256 in its metadata.

    Raises:
        UserError: They are not a whole checkpoint of the network that ``config`` describes.
    """
    variables = read_checkpoint(index, data, _is_of_the_model)
    tensors = {name: torch.from_numpy(array) for name, array in variables.items()}
    try:
        network = _filled(parameters_from(tensors, config), config)
    except KeyError as error:
        raise UserError(
            f"{index} is not a checkpoint of MusiCNN: it has no variable {error.args[0]}",
            "fetch it again with 'bench encoders fetch'",
        ) from error
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"{index} is not a checkpoint of MusiCNN: {error}",
            "Fetch it again with 'bench encoders fetch'",
        ) from error
    digest = hashlib.sha256(index.read_bytes() + data.read_bytes()).hexdigest()
    try:
        save(network, destination, digest)
    except OSError as error:
        raise unwritable(destination, error) from error


def save(network: Musicnn, path: Path, source_sha256: str) -> None:
    """Write a network as safetensors, with its sizes and the sha256 of what it was made from. Whole or not at all.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    metadata = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "config": json.dumps(asdict(network.config)),
        "source_sha256": source_sha256,
    }
    replace_file(path, network_bytes(network, metadata))


def read_checksum(path: Path) -> tuple[str, MusicnnConfig]:
    """Return the sha256 of the checkpoint that ``path`` was made from, and the sizes of its network.

    Raises:
        UserError: No such file, or not one of :func:`save`.
    """
    metadata = read_metadata(path)
    kind_and_version = (metadata.get("kind"), metadata.get("format_version"))
    if kind_and_version != (KIND, FORMAT_VERSION):
        expected = (KIND, FORMAT_VERSION)
        raise UserError(
            f"{path} cannot be loaded: its kind and version are {kind_and_version}, expected {expected}",
            "delete it and fetch it again with 'bench encoders fetch'",
        )
    try:
        stored = read_configuration(metadata)
        stored["timbral"] = tuple(tuple(size) for size in stored["timbral"])
        stored["temporal"] = tuple(stored["temporal"])
        return metadata["source_sha256"], MusicnnConfig(**stored)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} cannot be loaded: what it says of itself cannot be used ({error!r})",
            "delete it and fetch it again with 'bench encoders fetch'",
        ) from error


def load(path: Path) -> Musicnn:
    """Return the network that :func:`convert` or :func:`save` wrote, in evaluation mode.

    Raises:
        UserError: No such file, another kind or version of file, or tensors that do not fit its configuration.
    """
    _, config = read_checksum(path)
    try:
        return _filled(read_tensors(path), config)
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} cannot be loaded ({error})",
            "delete it and fetch it again with 'bench encoders fetch'",
        ) from error


def _filled(state: dict[str, torch.Tensor], config: MusicnnConfig) -> Musicnn:
    for name, tensor in state.items():
        if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            raise ValueError(f"{name} does not hold finite float32 values")
    with torch.device("meta"):  # sizes that the tensors do not have take no memory
        shapes = {name: tensor.shape for name, tensor in Musicnn(config).state_dict().items()}
    stored = {name: tensor.shape for name, tensor in state.items()}
    other = [name for name in {**shapes, **stored} if shapes.get(name) != stored.get(name)]
    if other:
        raise ValueError(f"its tensors are not those of the network that it describes: {', '.join(other[:5])}")
    network = Musicnn(config)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _is_of_the_model(name: str) -> bool:
    """Say whether a variable is of the model, and not of the optimiser that trained it."""
    return "Adam" not in name and not name.startswith(("beta1_power", "beta2_power"))
