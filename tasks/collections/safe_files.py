"""Read annotation files of others without trusting them: text and NumPy arrays, never pickles.

A download that went wrong is the usual reason why an annotation file cannot be read. Its three common forms are told
apart here: a web page saved under the file's name, a Git LFS pointer in place of the data, and a file that was cut off.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tasks.errors import TaskError

SHOWN = 10


def read_bytes(path: Path, advice: str = "download it again") -> bytes:
    """Return the content of a file.

    Raises:
        TaskError: It is missing, empty, a web page or a Git LFS pointer. The message ends with ``advice``.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise TaskError(f"no file at {path}: {advice}") from None
    except OSError as error:
        raise TaskError(f"cannot read {path}: {error}") from None
    if not data.strip():
        raise TaskError(f"{path} is empty: {advice}")
    head = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise TaskError(f"{path}, line 1: this is a web page, not the data: {advice}")
    if head.startswith(b"version https://git-lfs"):
        raise TaskError(f"{path}, line 1: this is a Git LFS pointer, not the data: run 'git lfs pull', or {advice}")
    return data


def read_text(path: Path, advice: str = "download it again") -> str:
    """Return a UTF-8 file as text, its line ends as they are.

    Raises:
        TaskError: As `read_bytes`, or the file is not UTF-8.
    """
    data = read_bytes(path, advice)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TaskError(f"{path}, line {line}: not UTF-8 text ({error.reason}): {advice}") from None


def read_lines(path: Path, advice: str = "download it again") -> list[str]:
    """Return the lines of a UTF-8 file, without their ends.

    Raises:
        TaskError: As `read_text`; or a line is empty, or begins or ends with a space.
    """
    lines = read_text(path, advice).replace("\r\n", "\n").removesuffix("\n").split("\n")
    refuse(path, ((i, f"{line!r} is empty, or has spaces around it") for i, line in _lines(lines) if _is_odd(line)))
    return lines


def read_rows(path: Path, delimiter: str, advice: str = "download it again") -> Iterator[tuple[int, list[str]]]:
    r"""Yield the rows of a table with their line numbers, the header first; every line must have its end.

    Raises:
        TaskError: As `read_text`; or the last line is cut off, a row is empty, or a cell has a quote out of place.
    """
    text = read_text(path, advice)
    if not text.endswith("\n"):
        raise TaskError(
            f"{path}, line {text.count(chr(10)) + 1}: the file ends within a line, so it is cut off: {advice}"
        )
    lines = io.StringIO(text, newline="")
    if delimiter == "\t":
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    else:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = 1
    try:
        for row in reader:
            if not row:
                raise TaskError(f"{path}, line {reader.line_num}: an empty line: {advice}")
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise TaskError(f"{path}, line {line}: {error}: {advice}") from None


def load_array(path: Path, advice: str = "download it again") -> np.ndarray:
    """Return the array of an ``.npy`` file; arrays of Python objects are refused, since they would run code.

    Raises:
        TaskError: As `read_bytes`, or the file is not a whole array of numbers or text.
    """
    try:
        return np.load(io.BytesIO(read_bytes(path, advice)), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        if "allow_pickle" in str(error):
            error = ValueError("it holds Python objects, which are never loaded")
        raise TaskError(f"{path} is not a NumPy array of numbers or text ({error}): {advice}") from None


def load_binary(path: Path, shape: tuple[int | None, int | None], advice: str = "download it again") -> np.ndarray:
    """Return a matrix of 0 and 1 as float32; ``None`` in ``shape`` lets any size pass.

    Raises:
        TaskError: As `load_array`, or another shape, or a value that is neither 0 nor 1 (named with its row).
    """
    values = load_array(path, advice)
    want = " x ".join("any" if size is None else str(size) for size in shape)
    if values.ndim != 2 or any(size not in (None, got) for size, got in zip(shape, values.shape, strict=True)):
        raise TaskError(f"{path} should be a {want} matrix, but has the shape {values.shape}")
    if values.dtype.kind not in "biuf":
        raise TaskError(f"{path} should hold numbers, but holds {values.dtype}")
    odd = np.flatnonzero(((values != 0) & (values != 1)).any(axis=1))
    if len(odd):
        raise TaskError(f"{path}, row {odd[0]} (the first is 0): {len(odd)} row(s) hold other values than 0 and 1")
    return values.astype(np.float32)


def refuse(path: Path, problems: Iterator[tuple[int, str]] | list[tuple[int, str]]) -> None:
    """Raise a `TaskError` that names the file and each problem with its line, the first 10 in full."""
    found = list(problems)
    if found:
        lines = [f"  line {line}: {text}" for line, text in found[:SHOWN]]
        more = [f"  … and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        raise TaskError(f"{path} cannot be used as it is:\n" + "\n".join(lines + more))


def first_duplicate(values: list[str]) -> tuple[int, int] | None:
    """Return the positions of the first value that stands twice, or ``None``."""
    if len(set(values)) == len(values):
        return None
    seen: dict[str, int] = {}
    return next((seen[v], i) for i, v in enumerate(values) if seen.setdefault(v, i) != i)


def check_ids(path: Path, ids: list[str], is_id: Callable[[str], object], what: str, line: int = 1) -> None:
    """Refuse ids that do not have the form of ``what``, and ids that stand twice; ``line`` is that of the first."""
    refuse(path, [(i + line, f"{v!r} is not {what}") for i, v in enumerate(ids) if not is_id(v)])
    twice = first_duplicate(ids)
    if twice:
        refuse(path, [(twice[1] + line, f"{ids[twice[1]]!r} stands twice, first in line {twice[0] + line}")])


def _lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    return enumerate(lines, start=1)


def _is_odd(line: str) -> bool:
    return not line or line != line.strip()
