"""Look at a table's columns and say what each is taken for: audio, id, split, group or target, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks.errors import TaskError
from tasks.kinds import KINDS, Kind
from tasks.own.audio_paths import AudioBelow, FoundAudio, is_audio_name
from tasks.own.tables import Table
from tasks.own.target_kinds import TargetKind, labels_of, words
from tasks.own.targets import Named, UnclearError, kind_of_targets, listed, target_columns, targets_of
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
    except UnclearError as error:
        unclear.append(str(error))
    taken = {audio, named.id, named.target, named.group} - {None}
    split = group = None
    try:
        split, told["split"] = _split(table, named, taken)
    except UnclearError as error:
        unclear.append(str(error))
    id_column, told["id"] = _id(table, named, audio, {split} | taken - {named.id})
    targets: tuple[str, ...] = ()
    kind, binary = TargetKind(None), False
    try:
        group_like = _groups(table, {audio, split, id_column, *listed(named.target)} if not named.group else set())
        free = [name for name in table.header if name not in {audio, split, id_column, named.group}]
        targets, reason = targets_of(table, named, [name for name in free if name not in group_like])
        kind, binary = kind_of_targets(table, targets, named)
        told["target"] = f"{', '.join(targets)}: {reason}" if reason else ", ".join(targets)
        told["kind"] = f"{kind.kind}: {kind.why}"
        group, told["group"] = _group(table, named, [name for name in group_like if name not in targets])
    except UnclearError as error:
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
        raise UnclearError(
            f"which column names audio files: none has cells that end as they do (.wav, .mp3, ...), and none has the "
            f"names of files below {below.root}. Name it with --audio COLUMN, and the folder with --root DIR"
        )
    best = max(looked, key=lambda name: (looked[name].count, looked[name].direct, -_rank(name, AUDIO)))
    rivals = [
        name for name, found in looked.items()
        if name != best and found.count == looked[best].count and found.files != looked[best].files
    ]  # fmt: skip
    if rivals:
        raise UnclearError(
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
            raise UnclearError(
                f"the split: {named.split} has {example}, which is none of {', '.join(SPLIT_NAMES)}. Write these, or "
                "leave --split out and make a split with bench data split"
            )
        return named.split, f"{named.split}: as you say"
    fits = [name for name in table.header if name not in taken and are_splits(table.column(name))]
    hinted = [name for name in fits if _rank(name, SPLITS) < len(SPLITS)]
    if len(fits) > 1 and len(hinted) != 1:
        raise UnclearError(f"the split: {', '.join(fits)} may be it. Name it with --split COLUMN")
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
            raise UnclearError(f"the group: {named.group} is empty in {rows_in_words(empty)}. Fill these cells")
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
