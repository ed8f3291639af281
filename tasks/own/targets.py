"""Which columns of a table are its targets, of which kind a task of these is, and what the user says of columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.kinds import KINDS, Kind
from tasks.own.tables import Table
from tasks.own.target_kinds import TargetKind, are_binary, kind_of, number, separator_of, words
from tasks.spelling import composed

#: Words in the names of columns of targets.
TARGETS = (
    "target", "targets", "label", "labels", "class", "classes", "category", "tag", "tags", "genre", "genres", "mood",
    "moods", "emotion", "emotions", "instrument", "instruments", "key", "pitch", "style", "styles", "theme", "themes",
    "tempo", "bpm", "rating", "danceability", "energy", "valence", "arousal",
)  # fmt: skip
#: Words in the names of columns that describe a file or an item and are no targets unless they are named.
DESCRIPTIONS = frozenset({
    "title", "name", "duration", "length", "seconds", "url", "uri", "link", "date", "comment", "comments", "note",
    "notes", "description", "rate", "sr", "channels", "bitrate", "size", "format", "md5", "sha", "sha256", "index",
    "unnamed", "start", "end", "offset", "fold", "year", "isrc", "mbid", "license", "licence", "samples", "id", "ids",
    "path", "file", "filename", "uid",
})  # fmt: skip


@dataclass(frozen=True)
class Named:
    """What the user says columns are; what is ``None`` is looked for."""

    audio: str | None = None
    id: str | None = None
    split: str | None = None
    group: str | None = None
    target: str | None = None
    kind: Kind | None = None


class UnclearError(Exception):
    """A role that no column, or more than one, may have; the text says which option names it."""


def listed(names: str | None) -> list[str]:
    """Return the names between commas; none where nothing is named."""
    return [] if names is None else [name.strip() for name in names.split(",") if name.strip()]


def target_columns(table: Table, text: str) -> list[str]:
    """Return the columns that ``--target`` names: one whose name may hold a comma, or several."""
    return [text] if text in table.header else listed(text)


def targets_of(table: Table, named: Named, free: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Return the columns of the targets, and why it is these.

    Args:
        table: The table.
        named: What the user says.
        free: The columns that are nothing else.

    Raises:
        UnclearError: No column, or several, may be the target.
    """
    if named.target is not None:
        return tuple(composed(name) for name in target_columns(table, named.target)), "as you say"
    binary = [name for name in free if are_binary(table.column(name)) and not set(words(name)) & set(TARGETS)]
    usable = [name for name in free if name not in binary and _may_be_target(table, name)]
    hinted = [name for name in usable if set(words(name)) & set(TARGETS)]
    if len(hinted) == 2 and {words(name)[0] for name in hinted} == {"valence", "arousal"}:
        return tuple(hinted), "by their names"
    if len(hinted) == 1:
        return (hinted[0],), "by its name"
    if not usable and len(binary) > 1:
        return tuple(binary), f"{len(binary)} columns of 0 and 1, a label each"
    fits = hinted or [*usable, *binary]
    if len(fits) == 1:
        return (fits[0],), "the only column that is left"
    if not fits:
        rest = [name for name in table.header if name in free]
        left = f" ({', '.join(rest[:10])} describe files, or have one value, or nearly as many as rows)" if rest else ""
        raise UnclearError(f"what is to be predicted: no column is left for it{left}. Name it with --target COLUMN")
    raise UnclearError(
        f"what is to be predicted: {', '.join(fits[:10])}{', …' if len(fits) > 10 else ''} may be it. Name it with "
        f"--target {fits[0]} (several columns of numbers: --target {fits[0]},{fits[1]})"
    )


def _may_be_target(table: Table, name: str) -> bool:
    cells = [cell for cell in table.column(name) if cell]
    different = len(set(cells))
    hinted = set(words(name)) & set(TARGETS)
    if set(words(name)) & DESCRIPTIONS and not hinted:
        return False
    if different < 2:
        return False
    if all(number(cell) is not None for cell in set(cells)):
        return True
    distinct = 2 * different > len(cells) > 9
    return not distinct or bool(separator_of(list(dict.fromkeys(cells))))


def kind_of_targets(table: Table, targets: tuple[str, ...], named: Named) -> tuple[TargetKind, bool]:
    """Return the kind of the targets, and whether each is a label by itself, in a column of 0 and 1.

    Raises:
        UnclearError: It cannot be told, or is not what the user says.
    """
    columns = [table.column(name) for name in targets]
    numeric = [all(number(cell) is not None for cell in filter(None, set(cells))) for cells in columns]
    comma = any("," in cell for cells, ok in zip(columns, numeric, strict=True) if ok for cell in cells)
    if len(targets) > 1:
        if all(map(are_binary, columns)) and named.kind in (None, "multilabel"):
            return TargetKind("multilabel", "", f"{len(targets)} labels, a column each with 0 and 1"), True
        if named.kind in (None, "regression") and all(numeric):
            return TargetKind("regression", "", f"{len(targets)} columns of numbers", comma), False
        raise UnclearError(
            f"the kind: of several targets each is a column of numbers (regression) or of 0 and 1 (multilabel), and "
            f"{', '.join(targets)} are not. Name one with --target COLUMN"
        )
    found = kind_of(targets[0], columns[0])
    if named.kind is None:
        if found.kind is None:
            raise UnclearError(f"the kind: {targets[0]} has {found.why}")
        if found.kind == "multiclass":
            _refuse_singles(targets[0], columns[0])
        return found, False
    if named.kind == "regression" and not numeric[0]:
        strange = next(cell for cell in columns[0] if cell and number(cell) is None)
        raise UnclearError(f"--kind regression: {targets[0]} holds {strange[:40]!r}, which is no number")
    separator = found.separator if KINDS[named.kind].has_labels and KINDS[named.kind].several else ""
    return TargetKind(named.kind, separator, "as you say", comma and named.kind == "regression"), False


def _refuse_singles(name: str, cells: Sequence[str]) -> None:
    """Refuse classes of which most have one item: no split could have them in train and elsewhere."""
    filled = [cell for cell in cells if cell]
    counts = Counter(filled)
    single = sum(count == 1 for count in counts.values())
    if 2 * len(counts) > len(filled) > 9 and 2 * single > len(counts):
        raise UnclearError(
            f"the target: {name} has {len(counts):,} different texts in {len(filled):,} rows, of which {single:,} "
            "stand in one row alone: these are no classes. Name another column with --target, or several labels in a "
            "cell with --kind multilabel"
        )
