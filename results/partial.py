"""Records of a part of their task: what was left out of it, in words.

A record is partial where any item that the task's card or annotations promise was not scored: its audio (or its
embedding) is missing or damaged. Its numbers are of other items than those of a full record, and are not ranked among
them. ``--limit`` and learning curves, which take a part on purpose, are marked elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from results.markdown import folded
from results.record import Record
from results.sections.inputs import DataSection, LeftOut

SPLITS = ("train", "valid", "test")
NAMED = 10  # classes named of a longer list


def is_partial(record: Record) -> bool:
    """Say whether items of the task were left out."""
    return record.data.partial


def format_left_out(data: DataSection) -> str:
    """Return what was left out, by split, and which classes have no item left; nothing where nothing was."""
    if not data.partial:
        return ""
    if data.left_out is None:  # a record of an older schema does not say of which split
        absent = sum(not name.startswith("(") for name in data.missing)
        parts = [f"{count} {what}" for count, what in ((absent, "missing"), (len(data.damaged), "damaged")) if count]
        words = f"{' and '.join(parts)} {'track' if absent + len(data.damaged) == 1 else 'tracks'} left out"
        return words if parts else "counts differ from the card's"
    return words_of(data.left_out)


def words_of(left: LeftOut | None) -> str:
    """Return what was left out, in words; nothing where nothing was."""
    if left is None:
        return ""
    told = []
    for split in SPLITS:
        gone = [
            f"{counts[split]} {what}"
            for counts, what in ((left.missing_by_split, "missing"), (left.damaged_by_split, "damaged"))
            if counts.get(split)
        ]
        if gone:
            both = left.missing_by_split.get(split, 0) + left.damaged_by_split.get(split, 0)
            told.append(f"{both} of {left.of[split]} {split} items ({', '.join(gone)})")
    return f"left out: {', '.join(told)}{_emptied(left.emptied)}"


def _emptied(emptied: Mapping[str, list[str]]) -> str:
    words = ""
    for split in SPLITS:
        names = emptied.get(split)
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            words += f"; no {split} item is left of {', '.join(map(folded, names[:NAMED]))}{more}"
    return words
