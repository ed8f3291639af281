"""Networks as safetensors with a digest of their content, which is checked when they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from benchmark.errors import UserError

DIGEST = "content_sha256"
LARGEST_CONFIG = 1_000_000  # letters
LARGEST_NUMBER = 10_000  # that may be a network's width, depth or scale
LARGEST_LIST = 100


def content_digest(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """Return the sha256 of tensors, with their names, shapes and types, and of metadata but for the digest itself."""
    plain = {key: value for key, value in metadata.items() if key != DIGEST}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}{list(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def network_bytes(network: torch.nn.Module, metadata: Mapping[str, str]) -> bytes:
    """Return a network's parameters and buffers as a safetensors file with ``metadata`` and its digest."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return _in_order(bytes(save(tensors, {**metadata, DIGEST: content_digest(tensors, metadata)})))


def _in_order(content: bytes) -> bytes:
    """Return a safetensors file with its metadata sorted: the library writes them in an order that it draws anew."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file: kind, format_version, config and the notes it was saved with.

    Raises:
        UserError: No such file, or another kind of file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}", "check the path") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a whole safetensors file ({error})", "convert or train it again") from error


def read_configuration(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the configuration of a network that lies in the metadata of its file.

    Raises:
        ValueError: There is none, or it is no object of JSON: nested too deep, with a number of thousands of digits, or
            with one that no size of a network has.
    """
    text = metadata.get("config", "")
    if len(text) > LARGEST_CONFIG:
        raise ValueError(f"a configuration of {len(text):,} letters")
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("a configuration that is nested too deep") from None
    except ValueError as error:
        raise ValueError(str(error).partition("; use sys.")[0]) from None
    if not isinstance(content, dict):
        raise ValueError("a configuration that is no object of JSON")  # noqa: TRY004 - wrong content
    _refuse_huge(content)
    return content


def _refuse_huge(value: object) -> None:
    if isinstance(value, dict | list):
        if len(value) > LARGEST_LIST:
            raise ValueError(f"a configuration with a list of {len(value):,} values")
        for part in value.values() if isinstance(value, dict) else value:
            _refuse_huge(part)
    elif isinstance(value, int | float) and not abs(value) <= LARGEST_NUMBER:  # NaN neither
        raise ValueError("a configuration with a number that is no size of a network")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file of :func:`network_bytes`; one that an older version wrote has no digest to fit.

    Raises:
        UserError: No such file, another kind of file, or one that is not as it was written.
    """
    metadata = read_metadata(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    if DIGEST in metadata and metadata[DIGEST] != content_digest(tensors, metadata):
        raise UserError(
            f"{path} is not as it was written: its digest differs, so it was changed since",
            "Delete it, and fetch, convert or export it again",
        )
    return tensors
