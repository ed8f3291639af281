"""Audit a split: what train, valid and test share, and how labels are spread. Pure functions on items.

Leaks between splits are facts about a published data set, and many are known. What a card documents is expected, to the
number; a leak that nobody documented is an error, and so is a documented number that does not hold.

The facts that can be documented, each for the pairs ``train/valid``, ``train/test`` and ``valid/test``:

- ``groups PAIR``: groups (artists, songs) with items in both splits;
- ``files PAIR``: audio files that items of both splits name;
- ``content PAIR``: different audio files of both splits with the very same bytes, counted by content;

and for each split ``absent SPLIT``: labels without an item in it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from tasks.errors import TaskError
from tasks.items import SPLITS, Items
from tasks.kinds import KINDS, Kind
from tasks.spelling import did_you_mean

LEAKS = ("groups", "files", "content")
FEW = 10  # items of a split, below which its score says little
NAMED = 5  # labels in a line


@dataclass(frozen=True)
class Audit:
    """What was found. Pairs of splits are written ``train/test``; folds are compared as splits are.

    Attributes:
        counts: Items per split.
        shared: ``groups``, ``files`` and ``content`` -> pair -> what both splits have, sorted: names of groups, paths,
            or for content the ids of its tracks, joined by ``=``. ``groups`` and ``content`` are missing when the
            items have no groups, or no content was given.
        prevalence: Split -> label -> share of the split's items that have it; empty for regression.
        absent: Split -> labels that none of its items has, in the order of the labels; empty for regression.
    """

    counts: Mapping[str, int]
    shared: Mapping[str, Mapping[str, tuple[str, ...]]]
    prevalence: Mapping[str, Mapping[str, float]]
    absent: Mapping[str, tuple[str, ...]]

    def facts(self) -> dict[str, int]:
        """Return the counts that a card may document, by name."""
        found = {f"{what} {pair}": len(both) for what, pairs in self.shared.items() for pair, both in pairs.items()}
        return found | {f"absent {split}": len(labels) for split, labels in self.absent.items()}


@dataclass(frozen=True)
class AuditLine:
    """One line of an audit's outcome: an error, or a note on what is known or harmless."""

    text: str
    is_error: bool


def audit(items: Items, kind: Kind, content: Mapping[Path, str] | None = None) -> Audit:
    """Audit ``items``.

    Args:
        items: n items.
        kind: Of the task: it says how to read the targets.
        content: The hash of each audio file's bytes; files without one are not compared.
    """
    shared: dict[str, dict[str, tuple[str, ...]]] = {}
    if items.groups is not None:
        shared["groups"] = shared_between(items.splits, items.groups, items.parts)
    shared["files"] = shared_between(items.splits, [str(path) for path in items.audio], items.parts)
    if content is not None:
        shared["content"] = _shared_content(items, content)
    if not KINDS[kind].has_labels:
        return Audit(items.counts(), shared, {}, {})
    member = KINDS[kind].membership(items.targets, len(items.labels))
    return Audit(items.counts(), shared, _prevalence(items, member), _absent(items, member))


def findings(found: Audit, documented: Mapping[str, int] | None = None) -> list[AuditLine]:
    """Compare an audit with the facts that are documented of the data, errors first.

    Raises:
        TaskError: A documented fact has a name that no audit has.
    """
    facts, documented = found.facts(), documented or {}
    _refuse_unknown(documented, tuple(found.counts))
    outcome = []
    for name, number in facts.items():
        expected = documented.get(name)
        what = _in_words(found, name, number)
        if expected is not None and number != expected:
            outcome.append(AuditLine(f"{what}, but {expected} are documented", True))
        elif expected is None and number and name.split()[0] in LEAKS:
            outcome.append(AuditLine(f"{what}: an undocumented leak", True))
        elif number:
            outcome.append(AuditLine(what + (" (documented)" if expected is not None else ""), False))
    return sorted(outcome, key=lambda finding: not finding.is_error)


def thin_splits(items: Items, kind: Kind) -> list[str]:
    """Return why the scores of valid or test (or of folds) would say little: too few items, or all of them alike."""
    told = []
    for split in items.folds or ("valid", "test"):
        rows = items.rows(split)
        if 0 < len(rows) < FEW:
            noun = "item" if len(rows) == 1 else "items"
            told.append(f"{split} has {len(rows)} {noun}: a score of so few says little, whatever its interval")
        if len(rows) > 1 and KINDS[kind].has_labels:
            first = items.targets[rows[0]]
            if (items.targets[rows] == first).all():
                held = [items.labels[label] for label in KINDS[kind].labels_of(first)]
                same = f"of one class, {held[0]!r}" if held and not KINDS[kind].several else "of the same labels"
                told.append(f"all {len(rows)} items of {split} are {same}: who always says that scores best")
    return told


def absent_labels(items: Items, kind: Kind) -> list[str]:
    """Return which labels each split lacks, a line for each split that lacks any."""
    if not KINDS[kind].has_labels:
        return []
    told = []
    for split, labels in _absent(items, KINDS[kind].membership(items.targets, len(items.labels))).items():
        if labels:
            more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
            told.append(f"{split} has no item of {len(labels)} label(s): {', '.join(labels[:NAMED])}{more}")
    return told


def shared_between(
    splits: Sequence[str], values: Sequence[str], parts: Sequence[str] = SPLITS
) -> dict[str, tuple[str, ...]]:
    """Return the values that two splits have in common, sorted, by pair of splits.

    >>> shared_between(["train", "test"], ["Nina", "Nina"])["train/test"]
    ('Nina',)
    """
    seen: dict[str, set[str]] = {part: set() for part in parts}
    for split, value in zip(splits, values, strict=True):
        seen[split].add(value)
    return {f"{one}/{other}": tuple(sorted(seen[one] & seen[other])) for one, other in combinations(parts, 2)}


def duplicates(keys: Sequence[Hashable]) -> list[tuple[int, ...]]:
    """Return the groups of indices that have one key, in order of their first."""
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return [tuple(same) for same in rows.values() if len(same) > 1]


def _shared_content(items: Items, content: Mapping[Path, str]) -> dict[str, tuple[str, ...]]:
    known = [row for row, path in enumerate(items.audio) if path in content]
    pairs = tuple(combinations(items.parts, 2))
    found: dict[str, list[str]] = {f"{one}/{other}": [] for one, other in pairs}
    for same in duplicates([content[items.audio[row]] for row in known]):
        rows = [known[place] for place in same]
        if len({items.audio[row] for row in rows}) == 1:
            continue  # one file under several ids: that is told as a shared file
        splits = {items.splits[row] for row in rows}
        for one, other in pairs:
            if {one, other} <= splits:
                names = [items.track_ids[row] for row in rows if items.splits[row] in (one, other)]
                found[f"{one}/{other}"].append("=".join(sorted(names)))
    return {pair: tuple(sorted(names)) for pair, names in found.items()}


def _prevalence(items: Items, member: np.ndarray) -> dict[str, dict[str, float]]:
    shares = {}
    for split in items.parts:
        rows = items.rows(split)
        share = member[rows].mean(axis=0) if len(rows) else np.zeros(len(items.labels))
        shares[split] = dict(zip(items.labels, share.tolist(), strict=True))
    return shares


def _absent(items: Items, member: np.ndarray) -> dict[str, tuple[str, ...]]:
    present = {split: member[items.rows(split)].any(axis=0) for split in items.parts}
    return {split: tuple(items.labels[i] for i in np.flatnonzero(~there)) for split, there in present.items()}


def _refuse_unknown(documented: Mapping[str, int], parts: Sequence[str]) -> None:
    possible = [f"{what} {one}/{other}" for what in LEAKS for one, other in combinations(parts, 2)]
    possible += [f"absent {part}" for part in parts]
    for name in documented:
        if name not in possible:
            hint = did_you_mean(name, possible, f"name one of {', '.join(possible)}")
            raise TaskError(f"no audit has the fact {name!r}", hint)


def _in_words(found: Audit, name: str, number: int) -> str:
    what, where = name.split(" ", 1)
    if what == "absent":
        names, text = found.absent[where], f"{number} label(s) without an item in {where}"
    else:
        nouns = {"groups": "group(s)", "files": "audio file(s)", "content": "audio content(s) under different files"}
        names, text = found.shared[what][where], f"{number} {nouns[what]} in both {where.replace('/', ' and ')}"
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{text} ({shown})" if shown else text
