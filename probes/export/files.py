"""A trained probe as files: ``probe.safetensors``, ``probe.onnx`` and ``probe.json`` in a folder of its own.

The ONNX graph is the whole function from stored embeddings [n, D] to outputs [n, outputs]: standardisation, layers,
activation, and the targets' own units. Whatever is read back is checked as if a stranger had written it, and against
the digests that ``probe.json`` holds of the other two files and of itself.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shlex
import shutil
import stat
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from probes.errors import ProbeError
from probes.export.card import SIGNED_SINCE, EncoderPart, ProbeCard, TaskPart
from probes.export.onnx_graph import onnx_graph
from probes.function import ProbeFunction

if TYPE_CHECKING:
    from probes.training.probe import TrainedProbe

__all__ = ["EncoderPart", "ProbeCard", "ProbeFileError", "TaskPart", "export", "load", "read_card"]

WEIGHTS, GRAPH, CARD, PAGE = "probe.safetensors", "probe.onnx", "probe.json", "README.md"
LARGEST_CARD, LARGEST_WEIGHTS = 2**26, 2**32


class ProbeFileError(ProbeError):
    """A probe that cannot be written, or files that are no probe. The message is written for the user."""


def require_onnx() -> None:
    """Refuse an export before anything is trained for it.

    Raises:
        ProbeFileError: The package ``onnx`` is not installed.
    """
    if find_spec("onnx") is None:
        raise ProbeFileError(
            "a probe is exported with the package onnx, which is not installed",
            "Install it: pip install onnx",
        )


def refuse_occupied(directory: Path, task: str, encoder: str) -> None:
    """Refuse to replace what is not a probe of the same task and encoder.

    Raises:
        ProbeFileError: ``directory`` is a file, or holds something else.
    """
    if directory.is_dir():
        if not any(directory.iterdir()):
            return
        try:
            card = read_card(directory)
        except ProbeFileError as error:
            raise ProbeFileError(
                f"{directory} holds something else than a probe ({error.what}) and is not replaced",
                "choose another folder",
            ) from None
        if (card.task.id, card.encoder.id) != (task, encoder):
            raise ProbeFileError(
                f"{directory} holds the probe of {card.encoder.id} on {card.task.id}, which that of {encoder} on "
                f"{task} does not replace",
                "choose another folder",
            )
    elif directory.exists() or directory.is_symlink():
        raise ProbeFileError(f"{directory} is a file", "choose a folder")


def export(probe: ProbeFunction, card: ProbeCard, directory: Path, page: str = "") -> Path:
    """Write a probe into ``directory``, whole or not at all, and return the folder.

    Args:
        probe: The probe's function.
        card: What is said of it. Its labels are the outputs, in order.
        directory: A new folder, or one that holds an older probe of the same task and encoder.
        page: The text of its README.md, if it has one.

    Raises:
        ProbeFileError: onnx is not installed, ``directory`` holds something else or cannot be written, or the labels do
            not fit the outputs.
    """
    require_onnx()
    if card.activation != probe.activation or len(card.labels) != probe.outputs:
        raise ProbeFileError(
            f"a probe of {probe.outputs} outputs ({probe.activation}) is not one of {len(card.labels)} labels "
            f"({card.activation})",
            "export it with the labels that it was trained on",
        )
    refuse_occupied(directory, card.task.id, card.encoder.id)
    from safetensors.numpy import save

    name = f".{directory.name}-{secrets.token_hex(4)}"
    new, old = directory.with_name(name), directory.with_name(f"{name}.old")
    try:
        new.mkdir(parents=True)
        (new / WEIGHTS).write_bytes(save(probe.tensors()))  # its own writer of files raises no OSError
        graph = onnx_graph(probe, card.labels, f"{card.task.title}: a probe on embeddings of {card.encoder.id}")
        (new / GRAPH).write_bytes(graph.SerializeToString())
        if page:
            (new / PAGE).write_bytes(page.encode())
        (new / CARD).write_bytes(signed(card, new))
        for file in new.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())
        if directory.exists():
            directory.rename(old)
        try:
            new.rename(directory)
        except OSError:
            if old.exists():
                old.rename(directory)
            raise
    except OSError as error:
        raise ProbeFileError(
            f"cannot write the probe to {directory}: {error.strerror or error}",
            "Make room or let it be written, and run the same command again",
        ) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if directory.exists():
            shutil.rmtree(old, ignore_errors=True)
    return directory


def load(directory: Path) -> tuple[ProbeFunction, ProbeCard]:
    """Read a probe that :func:`export` wrote.

    Raises:
        ProbeFileError: There is none, its files are damaged, or they do not belong together.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as tensors_of

    card, path = read_card(directory), directory / WEIGHTS
    try:
        data = _read(path, LARGEST_WEIGHTS)
    except FileNotFoundError:
        raise ProbeFileError(
            f"{directory} has a {CARD} but no {WEIGHTS}",
            "export the probe again with 'bench run --export'",
        ) from None
    except OSError as error:
        raise ProbeFileError(
            f"{path} cannot be read: {error.strerror or error}",
            "let it be read, or export the probe again with 'bench run --export'",
        ) from None
    if card.checked and card.digests.get(WEIGHTS) != _digest(data):
        raise _changed(path, directory)
    try:
        tensors = tensors_of(data)
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ProbeFileError(
            f"{path} cannot be read: {error}", "Export the probe again with 'bench run --export'"
        ) from None
    try:
        return _probe_of(tensors, card), card
    except ValueError as error:
        raise ProbeFileError(
            f"{path} holds no probe that fits its {CARD}: {error}",
            "Export the probe again with 'bench run --export'",
        ) from None


def read_card(directory: Path, *, checked: bool = True) -> ProbeCard:
    """Read ``probe.json`` of a folder; ``checked`` says whether its own digest must fit.

    Raises:
        ProbeFileError: There is none, it is not one, or it is not as it was written.
    """
    path = directory / CARD
    try:
        content = json.loads(_read(path, LARGEST_CARD))
        digest = content.pop("sha256", None) if isinstance(content, dict) else None
        card = ProbeCard.model_validate_json(json.dumps(content), strict=True)
    except (FileNotFoundError, NotADirectoryError):
        raise ProbeFileError(
            f"no probe at {directory}: there is no {CARD} in it",
            "name the folder of one, or write one with 'bench run --export'",
        ) from None
    except OSError as error:
        raise ProbeFileError(
            f"{path} cannot be read: {error.strerror or error}",
            "let it be read, or export the probe again with 'bench run --export'",
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ProbeFileError(
            f"{path} is no card of a probe: {f'{where}: ' if where else ''}{first['msg']}",
            "Export the probe again with 'bench run --export'",
        ) from None
    except (ValueError, RecursionError) as error:
        raise ProbeFileError(
            f"{path} is no card of a probe: {error}",
            "Export the probe again with 'bench run --export'",
        ) from None
    if checked and (card.checked or digest is not None) and digest != content_digest(content):
        raise _changed(path, directory)
    return card


def signed(card: ProbeCard, directory: Path) -> bytes:
    """Return ``probe.json`` with the digests of the files in ``directory`` as they are now, and of itself."""
    digests = {name: _digest(_read(directory / name, LARGEST_WEIGHTS)) for name in (WEIGHTS, GRAPH)}
    if (directory / PAGE).is_file():
        digests[PAGE] = _digest(_read(directory / PAGE, LARGEST_CARD))
    card = card.model_copy(update={"format_version": SIGNED_SINCE, "digests": digests})
    content = json.loads(json.dumps(card.model_dump(mode="json"), allow_nan=False))
    content["sha256"] = content_digest(content)
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def changed_files(directory: Path) -> list[str]:
    """Return the names of the files of a probe that are not what its digests say; nothing for one without digests.

    Raises:
        ProbeFileError: There is no probe, or its card is none.
    """
    card = read_card(directory, checked=False)
    if not card.checked:
        return []
    content = json.loads(_read(directory / CARD, LARGEST_CARD))
    changed = [CARD] if content.pop("sha256", None) != content_digest(content) else []
    for name in (WEIGHTS, GRAPH, *([PAGE] if PAGE in card.digests else [])):
        try:
            digest = _digest(_read(directory / name, LARGEST_WEIGHTS))
        except OSError:
            digest = None
        changed += [name] if card.digests.get(name) != digest else []
    return changed


def content_digest(content: Mapping[str, object]) -> str:
    """Return the sha256 of a card's content without its own digest, as JSON with sorted keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _changed(path: Path, directory: Path) -> ProbeFileError:
    sign = shlex.join(["bench", "results", "verify", "--sign", str(directory)])
    return ProbeFileError(
        f"{path} is not as it was written: its sha256 differs",
        f"Export the probe again, or, if it was changed on purpose, sign it again: {sign}",
    )


def _read(path: Path, largest: int) -> bytes:
    """Return the content of a regular file; a fifo or a device is not waited for.

    Raises:
        OSError: It is not there, is no regular file, is too large, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, so that what was looked at is what is read
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if status.st_size > largest:
            raise OSError(errno.EFBIG, f"it is too large: at most {largest:,} bytes are read", str(path))
        return file.read(largest)


def _probe_of(tensors: Mapping[str, np.ndarray], card: ProbeCard) -> ProbeFunction:
    for name, array in tensors.items():
        if array.dtype != np.float32:
            raise ValueError(f"{name} holds {array.dtype}, not float32")
    layers = sum(name.startswith("kernel_") for name in tensors)
    numbered = [f"{part}_{i}" for part in ("kernel", "bias") for i in range(layers)]
    expected = {*numbered, "input_mean", "input_scale", "target_mean", "target_scale"}
    if set(tensors) != expected:
        raise ValueError(f"it has {', '.join(sorted(tensors)) or 'nothing'}, not {', '.join(sorted(expected))}")
    probe = ProbeFunction(
        activation=card.activation,
        kernels=tuple(tensors[f"kernel_{i}"] for i in range(layers)),
        biases=tuple(tensors[f"bias_{i}"] for i in range(layers)),
        input_mean=tensors["input_mean"],
        input_scale=tensors["input_scale"],
        target_mean=tensors["target_mean"],
        target_scale=tensors["target_scale"],
    )
    if probe.outputs != len(card.labels):
        raise ValueError(f"{probe.outputs} outputs for {len(card.labels)} labels")
    return probe


def best_of(probes: Sequence[TrainedProbe]) -> int:
    """Return the index of the probe that scored best on valid, the earliest of equals."""
    return max(range(len(probes)), key=lambda i: (probes[i].valid_score, -i))
