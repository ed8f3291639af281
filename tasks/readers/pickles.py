"""Read the data in a Python pickle without unpickling it: nothing that the file names is imported or called.

Some datasets publish their splits as pickles of Python 2. A pickle is a program, and loading one runs it; here a small
machine reads the instructions of protocols 0 to 2 that make text, numbers, lists, tuples, dictionaries and NumPy
arrays, and refuses every other one. The few names that a pickled array holds (``numpy.ndarray`` and the like) are
compared with a list and stand for a fixed meaning; any other name, such as ``os.system``, is refused.

Text of Python 2 is bytes: it is given as ``bytes`` by `parse`, and decoded as UTF-8 by the functions that read files.
"""

from __future__ import annotations

import codecs
import math
import re
import struct
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np

from tasks.errors import TaskError
from tasks.readers.tables import read_bytes
from tasks.spelling import composed

SHOWN = 200  # bytes of a value in a message
MARK = object()
RECONSTRUCT, NDARRAY, DTYPE, ENCODE = (object() for _ in range(4))
NAMES = {
    "numpy.core.multiarray _reconstruct": RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": RECONSTRUCT,
    "numpy ndarray": NDARRAY,
    "numpy dtype": DTYPE,
    "_codecs encode": ENCODE,
}
NUMBERS = {b"J": "<i", b"K": "<B", b"M": "<H", b"G": ">d"}
PLACES = {b"h": "<B", b"q": "<B", b"j": "<I", b"r": "<I"}  # in the memory of what may be repeated
COUNTED = {b"U": 1, b"\x8a": 1, b"T": 4, b"X": 4}
CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False}
PAIR = rb"S'([^'\\\n]*)'\np\d+\nS'([^'\\\n]*)'\np\d+\ns"


class RefusedPickleError(ValueError):
    """The instruction at ``position`` is damaged, or not one that makes plain data."""

    def __init__(self, position: int, reason: str):
        super().__init__(f"byte {position}: {reason}")


class Array:
    """A NumPy array as a pickle holds it: ``dtype`` such as ``<f8``, ``shape`` and the bytes in ``data``."""

    __slots__ = ("data", "dtype", "shape")

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.dtype = ""
        self.data = b""

    def numbers(self) -> np.ndarray:
        """Return the numbers, flat. Raises ValueError if that has no one meaning, or bytes are missing."""
        values = np.frombuffer(self.data, self.dtype)
        if len(values) != max(self.shape, default=1) or len(values) != math.prod(self.shape):
            raise ValueError(f"{len(values)} values for a vector of the shape {self.shape}")
        return values


class _Dtype:
    __slots__ = ("code", "order")

    def __init__(self, code: str):
        self.code, self.order = code, "="


def read_list(path: Path) -> list[str]:
    """Return the strings of a pickled list.

    Raises:
        TaskError: The file is missing, damaged, or no pickle of a plain list of strings.
    """
    found = _parse(path, read_bytes(path))
    if not isinstance(found, list) or not all(isinstance(value, str | bytes) for value in found):
        raise TaskError(f"{path} should be the pickle of a list of strings")
    text = _Texts(path)
    return [text(value) for value in found]


def read_strings(path: Path, wanted: Container[str] | None = None) -> dict[str, str]:
    """Return a pickled dictionary from strings (or whole numbers) to strings (or whole numbers), all as strings.

    Args:
        path: The file; one with a million entries takes some two seconds.
        wanted: Leave out the keys that are not in it.

    Raises:
        TaskError: The file is missing, damaged, or no pickle of such a dictionary.
    """
    data, text = read_bytes(path), _Texts(path)
    # The plain form of Python 2, checked as a whole, then read at the speed of the regular expression engine.
    body = re.fullmatch(rb"\(dp\d+\n((?:" + PAIR + rb")*+)\.", data)
    if body:
        pairs = ((m[1], m[2]) for m in re.finditer(PAIR, body[1]))
        return {text(key): text(value) for key, value in pairs if _kept(key, wanted)}
    found = _parse(path, data)
    if not isinstance(found, dict) or not all(_is_name(k) and _is_name(v) for k, v in found.items()):
        raise TaskError(f"{path} should be the pickle of a dictionary from strings to strings")
    return {text(key): text(value) for key, value in found.items() if _kept(key, wanted)}


def read_vectors(path: Path, length: int) -> tuple[list[str], np.ndarray]:
    """Return the keys of a pickled dictionary, and the vectors of 0 and 1 that they lead to as float32 [n, length].

    A vector is a NumPy array of any shape with ``length`` values, or a list of numbers.

    Raises:
        TaskError: The file is missing, damaged, or no pickle of such a dictionary.
    """
    found = _parse(path, read_bytes(path))
    if not isinstance(found, dict) or not all(isinstance(key, str | bytes) for key in found):
        raise TaskError(f"{path} should be the pickle of a dictionary from strings to vectors")
    text = _Texts(path)
    keys = [text(key) for key in found]
    vectors = np.empty((len(keys), length), np.float32)
    for i, value in enumerate(found.values()):
        try:
            vectors[i] = _vector(value, length)
        except (TypeError, ValueError) as error:
            raise TaskError(f"{path}: the vector of {keys[i]!r} cannot be used: {error}") from None
    odd = np.flatnonzero(((vectors != 0) & (vectors != 1)).any(axis=1))
    if len(odd):
        raise TaskError(f"{path}: the vector of {keys[odd[0]]!r} holds other values than 0 and 1 ({len(odd)} do)")
    return keys, vectors


def _vector(value: Any, length: int) -> np.ndarray:
    if isinstance(value, Array):
        numbers = value.numbers()
    elif isinstance(value, list | tuple) and all(type(each) in (int, float, bool) for each in value):
        numbers = np.asarray(value, np.float32)
    else:  # a list of lists may hold one of them a billion times
        raise TypeError("it is neither an array nor a list of numbers")
    if len(numbers) != length:
        raise ValueError(f"{len(numbers)} values, not {length}")
    return numbers


def _kept(key: Any, wanted: Container[str] | None) -> bool:
    return wanted is None or (key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)) in wanted


def _is_name(value: object) -> bool:
    return isinstance(value, str | bytes | int) and not isinstance(value, bool)


class _Texts:
    """The values of a file as texts; one that the file holds once and repeats a million times is one text."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[bytes, str] = {}

    def __call__(self, value: str | bytes | int) -> str:
        if not isinstance(value, bytes):
            return str(value)
        try:
            return self.known.setdefault(value, self.known.get(value) or composed(value.decode("utf-8")))
        except UnicodeDecodeError:
            raise TaskError(f"{self.path}: {value[:SHOWN]!r} is not UTF-8 text") from None


def _parse(path: Path, data: bytes) -> Any:
    try:
        return parse(data)
    except RefusedPickleError as error:
        raise TaskError(
            f"{path} is not read ({error}): it is damaged, or holds more than plain data; download it again"
        ) from None


def parse(data: bytes) -> Any:
    """Return the plain data of a pickle of protocol 0, 1 or 2; strings of Python 2 as bytes, arrays as `Array`.

    Raises:
        RefusedPickleError: An instruction that makes anything else, or that is damaged.
    """
    where = [0]
    try:
        return _run(data, where)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error) as error:
        reason = str(error) if isinstance(error, ValueError | TypeError) else "the instructions do not fit together"
        raise RefusedPickleError(where[0], reason) from None


def _run(data: bytes, where: list[int]) -> Any:
    """Follow the instructions; ``where[0]`` is always the position of the one at hand."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    at = 0
    while True:
        where[0] = at
        op = data[at : at + 1]
        at += 1
        if not op:
            raise ValueError("the file is cut off")
        if op in b"pgSVIFLc":  # the instructions that end with the line
            end = data.index(b"\n", at)
            line = data[at:end]
            at = end + 1
            if op == b"p":
                memo[int(line)] = stack[-1]
            elif op == b"g":
                stack.append(memo[int(line)])
            elif op == b"S":
                stack.append(_quoted(line))
            elif op == b"c":
                end = data.index(b"\n", at)
                stack.append(_named(line, data[at:end]))
                at = end + 1
            else:
                stack.append(_number_or_text(op, line))
        elif op == b"(":
            stack.append(MARK)
        elif op == b"t":
            stack.append(tuple(_since_mark(stack)))
        elif op == b"a":
            value = stack.pop()
            _of(stack[-1], list).append(value)
        elif op == b"s":
            value, key = stack.pop(), stack.pop()
            _of(stack[-1], dict)[_key(key)] = value
        elif op == b"R":
            arguments, name = stack.pop(), stack.pop()
            stack.append(_reduce(name, arguments))
        elif op == b"b":
            state = stack.pop()
            _build(stack[-1], state)
        elif op == b".":
            if len(stack) != 1 or data[at:].strip():
                raise ValueError("the data end at the wrong place")
            return stack[0]
        elif op == b"e":
            values = _since_mark(stack)
            _of(stack[-1], list).extend(values)
        elif op == b"u":
            values = _since_mark(stack)
            _of(stack[-1], dict).update(_pairs(values))
        elif op == b"l":
            stack.append(_since_mark(stack))
        elif op == b"d":
            stack.append(_pairs(_since_mark(stack)))
        elif op in b"]})":
            stack.append([] if op == b"]" else {} if op == b"}" else ())
        elif op in CONSTANTS:
            stack.append(CONSTANTS[op])
        elif op in b"\x85\x86\x87":
            n = op[0] - 0x84
            stack[-n:] = [tuple(_values(stack[-n:], n))]
        elif op in NUMBERS or op in PLACES:
            form = NUMBERS.get(op) or PLACES[op]
            (number,) = struct.unpack_from(form, data, at)
            at += struct.calcsize(form)
            if op in b"qr":
                memo[number] = stack[-1]
            else:
                stack.append(memo[number] if op in PLACES else number)
        elif op in COUNTED:
            width = COUNTED[op]
            begin = at + width
            at = begin + int.from_bytes(data[at:begin], "little")
            if at > len(data):
                raise ValueError("the file is cut off")
            stack.append(_counted(op, data[begin:at]))
        elif op == b"\x80" and data[at] <= 2:
            at += 1
        else:
            raise ValueError(f"the instruction {op!r} is not one of protocols 0 to 2 for plain data")


def _named(module: bytes, name: bytes) -> object:
    found = NAMES.get((module + b" " + name).decode("ascii"))
    if found is None:
        raise ValueError(f"it names {(module + b'.' + name).decode('ascii')!r}, which is not plain data")
    return found


def _number_or_text(op: bytes, line: bytes) -> Any:
    if op == b"V":
        return line.decode("raw-unicode-escape")
    if op == b"F":
        return float(line)
    if op == b"I" and line in (b"00", b"01"):
        return line == b"01"
    return int(line.removesuffix(b"L"))


def _counted(op: bytes, raw: bytes) -> Any:
    if op == b"\x8a":
        return int.from_bytes(raw, "little", signed=True)
    return raw.decode("utf-8", "surrogatepass") if op == b"X" else raw


def _quoted(line: bytes) -> bytes:
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise ValueError("a string without its quotes")
    inner = line[1:-1]
    return codecs.escape_decode(inner)[0] if b"\\" in inner else inner


def _of(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"a {kind.__name__} was expected")
    return value


def _key(value: Any) -> Any:
    if type(value) not in (str, bytes, int):  # a deep tuple would be hashed without bounds
        raise TypeError("a key that is neither text nor a whole number")
    return value


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return {_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)}


def _values(values: list[Any], n: int) -> list[Any]:
    if len(values) != n or any(value is MARK for value in values):
        raise IndexError("the stack is too short")
    return values


def _since_mark(stack: list[Any]) -> list[Any]:
    """Take what lies above the topmost mark off the stack, and the mark."""
    values = []
    while (value := stack.pop()) is not MARK:
        values.append(value)
    values.reverse()
    return values


def _plain(value: Any) -> Any:
    return value.decode("ascii") if isinstance(value, bytes) else value


def _reduce(name: Any, arguments: Any) -> Any:
    """Do what the three known names would do."""
    if name is RECONSTRUCT and len(arguments) == 3 and arguments[0] is NDARRAY:
        return Array()
    if name is DTYPE and arguments and re.fullmatch(r"[biuf]\d", str(_plain(arguments[0]))):
        return _Dtype(str(_plain(arguments[0])))
    if name is ENCODE and len(arguments) == 2 and _plain(arguments[1]) == "latin1":
        return arguments[0].encode("latin1") if isinstance(arguments[0], str) else arguments[0]
    raise TypeError("a call that does not make an array of numbers")


def _build(target: Any, state: Any) -> None:
    if isinstance(target, _Dtype):
        order = _plain(state[1])
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise TypeError("an array whose elements are not numbers")
        target.order = order
    elif isinstance(target, Array):
        _version, shape, dtype, _fortran, raw = state
        if not isinstance(dtype, _Dtype) or not all(type(size) is int for size in shape):
            raise TypeError("an array without shape or type")
        target.shape, target.dtype = shape, dtype.order + dtype.code
        target.data = raw.encode("latin1") if isinstance(raw, str) else _of(raw, bytes)
    else:
        raise TypeError("an object that is no array")
