"""Conversion of weights: the published Keras file to safetensors, and reading them.

A ``.keras`` file is a zip archive of config.json (the graph of layers) and model.weights.h5 (their tensors). Layers are
found by following the graph from its output to its input, never by name: names count what was built before in the same
process, and change when a model is loaded and saved again. On the way every kernel, stride, group and constant is held
against the network that is to be filled, so a file of another network is refused, not squeezed in.

Groups of tensors are not named after layers either, but numbered: the k-th layer of a class that has weights, in the
order of config.json, owns the k-th group of that class that holds tensors.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmark.encoders.published.mule.keras_graph import Layer, MismatchError, Walk
from benchmark.encoders.published.mule.network import ULARGE, NetworkConfig, SlowFastNFNet
from benchmark.encoders.weights_file import network_bytes, read_configuration, read_metadata, read_tensors
from benchmark.errors import UserError
from benchmark.system.files import content_hash
from results.files import replace_file

if TYPE_CHECKING:
    import h5py

#: What a file of :func:`save` says of itself.
KIND, FORMAT_VERSION = "sf-nfnet", "1"
LARGEST_GRAPH = 50_000_000  # bytes of a config.json, and of what an HDF5 file holds beside its tensors
GROUPS = "_layer_checkpoint_dependencies"
#: Keras class: the name of its groups, up to the number.
STEMS = {"WeightStandardization": "weight_standardization", "Dense": "dense", "ScalarMultiply": "scalar_multiply"}
#: Keras class: (end of the parameter's name, place in the group, order of the file's axes) for each of its tensors.
PARTS: dict[str, tuple[tuple[str, str, tuple[int, ...]], ...]] = {
    "WeightStandardization": (
        (".weight", "vars/0", (3, 2, 0, 1)),  # bands, frames, in, out -> out, in, bands, frames
        (".gain", "vars/1", (0,)),
        (".bias", "layer/vars/0", (0,)),
    ),
    "Dense": ((".weight", "vars/0", (1, 0)), (".bias", "vars/1", (0,))),
    "ScalarMultiply": (("", "vars/0", ()),),
}


def convert(source: Path, destination: Path, config: NetworkConfig = ULARGE) -> None:
    """Write the weights of the Keras file ``source`` as safetensors, with the sha256 of ``source`` in its metadata.

    Raises:
        UserError: ``source`` is not a checkpoint of the network that ``config`` describes, or nothing can be written.
    """
    network = read_keras(source, config)
    metadata = {"source_name": source.name, "source_sha256": content_hash(source)}
    try:
        save(network, destination, metadata)
    except OSError as error:
        raise unwritable(destination, error) from error


def unwritable(destination: Path, error: OSError) -> UserError:
    """Return why converted weights are not there, and what to do."""
    return UserError(
        f"the converted weights cannot be written to {destination}: {error.strerror or error}. What was fetched is "
        "kept",
        "make room and run the same command again",
    )


def read_keras(path: Path, config: NetworkConfig = ULARGE) -> SlowFastNFNet:
    """Return the network in the Keras file at ``path``, in evaluation mode.

    Raises:
        UserError: No such file, no Keras file, a damaged one, or one of another network than ``config`` describes.
    """
    import h5py  # here, for :func:`load` is called far more often and has no use for it

    try:
        network = _empty(config)
        graph, weights = _members(path, _bytes_of(network))
        try:
            places = Walk(graph, network).places()
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise MismatchError(f"config.json is not the graph of a Keras model ({error!r})") from error
        try:
            with h5py.File(io.BytesIO(weights), "r") as file:
                state = _tensors(file, graph["config"]["layers"], places, network)
        except RecursionError:
            raise MismatchError("model.weights.h5 holds groups within groups without end") from None
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise MismatchError(f"model.weights.h5 cannot be read ({error})") from error
        _fill(network, state)
    except MismatchError as mismatch:
        raise UserError(
            f"{path} is not a checkpoint of this network: {mismatch}. Expected is the .keras file that its authors "
            "publish (about 251 MB)",
            "download it again",
        ) from mismatch
    return network


def save(network: SlowFastNFNet, path: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write a network as safetensors: its parameters, its configuration and ``notes``. Whole or not at all.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    config = json.dumps(asdict(network.config))
    metadata = {**(notes or {}), "kind": KIND, "format_version": FORMAT_VERSION, "config": config}
    replace_file(path, network_bytes(network, metadata))


def load(path: Path) -> SlowFastNFNet:
    """Return the network that :func:`save` or :func:`convert` wrote, in evaluation mode.

    Raises:
        UserError: No such file, another kind or version of file, one that is not as it was written, or tensors that do
            not fit its configuration.
    """
    metadata, state = read_metadata(path), read_tensors(path)
    try:
        network = _empty(_configuration(metadata))
        _fill(network, state)
    except MismatchError as mismatch:
        raise UserError(f"{path} cannot be loaded: {mismatch}", "Convert or train it again") from mismatch
    return network


def _configuration(metadata: Mapping[str, str]) -> NetworkConfig:
    kind_and_version = (metadata.get("kind"), metadata.get("format_version"))
    if kind_and_version != (KIND, FORMAT_VERSION):
        raise MismatchError(f"its kind and version are {kind_and_version}, expected {(KIND, FORMAT_VERSION)}")
    try:
        stored = read_configuration(metadata)
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in stored.items()}
        return NetworkConfig(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise MismatchError(f"its configuration cannot be used ({error})") from error


def _empty(config: NetworkConfig) -> SlowFastNFNet:
    """Return a network in evaluation mode whose parameters have shapes but no memory, to be filled."""
    with torch.device("meta"):
        return SlowFastNFNet(config).eval()


def _fill(network: SlowFastNFNet, state: Mapping[str, torch.Tensor]) -> None:
    expected = network.state_dict()
    for name in sorted(expected.keys() | state.keys()):
        if name not in state:
            raise MismatchError(f"the tensor {name} {list(expected[name].shape)} is missing")
        if name not in expected:
            raise MismatchError(f"the network has no tensor {name}")
        if state[name].shape != expected[name].shape:
            shapes = f"{list(state[name].shape)}, expected {list(expected[name].shape)}"
            raise MismatchError(f"the tensor {name} has the shape {shapes}")
        if not torch.isfinite(state[name]).all():
            raise MismatchError(f"the tensor {name} holds values that are not finite")
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)


def _bytes_of(network: SlowFastNFNet) -> int:
    """Return the bytes that the tensors of a network take."""
    return sum(4 * tensor.numel() for tensor in network.state_dict().values())


def _members(path: Path, size: int) -> tuple[Layer, bytes]:
    """Return config.json and model.weights.h5 of a .keras file whose tensors take ``size`` bytes."""
    if not path.is_file():
        raise UserError(f"there is no file {path}", "check the path")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            start = file.read(64).lstrip()
        what = "it is not a zip archive"
        if start.startswith(b"<"):
            what = "it is a web page"
        elif start.startswith(b"version https://git-lfs"):
            what = "it is the pointer that Git LFS keeps in place of a large file"
        elif start.startswith(b"PK"):
            what = "it is a zip archive without an end"
        raise MismatchError(f"{what} ({path.stat().st_size:,} bytes)")
    try:
        with zipfile.ZipFile(path) as archive:
            graph = json.loads(_member(archive, "config.json", LARGEST_GRAPH))
            weights = _member(archive, "model.weights.h5", 2 * size + LARGEST_GRAPH)
    except KeyError as error:
        raise MismatchError(f"{error.args[0]}; a Keras file holds config.json and model.weights.h5") from error
    except RecursionError:
        raise MismatchError("its config.json is nested too deep") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise MismatchError(f"the archive is damaged ({str(error).partition('; use sys.')[0]})") from error
    return graph, weights


def _member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    """Return what a member holds; one that holds or claims more than ``largest`` bytes is of no such file."""
    if archive.getinfo(name).file_size > largest:
        raise MismatchError(
            f"{name} would take {archive.getinfo(name).file_size:,} bytes, expected {largest:,} at most"
        )
    with archive.open(name) as member:  # which gives no more than is claimed
        return member.read()


def _tensors(
    file: h5py.File, layers: list[Layer], places: Mapping[str, str], network: SlowFastNFNet
) -> dict[str, torch.Tensor]:
    """Return the tensors of a weights file by the names and in the layouts of the network."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    groups = _groups(file, layers)
    classes = {layer["name"]: layer["class_name"] for layer in layers}
    spare = sorted(groups.keys() - set(places.values()))
    if spare:
        raise MismatchError(f"it has layers with weights that this network has not: {', '.join(spare[:5])}")
    state = {}
    for prefix, layer in places.items():
        for suffix, parameter, axes in PARTS[classes[layer]]:
            path = f"{groups[layer]}/{parameter}"
            if path not in file:
                raise MismatchError(f"model.weights.h5 has no tensor {path}, which holds {prefix}{suffix}")
            claimed, expected = getattr(file[path], "shape", None), shapes.get(prefix + suffix, torch.Size())
            if claimed is None or math.prod(claimed) > 4 * expected.numel() + 1000:  # before memory is taken
                raise MismatchError(f"the tensor {path} has the shape {claimed}, expected {list(expected)}")
            array = np.asarray(file[path][()], dtype=np.float32)
            if array.ndim != len(axes):
                raise MismatchError(f"the tensor {path} has the shape {list(array.shape)}, expected {len(axes)} axes")
            state[prefix + suffix] = torch.from_numpy(array.transpose(axes).copy())
    return state


def _groups(file: h5py.File, layers: list[Layer]) -> dict[str, str]:
    """Return {layer: path of its group} for the layers that have weights."""
    if GROUPS not in file:
        raise MismatchError(f"model.weights.h5 has no group {GROUPS}; it has {sorted(file)}")
    groups: dict[str, str] = {}
    for kind, stem in STEMS.items():
        same_kind = [layer for layer in layers if layer["class_name"] == kind]
        named = [layer["name"] for layer in same_kind if layer["config"].get("learnable", True)]
        numbers = {}
        for group in file[GROUPS]:
            match = re.fullmatch(rf"{stem}(?:_(\d+))?", group)
            if match and _holds_tensors(file[GROUPS][group]):
                numbers[int(match[1] or 0)] = f"{GROUPS}/{group}"
        if len(numbers) != len(named):
            counts = f"model.weights.h5 has the tensors of {len(numbers)} {kind} layers, config.json has {len(named)}"
            raise MismatchError(counts)
        groups.update(zip(named, (numbers[number] for number in sorted(numbers)), strict=True))
    return groups


def _holds_tensors(group: h5py.Group) -> bool:
    return any(not hasattr(item, "values") or _holds_tensors(item) for item in group.values())
