"""Read a table of text in whatever form: separated by commas, semicolons, tabs or bars, with or without quotes and BOM.

A manifest proper is a CSV with commas in UTF-8 (:mod:`tasks.readers.manifest`); what is read here may need rewriting.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import TaskError
from tasks.files import AUDIO_SUFFIXES, TABLE, read_bytes
from tasks.row_problems import fold_alike
from tasks.spelling import composed

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE = 200  # rows from which the separator is told
#: The first bytes of files that hold tables and are no text, and what makes text of them.
BINARY = {
    b"PK\x03\x04": "a workbook of a spreadsheet (.xlsx, .ods)",
    b"\xd0\xcf\x11\xe0": "an old workbook of Excel (.xls)",
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "compressed by gzip",
}
UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        path: Its file.
        header: The names of its columns, all different.
        rows: The cells of each row that is not empty, as many as the header has, without spaces around them.
        numbers: The number of each row as a spreadsheet shows it; the header is row 1.
        separator: What stands between cells.
        plain: Whether a manifest may be of this form: UTF-8, with commas.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]
    separator: str
    plain: bool

    def column(self, name: str) -> list[str]:
        """Return the cells of a column."""
        place = self.header.index(name)
        return [row[place] for row in self.rows]


def read_table(path: Path) -> Table:
    """Read a table of text.

    Raises:
        TaskError: It cannot be read or is no text, has no header, fewer than two columns, two of one name, no rows, or
            rows of other lengths. The message says what to do.
    """
    text, encoded = _text(path)
    given = ""
    first, _, rest = text.partition("\n")
    if first.strip().casefold().startswith("sep=") and len(first.strip()) == 5:  # Excel's own hint
        given, text = first.strip()[4], rest
    if text.lstrip()[:1] in ("{", "["):
        raise TaskError(f"{path} is JSON, not a table", "write it as CSV, a row an item, with a first row of names")
    separator = given or _separator(text)
    header, rows, numbers = _parse(path, text, separator, 2 if given else 1)
    if not any(header):
        raise TaskError(
            f"{path} has no header",
            "write the names of the columns, such as path,label, into its first row",
        )
    if len(header) == 1:
        raise TaskError(
            f"{path} has one column ({header[0][:80]})",
            f"write two at least, for audio files and for labels, separated by {', '.join(SEPARATORS.values())}",
        )
    if any(Path(name).suffix.lower() in AUDIO_SUFFIXES for name in header):
        raise TaskError(
            f"{path} has no header: its first row is data ({', '.join(header)[:80]})",
            "Write a row of names above it, such as path,label",
        )
    twice = [name for name in dict.fromkeys(header) if name and header.count(name) > 1]
    if twice:
        raise TaskError(f"{path} has the column(s) {', '.join(twice)} more than once", "give each a name of its own")
    if not rows:
        raise TaskError(f"{path} has a header and no rows", "write a row for each audio file below it")
    names = tuple(name or f"(column {place})" for place, name in enumerate(header, start=1))
    return Table(path, names, tuple(rows), tuple(numbers), separator, separator == "," and encoded and not given)


def _text(path: Path) -> tuple[str, bool]:
    """Return the text of a file, and whether it is UTF-8."""
    try:
        content = read_bytes(path, TABLE)
    except FileNotFoundError:
        raise TaskError(f"there is no file or folder {path}", "check the path") from None
    except OSError as error:
        raise TaskError(
            f"cannot read {path}: {error.strerror or error}", "let it be read, or name another file"
        ) from None
    for start, what in BINARY.items():
        if content.startswith(start):
            raise TaskError(
                f"{path} is {what}, not text",
                "save it as CSV UTF-8 (in a spreadsheet: File, Save As), then run: bench tasks new "
                f"{path.with_suffix('.csv').name}",
            )
    if content.startswith(UTF16):
        return content.decode("utf-16", errors="replace"), False
    try:
        return content.decode("utf-8-sig"), True
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TaskError(
            f"{path} is not UTF-8 text ({error.reason} in line {line})",
            "save it as CSV UTF-8 (in a spreadsheet: File, Save As), and run the same command again",
        ) from None


def _separator(text: str) -> str:
    """Return the separator by which most rows have as many cells as the header, of several the one with most cells."""
    found = {}
    for sign in SEPARATORS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, skipinitialspace=True)
        try:
            lengths = [len(cells) for _, cells in zip(range(SAMPLE), reader, strict=False) if any(cells)]
        except csv.Error:
            continue
        if lengths and lengths[0] > 1:
            found[sign] = (lengths.count(lengths[0]) / len(lengths), lengths[0])
    return max(found, key=lambda sign: found[sign]) if found else ","


def _parse(path: Path, text: str, separator: str, first: int) -> tuple[list[str], list[tuple[str, ...]], list[int]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
    problems: list[tuple[int, str]] = []
    number = first - 1
    try:
        header = [composed(name.strip()) for name in next(reader, [])]
        number = first
        for number, cells in enumerate(reader, start=first + 1):
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                problems.append((number, f"{len(cells)} cells where the header has {len(header)}"))
                continue
            rows.append(tuple(cell.strip() for cell in cells))
            numbers.append(number)
    except csv.Error as error:
        raise TaskError(f"cannot read {path}, row {number + 1}: {error}", "Mend the quotes of that row") from None
    if problems and len(header) > 1:
        raise TaskError(f"{path} has rows of other lengths than its header", "mend them", _lines(problems))
    return header, rows, numbers


def _lines(problems: Sequence[tuple[int, str]]) -> list[str]:
    return [f"  {line}" for line in fold_alike(problems)]
