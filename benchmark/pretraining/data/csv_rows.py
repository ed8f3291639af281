"""Rows of the CSV files that come with audio: manifests, labels, captions. What cannot be used is named by its line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.errors import UserError
from results.markdown import folded
from tasks.files import refuse_no_file

#: What tables of numbers write where they know nothing: no name of a label, and no caption.
ABSENT = ("nan", "null", "<na>")
SHOWN = 20


def rows_of(path: Path, needed: Sequence[str], optional: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV, each with the number of its last line: cells of the named columns, without spaces.

    Raises:
        UserError: It cannot be read, is not UTF-8, lacks a column or rows, or a row cannot be told apart.
    """
    number = 0
    try:
        refuse_no_file(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True, skipinitialspace=True)
            header = [name.strip() for name in next(reader, [])]
            columns = _columns(path, header, needed, optional)
            for cells in reader:
                number = reader.line_num
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise UserError(
                        f"{path}, line {number}: {len(cells)} cells where the header has {len(header)}",
                        "mend that row",
                    )
                yield number, {name: cells[place].strip() for name, place in columns.items()}
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (after line {number}: {error.reason})", "save it as UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path}, line {number + 1}: {error}", "Mend the quotes of that row") from None
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}", "let it be read, or name another file"
        ) from None
    if not number:
        raise UserError(f"{path} has no rows below its header", "write a row for each track")


def refuse_rows(path: Path, problems: Sequence[str]) -> None:
    """See whether all rows can be used.

    Raises:
        UserError: Some cannot: the problems, each of which names its line.
    """
    if problems:
        more = [f"... and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise UserError(
            f"{path} cannot be used",
            "mend these rows",
            [*map(folded, problems[:SHOWN]), *more],
        )


def some(names: Sequence[str]) -> str:
    """Return the first three names, for a message."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _columns(path: Path, header: Sequence[str], needed: Sequence[str], optional: Sequence[str]) -> dict[str, int]:
    known = [*needed, *(name for name in optional if name in header)]
    missing = [name for name in needed if name not in header]
    if missing:
        raise UserError(
            f"{path}, line 1: the header lacks {', '.join(missing)}; it has {', '.join(header) or 'nothing'}",
            "Write the missing names into it",
        )
    twice = [name for name in known if header.count(name) > 1]
    if twice:
        raise UserError(f"{path}, line 1: the header names {', '.join(twice)} more than once", "rename all but one")
    return {name: header.index(name) for name in known}
