"""Subsets of a train split for learning curves (after Meseguer-Brocal et al. 2024).

A seed fixes one order of the train split, and a fraction is its beginning: so the sample of 1 % is part of that of 5 %,
and a curve moves by what is added, not by luck. The order is stratified: every class (label, or range of a regression's
targets) is spread evenly over it, from a random start. That allots each stratum its share to within one unit, as the
method of largest remainders does, which itself is not monotone (a class can lose an item as the sample grows) and so
cannot be nested. Where items have groups, whole groups are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.kinds import KINDS, Kind

FEWEST = 2  # items of a sample
BINS = 10  # strata of a regression with one target; with more targets, about as many over all of them


@dataclass(frozen=True)
class TrainSample:
    """A part of a train split.

    Attributes:
        rows: int64, rising: the rows that were drawn.
        lost: Classes or labels (numbers) that have an item in the split and none in the sample.
    """

    rows: np.ndarray
    lost: tuple[int, ...]


def fraction_rows(
    targets: np.ndarray, groups: Sequence[str] | None, kind: Kind, fraction: float, seed: int
) -> TrainSample:
    """Draw a fraction of a train split: nested over fractions of one seed, stratified, and by whole groups.

    multiclass: every class keeps at least one item (or group), even where the fraction would have no room for it.
    multilabel: items that cover every label come first; where the fraction has no room for all of these, the labels
    that are left without an item are ``lost``. regression: strata are ranges between quantiles of the targets.

    With groups the sample ends at the group that brings its size nearest to the fraction.

    Args:
        targets: Of the train split: int64 [n] (multiclass), 0/1 [n, L] (multilabel) or values [n, T] (regression).
        groups: The group of each item, or ``None``.
        kind: Of the task.
        fraction: Above 0, up to 1, which takes all rows.
        seed: Seed of the order; another seed is another repeat.

    Raises:
        ValueError: A fraction out of (0, 1], groups that do not fit, or too few items: a sample of under two items, or
            one of a fraction below 1 that would be the whole split.
    """
    n = len(targets)
    if not 0 < fraction <= 1:
        raise ValueError(f"a fraction of the train split is above 0 and at most 1, not {fraction:g}")
    if groups is not None and len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} items")
    if fraction == 1:
        return TrainSample(np.arange(n), ())
    if n == 0:
        raise ValueError("there are no train items to sample")
    order, first, sizes, member = _order(targets, groups, kind, seed)
    total = np.cumsum(sizes[order])
    target = fraction * n
    units = int(np.argmin(np.abs(total - target))) + 1  # the earliest of equals: never more than it must
    if KINDS[kind].one_class:
        units = max(units, first)
    chosen = np.zeros(len(sizes), bool)
    chosen[order[:units]] = True
    rows = np.flatnonzero(chosen[member])
    if len(rows) == n:
        raise ValueError(
            f"{fraction:g} of {n} train items{'' if groups is None else f' in {len(sizes)} groups'} would be all of "
            "them: there are too few, or the fraction is too near 1"
        )
    if len(rows) < FEWEST:
        raise ValueError(f"{fraction:g} of {n} train items is {len(rows)}: a probe needs at least {FEWEST}")
    return TrainSample(rows, _lost(targets, rows, kind))


def _order(
    targets: np.ndarray, groups: Sequence[str] | None, kind: Kind, seed: int
) -> tuple[np.ndarray, int, np.ndarray, np.ndarray]:
    """Return the order of the units, how many of them cover all labels first, their sizes, and each item's unit."""
    rng = np.random.default_rng([seed, 5])
    n = len(targets)
    member = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes = np.bincount(member)
    shuffled = rng.permutation(len(sizes))
    if KINDS[kind].numeric:
        means = np.stack([np.bincount(member, column) / sizes for column in targets.reshape(n, -1).T], axis=1)
        strata, first = _quantile_bins(means), np.empty(0, np.int64)
    else:
        held = _held(targets, member, len(sizes), kind)
        strata = _strata(held, kind)
        first = _covering(held, shuffled)
    spread = _spread(strata, sizes, shuffled, first, rng)
    return np.concatenate([first, spread[~np.isin(spread, first)]]), len(first), sizes, member


def _held(targets: np.ndarray, member: np.ndarray, units: int, kind: Kind) -> np.ndarray:
    """Return counts [units, labels]: the items of each class, or with each label, in each unit."""
    if KINDS[kind].one_class:
        held = np.zeros((units, int(targets.max()) + 1), np.int32)
        np.add.at(held, (member, targets), 1)
        return held
    positive = targets != 0
    if units == len(positive):
        return positive[np.argsort(member)].view(np.uint8)
    return np.stack([np.bincount(member, column, units) for column in positive.T], axis=1).astype(np.int32)


def _strata(held: np.ndarray, kind: Kind) -> np.ndarray:
    """Return the stratum of each unit: its largest class, or its rarest label (of all), or none of the labels."""
    rarest = np.argsort(held.sum(0), kind="stable")
    ranked = held[:, rarest]
    if KINDS[kind].one_class:
        return rarest[ranked.argmax(1)]
    return np.where(ranked.any(1), rarest[(ranked > 0).argmax(1)], held.shape[1])


def _covering(held: np.ndarray, shuffled: np.ndarray) -> np.ndarray:
    """Return units that hold every label that any unit holds: the rarest label's first, each the first at random."""
    counts = held.sum(0)
    covered = np.zeros(held.shape[1], bool)
    chosen: list[int] = []
    for label in np.argsort(counts, kind="stable"):
        if counts[label] == 0 or covered[label]:
            continue
        unit = int(shuffled[np.argmax(held[shuffled, label] > 0)])
        covered |= held[unit] > 0
        chosen.append(unit)
    return np.array(chosen, np.int64)


def _quantile_bins(values: np.ndarray) -> np.ndarray:
    """Return int64 [n]: which cell of a grid of quantiles each row of ``values`` [n, T] lies in."""
    bins = max(2, round(BINS ** (1 / values.shape[1])))
    cell = np.zeros(len(values), np.int64)
    for column in values.T:
        edges = np.quantile(column, np.arange(1, bins) / bins)
        cell = cell * bins + np.searchsorted(edges, column, side="right")
    return cell


def _spread(
    strata: np.ndarray, sizes: np.ndarray, shuffled: np.ndarray, first: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Order units so that every beginning has each stratum's share, to within one unit.

    Within a stratum units stand in random order (those of ``first`` before the others, as they are drawn anyway), each
    at the share of the stratum's items that stand before it, shifted by a random start: systematic sampling.
    """
    early = np.ones(len(strata), bool)
    early[first] = False
    ranked = shuffled[np.lexsort((early[shuffled], strata[shuffled]))]
    stratum, size = strata[ranked], sizes[ranked].astype(np.float64)
    before = np.cumsum(size) - size
    begins = np.flatnonzero(np.r_[True, stratum[1:] != stratum[:-1]])
    which = np.cumsum(np.r_[True, stratum[1:] != stratum[:-1]]) - 1
    inside = before - before[begins][which]
    start = rng.random(len(begins))[which]
    share = (inside + start * size) / np.add.reduceat(size, begins)[which]
    return ranked[np.argsort(share, kind="stable")]


def _lost(targets: np.ndarray, rows: np.ndarray, kind: Kind) -> tuple[int, ...]:
    if KINDS[kind].numeric:
        return ()
    if KINDS[kind].one_class:
        missing = np.setdiff1d(targets, targets[rows])
    else:
        missing = np.flatnonzero((targets != 0).any(0) & ~(targets[rows] != 0).any(0))
    return tuple(int(label) for label in missing)
