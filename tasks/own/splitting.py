"""Split items by groups and labels: no group in two parts, every label in all parts in its share, and seeded.

Groups are dealt whole. First each label, from the rarest, gets into every part; then the groups that weigh most come
first, each to the part in which the sum over labels of (items - wanted)^2 / wanted then is least. That is the rule of
scikit-learn's ``StratifiedGroupKFold`` for parts of any share and items of any number of labels, where that class makes
parts of one size, knows one label an item, and leaves a rare class to chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.errors import TaskError

QUANTILES = 5  # by which numbers are stratified, where there are items enough
IN_EACH = 10  # items that each quantile should have


def membership_of_numbers(values: np.ndarray) -> np.ndarray:
    """Return bool [n, bins]: in which quantile of each target an item lies.

    Args:
        values: [n, targets].
    """
    bins = int(np.clip(len(values) // IN_EACH, 1, QUANTILES))
    columns = []
    for column in np.asarray(values, float).T:
        edges = np.unique(np.quantile(column, np.arange(1, bins) / bins))
        place = np.searchsorted(edges, column, side="right")
        columns.append(place[:, None] == np.arange(len(edges) + 1))
    return np.concatenate(columns, axis=1)


def split_groups(
    member: np.ndarray, groups: Sequence[object], shares: Sequence[float], seed: int, least: Sequence[int] | None = None
) -> np.ndarray:
    """Return int64 [n]: the part of each item; items of one group have one part.

    A label's first group goes to the first part, and while the parts have room each of them gets a group of it.

    Args:
        member: bool [n, labels]: which item has which label.
        groups: n names of groups.
        shares: Of each of P parts; their sum is 1.
        seed: Of the order in which groups of one size are taken.
        least: How many groups each part has at least; 1 by default.

    Raises:
        TaskError: There are fewer groups than that.
    """
    _, unit_of = np.unique(np.array([str(group) for group in groups]), return_inverse=True)
    units = int(unit_of.max()) + 1 if len(unit_of) else 0
    least = [1] * len(shares) if least is None else list(least)
    if units < sum(least):
        raise TaskError(
            f"there are {units} groups, and {sum(least)} are needed ({', '.join(map(str, least))})",
            "give more groups, or name fewer parts",
        )
    size = np.bincount(unit_of, minlength=units).astype(float)
    held = np.zeros((units, member.shape[1]))
    np.add.at(held, unit_of, member.astype(float))
    part_of = _dealt(held, size, np.asarray(shares, float), np.random.default_rng(seed))
    _fill(part_of, held, size, least)
    return part_of[unit_of]


def _dealt(held: np.ndarray, size: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the part of each unit: first each label gets into all parts, then the parts are made even."""
    counts = np.column_stack([held, size])  # the items themselves count as one more label
    wanted = counts.sum(0)[:, None] * shares  # [labels, parts]
    filled = np.zeros_like(wanted)
    part_of = np.full(len(size), -1)
    order = rng.permutation(len(size))
    by_size = order[np.argsort(size[order], kind="stable")]

    def deal(unit: int, part: int) -> None:
        part_of[unit] = part
        filled[:, part] += counts[unit]

    parts = [0, *range(len(shares) - 1, 0, -1)]  # of two items of a label, the second is for the last part
    for label in np.argsort((held > 0).sum(0), kind="stable"):
        for part in parts:
            has_room = part == 0 or filled[-1, part] < wanted[-1, part]
            its = by_size[(held[by_size, label] > 0) & (part_of[by_size] < 0)]
            if filled[label, part] == 0 and has_room and len(its):
                deal(int(its[0]), part)
    weights = 1 / np.maximum(wanted, 1e-9)
    importance = (counts**2 / np.maximum(counts.sum(0), 1)).sum(1)
    rest = order[part_of[order] < 0]
    for unit in rest[np.argsort(-importance[rest], kind="stable")]:
        own = counts[unit] > 0
        added = counts[unit, own][:, None]
        # By how much the sum of (items - wanted)^2 / wanted grows, for each part.
        cost = (added * (added + 2 * (filled[own] - wanted[own])) * weights[own]).sum(0)
        deal(int(unit), int(np.argmin(cost)))
    return part_of


def _fill(part_of: np.ndarray, held: np.ndarray, size: np.ndarray, least: Sequence[int]) -> None:
    """Move small units to parts that have fewer than ``least``, from the part that has most to spare, in place.

    Units whose labels all stay in their part, too, are preferred.
    """
    for part, number in enumerate(least):
        while (part_of == part).sum() < number:
            spare = [(part_of == other).sum() - least[other] for other in range(len(least))]
            giver = int(np.argmax(spare))
            units = np.flatnonzero(part_of == giver)
            others = held[units].astype(bool).sum(0)[None] - (held[units] > 0)
            loses = ((held[units] > 0) & (others == 0)).sum(1)
            part_of[units[np.lexsort((units, size[units], loses))[0]]] = part
