"""What a run leaves out of a task, counted by split and class: items whose audio or embedding is missing or damaged."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from benchmark.system.progress import Reporter
from results.partial import words_of
from results.sections.inputs import LeftOut
from tasks.card import TaskCard
from tasks.items import Items
from tasks.kinds import KINDS


def left_out(card: TaskCard, whole: Items, missing: Sequence[str], damaged: Collection[str]) -> LeftOut | None:
    """Return how much of a task is left out, or ``None`` where nothing is.

    Args:
        card: The task's card. Items that its annotations should give but do not count as missing, of no class.
        whole: All items that the annotations give.
        missing: Ids of the items without audio or embedding; what is no id of an item is passed over.
        damaged: Ids of the items whose audio is damaged.
    """
    ids, splits = np.array(whole.track_ids, dtype=object), np.array(whole.splits)
    counts, sizes = whole.counts(), {str(split): size for split, size in (card.sizes or {}).items()}
    fewer = {split: max(0, sizes.get(split, 0) - count) for split, count in counts.items()}
    gone, broken = np.isin(ids, list(missing)), np.isin(ids, list(damaged))
    if not gone.any() and not broken.any() and not any(fewer.values()):
        return None
    held = KINDS[card.kind].membership(whole.targets, len(whole.labels))
    return LeftOut(
        of={split: count + fewer[split] for split, count in counts.items()},
        missing_by_split=_by_split(splits, whole.parts, gone, fewer),
        missing_by_class=_by_class(whole, splits, held, gone),
        damaged_by_split=_by_split(splits, whole.parts, broken, {}),
        damaged_by_class=_by_class(whole, splits, held, broken),
        emptied=_emptied(whole, splits, held, gone | broken),
    )


NAMED = 5  # files, and classes of one, in a message


def tell(card: TaskCard, whole: Items, missing: Sequence[str], damaged: Collection[str], report: Reporter) -> None:
    """Say what is left out of a task, before hours are spent on the rest."""
    words = words_of(left_out(card, whole, missing, damaged))
    if words:
        report.say(f"{card.id} is partial, {words}. Its record says so, and the leaderboard keeps it apart.")
    broken = set(damaged)
    rows = [row for row, name in enumerate(whole.track_ids) if name in broken]
    if rows:
        named = [f"{whole.audio[row]} ({place_of(card, whole, row)})" for row in rows[:NAMED]]
        more = f" and {len(rows) - NAMED} more, which the record names" if len(rows) > NAMED else ""
        report.say(
            f"Damaged in {card.id}: {'; '.join(named)}{more}. 'bench data verify {card.id}' says what is the matter; "
            "mend or replace them and run again to score all of it."
        )


def place_of(card: TaskCard, items: Items, row: int) -> str:
    """Return which item a row is, for a message: its id, its split and, but for numbers, its classes."""
    words = [repr(items.track_ids[row]), items.splits[row]]
    held = [repr(items.labels[label]) for label in KINDS[card.kind].labels_of(items.targets[row])]
    if KINDS[card.kind].has_labels and not held:
        words.append("no class")
    elif held:
        more = f" and {len(held) - NAMED} more" if len(held) > NAMED else ""
        words.append(f"{'classes' if KINDS[card.kind].several else 'class'} {', '.join(held[:NAMED])}{more}")
    return ", ".join(words)


def _by_split(splits: np.ndarray, parts: Sequence[str], rows: np.ndarray, more: dict[str, int]) -> dict[str, int]:
    return {split: int((rows & (splits == split)).sum()) + more.get(split, 0) for split in parts}


def _by_class(items: Items, splits: np.ndarray, held: np.ndarray, rows: np.ndarray) -> dict[str, dict[str, int]]:
    """Return split -> class -> items at ``rows`` that have it; only what there is."""
    by_split = {}
    for split in items.parts:
        sums = held[rows & (splits == split)].sum(axis=0)
        by_split[split] = {items.labels[i]: int(sums[i]) for i in np.flatnonzero(sums)}
    return {split: counts for split, counts in by_split.items() if counts}


def _emptied(items: Items, splits: np.ndarray, held: np.ndarray, rows: np.ndarray) -> dict[str, list[str]]:
    """Return split -> classes that it has in the task, and of which nothing is left."""
    by_split = {}
    for split in items.parts:
        inside = splits == split
        lost = held[inside].any(axis=0) & ~held[inside & ~rows].any(axis=0)
        by_split[split] = [items.labels[i] for i in np.flatnonzero(lost)]
    return {split: names for split, names in by_split.items() if names}
