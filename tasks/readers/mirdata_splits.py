"""Deal groups of tracks out to splits where a dataset has no split of its own: always the same way, and nothing hidden.

A group is dealt out by a hash of its name, so that a track that is added moves no other. Then groups are moved until
every label that has as many groups as there are splits is in each of them, as far as its groups' other labels allow. A
label with fewer groups cannot be: its groups go to train, where they can be learnt from and are not tested. What was
done is returned in sentences, for the card.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Mapping, Sequence

from tasks.errors import TaskError

SEED = 0
SHOWN = 10


def deal(
    groups: Sequence[str], labels: Sequence[Sequence[str]], shares: Mapping[str, float]
) -> tuple[list[str], list[str]]:
    """Return the split of each item by a hash of its group, and sentences on what had to be done about labels.

    Args:
        groups: The group of each item; a group is never in two splits.
        labels: The labels of each item.
        shares: The share of each split, in the order in which ranges of the hash belong to them; they sum to 1.

    Raises:
        TaskError: There are fewer groups than splits.
    """
    place = {g: int.from_bytes(hashlib.sha256(f"{SEED}|{g}".encode()).digest()[:8], "big") / 2**64 for g in set(groups)}
    order = sorted(place, key=lambda group: (place[group], group))
    if len(order) < len(shares):
        raise TaskError(
            f"{len(order)} groups of tracks cannot be dealt out to {', '.join(shares)}, of which each needs one",
            "Choose a loader with more tracks or artists, or write a card and a manifest of your own",
        )
    owned: dict[str, set[str]] = {group: set() for group in order}
    for group, names in zip(groups, labels, strict=True):
        owned[group].update(names)
    holders: dict[str, list[str]] = {}
    for group in order:
        for name in owned[group]:
            holders.setdefault(name, []).append(group)
    rare = sorted(name for name, found in holders.items() if len(found) < len(shares))
    pinned = {group for name in rare for group in holders[name]}
    ends = [*itertools.accumulate(shares.values())][:-1]
    part = {group: list(shares)[bisect.bisect_right(ends, place[group])] for group in order}
    part.update(dict.fromkeys(pinned, "train"))
    common = sorted((name for name in holders if name not in rare), key=lambda name: (len(holders[name]), name))
    for name in common:
        for split in reversed(list(shares)):
            if all(part[group] != split for group in holders[name]):
                _move_one(name, split, part, holders, owned, pinned)
    for name in common:  # a label that train lacks cannot be learnt: this comes before the sizes of the others
        if all(part[group] != "train" for group in holders[name]):
            part[holders[name][0]] = "train"
    notes = []
    if rare:
        notes.append(f"{len(rare)} labels have fewer than {len(shares)} groups, which are all in train: {_some(rare)}.")
    lacking = [name for name in common if {part[group] for group in holders[name]} != set(shares)]
    if lacking:
        notes.append(f"{len(lacking)} labels are not in every split, since their groups hold others: {_some(lacking)}.")
    return [part[group] for group in groups], notes


def _move_one(
    name: str,
    split: str,
    part: dict[str, str],
    holders: Mapping[str, Sequence[str]],
    owned: Mapping[str, set[str]],
    pinned: set[str],
) -> None:
    """Move the first group with the label ``name`` that its split can spare to ``split``, from the richest split."""
    counts: dict[str, int] = {}
    for group in holders[name]:
        counts[part[group]] = counts.get(part[group], 0) + 1
    for group in sorted(holders[name], key=lambda group: -counts[part[group]]):
        if group in pinned:
            continue
        others = [sum(part[other] == part[group] for other in holders[label]) for label in owned[group]]
        if all(count > 1 for count in others):
            part[group] = split
            return


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
