"""Give the items of a manifest a split, in all or where it lacks one, or folds, and return the manifest with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.card import SPLITS, TaskCard
from tasks.errors import TaskError
from tasks.items import FEWEST_FOLDS
from tasks.kinds import KINDS
from tasks.own.draft import csv_text, free_name
from tasks.own.splitting import membership_of_numbers, split_groups
from tasks.own.tables import Table
from tasks.own.target_kinds import labels_of, number
from tasks.row_problems import fold_alike, rows_in_words
from tasks.spelling import composed, did_you_mean, visible
from tasks.split_names import split_named

#: Groups that each split has at least: of one alone no interval could be drawn.
LEAST = {"train": 1, "valid": 2, "test": 2}


@dataclass(frozen=True)
class NewSplit:
    """A manifest with a split.

    Attributes:
        manifest: Its text: the columns of the manifest as they were, and that of the split.
        notes: What is to be told.
    """

    manifest: str
    notes: tuple[str, ...]


def parse_shares(text: str) -> tuple[float, float, float]:
    """Return the shares of train, valid and test that a text such as ``0.8,0.1,0.1`` (or ``80,10,10``) gives.

    Raises:
        TaskError: They are not three numbers above 0 whose sum is 1 (or 100).
    """
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    total = sum(shares)
    if len(shares) != 3 or not all(share > 0 for share in shares) or not (abs(total - 1) < 1e-6 or total == 100):
        raise TaskError(
            f"--shares {text}: these are no shares of train, valid and test",
            "give three numbers above 0 whose sum is 1, such as 0.8,0.1,0.1",
        )
    train, valid, test = (share / total for share in shares)
    return train, valid, test


def new_split(
    table: Table, card: TaskCard, by: str | None, shares: tuple[float, float, float], seed: int, *, anew: bool
) -> NewSplit:
    """Split the items of a manifest; where it has train and another split, only what it lacks is taken out of train.

    Items of one group, and items of one audio file, come into one split.

    Args:
        table: The manifest.
        card: Its card.
        by: The column of groups; that of the card where it is ``None``.
        shares: Of train, valid and test.
        seed: Of the split.
        anew: Whether a split that is there is left aside.

    Raises:
        TaskError: Rows, columns or their number do not allow it, or there is a split already; what to do is said.
    """
    columns = card.columns
    assert columns is not None
    assert columns.split is not None
    group = columns.group if by is None else composed(by)
    _refuse_missing(table, card, by)
    present = _present(table, card, anew=anew)
    member = _membership(table, card)
    _refuse_empty(table, group)
    units, merged = _units(table, columns.audio, group)
    wanted = [split for split in SPLITS if split == "train" or split not in present]
    rows = np.array([i for i, split in enumerate(present or ["train"] * len(units)) if split == "train"])
    part_shares = np.array([shares[SPLITS.index(split)] for split in wanted])
    what = "items" if group is None else f"groups ({group})"
    try:
        parts = split_groups(
            member[rows], [units[row] for row in rows], part_shares / part_shares.sum(), seed,
            [LEAST[split] for split in wanted],
        )  # fmt: skip
    except TaskError:
        number_of = len({units[row] for row in rows})
        needed = ", ".join(f"{split} {LEAST[split]}" for split in wanted)
        raise TaskError(
            f"{card.id} cannot be split: it has {number_of} {what}{' in train' if present else ''}, and "
            f"{sum(LEAST[split] for split in wanted)} are the least ({needed})",
            "Add items"
            + (" of other groups, or split by a column of more groups: --by COLUMN" if group is not None else ""),
        ) from None
    splits = list(present) or [""] * len(units)
    for row, part in zip(rows, parts, strict=True):
        splits[row] = wanted[part]
    _refuse_unseen(card, member, splits, what)
    notes = [f"{', '.join(name for name in SPLITS if name in present and name != 'train')} stays as it was; "
             f"{' and '.join(wanted[1:])} is taken out of train"] if present else []  # fmt: skip
    notes += _notes(merged, group, "splits")
    return NewSplit(_with_column(table, columns.split, splits), tuple(notes))


def new_folds(table: Table, card: TaskCard, by: str | None, folds: int, seed: int) -> tuple[NewSplit, str]:
    """Deal the items of a manifest into folds of one size, and return the manifest and the name of its new column.

    Items of one group, and items of one audio file, come into one fold.

    Args:
        table: The manifest.
        card: Its card.
        by: The column of groups; that of the card where it is ``None``.
        folds: How many.
        seed: Of the folds.

    Raises:
        TaskError: Rows, columns or their number do not allow it; what to do is said.
    """
    columns = card.columns
    assert columns is not None
    if folds < FEWEST_FOLDS:
        raise TaskError(
            f"--folds {folds}: one is for test, one for validation, one to train on",
            f"give {FEWEST_FOLDS} at least",
        )
    group = columns.group if by is None else composed(by)
    _refuse_missing(table, card, by)
    member = _membership(table, card)
    _refuse_empty(table, group)
    units, merged = _units(table, columns.audio, group)
    what = "items" if group is None else f"groups ({group})"
    least = LEAST["test"]  # each fold is test once
    try:
        parts = split_groups(member, units, [1 / folds] * folds, seed, [least] * folds)
    except TaskError:
        raise TaskError(
            f"{card.id} cannot be dealt into {folds} folds: it has {len(set(units))} {what}, and {least * folds} are "
            "the least, two for each",
            "Name fewer folds, or a column of more groups: --by COLUMN",
        ) from None
    name = free_name("fold", table.header)
    notes = _notes(merged, group, "folds")
    return NewSplit(_with_column(table, name, [str(part + 1) for part in parts]), tuple(notes)), name


def _notes(merged: int, group: str | None, what: str) -> list[str]:
    notes = []
    if merged:
        notes.append(f"{merged} group(s) share an audio file with another and were kept together with it")
    if group is None:
        notes.append(
            f"no groups: items of one artist or album may be in several {what}; --by COLUMN keeps them together"
        )
    return notes


def _refuse_missing(table: Table, card: TaskCard, by: str | None) -> None:
    columns = card.columns
    assert columns is not None
    wanted = [columns.id, columns.audio, *card.targets]
    missing = [name for name in wanted if name not in table.header]
    if missing:
        raise TaskError(
            f"the manifest {table.path} lacks the column(s) {', '.join(missing)} that the card {card.id!r} names; it "
            f"has {', '.join(table.header[:20])}",
            f"Mend the card, or write a new one: bench tasks new {table.path.name}",
        )
    group = columns.group if by is None else composed(by)
    if group is not None and group not in table.header:
        hint = did_you_mean(group, table.header, f"name one of {', '.join(table.header[:20])}")
        said = f"--by {by}: " if by is not None else f"the card {card.id!r} names the group {group!r}: "
        raise TaskError(f"{said}{table.path} has no such column", hint)


def _present(table: Table, card: TaskCard, *, anew: bool) -> list[str]:
    """Return the split of each item that is there already and to be kept; nothing where there is none.

    Raises:
        TaskError: It is whole, or is none that is understood.
    """
    assert card.columns is not None
    name = card.columns.split
    if anew or name not in table.header or not any(cells := table.column(name)):
        return []
    found = [split_named(cell) or "" for cell in cells]
    if "" in found or "train" not in found:
        odd = [row for row, split in zip(table.numbers, found, strict=True) if not split]
        why = f"{cells[found.index('')]!r} in {rows_in_words(odd)} is no split" if odd else "it has no train"
        raise TaskError(
            f"the column {name!r} of {table.path} is no split that can be completed: {why}",
            "Mend it, or make a new split of all items with --overwrite",
        )
    counts = Counter(found)
    if set(counts) == set(SPLITS):
        told = ", ".join(f"{split} {counts[split]}" for split in SPLITS)
        raise TaskError(
            f"{table.path} has a split already ({told})",
            "Run it as it is, or make another with --overwrite: its numbers cannot be compared with those of the "
            "present one",
        )
    return [] if set(counts) == {"train"} else found


def _membership(table: Table, card: TaskCard) -> np.ndarray:
    """Return bool [n, labels] of the items, of numbers by quantiles."""
    kind = KINDS[card.kind]
    columns = [table.column(name) for name in card.targets]
    problems: list[tuple[int, str]] = []
    if not kind.has_labels:
        values = np.zeros((len(table.rows), len(columns)))
        for j, (name, cells) in enumerate(zip(card.targets, columns, strict=True)):
            for i, cell in enumerate(cells):
                value = number(cell) if "," not in cell else None
                if value is None:
                    problems.append((table.numbers[i], f"{name} is {cell!r}, not a finite number"))
                else:
                    values[i, j] = value
        _refuse_rows(table, problems)
        return membership_of_numbers(values)
    names = [[composed(label) for label in labels_of(cell, "|" if kind.several else "")] for cell in columns[0]]
    labels = card.labels or tuple(sorted({label for held in names for label in held}))
    known = set(labels)
    for row, held in zip(table.numbers, names, strict=True):
        if not kind.several and not held:
            problems.append((row, f"the {card.targets[0]} is empty"))
        problems += [(row, f"label {label!r} is not in the card's labels") for label in held if label not in known]
    _refuse_rows(table, problems)
    if not kind.several and len(labels) < 2:
        raise TaskError(
            f"all items of {card.id!r} are of one class: there is nothing to tell apart, nor to split by",
            f"Add items of another class to {table.path}",
        )
    encoded = KINDS[card.kind].encode(names, labels)
    return kind.membership(encoded, len(labels))


def _refuse_rows(table: Table, problems: Sequence[tuple[int, str]]) -> None:
    if problems:
        lines = [f"  {line}" for line in fold_alike(problems)[:20]]
        raise TaskError(
            f"{table.path} cannot be split as it is",
            "mend these rows",
            lines,
        )


def _refuse_empty(table: Table, group: str | None) -> None:
    if group is None:
        return
    empty = [row for row, cell in zip(table.numbers, table.column(group), strict=True) if not visible(cell)]
    if empty:
        raise TaskError(
            f"{table.path} cannot be split by {group!r}, which is empty in {rows_in_words(empty)}",
            "fill these cells, or split by another column",
        )


def _units(table: Table, audio: str, group: str | None) -> tuple[list[int], int]:
    """Return a number for each item, the same for items of one group or one audio file, and how many groups met so."""
    files = table.column(audio)
    groups = files if group is None else [composed(cell) for cell in table.column(group)]
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for name, file in zip(groups, files, strict=True):
        parent[root(("file", file))] = root(("group", name))
    roots = [root(("group", name)) for name in groups]
    number_of = {each: i for i, each in enumerate(dict.fromkeys(roots))}
    merged = 0 if group is None else len(set(groups)) - len(number_of)
    return [number_of[each] for each in roots], merged


def _refuse_unseen(card: TaskCard, member: np.ndarray, splits: Sequence[str], what: str) -> None:
    """Refuse a split in which train lacks a label that another split has: no probe could learn it."""
    if not KINDS[card.kind].has_labels:
        return
    in_train = np.array([split == "train" for split in splits])
    unseen = int((member.any(0) & ~member[in_train].any(0)).sum())
    if unseen:
        raise TaskError(
            f"{card.id} cannot be split: {unseen} label(s) would be in valid or test and not in train, for there are "
            f"too few {what} of them",
            "Add items, join rare labels, or split by another column",
        )


def _with_column(table: Table, name: str, splits: Sequence[str]) -> str:
    header = list(table.header)
    if name not in header:
        return csv_text([*header, name], ([*row, split] for row, split in zip(table.rows, splits, strict=True)))
    place = header.index(name)
    rows = ([*row[:place], split, *row[place + 1 :]] for row, split in zip(table.rows, splits, strict=True))
    return csv_text(header, rows)
