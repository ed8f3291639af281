"""Tell from the cells of target columns what kind of task they make: classes, several labels an item, or numbers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.kinds import Kind

SEPARATORS = "|;,/、；，"
RECURRING = 0.8  # of the cells with several labels, the share whose labels all stand in other cells too
#: Words in a column's name that say that whole numbers are amounts, and that they are names of classes.
AMOUNTS = frozenset({
    "valence", "arousal", "energy", "tempo", "bpm", "rating", "score", "danceability", "loudness", "year",
    "popularity", "age", "value", "amount", "dominance", "intensity",
})  # fmt: skip
NAMES = frozenset({
    "label", "labels", "class", "classes", "category", "genre", "genres", "mood", "tag", "tags", "key", "instrument",
    "instruments", "cluster", "style", "pitch", "speaker", "artist", "digit", "note", "chord",
})  # fmt: skip
LIST = re.compile(r"\[.*\]", re.DOTALL)
NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class TargetKind:
    """What target columns were taken for.

    Attributes:
        kind: The kind of task; ``None`` where it has to be named.
        separator: Of several labels: what stands between them in a cell; ``[]`` for lists as Python writes them.
        why: In words.
        decimal_comma: Whether numbers have a comma for the point.
    """

    kind: Kind | None
    separator: str = ""
    why: str = ""
    decimal_comma: bool = False


def words(name: str) -> list[str]:
    """Return the words of a column's name, in lower case.

    >>> words("trackID"), words("Artist_name")
    (['track', 'id'], ['artist', 'name'])
    """
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word.casefold() for word in re.findall(r"[^\W_]+", parts)]


def number(cell: str) -> float | None:
    """Return the finite number that a cell holds, with a point or a comma before its decimals; else nothing."""
    if not NUMBER.fullmatch(cell):
        return None
    value = float(cell.replace(",", "."))
    return value if math.isfinite(value) else None


def are_binary(cells: Sequence[str]) -> bool:
    """Say whether all cells are 0 or 1 (or empty), and not all are one of them."""
    return {cell for cell in cells if cell} == {"0", "1"}


def labels_of(cell: str, separator: str) -> list[str]:
    r"""Return the labels in a cell, without spaces and without those that are empty.

    >>> labels_of("['a', 'b']", "[]"), labels_of("a; b;", ";"), labels_of("a b", "")
    (['a', 'b'], ['a', 'b'], ['a b'])
    """
    if separator == "[]":
        quoted = re.findall(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", cell)
        inner = [one or other for one, other in quoted] if quoted else cell.strip("[] ").split(",")
        return [label.strip() for label in inner if label.strip()]
    if not separator:
        return [cell] if cell else []
    return [part.strip() for part in cell.split(separator) if part.strip()]


def kind_of(name: str, cells: Sequence[str]) -> TargetKind:
    """Return what one column is taken for.

    Args:
        name: Of the column.
        cells: n cells, some of which may be empty.
    """
    filled = [cell for cell in cells if cell]
    different = Counter(filled)
    numbers = [number(cell) for cell in different]
    if filled and None not in numbers:
        return _of_numbers(name, filled, different, [value for value in numbers if value is not None])
    if filled and all(LIST.fullmatch(cell) for cell in different):
        return TargetKind("multilabel", "[]", "its cells are lists in brackets")
    separator = separator_of(list(different))
    if separator:
        parts = {part for cell in different for part in labels_of(cell, separator)}
        example = next(cell for cell in different if len(labels_of(cell, separator)) > 1)
        return TargetKind(
            "multilabel", separator, f"{len(parts)} labels, several in a cell with {separator!r} between them, such as "
            f"{example!r}"
        )  # fmt: skip
    return TargetKind("multiclass", "", f"{len(different)} different texts, one in a cell")


def separator_of(cells: Sequence[str]) -> str:
    """Return what separates labels in cells of a column; nothing where a cell has one label.

    A sign separates labels where what it parts stands in other cells too.

    Args:
        cells: The different cells of the column.
    """
    for sign in SEPARATORS:
        joined = [cell for cell in cells if len(labels_of(cell, sign)) > 1]
        if not joined:
            continue
        holders = Counter(part for cell in cells for part in set(labels_of(cell, sign)))
        known = sum(all(holders[part] > 1 for part in labels_of(cell, sign)) for cell in joined)
        if sign == "|" or (known >= RECURRING * len(joined) and len(holders) <= len(cells)):
            return sign
    return ""


def _of_numbers(name: str, filled: Sequence[str], different: Counter[str], numbers: Sequence[float]) -> TargetKind:
    comma = any("," in cell for cell in different)
    told = f"{len(different)} different numbers from {min(numbers):g} to {max(numbers):g}"
    if any(not value.is_integer() for value in numbers) or comma:
        if comma:
            example = next(cell for cell in different if "," in cell)
            told += f", with a decimal comma: {example} is read as {example.replace(',', '.')}"
        return TargetKind("regression", "", told, comma)
    hints = set(words(name))
    whole = told.replace("numbers", "whole numbers")
    if hints & AMOUNTS and not hints & NAMES:
        return TargetKind("regression", "", f"{whole}, and by its name an amount")
    if hints & NAMES and not hints & AMOUNTS and 2 * len(different) <= len(filled):
        return TargetKind("multiclass", "", f"{whole}, and by its name a class")
    if len(different) == 2:
        return TargetKind("multiclass", "", whole)
    if len(different) > max(50, len(filled) // 3):
        return TargetKind("regression", "", f"{whole}, too many for classes")
    return TargetKind(
        None, "", f"{whole}: --kind multiclass (they name classes) or --kind regression (they are amounts)"
    )
