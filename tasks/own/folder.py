"""Read a folder of audio whose sub-folders are labels, with or without folders of splits above these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import TaskError
from tasks.files import AUDIO_SUFFIXES
from tasks.own.audio_paths import all_files
from tasks.spelling import composed
from tasks.split_names import are_splits, split_named

SHOWN = 5
TABLES = (".csv", ".tsv", ".xlsx")


@dataclass(frozen=True)
class LabelledFile:
    """An audio file of a labelled folder.

    Attributes:
        file: Where it lies.
        name: Its path relative to the folder, with ``/``.
        label: The name of the sub-folder that says what it is.
        split: ``train``, ``valid`` or ``test``; empty where folders do not say it.
        below: The folders between the label's and the file, with ``/``; empty where there are none.
    """

    file: Path
    name: str
    label: str
    split: str
    below: str


@dataclass(frozen=True)
class LabelledFolder:
    """The audio files of a folder, and in words what the folders were taken for and what was passed over."""

    files: tuple[LabelledFile, ...]
    told: dict[str, str]
    notes: tuple[str, ...] = ()


def read_folder(folder: Path, allow_unlabelled: int = 0) -> LabelledFolder:
    """Read a folder of labelled audio.

    Args:
        folder: Its sub-folders are labels; or they are splits (train, valid, test), and labels are below them.
        allow_unlabelled: How many audio files may lie where no folder says a label; they are left out and named.

    Raises:
        TaskError: There is no audio, no label or one alone, more files without a label than are allowed, or folders of
            splits beside others. The message says what to do.
    """
    found = [(path, path.relative_to(folder).parts) for path in all_files(folder)]
    sounds = [(path, parts) for path, parts in found if path.suffix.lower() in AUDIO_SUFFIXES]
    tables = [path for path, _ in found if path.suffix.lower() in TABLES]
    hint = also = ""
    if tables:
        hint = f"Take the labels of {tables[0].relative_to(folder)}, if they are in that: bench tasks new '{tables[0]}'"
        also = f", or take the labels of {tables[0].relative_to(folder)}: bench tasks new '{tables[0]}'"
    if not sounds:
        raise TaskError(
            f"no audio file lies in {folder} or below it (looked for {', '.join(sorted(AUDIO_SUFFIXES))})",
            hint or "Name the folder that has a sub-folder of audio for each label",
        )
    by_split = _are_splits(folder, sorted({parts[0] for _, parts in sounds if len(parts) > 1}))
    depth = 2 if by_split else 1  # folders above a labelled file, at least
    bare = [path for path, parts in sounds if len(parts) <= depth]
    labelled = [(path, parts) for path, parts in sounds if len(parts) > depth]
    if not labelled:
        where = "the folders of the splits" if by_split else str(folder)
        raise TaskError(
            f"all {len(sounds)} audio files lie in {where} itself: labels are the names of sub-folders",
            hint or "Put the files of each label into a folder of its name, or write a CSV with path,label",
        )
    if len(bare) > allow_unlabelled:
        names = [str(path.relative_to(folder)) for path in bare]
        raise TaskError(
            f"{len(bare)} audio file(s) lie beside the folders of labels, so that they have none: {_some(names)}",
            f"Move each into a folder of labels, or leave them out with --allow-unlabelled {len(bare)}{also}",
        )
    files = tuple(
        LabelledFile(
            path,
            "/".join(parts),
            composed(parts[depth - 1].strip()),
            (split_named(parts[0]) or "") if by_split else "",
            "/".join(parts[depth:-1]),
        )
        for path, parts in labelled
    )
    counts = Counter(file.label for file in files)
    if len(counts) < 2:
        raise TaskError(
            f"all {len(files)} files of {folder} have the label {next(iter(counts))!r}: a task needs two at least",
            f"Name the folder whose sub-folders are the labels{also}",
        )
    return LabelledFolder(files, _told(files, by_split), tuple(_notes(folder, found, bare, counts)))


def _are_splits(folder: Path, names: Sequence[str]) -> bool:
    """Say whether the sub-folders are splits.

    Raises:
        TaskError: Some are, and others are not.
    """
    if are_splits(names):
        return True
    known = [name for name in names if split_named(name)]
    if are_splits(known):
        others = [name for name in names if not split_named(name)]
        raise TaskError(
            f"{folder} has the folders {', '.join(known)}, which are splits, beside {_some(others)}: splits or labels?",
            "Leave only folders of splits there, with labels below them, or only labels; or rename a label",
        )
    return False


def _told(files: Sequence[LabelledFile], by_split: bool) -> dict[str, str]:
    counts = Counter(file.label for file in files)
    shown = [f"{label} {count}" for label, count in sorted(counts.items())]
    nested = any(file.below for file in files)
    splits = Counter(file.split for file in files)
    return {
        "audio": f"{len(files)} files in {len(counts)} folders of labels",
        "id": "the path of each file",
        "split": ", ".join(f"{split} {count}" for split, count in splits.items()) + ": the upper folders"
        if by_split
        else "none: no folders are called train, valid and test",
        "target": f"the folders: {', '.join(shown[:12])}{', …' if len(shown) > 12 else ''}",
        "kind": "multiclass: a file lies in one folder",
        "group": "none" + (": --by folder of bench data split takes the folders below the labels" if nested else ""),
    }


def _notes(
    folder: Path, found: Sequence[tuple[Path, tuple[str, ...]]], bare: Sequence[Path], counts: Counter[str]
) -> list[str]:
    notes = []
    if bare:
        names = [str(path.relative_to(folder)) for path in bare]
        notes.append(f"{len(bare)} audio file(s) without a label are left out, as you allow: {_some(names)}")
    other = Counter(path.suffix.lower() or path.name for path, _ in found if path.suffix.lower() not in AUDIO_SUFFIXES)
    if other:
        notes.append(
            f"{sum(other.values())} file(s) are no audio by their names and are passed over: "
            + _some([f"{count} {suffix}" for suffix, count in other.most_common()])
        )
    few = [f"{label} ({count})" for label, count in sorted(counts.items()) if count < 3]
    if few:
        notes.append(f"labels with fewer than three files, which cannot be in every split: {_some(few)}")
    return notes


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
