"""Small readers of annotation files, which say what is wrong with a file, in which file and on which line.

Every reader refuses what a failed download leaves behind (a web page, a Git LFS pointer, half an archive, nothing at
all) and text that is not UTF-8; none runs code that a file holds. Text comes in the composed Unicode form (NFC). To
`read_lines`, `read_table` and `read_records`, line endings and spaces around cells do not count. `read_names` and
`read_rows` are for lists whose line numbers mean something and for rows that differ in length: they take nothing but
whole, clean lines.
"""

from __future__ import annotations

import csv
import io
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.card import TaskCard
from tasks.errors import NoAnnotationsError, TaskError
from tasks.files import ANNOTATIONS, gunzip, load_npy, parse_json
from tasks.files import read_bytes as read_file
from tasks.spelling import composed

WHOLE = re.compile(r"[0-9]+")
PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)?<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE | re.DOTALL
)
LFS = b"version https://git-lfs"
AGAIN = "delete the file and fetch it again"
SHOWN = 10
LONGEST = 500  # characters of a problem that are shown


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table or an object of a JSON file, with the place it was read from.

    Attributes:
        path: The file.
        where: The place in it, such as ``line 12`` or ``record '00002'``.
        cells: Values by name; those of a JSON file may be nested.
    """

    path: Path
    where: str
    cells: Mapping[str, Any]

    def error(self, what: str, do: str = AGAIN) -> TaskError:
        """Return an error that names this place, and says what to do."""
        return TaskError(f"{self.path}, {self.where}: {what}", do)

    def value(self, *names: str) -> Any:
        """Return the value under nested ``names``."""
        found: Any = self.cells
        for name in names:
            if not isinstance(found, Mapping) or name not in found:
                raise self.error(f"there is no {'.'.join(names)!r}")
            found = found[name]
        return found

    def text(self, *names: str) -> str:
        """Return a string in the composed Unicode form, without the spaces around it; it may be empty."""
        found = self.value(*names)
        if not isinstance(found, str):
            raise self.error(f"{'.'.join(names)!r} is {found!r}, not a text")
        return composed(found.strip())

    def whole(self, *names: str) -> int:
        """Return a number of digits only, such as an id."""
        found = self.text(*names)
        if not WHOLE.fullmatch(found):
            raise self.error(f"{'.'.join(names)!r} is {found!r}, not a whole number: are columns swapped?")
        return int(found)

    def number(self, *names: str) -> float:
        """Return a finite number."""
        found = self.text(*names)
        try:
            number = float(found)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self.error(f"{'.'.join(names)!r} is {found!r}, not a finite number: are columns swapped?")
        return number


class Ids:
    """Ids that must not be taken twice."""

    def __init__(self) -> None:
        self.taken: dict[str, TableRow] = {}

    def take(self, name: str, record: TableRow) -> str:
        """Return ``name``, or raise where another record has it."""
        first = self.taken.setdefault(name, record)
        if first is not record:
            raise record.error(f"the id {name!r} is there twice, first in {first.path.name}, {first.where}")
        return name


def read_bytes(path: Path, advice: str = "") -> bytes:
    """Return the content of a file as it is.

    Raises:
        TaskError: It is missing, empty, a web page or a Git LFS pointer. The message ends with ``advice``.
    """
    try:
        content = read_file(path, ANNOTATIONS)
    except FileNotFoundError:
        advice = advice or "put it there (the card of its collection says where it comes from)"
        raise NoAnnotationsError(path, advice) from None
    except OSError as error:
        raise TaskError(
            f"cannot read the annotation file {path}: {error}",
            "let it be read, or put another in its place",
        ) from None
    _refuse_no_data(path, content, advice or AGAIN)
    return content


def read_text(path: Path, advice: str = "") -> str:
    """Return the text of a UTF-8 file, which may be compressed with gzip; its line endings stay as they are.

    Raises:
        TaskError: As `read_bytes`, or the file is truncated or no text. The message ends with ``advice``.
    """
    content = read_bytes(path, advice)
    advice = advice or AGAIN
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gunzip(content, path)
        except (EOFError, OSError, zlib.error) as error:
            raise TaskError(f"{path} is truncated or damaged ({error})", advice) from None
        _refuse_no_data(path, content, advice)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TaskError(f"{path}, line 1: this is UTF-16, not UTF-8", f"save it as UTF-8, or {advice}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TaskError(f"{path}, line {line}: this is not UTF-8 text ({error.reason})", advice) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TaskError(f"{path}, line {line}: this is binary data, not text", advice)
    return composed(text)


def read_lines(path: Path, name: str = "line") -> Iterator[TableRow]:
    """Yield the lines that are not blank, each as a record with the one cell ``name``."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            yield TableRow(path, f"line {number}", {name: line.strip()})


def read_table(path: Path, columns: Sequence[str], delimiter: str) -> Iterator[TableRow]:
    """Yield the rows of a table with a header, with the cells of ``columns`` only.

    Raises:
        TaskError: A column is missing or named twice, or a row does not have as many cells as the header.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter)
    try:
        header = [name.strip() for name in next(reader)]
        for column in columns:
            if header.count(column) != 1:
                fault = "is there twice" if column in header else "is missing"
                shown = ", ".join(map(repr, header[:12])) + (", …" if len(header) > 12 else "")
                raise TaskError(f"{path}, line 1: the column {column!r} {fault}; the header has {shown}", AGAIN)
        places = [(column, header.index(column)) for column in columns]
        for row in reader:
            if len(row) != len(header):
                if not any(cell.strip() for cell in row):
                    continue
                raise TaskError(
                    f"{path}, line {reader.line_num}: {len(row)} cells where the header has {len(header)}: is the "
                    "file truncated?",
                    AGAIN.capitalize(),
                )
            yield TableRow(path, f"line {reader.line_num}", {column: row[place].strip() for column, place in places})
    except csv.Error as error:
        raise TaskError(f"{path}, line {reader.line_num}: {error}", AGAIN) from None


def read_json(path: Path, hook: Callable[[dict[str, Any]], Any] | None = None) -> dict[str, Any]:
    """Return the object in a JSON file, plain or compressed with gzip; ``hook`` may replace the objects inside it.

    Raises:
        TaskError: The file is not JSON, such as when it is cut short, or not one object.
    """
    data = parse_json(read_text(path), path, hook)
    if not isinstance(data, dict):
        raise TaskError(f"{path}, line 1: a JSON object by id was expected, not {type(data).__name__}", AGAIN)
    return data


def read_records(path: Path) -> Iterator[tuple[str, TableRow]]:
    """Yield the objects of a JSON file of objects by id, with their ids."""
    for name, cells in read_json(path).items():
        record = TableRow(path, f"record {name!r}", cells if isinstance(cells, dict) else {})
        if not isinstance(cells, dict):
            raise record.error(f"an object was expected, not {cells!r}")
        yield name, record


def label_indices(card: TaskCard) -> dict[str, int]:
    """Return the index of every label of a built-in card.

    Raises:
        TaskError: The card names no labels.
    """
    if card.labels is None:
        raise TaskError(
            f"the card {card.id!r} names no labels, and the collection {card.collection!r} has many",
            "write those that are meant as labels = [...] into the card",
        )
    return {label: index for index, label in enumerate(card.labels)}


def read_names(path: Path, advice: str = "") -> list[str]:
    """Return the lines of a file that has one name a line.

    Raises:
        TaskError: As `read_text`; or a line is empty, or begins or ends with a space.
    """
    lines = read_text(path, advice).replace("\r\n", "\n").removesuffix("\n").split("\n")
    odd = ((i, line) for i, line in enumerate(lines, start=1) if not line or line != line.strip())
    refuse(path, ((i, f"{line[:LONGEST]!r} is empty, or has spaces around it") for i, line in odd))
    return lines


def read_rows(path: Path, delimiter: str, advice: str = "") -> Iterator[tuple[int, list[str]]]:
    r"""Yield the rows of a table with their line numbers, the header first; every line must have its end.

    Raises:
        TaskError: As `read_text`; or the last line is cut off, a row is empty, or a cell has a quote out of place.
    """
    text = read_text(path, advice)
    advice = advice or AGAIN
    if not text.endswith("\n"):
        raise TaskError(
            f"{path}, line {text.count(chr(10)) + 1}: the file ends within a line, so it is cut off",
            advice,
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
                raise TaskError(f"{path}, line {reader.line_num}: an empty line", advice)
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise TaskError(f"{path}, line {line}: {error}", advice) from None


def load_array(path: Path, advice: str = "") -> np.ndarray:
    """Return the array of an ``.npy`` file; arrays of Python objects are refused, since they would run code.

    Raises:
        TaskError: As `read_bytes`, or the file is not a whole array of numbers or text.
    """
    content = read_bytes(path, advice)
    try:
        return load_npy(content, str(path))
    except TaskError as error:
        raise TaskError(error.what, advice or AGAIN) from None


def load_binary(path: Path, shape: tuple[int | None, int | None], advice: str = "") -> np.ndarray:
    """Return a matrix of 0 and 1 as float32; ``None`` in ``shape`` lets any size pass.

    Raises:
        TaskError: As `load_array`, or another shape, or a value that is neither 0 nor 1 (named with its row).
    """
    values = load_array(path, advice)
    want = " x ".join("any" if size is None else str(size) for size in shape)
    if values.ndim != 2 or any(size not in (None, got) for size, got in zip(shape, values.shape, strict=True)):
        raise TaskError(f"{path} should be a {want} matrix, but has the shape {values.shape}", f"{advice or AGAIN}")
    if values.dtype.kind not in "biuf":
        raise TaskError(f"{path} should hold numbers, but holds {values.dtype}", f"{advice or AGAIN}")
    odd = np.flatnonzero(((values != 0) & (values != 1)).any(axis=1))
    if len(odd):
        raise TaskError(
            f"{path}, row {odd[0]} (the first is 0): {len(odd)} row(s) hold other values than 0 and 1",
            f"{advice or AGAIN}",
        )
    return values.astype(np.float32)


class Problems:
    """Problems of a file's lines: the first in words, of the others the number, however many there are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first: list[str] = []
        self.count = 0

    def add(self, line: int, text: str) -> None:
        """Take up a problem."""
        self.count += 1
        if self.count <= SHOWN:
            self.first.append(f"  line {line}: {text if len(text) < LONGEST else text[:LONGEST] + '…'}")

    def refuse(self) -> None:
        """Raise a `TaskError` that names the file and the problems, if there are any."""
        if self.count:
            more = [f"  … and {self.count - SHOWN} more"] if self.count > SHOWN else []
            raise TaskError(f"{self.path} cannot be used as it is", f"mend these lines, or {AGAIN}", self.first + more)


def refuse(path: Path, problems: Iterable[tuple[int, str]]) -> None:
    """Raise a `TaskError` that names the file and each problem with its line, the first 10 in full."""
    found = Problems(path)
    for line, text in problems:
        found.add(line, text)
    found.refuse()


def first_duplicate(values: list[str]) -> tuple[int, int] | None:
    """Return the positions of the first value that stands twice, or ``None``."""
    if len(set(values)) == len(values):
        return None
    seen: dict[str, int] = {}
    return next((seen[v], i) for i, v in enumerate(values) if seen.setdefault(v, i) != i)


def check_ids(path: Path, ids: list[str], is_id: Callable[[str], object], what: str, line: int = 1) -> None:
    """Refuse ids that do not have the form of ``what``, and ids that stand twice; ``line`` is that of the first."""
    refuse(path, ((i + line, f"{v[:LONGEST]!r} is not {what}") for i, v in enumerate(ids) if not is_id(v)))
    twice = first_duplicate(ids)
    if twice:
        refuse(path, [(twice[1] + line, f"{ids[twice[1]]!r} stands twice, first in line {twice[0] + line}")])


def _refuse_no_data(path: Path, content: bytes, advice: str) -> None:
    if not content.removeprefix(b"\xef\xbb\xbf").strip():
        raise TaskError(f"{path} is empty", advice)
    if PAGE.match(content[:2000]):
        raise TaskError(
            f"{path}, line 1: this is a web page, not the file, since the server refused the download",
            advice,
        )
    if content.startswith(LFS):
        raise TaskError(
            f"{path}, line 1: this is a Git LFS pointer, not the file",
            f"fetch it with 'git lfs pull', or {advice}",
        )
