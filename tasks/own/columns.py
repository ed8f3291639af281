"""Look at a table's columns and say what each is taken for: audio, id, split, group or target, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks.errors import TaskError
from tasks.kinds import KINDS, Kind
from tasks.own.audio_paths import AudioBelow, FoundAudio, is_audio_name
from tasks.own.tables import Table
from tasks.own.target_kinds import TargetKind, are_binary, kind_of, labels_of, number, separator_of, words
from tasks.row_problems import rows_in_words
from tasks.spelling import composed, did_you_mean, visible
from tasks.split_names import SPLIT_NAMES, are_splits, split_named

MOST = 0.9  # of the cells: from this share on, a column is what most of its cells are
#: Words in the names of columns, in the order in which they are preferred.
AUDIO = ("audio", "path", "file", "filename", "filepath", "wav", "mp3", "flac")
IDS = ("id", "track", "item", "clip", "song", "name")
SPLITS = ("split", "subset", "partition", "set", "part")
GROUPS = (
    "artist", "performer", "singer", "composer", "speaker", "player", "musician", "band", "album", "release", "song",
    "work", "piece", "recording", "session", "subject", "group", "source",
)  # fmt: skip
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


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are taken for.

    Attributes:
        audio: The column of audio files.
        found: Where these lie.
        id: The column of ids; ``None`` where ids have to be made.
        split: The column of splits, if there is one.
        group: The column of groups, if there is one.
        targets: The columns of what is predicted.
        kind: The kind of task.
        target: How the cells of the target are read.
        binary: Whether the target columns are labels themselves, with 0 and 1 in their cells.
        told: Of each role in words what it was taken for, and why.
    """

    audio: str
    found: FoundAudio
    id: str | None
    split: str | None
    group: str | None
    targets: tuple[str, ...]
    kind: Kind
    target: TargetKind
    binary: bool = False
    told: dict[str, str] = field(default_factory=dict)


class _UnclearError(Exception):
    """A role that no column, or more than one, may have; the text says which option names it."""


def roles_of(table: Table, named: Named, below: AudioBelow) -> Roles:
    """Return what the columns of a table are taken for.

    Raises:
        TaskError: A column that the user names is not there or cannot be what it is said to be; or for a role there is
            no column, or more than one. All such roles are named, with their options.
    """
    _refuse_unknown(table, named)
    told: dict[str, str] = {}
    unclear: list[str] = []
    audio, found = "", FoundAudio((), True)
    try:
        audio, found, told["audio"] = _audio(table, named, below)
    except _UnclearError as error:
        unclear.append(str(error))
    taken = {audio, named.id, named.target, named.group} - {None}
    split = group = None
    try:
        split, told["split"] = _split(table, named, taken)
    except _UnclearError as error:
        unclear.append(str(error))
    id_column, told["id"] = _id(table, named, audio, {split} | taken - {named.id})
    targets: tuple[str, ...] = ()
    kind, binary = TargetKind(None), False
    try:
        group_like = _groups(table, {audio, split, id_column, *_listed(named.target)} if not named.group else set())
        free = [name for name in table.header if name not in {audio, split, id_column, named.group}]
        targets, reason = _targets(table, named, [name for name in free if name not in group_like])
        kind, binary = _kind(table, targets, named)
        told["target"] = f"{', '.join(targets)}: {reason}" if reason else ", ".join(targets)
        told["kind"] = f"{kind.kind}: {kind.why}"
        group, told["group"] = _group(table, named, [name for name in group_like if name not in targets])
    except _UnclearError as error:
        unclear.append(str(error))
    if unclear:
        have = ", ".join(table.header[:20]) + (", …" if len(table.header) > 20 else "")
        raise TaskError(
            f"{table.path} has the columns {have}, and not all are clear",
            "say what they are with the options that these lines name",
            [f"  {text}" for text in unclear],
        )
    assert kind.kind is not None
    return Roles(audio, found, id_column, split, group, targets, kind.kind, kind, binary, told)


def _listed(names: str | None) -> list[str]:
    return [] if names is None else [name.strip() for name in names.split(",") if name.strip()]


def target_columns(table: Table, text: str) -> list[str]:
    """Return the columns that ``--target`` names: one whose name may hold a comma, or several."""
    return [text] if text in table.header else _listed(text)


def _refuse_unknown(table: Table, named: Named) -> None:
    given = {"audio": named.audio, "id": named.id, "split": named.split, "group": named.group}
    asked = [(option, name) for option, name in given.items() if name is not None]
    asked += [("target", name) for name in (target_columns(table, named.target) if named.target is not None else [])]
    if named.target is not None and not target_columns(table, named.target):
        raise TaskError("--target is empty", "name a column")
    for option, name in asked:
        if composed(name) not in table.header:
            hint = did_you_mean(name, table.header, f"name one of {', '.join(table.header[:20])}")
            raise TaskError(f"--{option} {name}: {table.path} has no such column", hint)


def _audio(table: Table, named: Named, below: AudioBelow) -> tuple[str, FoundAudio, str]:
    base = table.path.parent
    if named.audio is not None:
        found = below.find(table.column(named.audio), base)
        return named.audio, found, f"{named.audio}: as you say; {_found(found, below.root)}"
    ending = [name for name in table.header if _share(map(is_audio_name, filter(None, table.column(name)))) >= MOST]
    if ending:
        looked = {name: below.find(table.column(name), base) for name in ending}
        why = "its cells end as names of audio files do"
    else:
        text = [name for name in table.header if _looks_like_names(table.column(name))]
        looked = {name: below.find(table.column(name), base) for name in text}
        looked = {name: found for name, found in looked.items() if found.count >= MOST * len(found.files)}
        why = "its cells are names of audio files"
    if not looked:
        raise _UnclearError(
            f"which column names audio files: none has cells that end as they do (.wav, .mp3, ...), and none has the "
            f"names of files below {below.root}. Name it with --audio COLUMN, and the folder with --root DIR"
        )
    best = max(looked, key=lambda name: (looked[name].count, looked[name].direct, -_rank(name, AUDIO)))
    rivals = [
        name for name, found in looked.items()
        if name != best and found.count == looked[best].count and found.files != looked[best].files
    ]  # fmt: skip
    if rivals:
        raise _UnclearError(
            f"which column names the audio: {', '.join([best, *rivals])} may. Name it with --audio COLUMN"
        )
    return best, looked[best], f"{best}: {why}; {_found(looked[best], below.root)}"


def _looks_like_names(cells: Sequence[str]) -> bool:
    return all(cells) and 2 * len(set(cells)) > len(cells)


def _found(found: FoundAudio, root: Path) -> str:
    how = "" if found.direct or not found.count else f", some elsewhere below {root} than their paths say"
    return f"{found.count} of {len(found.files)} files found{how}"


def _split(table: Table, named: Named, taken: set[str | None]) -> tuple[str | None, str]:
    if named.split is not None:
        strange = [(number, cell) for number, cell in zip(table.numbers, table.column(named.split), strict=True)
                   if split_named(cell) is None]  # fmt: skip
        if strange:
            example = f"{strange[0][1]!r} in {rows_in_words([number for number, _ in strange])}"
            raise _UnclearError(
                f"the split: {named.split} has {example}, which is none of {', '.join(SPLIT_NAMES)}. Write these, or "
                "leave --split out and make a split with bench data split"
            )
        return named.split, f"{named.split}: as you say"
    fits = [name for name in table.header if name not in taken and are_splits(table.column(name))]
    hinted = [name for name in fits if _rank(name, SPLITS) < len(SPLITS)]
    if len(fits) > 1 and len(hinted) != 1:
        raise _UnclearError(f"the split: {', '.join(fits)} may be it. Name it with --split COLUMN")
    if not fits:
        other = [name for name in table.header if words(name)[-1:] == ["split"] and name not in taken]
        held = f"; {other[0]} holds {', '.join(sorted(set(table.column(other[0])))[:3])}" if other else ""
        return None, f"none: no column holds train, valid and test{held}"
    name = (hinted or fits)[0]
    spelt = sorted(set(table.column(name)))
    return name, f"{name}: it holds {', '.join(spelt)}"


def _id(table: Table, named: Named, audio: str, taken: set[str | None]) -> tuple[str | None, str]:
    if named.id is not None:
        problem = _not_ids(table, named.id)
        if problem:
            raise TaskError(f"--id {named.id}: {problem}", "Name another column, or leave it out: ids are then made")
        return named.id, f"{named.id}: as you say"
    fits = [
        name for name in table.header
        if name not in taken - {audio} and words(name)[-1:] in (["id"], ["ids"], ["uid"])
        and not set(words(name)) & set(GROUPS[:11])
    ]  # fmt: skip
    fits += [
        name for name in table.header if name not in taken and name.casefold() in ("track", "item", "clip", "name")
    ]
    for name in sorted(dict.fromkeys(fits), key=lambda name: _rank(name, IDS)):
        if not _not_ids(table, name):
            return name, f"{name}: its cells are all different"
    if audio and not _not_ids(table, audio):
        return audio, f"{audio}: no column of ids, and files are all different"
    return None, "made from the numbers of the rows: no column has a text of its own in each"


def _not_ids(table: Table, name: str) -> str:
    first: dict[str, int] = {}
    for row, cell in zip(table.numbers, table.column(name), strict=True):
        text = visible(cell)
        if not text:
            return f"it is empty in row {row}"
        if text in first:
            return f"{cell!r} stands in rows {first[text]} and {row}"
        first[text] = row
    return ""


def _groups(table: Table, taken: set[str | None]) -> list[str]:
    """Return the columns that may be groups, by their names, the best first."""
    fits = [name for name in table.header if name not in taken and _rank(name, GROUPS) < len(GROUPS)]
    return sorted(fits, key=lambda name: (_rank(name, GROUPS), name.casefold() not in GROUPS))


def _group(table: Table, named: Named, fits: Sequence[str]) -> tuple[str | None, str]:
    if named.group is not None:
        empty = _empty(table, named.group)
        if empty:
            raise _UnclearError(f"the group: {named.group} is empty in {rows_in_words(empty)}. Fill these cells")
        return named.group, f"{named.group}: as you say"
    passed = []
    for name in fits:
        cells = table.column(name)
        empty = _empty(table, name)
        if empty:
            passed.append(f"{name} is empty in {rows_in_words(empty)}")
        elif not 1 < len(set(cells)) < len(cells):
            passed.append(f"{name} is {'different' if len(set(cells)) > 1 else 'the same'} in every row")
        else:
            others = [other for other in fits if other not in (name, *[text.split(" is ")[0] for text in passed])]
            more = f" (--group {others[0]} takes the other)" if others else ""
            return name, f"{name}: {len(set(cells))} of them, and no two splits should share one{more}"
    return None, "none" + (f": {'; '.join(passed)}" if passed else ": no column is named artist, album or the like")


def _empty(table: Table, name: str) -> list[int]:
    return [row for row, cell in zip(table.numbers, table.column(name), strict=True) if not visible(cell)]


def _targets(table: Table, named: Named, free: Sequence[str]) -> tuple[tuple[str, ...], str]:
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
        raise _UnclearError(f"what is to be predicted: no column is left for it{left}. Name it with --target COLUMN")
    raise _UnclearError(
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


def _kind(table: Table, targets: tuple[str, ...], named: Named) -> tuple[TargetKind, bool]:
    columns = [table.column(name) for name in targets]
    numeric = [all(number(cell) is not None for cell in filter(None, set(cells))) for cells in columns]
    comma = any("," in cell for cells, ok in zip(columns, numeric, strict=True) if ok for cell in cells)
    if len(targets) > 1:
        if all(map(are_binary, columns)) and named.kind in (None, "multilabel"):
            return TargetKind("multilabel", "", f"{len(targets)} labels, a column each with 0 and 1"), True
        if named.kind in (None, "regression") and all(numeric):
            return TargetKind("regression", "", f"{len(targets)} columns of numbers", comma), False
        raise _UnclearError(
            f"the kind: of several targets each is a column of numbers (regression) or of 0 and 1 (multilabel), and "
            f"{', '.join(targets)} are not. Name one with --target COLUMN"
        )
    found = kind_of(targets[0], columns[0])
    if named.kind is None:
        if found.kind is None:
            raise _UnclearError(f"the kind: {targets[0]} has {found.why}")
        if found.kind == "multiclass":
            _refuse_singles(targets[0], columns[0])
        return found, False
    if named.kind == "regression" and not numeric[0]:
        strange = next(cell for cell in columns[0] if cell and number(cell) is None)
        raise _UnclearError(f"--kind regression: {targets[0]} holds {strange[:40]!r}, which is no number")
    separator = found.separator if KINDS[named.kind].has_labels and KINDS[named.kind].several else ""
    return TargetKind(named.kind, separator, "as you say", comma and named.kind == "regression"), False


def _refuse_singles(name: str, cells: Sequence[str]) -> None:
    """Refuse classes of which most have one item: no split could have them in train and elsewhere."""
    filled = [cell for cell in cells if cell]
    counts = Counter(filled)
    single = sum(count == 1 for count in counts.values())
    if 2 * len(counts) > len(filled) > 9 and 2 * single > len(counts):
        raise _UnclearError(
            f"the target: {name} has {len(counts):,} different texts in {len(filled):,} rows, of which {single:,} "
            "stand in one row alone: these are no classes. Name another column with --target, or several labels in a "
            "cell with --kind multilabel"
        )


def labels_in(table: Table, roles: Roles) -> list[list[str]]:
    """Return the labels of each row; of numbers none."""
    if roles.binary:
        columns = [table.column(name) for name in roles.targets]
        return [
            [name for name, cells in zip(roles.targets, columns, strict=True) if cells[i] == "1"]
            for i in range(len(table.rows))
        ]
    if not KINDS[roles.kind].has_labels:
        return [[] for _ in table.rows]
    return [
        [composed(label) for label in labels_of(cell, roles.target.separator)]
        for cell in table.column(roles.targets[0])
    ]


def _share(values: Iterable[bool]) -> float:
    every = list(values)
    return sum(every) / len(every) if every else 0.0


def _rank(name: str, preferred: Sequence[str]) -> int:
    """Return the place of the first preferred word that the name has; as many as there are where it has none."""
    found = words(name)
    return next((place for place, word in enumerate(preferred) if word in found), len(preferred))
