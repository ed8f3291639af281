"""Side files of an ONNX model that hold its weights: those that its external_data entries name, and no others.

onnxruntime brings no reader of models, and the package onnx is no part of the extra that runs them. So the few fields
that lead to those entries are followed in the protobuf itself (https://protobuf.dev/programming-guides/encoding,
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); everything else is stepped over.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

from benchmark.errors import UserError

VARINT, BYTES = 0, 2
#: Bytes of the kinds that are stepped over: of fixed width, and the ends of groups, which nobody writes any more.
SIZES = {1: 8, 5: 4, 3: 0, 4: 0}

#: Fields of a message that hold others, by message: number -> message.
INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
EXTERNAL_DATA, DATA_LOCATION, EXTERNAL = 13, 14, 1  # of a tensor
KEY, VALUE = 1, 2  # of an entry
DEEPEST = 100  # messages in each other, as protobuf itself allows

#: How a model of onnxruntime's own format is told; its weights are all in it.
ORT_FORMAT = b"ORTM"


class WireError(ValueError):
    """Bytes that are no protobuf message, or one in another more often than protobuf allows."""


def files_of_weights(file: Path) -> list[Path]:
    """Return the files that a model names as holders of its weights, each once, in order of their paths.

    Of a damaged model, those that are named before the damage: onnxruntime will refuse it.

    Raises:
        UserError: The file cannot be read, or names a file outside its folder or one that is not there.
    """
    named: dict[str, None] = {}
    try:
        if file.stat().st_size == 0:
            return []
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[4:8] != ORT_FORMAT:
                with memoryview(data) as view, suppress(WireError):
                    _find(view, "model", 0, named)
    except OSError as error:
        raise UserError(
            f"cannot read {file}: {error.strerror or error}", "let it be read, or name another file"
        ) from error
    files = {file.parent / _inside(name, file): None for name in named}
    for side_file in files:
        if not side_file.is_file():
            raise UserError(
                f"{file} keeps weights in {side_file.relative_to(file.parent).as_posix()!r}, which is not there",
                "put both into one folder",
            )
    return sorted(files)


def _inside(name: str, file: Path) -> PurePosixPath:
    """Return a location as a path below the model's folder."""
    path = PurePosixPath(name)
    leaves = path.is_absolute() or ".." in path.parts or "\\" in name or bool(PureWindowsPath(name).drive)
    if leaves or not path.parts or "\0" in name:
        raise UserError(
            f"{file} says that its weights are in {name!r}, outside its folder, and is not opened",
            "Export the model with its weights beside it, or in the file itself",
        )
    return path


def _find(data: memoryview, message: str, depth: int, names: dict[str, None]) -> None:
    """Note the locations of all tensors in a message that say that their data is elsewhere."""
    if depth > DEEPEST:
        raise WireError
    if message == "tensor":
        names.update(dict.fromkeys(_locations(data)))
        return
    inside = INSIDE[message]
    for number, value in _fields(data):
        if number in inside and isinstance(value, memoryview):
            _find(value, inside[number], depth + 1, names)


def _locations(data: memoryview) -> list[str]:
    """Return the locations of a tensor whose data is elsewhere."""
    locations, external = [], False
    for number, value in _fields(data):
        if number == DATA_LOCATION and isinstance(value, int):
            external = value == EXTERNAL
        elif number == EXTERNAL_DATA and isinstance(value, memoryview):
            entry = {key: bytes(field) for key, field in _fields(value) if isinstance(field, memoryview)}
            if entry.get(KEY) == b"location":
                locations.append(entry.get(VALUE, b"").decode("utf-8", "replace"))
    return locations if external else []


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message that is a whole number or bytes; others are stepped over."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
        elif kind == BYTES:
            length, at = _varint(data, at)
            if at + length > end:
                raise WireError
            yield number, data[at : at + length]
            at += length
        elif kind in SIZES:
            at += SIZES[kind]
        else:
            raise WireError


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise WireError
