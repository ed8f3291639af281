"""A manifest: a CSV with one row per track, beside the audio that it names. Nothing is filtered silently.

Rows are numbered as a spreadsheet shows them: the header is row 1, an empty row counts (and is passed over), and a row
whose quoted cells hold line breaks is one row. Spaces around cells and names of columns do not count. Names are kept in
the composed Unicode form, and files are found in whatever form the disk has.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tasks.card import SPLITS, Columns, TaskCard
from tasks.errors import TaskError
from tasks.files import TABLE, read_text
from tasks.items import FEWEST_FOLDS, Items, numbers_by_value
from tasks.kinds import KINDS
from tasks.metrics.table import label_problems
from tasks.row_problems import fold_alike
from tasks.spelling import AmbiguousNameError, clashes, composed, find, folded, form_of, visible
from tasks.split_names import split_named

SHOWN = 20
ROWS = 2_000_000  # a manifest of more would not fit into the memory of many machines
FAULTS = 10_000  # problems after which no more are looked for
SEPARATORS = ",;，；、"  # what others put between the labels of a cell, in place of "|"
LARGEST = float(np.finfo(np.float32).max)


def read_manifest(path: Path, card: TaskCard, *, audio: bool = True) -> Items:
    """Read a manifest as the items of ``card``.

    Audio paths are relative to the manifest. A file that is not there is no problem of the manifest: whoever needs it
    says so; but beside other problems it is named. Splits may have the names that :mod:`tasks.split_names` knows.
    Labels keep the card's order; without one they are sorted (by value when all are whole numbers).

    Args:
        path: The manifest.
        card: Its card.
        audio: Whether files are looked for, to be named as the disk spells them.

    Raises:
        TaskError: The file is missing, not UTF-8, lacks a column, or has rows that cannot be used: every problem is
            named with its row, of those that many rows have alike the first.
    """
    columns = card.columns
    if columns is None:
        raise TaskError(
            f"the card {card.id!r} names no columns, so no manifest can be read for it",
            "write a table [columns] into it; docs/tasks.md has one",
        )
    rows = _read_rows(path, card, columns)
    problems: list[tuple[int, str]] = []
    ids: dict[str, int] = {}
    found: list[Path] = []
    splits: list[str] = []
    missing: list[tuple[int, str]] = []
    for number, row in rows:
        if len(problems) > FAULTS:
            break
        track_id, part = composed(row[columns.id]), composed(row[_part_column(columns)])
        if not visible(track_id):
            problems.append((number, f"the {columns.id} is empty"))
        elif visible(track_id) in ids:
            problems.append((number, f"duplicate id {track_id!r}, first seen in row {ids[visible(track_id)]}"))
        ids.setdefault(visible(track_id), number)
        splits.append(part if columns.split is None else split_named(part) or "")
        problems += _part_and_group(number, row, columns)
        name = row[columns.audio]
        file, problem = _audio(path.parent, name, wanted=audio) if name else (None, f"the {columns.audio} is empty")
        found.append(file or path.parent / name)
        problems += [(number, problem)] if problem else []
        missing += [(number, f"missing file {name}")] if audio and file is None and not problem else []
    if problems:
        problems += missing
    if len(problems) > FAULTS:
        _refuse(path, problems)
    respelt = [
        f"row {number}: a file of the name {name!r} is there in another Unicode form ({form_of(file.name)})"
        for (number, row), file in zip(rows, found, strict=True)
        if file.name != Path(name := row[columns.audio]).name
    ]
    groups = None if columns.group is None else tuple(composed(row[columns.group]) for _, row in rows)
    if groups is not None and not card.distinct_groups:
        problems += _clashes("group", _first_rows(rows, [[group] for group in groups]), "distinct_groups")
    _refuse(path, problems)
    targets, labels, target_problems = _targets(rows, card)
    problems.extend(target_problems)
    problems += _missing_parts(splits, folds=columns.fold is not None)
    _refuse(path, problems + missing if problems else [], respelt)
    problems.extend(_unseen_labels(rows, splits, targets, labels, card))
    _refuse(path, problems + missing if problems else [], respelt)
    ids_in_order = tuple(composed(row[columns.id]) for _, row in rows)
    return Items(ids_in_order, tuple(splits), tuple(found), groups, targets, labels)


Row = tuple[int, dict[str, str]]


def _part_column(columns: Columns) -> str:
    """Return the column that says the split, or the fold, of each item; a card names one of the two."""
    column = columns.fold if columns.split is None else columns.split
    assert column is not None
    return column


def _missing_parts(splits: Sequence[str], *, folds: bool) -> list[tuple[int, str]]:
    names = set(splits)
    if folds and len(names) < FEWEST_FOLDS:
        need = f"a task needs {FEWEST_FOLDS} at least: one for test, one for validation, one to train on"
        return [(0, f"there are {len(names)} folds, and {need}")]
    missing = [] if folds else [split for split in SPLITS if split not in names]
    advice = "; bench data split CARD takes it out of train"
    return [
        (0, f"the split {split!r} is empty: the task needs train, valid and test{'' if split == 'train' else advice}")
        for split in missing
    ]


def _part_and_group(number: int, row: Mapping[str, str], columns: Columns) -> list[tuple[int, str]]:
    problems = []
    part = row[_part_column(columns)]
    if columns.split is not None and split_named(part) is None:
        problems.append((number, f"unknown split {part!r}: it is one of train, valid, test"))
    if columns.fold is not None and (not visible(part) or part in SPLITS):
        problems.append((number, f"the {columns.fold} is {part!r}, which names no fold"))
    if columns.group is not None and not visible(row[columns.group]):
        problems.append((number, f"the group column {columns.group!r} is empty"))
    return problems


def _read_rows(path: Path, card: TaskCard, columns: Columns) -> list[Row]:
    """Return the rows that are not empty with their numbers, and of their cells those of the card's columns."""
    try:
        text = read_text(path, TABLE)
    except FileNotFoundError:
        raise TaskError(
            f"no manifest at {path}", "check 'manifest' in the card, which is relative to the card"
        ) from None
    except OSError as error:
        raise TaskError(
            f"cannot read the manifest {path}: {error}",
            "let it be read, or name another as 'manifest' in the card",
        ) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    rows: list[Row] = []
    problems: list[tuple[int, str]] = []
    number = 0  # of the last row that was read
    try:
        header = [composed(name.strip()) for name in next(reader, [])]
        if not any(header):
            raise TaskError(f"the manifest {path} has no header", "write the names of the columns into its first row")
        places = _places(path, header, card, columns)
        number = 1
        for number, cells in enumerate(reader, start=2):
            if not any(cell.strip() for cell in cells):
                continue
            if len(rows) == ROWS:
                raise TaskError(
                    f"the manifest {path} has more than {ROWS:,} rows",
                    "split it into several, with a card for each",
                )
            if len(cells) == len(header):
                rows.append((number, {name: cells[place].strip() for name, place in places.items()}))
            elif len(problems) <= FAULTS:
                problems.append((number, f"{len(cells)} cells where the header has {len(header)}"))
    except csv.Error as error:
        raise TaskError(
            f"cannot read the manifest {path}, row {number + 1}: {error}", "Mend the quotes of that row"
        ) from None
    _refuse(path, problems)
    if not rows:
        raise TaskError(f"the manifest {path} has no rows", "write a row for each item below its header")
    return rows


def _places(path: Path, header: Sequence[str], card: TaskCard, columns: Columns) -> dict[str, int]:
    """Return the place of each of the card's columns."""
    wanted = [
        columns.id,
        columns.audio,
        _part_column(columns),
        *card.targets,
        *([columns.group] if columns.group else []),
    ]
    missing = [name for name in wanted if name not in header]
    if missing:
        _refuse_other_separator(path, header)
        if missing == [columns.split]:
            raise TaskError(
                f"the manifest {path} has no column {columns.split!r}, which says what is train, valid and test",
                "make a split with bench data split CARD (and --by COLUMN, where items of one artist belong together)",
            )
        raise TaskError(
            f"the manifest {path} lacks the column(s) {', '.join(missing)} that the card {card.id!r} names; it has "
            f"{', '.join(header[:SHOWN])}{', …' if len(header) > SHOWN else ''}",
            "Mend the names in the card, or the manifest's header",
        )
    twice = [name for name in dict.fromkeys(wanted) if header.count(name) > 1]
    if twice:
        raise TaskError(
            f"the manifest {path} has the column(s) {', '.join(twice)} more than once",
            "rename or remove all but one of each",
        )
    return {name: header.index(name) for name in wanted}


def _refuse_other_separator(path: Path, header: Sequence[str]) -> None:
    """Refuse a table whose cells are separated by something else than commas."""
    for sign, name in {";": "semicolons", "\t": "tabs", "|": "bars"}.items():
        parts = sum(cell.count(sign) for cell in header)
        if parts and parts >= len(header):
            raise TaskError(
                f"the cells of {path} are separated by {name}, and those of a manifest by commas",
                f"Write a card and a manifest for it: bench tasks new {path.name} -o new.toml",
            )


def _audio(folder: Path, name: str, *, wanted: bool) -> tuple[Path | None, str]:
    """Return the audio file as the disk spells it, nothing where it is not there; and why its name is ambiguous."""
    if not wanted:
        return None, ""
    try:
        file = find(folder / name)
        if file is not None and file.is_file():
            return file, ""
    except AmbiguousNameError as error:
        return None, str(error)
    except (OSError, ValueError):  # a name that is too long, or that no file can have
        return None, ""
    return None, ""


def _first_rows(rows: Sequence[Row], names: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return each name with the number of the first row that has it."""
    first: dict[str, int] = {}
    for (number, _), found in zip(rows, names, strict=True):
        for name in found:
            first.setdefault(name, number)
    return first


def _clashes(what: str, first: Mapping[str, int], key: str) -> list[tuple[int, str]]:
    """Return the problems of names that may be meant as one; ``key`` of the card says that they are not."""
    return [
        (
            first[clash.second],
            f"the {what} {clash.second!r} and {clash.first!r} in row {first[clash.first]} {clash.why}: write them "
            f"alike, or set {key} = true in the card if they are two",
        )
        for clash in clashes(first, notes=what == "label")
    ]


def _targets(rows: Sequence[Row], card: TaskCard) -> tuple[np.ndarray, tuple[str, ...], list[tuple[int, str]]]:
    kind = KINDS[card.kind]
    if not kind.has_labels:
        return _numbers(rows, card.targets)
    column = card.targets[0]
    names = [
        [composed(part.strip()) for part in row[column].split("|") if part.strip()]
        if kind.several
        else [composed(row[column])]
        for _, row in rows
    ]
    first = _first_rows(rows, names)
    labels = card.labels or _sorted_labels(set(first))
    known = frozenset(labels)
    near = {folded(label): label for label in labels}
    problems = [
        (number, f"the {column} is empty" if not visible(name) else _unknown(name, near))
        for (number, _), found in zip(rows, names, strict=True)
        for name in found
        if name not in known or not visible(name)
    ]
    if not labels:
        problems.append((0, f"no row has a label in {column!r}"))
    if kind.several and card.labels is None:
        problems += _unsplit(rows, names, column)
    for label in labels:
        problems += [(first.get(label, 0), text) for text in label_problems(card.metrics, label)]
    if card.labels is None and not card.distinct_labels and not problems:
        problems += _clashes("label", first, "distinct_labels")
    if problems:
        return np.zeros(0), labels, problems
    return kind.encode(names, labels), labels, []


def _unknown(name: str, near: Mapping[str, str]) -> str:
    known = near.get(folded(name))
    hint = f"; {known!r} is, and differs only in spelling" if known is not None else ""
    return f"label {name!r} is not in the card's labels{hint}"


def _unsplit(rows: Sequence[Row], names: Sequence[Sequence[str]], column: str) -> list[tuple[int, str]]:
    """Return the problem of cells whose labels seem to be separated by something else than ``|``, if there is one.

    A separator within labels is suspicious where no cell has a ``|``, or where all that it parts are labels elsewhere.
    """
    every = {name for found in names for name in found}
    barred = any("|" in row[column] for _, row in rows)
    for sign in (sign for sign in SEPARATORS if any(sign in name for name in every)):
        parts = {name: [part.strip() for part in name.split(sign) if part.strip()] for name in every}
        joined = [name for name, found in parts.items() if len(found) > 1]
        holders = Counter(part for name in every for part in set(parts[name]))
        known = {part for part, names_with_it in holders.items() if names_with_it > 1 or not barred}
        suspicious = [name for name in joined if known.issuperset(parts[name])]
        if not suspicious:
            continue
        number, name = next(
            (number, name)
            for (number, _), found in zip(rows, names, strict=True)
            for name in found
            if name in suspicious
        )
        return [
            (
                number,
                f"the {column} is {name!r}: labels stand between '|', so that {len(every)} labels arise, of which "
                f"{len(suspicious)} hold {sign!r}; parted there too, they are {len(holders)}. Write '|' for "
                f"{sign!r}, or, where {sign!r} belongs to the names, name all labels in the card's 'labels'",
            )
        ]
    return []


def _numbers(
    rows: Sequence[Row], columns: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...], list[tuple[int, str]]]:
    targets, problems = np.zeros((len(rows), len(columns)), np.float32), []
    for i, (number, row) in enumerate(rows):
        for j, column in enumerate(columns):
            try:
                value = math.nan if "_" in row[column] else float(row[column])  # Python reads 1_000, no one else does
            except ValueError:
                value = math.nan
            if not abs(value) <= LARGEST:  # NaN neither
                problems.append((number, f"{column} is {row[column]!r}, not a finite number"))
            else:
                targets[i, j] = value
    return targets, columns, problems


def _sorted_labels(names: set[str]) -> tuple[str, ...]:
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))  # 1 and 01 are two labels
    return tuple(sorted(names))


def _unseen_labels(
    rows: Sequence[Row], splits: Sequence[str], targets: np.ndarray, labels: Sequence[str], card: TaskCard
) -> Iterable[tuple[int, str]]:
    held = [KINDS[card.kind].labels_of(target) for target in targets]
    if card.columns is not None and card.columns.fold is not None:
        yield from _untrained_labels(rows, splits, held, labels)
        return
    in_train = {label for split, of_item in zip(splits, held, strict=True) if split == "train" for label in of_item}
    for (number, _), split, of_item in zip(rows, splits, held, strict=True):
        for label in of_item:
            if label not in in_train:
                yield number, f"label {labels[label]!r} is in {split} but never in train"


def _untrained_labels(
    rows: Sequence[Row], folds: Sequence[str], held: Sequence[Sequence[int]], labels: Sequence[str]
) -> Iterable[tuple[int, str]]:
    """Yield each label, with its first row, that train lacks where some fold is test and the next one validation."""
    with_label: dict[int, set[str]] = {}
    first: dict[int, int] = {}
    for (number, _), fold, of_item in zip(rows, folds, held, strict=True):
        for label in map(int, of_item):
            with_label.setdefault(label, set()).add(fold)
            first.setdefault(label, number)
    order = sorted(set(folds), key=numbers_by_value)
    pairs = [{fold, following} for fold, following in zip(order, [*order[1:], order[0]], strict=True)]
    for label, names in with_label.items():
        if any(names <= pair for pair in pairs):
            alone = " and ".join(sorted(names))
            yield first[label], f"label {labels[label]!r} is in the fold(s) {alone} alone: none is left to train on"


def _refuse(path: Path, problems: Sequence[tuple[int, str]], notes: Sequence[str] = ()) -> None:
    if not problems:
        return
    told = fold_alike(problems)
    lines = [f"  {line}" for line in told[:SHOWN]]
    if len(told) > SHOWN:
        lines.append(f"  … and {len(told) - SHOWN} more")
    lines += [f"  (not a problem: {note})" for note in notes[:SHOWN]]
    raise TaskError(f"the manifest {path} cannot be used as it is", "mend these rows", lines)
