"""Small readers of annotation files, which say what is wrong with a file, in which file and on which line.

Every reader refuses what a failed download leaves behind (a web page, a Git LFS pointer, half an archive, nothing at
all) and text that is not UTF-8. Line endings and spaces around cells do not count.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.card import TaskCard
from tasks.errors import TaskError

WHOLE = re.compile(r"[0-9]+")
PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body|\?xml)", re.IGNORECASE | re.DOTALL
)
LFS = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a table or an object of a JSON file, with the place it was read from.

    Attributes:
        path: The file.
        where: The place in it, such as ``line 12`` or ``record '00002'``.
        cells: Values by name; those of a JSON file may be nested.
    """

    path: Path
    where: str
    cells: Mapping[str, Any]

    def error(self, what: str) -> TaskError:
        """Return an error that names this place."""
        return TaskError(f"{self.path}, {self.where}: {what}")

    def value(self, *names: str) -> Any:
        """Return the value under nested ``names``."""
        found: Any = self.cells
        for name in names:
            if not isinstance(found, Mapping) or name not in found:
                raise self.error(f"there is no {'.'.join(names)!r}")
            found = found[name]
        return found

    def text(self, *names: str) -> str:
        """Return a string without the spaces around it; it may be empty."""
        found = self.value(*names)
        if not isinstance(found, str):
            raise self.error(f"{'.'.join(names)!r} is {found!r}, not a text")
        return found.strip()

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
        self.taken: dict[str, Record] = {}

    def take(self, name: str, record: Record) -> str:
        """Return ``name``, or raise where another record has it."""
        first = self.taken.setdefault(name, record)
        if first is not record:
            raise record.error(f"the id {name!r} is there twice, first in {first.path.name}, {first.where}")
        return name


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, which may be compressed with gzip.

    Raises:
        TaskError: The file is missing, empty, truncated, no text, or a web page saved under its name.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise TaskError(
            f"there is no annotation file {path}: put it there (the card of its collection says where it comes from)"
        ) from None
    except OSError as error:
        raise TaskError(f"cannot read the annotation file {path}: {error}") from None
    again = "delete it and fetch it again"
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise TaskError(f"{path} is truncated or damaged ({error}): {again}") from None
    if PAGE.match(content[:2000]):
        raise TaskError(f"{path}, line 1: this is a web page, not the file: the server refused the download; {again}")
    if content.startswith(LFS):
        raise TaskError(f"{path}, line 1: this is a Git LFS pointer, not the file: fetch it with 'git lfs pull'")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TaskError(f"{path}, line 1: this is UTF-16, not UTF-8: save it as UTF-8, or {again}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TaskError(f"{path}, line {line}: this is not UTF-8 text ({error.reason}): {again}") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TaskError(f"{path}, line {line}: this is binary data, not text: {again}")
    if not text.strip():
        raise TaskError(f"{path} is empty: {again}")
    return text


def read_lines(path: Path, name: str = "line") -> Iterator[Record]:
    """Yield the lines that are not blank, each as a record with the one cell ``name``."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            yield Record(path, f"line {number}", {name: line.strip()})


def read_table(path: Path, columns: Sequence[str], delimiter: str) -> Iterator[Record]:
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
                raise TaskError(f"{path}, line 1: the column {column!r} {fault}; the header has {shown}")
        places = [(column, header.index(column)) for column in columns]
        for row in reader:
            if len(row) != len(header):
                if not any(cell.strip() for cell in row):
                    continue
                raise TaskError(
                    f"{path}, line {reader.line_num}: {len(row)} cells where the header has {len(header)}: "
                    "is the file truncated?"
                )
            yield Record(path, f"line {reader.line_num}", {column: row[place].strip() for column, place in places})
    except csv.Error as error:
        raise TaskError(f"{path}, line {reader.line_num}: {error}") from None


def read_json(path: Path, hook: Callable[[dict[str, Any]], Any] | None = None) -> dict[str, Any]:
    """Return the object in a JSON file, plain or compressed with gzip; ``hook`` may replace the objects inside it.

    Raises:
        TaskError: The file is not JSON, such as when it is cut short, or not one object.
    """
    try:
        data = json.loads(read_text(path), object_hook=hook)
    except json.JSONDecodeError as error:
        raise TaskError(f"{path}, line {error.lineno}: not JSON ({error.msg}): is the file truncated?") from None
    if not isinstance(data, dict):
        raise TaskError(f"{path}, line 1: a JSON object by id was expected, not {type(data).__name__}")
    return data


def read_records(path: Path) -> Iterator[tuple[str, Record]]:
    """Yield the objects of a JSON file of objects by id, with their ids."""
    for name, cells in read_json(path).items():
        record = Record(path, f"record {name!r}", cells if isinstance(cells, dict) else {})
        if not isinstance(cells, dict):
            raise record.error(f"an object was expected, not {cells!r}")
        yield name, record


def label_indices(card: TaskCard) -> dict[str, int]:
    """Return the index of every label of a built-in card.

    Raises:
        TaskError: The card names no labels.
    """
    if card.labels is None:
        raise TaskError(f"the card {card.id!r} must name its labels: the collection {card.collection!r} has many")
    return {label: index for index, label in enumerate(card.labels)}


def choose_folder(root: Path, candidates: Sequence[str], sign: str = "") -> Path:
    """Return the first of ``candidates`` below ``root`` that holds ``sign``; the first of all where none does."""
    return next((root / name for name in candidates if (root / name / sign).exists()), root / candidates[0])
