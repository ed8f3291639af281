"""Read the data in a Python pickle: text, numbers, lists, tuples, dictionaries and NumPy arrays, and nothing else.

Some datasets publish their splits as pickles of Python 2. A pickle is a program, and loading one runs it. Here the
unpickler of the standard library follows the instructions of protocols 0 to 2 that make plain data, and refuses every
other one. Why that is enough:

- No name is imported. The five names that a pickled array holds stand for functions of this module. Nothing else that a
  pickle can make may be called, and none of them can be changed: a state is given to arrays and their types alone.
- NumPy is given a type of numbers such as ``<f8`` and bytes, after all is read; it unpickles nothing.
- Keys are text or whole numbers of 64 bits. (A tuple that holds another twice, forty times over, is hashed for ever.)
- What a file holds once and repeats is held once, so that memory and time follow the size of the file.

The unpickler is the one in Python, ``pickle._Unpickler``. The one in C is up to nine times as fast, but allocates what
five bytes ask for (64 GB for a number of a repeated value), hashes keys without asking, and keeps extensions of others.

Text of Python 2 is bytes: it is given as ``bytes`` by `parse`, and decoded as UTF-8 by the functions that read files.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.errors import TaskError
from tasks.readers.tables import read_bytes
from tasks.spelling import composed

SHOWN = 200  # bytes of a value in a message
DEPTH = 1000  # of lists and the like within each other, at most
DIMENSIONS = 32  # of an array, at most
BITS = 64  # of a key or a name, at most
ALLOWED = (
    b".FGIJKLMNRSTUVX]aceghjlpqrt}" + b")\x80\x85\x86\x87\x88\x89\x8a"
)  # instructions, beside those of the class below
PAIR = rb"S'([^'\\\n]*)'\np\d+\nS'([^'\\\n]*)'\np\d+\ns"


class RefusedPickleError(ValueError):
    """The instruction that ends at ``position`` is damaged, or not one that makes plain data."""

    def __init__(self, position: int, reason: str):
        super().__init__(f"byte {position}: {reason}")


@dataclass(slots=True)
class _Dtype:
    """The type of an array's numbers: ``code`` such as ``f8``, and the order of their bytes."""

    code: str
    order: str = "="


@dataclass(slots=True)
class Array:
    """A NumPy array as a pickle holds it: ``dtype`` such as ``<f8``, ``shape`` and the bytes in ``data``."""

    shape: tuple[int, ...] = ()
    dtype: str = ""
    data: bytes = b""

    def numbers(self) -> np.ndarray:
        """Return the numbers, flat. Raises ValueError if that has no one meaning, or bytes are missing."""
        values = np.frombuffer(self.data, self.dtype)
        if len(values) != max(self.shape, default=1) or len(values) != math.prod(self.shape):
            raise ValueError(f"{len(values)} values for a vector of the shape {self.shape}")
        return values


def read_list(path: Path) -> list[str]:
    """Return the strings of a pickled list.

    Raises:
        TaskError: The file is missing, damaged, or no pickle of a plain list of strings.
    """
    found = _parse(path, read_bytes(path))
    if not isinstance(found, list) or not all(isinstance(value, str | bytes) for value in found):
        raise TaskError(f"{path} should be the pickle of a list of strings", "download it again")
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
        raise TaskError(f"{path} should be the pickle of a dictionary from strings to strings", "download it again")
    return {text(key): text(value) for key, value in found.items() if _kept(key, wanted)}


def read_vectors(path: Path, length: int) -> tuple[list[str], np.ndarray]:
    """Return the keys of a pickled dictionary, and the vectors of 0 and 1 that they lead to as float32 [n, length].

    A vector is a NumPy array of any shape with ``length`` values, or a list of numbers.

    Raises:
        TaskError: The file is missing, damaged, or no pickle of such a dictionary.
    """
    found = _parse(path, read_bytes(path))
    if not isinstance(found, dict) or not all(isinstance(key, str | bytes) for key in found):
        raise TaskError(f"{path} should be the pickle of a dictionary from strings to vectors", "download it again")
    text = _Texts(path)
    keys = [text(key) for key in found]
    vectors = np.empty((len(keys), length), np.float32)
    for i, value in enumerate(found.values()):
        try:
            with np.errstate(over="ignore"):  # what is infinite is refused below
                vectors[i] = _vector(value, length)
        except (TypeError, ValueError, OverflowError) as error:
            raise TaskError(
                f"{path}: the vector of {keys[i]!r} cannot be used: {error}", "Download the file again"
            ) from None
    odd = np.flatnonzero(((vectors != 0) & (vectors != 1)).any(axis=1))
    if len(odd):
        raise TaskError(
            f"{path}: the vector of {keys[odd[0]]!r} holds other values than 0 and 1 ({len(odd)} do)",
            "download the file again",
        )
    return keys, vectors


def _vector(value: Any, length: int) -> np.ndarray:
    if not isinstance(value, Array | list | tuple):
        raise TypeError("it is neither an array nor a list of numbers")
    if isinstance(value, Array):
        numbers = value.numbers()
        if len(numbers) == length:
            return numbers
        raise ValueError(f"{len(numbers)} values, not {length}")
    if len(value) != length:
        raise ValueError(f"{len(value)} values, not {length}")
    if not all(type(each) in (int, float, bool) for each in value):  # a list may hold a list a billion times
        raise TypeError("it is neither an array nor a list of numbers")
    return np.asarray(value, np.float32)


def _kept(key: Any, wanted: Container[str] | None) -> bool:
    return wanted is None or (key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)) in wanted


def _is_name(value: object) -> bool:
    return isinstance(value, str | bytes) or _is_short(value)


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
            raise TaskError(f"{self.path}: {value[:SHOWN]!r} is not UTF-8 text", "download the file again") from None


def _parse(path: Path, data: bytes) -> Any:
    try:
        return parse(data)
    except RefusedPickleError as error:
        raise TaskError(
            f"{path} is not read ({error}), since it is damaged, or holds more than plain data",
            "download it again",
        ) from None


def parse(data: bytes) -> Any:
    """Return the plain data of a pickle of protocol 0, 1 or 2; strings of Python 2 as bytes, arrays as `Array`.

    Raises:
        RefusedPickleError: An instruction that makes anything else, or that is damaged.
    """
    file = io.BytesIO(data)
    unpickler = _Unpickler(file)
    try:
        value = unpickler.load()
    except EOFError:
        raise RefusedPickleError(file.tell(), "the file is cut off") from None
    except (pickle.UnpicklingError, ValueError, TypeError) as error:
        raise RefusedPickleError(file.tell(), str(error)[:SHOWN]) from None
    except (KeyError, IndexError, AttributeError, struct.error):
        reason = "the instructions do not fit together, or are not those of protocols 0 to 2 for plain data"
        raise RefusedPickleError(file.tell(), reason) from None
    if unpickler.stack or unpickler.metastack or file.read().strip():
        raise RefusedPickleError(file.tell(), "the data end at the wrong place")
    return value


class _Unpickler(pickle._Unpickler):
    """The unpickler of the standard library, less every instruction and name that plain data do not need."""

    stack: list[Any]  # since the last mark
    metastack: list[list[Any]]

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="bytes")
        encoded: dict[str, bytes] = {}  # a text that the file repeats is encoded once

        def encode(text: str, encoding: str | bytes) -> bytes:
            if type(text) is not str or _text(encoding) != "latin1":
                raise TypeError("a call that does not make the bytes of an array")
            if text not in encoded:
                encoded[text] = text.encode("latin1")
            return encoded[text]

        self._functions = {
            "numpy.core.multiarray _reconstruct": _reconstruct,
            "numpy._core.multiarray _reconstruct": _reconstruct,
            "numpy ndarray": _ndarray,
            "numpy dtype": _dtype,
            "_codecs encode": encode,
        }

    def find_class(self, module: str, name: str) -> Any:
        """Return the function that stands for a name."""
        function = self._functions.get(f"{module} {name}")
        if function is None:
            raise ValueError(f"it names {f'{module}.{name}'[: SHOWN // 2]!r}, which is not plain data")
        return function

    def load_mark(self) -> None:
        """Begin a list or the like."""
        if len(self.metastack) == DEPTH:
            raise ValueError("lists that are nested too deep")
        super().load_mark()  # type: ignore[misc]

    def load_build(self) -> None:
        """Give an array, or the type of one, its state."""
        state = self.stack.pop()
        target = self.stack[-1]
        if type(state) is not tuple or not isinstance(target, Array | _Dtype):
            raise TypeError("an object that is no array")
        if isinstance(target, _Dtype):
            target.order = _text(state[1])
            if target.order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
                raise TypeError("an array whose elements are not numbers")
            return
        _version, shape, dtype, _fortran, data = state
        if type(shape) is not tuple or len(shape) > DIMENSIONS or not all(_is_short(size) for size in shape):
            raise TypeError("an array without a shape")
        if not isinstance(dtype, _Dtype) or type(data) is not bytes:
            raise TypeError("an array without type or bytes")
        target.shape, target.dtype, target.data = shape, dtype.order + dtype.code, data

    def load_setitem(self) -> None:
        """Put a pair into a dictionary."""
        pair = [self.stack.pop(), self.stack.pop()]
        self._fill(self.stack[-1], pair[::-1])

    def load_setitems(self) -> None:
        """Put the pairs since the mark into a dictionary."""
        pairs = self.pop_mark()  # type: ignore[attr-defined]
        self._fill(self.stack[-1], pairs)

    def load_dict(self) -> None:
        """Make a dictionary of the pairs since the mark."""
        pairs = self.pop_mark()  # type: ignore[attr-defined]
        self.stack.append(self._fill({}, pairs))

    @staticmethod
    def _fill(target: Any, pairs: list[Any]) -> dict[Any, Any]:
        if type(target) is not dict:
            raise TypeError("a dictionary was expected")
        if not all(type(key) in (str, bytes) or _is_short(key) for key in pairs[::2]):
            raise TypeError("a key that is neither text nor a whole number")
        target.update(zip(pairs[::2], pairs[1::2], strict=True))
        return target

    dispatch = {code: pickle._Unpickler.dispatch[code] for code in ALLOWED} | {  # type: ignore[assignment]
        ord("("): load_mark,
        ord("b"): load_build,
        ord("d"): load_dict,
        ord("s"): load_setitem,
        ord("u"): load_setitems,
    }


def _is_short(value: Any) -> bool:
    """Say whether a value is a whole number that takes no time to hash, to multiply or to write."""
    return type(value) is int and value.bit_length() <= BITS


def _text(value: Any) -> str:
    text = value.decode("ascii") if type(value) is bytes else value
    if type(text) is not str:
        raise TypeError("an array described by something else than text")
    return text


def _ndarray(*_: Any) -> None:
    raise TypeError("an array is made by _reconstruct alone")


def _reconstruct(kind: Any, _shape: Any, _code: Any) -> Array:
    if kind is not _ndarray:
        raise TypeError("a call that does not make an array")
    return Array()


def _dtype(code: Any, _align: Any, _copy: Any) -> _Dtype:
    if not re.fullmatch(r"[biuf]\d", _text(code)):
        raise TypeError("an array whose elements are not numbers")
    return _Dtype(_text(code))
