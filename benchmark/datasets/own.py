"""Data of one's own: write a card and a manifest for a folder or a table, and make a split."""

from __future__ import annotations

import os
import shlex
from pathlib import Path, PurePosixPath

from benchmark.errors import UserError
from benchmark.system.tables import table as format_table
from results.files import replace_file
from tasks import registry
from tasks.audit import absent_labels, thin_splits
from tasks.card import SPLITS, TaskCard, read_card
from tasks.errors import TaskError
from tasks.files import SETTINGS, read_text, resolved
from tasks.items import Items
from tasks.kinds import KINDS
from tasks.own.card_text import with_split
from tasks.own.draft import Draft, draft_of_folder, draft_of_table
from tasks.own.new_split import new_folds, new_split, parse_shares
from tasks.own.tables import read_table
from tasks.own.targets import Named
from tasks.readers.manifest import read_manifest

LABELS_SHOWN = 40
SHARES = "0.8,0.1,0.1"  # of train, valid and test
ROLES = ("audio", "id", "split", "target", "kind", "labels", "group")


def new_card(
    source: Path, output: Path, named: Named, *, root: Path | None, allow_unlabelled: int, overwrite: bool
) -> str:
    """Write a card, and a manifest where the source is none that can be read, and return what is to be told.

    Args:
        source: A folder of audio with sub-folders as labels, or a table.
        output: The card's file.
        named: What the user says columns are.
        root: The folder below which the audio of a table lies.
        allow_unlabelled: How many audio files of a folder may have no label.
        overwrite: Whether files that are there are written anew.

    Raises:
        UserError: A file is there already or cannot be written.
        TaskError: The source cannot be used, or it is not clear what its columns are.
    """
    if output.suffix != ".toml":
        raise UserError(
            f"--output {output}: the file of a card ends in .toml",
            f"write it such as {output.with_suffix('.toml')}",
        )
    command = f"bench tasks new {quoted(source.name)}"
    if source.is_dir():
        given = [f"--{option}" for option, value in vars(named).items() if value is not None]
        if given or root is not None:
            raise UserError(
                f"{', '.join(given or ['--root'])}: {source} is a folder, whose sub-folders are the labels",
                "leave these options out: they are for the columns of a table",
            )
        draft = draft_of_folder(source, output, command, allow_unlabelled)
    else:
        if root is not None and not root.is_dir():
            raise UserError(f"--root {root}: there is no such folder", "Name the folder below which the audio lies")
        draft = draft_of_table(source, output, command, named, root)
    if draft.manifest is not None and draft.manifest_path.exists() and _same(draft.manifest_path, source):
        raise UserError(
            f"{draft.manifest_path} would be written over the source itself",
            "give the card another name with --output",
        )
    there = [path for path in (output, draft.manifest_path) if path.exists() and path != source]
    there = there if draft.manifest is not None else [path for path in there if path == output]
    if there and not overwrite:
        raise UserError(
            f"{' and '.join(map(str, there))} {'is' if len(there) == 1 else 'are'} there already",
            "name another card with --output, or write anew with --overwrite",
        )
    written = [output]
    if draft.manifest is not None:
        _write(draft.manifest_path, draft.manifest)
        written.append(draft.manifest_path)
    _write(output, draft.card)
    return _told(source, output, draft, written)


def split_card(
    card_path: str, by: str | None, shares: str | None, seed: int, *, folds: int | None = None, overwrite: bool
) -> str:
    """Write a manifest with a split, or folds, beside that of a card, name it in the card, and tell what was done.

    Raises:
        UserError: The card is no single one of the user's own, or a file is there already or cannot be written.
        TaskError: The items cannot be split.
    """
    found = registry.find(card_path)
    if len(found) != 1 or found[0].card.manifest is None:
        raise UserError(
            f"{card_path} has the split of its publishers, which is kept",
            "Give a card of your own with a manifest: bench tasks new SOURCE writes one",
        )
    if folds is not None and shares is not None:
        raise UserError("--shares are those of train, valid and test, and folds have one size", "give one of the two")
    task, parsed = found[0], parse_shares(shares or SHARES)
    path, card, source = task.source, task.card, task.manifest
    if folds is None and card.columns is not None and card.columns.split is None:
        raise UserError(
            f"{card_path} names folds ({card.columns.fold!r}), each of which is test once",
            'write split = "split" in place of fold in its columns, if one split is wanted',
        )
    _refuse_absent(source, card)
    table, name = read_table(source), None
    if folds is None:
        split = new_split(table, card, by, parsed, seed, anew=overwrite)
    else:
        split, name = new_folds(table, card, by, folds, seed)
    target = split_beside(source, "split" if folds is None else "folds")
    if target.exists() and not overwrite:
        raise UserError(f"{_short(target)} is there already", "write it anew with --overwrite")
    named = str(PurePosixPath(card.manifest or "").with_name(target.name))
    text = with_split(read_text(path, SETTINGS), card, named, by, name)
    _write(target, split.manifest)
    _write(path, text)
    changed = read_card(path)
    column = "" if changed.columns is None else changed.columns.split or changed.columns.fold
    lines = [f"{_short(target)} written, with the column {column!r}; {_short(path)} names it as its manifest"]
    lines[0] += f" and {by} as the group." if by is not None else "."
    lines += [f"{_short(source)} is as it was."] if target != source else []
    lines += [f"note: {note}" for note in split.notes]
    try:
        items = read_manifest(target, changed, audio=False)
    except TaskError as error:
        raise UserError(
            lines[0],
            "Before a run, mend this",
            [*lines[1:], str(error)],
        ) from None
    lines += ["", format_counts(changed, items)]
    lines += [f"warning: {text}" for text in (*thin_splits(items, changed.kind), *absent_labels(items, changed.kind))]
    return "\n".join([*lines, f"Next: bench run -e logmel -t {quoted(card_path)}"])


def split_beside(manifest: Path, what: str = "split") -> Path:
    """Return where the manifest with a new split, or with folds, goes.

    >>> split_beside(Path("a/card.manifest.csv")).name, split_beside(Path("m.csv")).name
    ('card.split.csv', 'm.split.csv')
    """
    stem = manifest.stem.removesuffix(".manifest").removesuffix(".split").removesuffix(".folds")
    return manifest.with_name(f"{stem}.{what}.csv")


def format_counts(card: TaskCard, items: Items) -> str:
    """Return how many items of each class each split has; of many classes, the most frequent."""
    counts = items.counts()
    rows: list[list[str]] = []
    if KINDS[card.kind].has_labels:
        member = KINDS[card.kind].membership(items.targets, len(items.labels))
        by_split = {split: member[items.rows(split)].sum(0) for split in items.parts}
        order = sorted(range(len(items.labels)), key=lambda i: (-int(member[:, i].sum()), i))
        rows = [[items.labels[i], *(f"{by_split[split][i]:,}" for split in items.parts)] for i in order[:LABELS_SHOWN]]
        if len(order) > LABELS_SHOWN:
            rows.append([f"and {len(order) - LABELS_SHOWN:,} more", *[""] * len(items.parts)])
    rows.append(["items", *(f"{counts[split]:,}" for split in items.parts)])
    if items.groups is not None:
        groups = {split: {items.groups[row] for row in items.rows(split)} for split in items.parts}
        rows.append(
            [f"groups ({card.columns.group if card.columns else ''})", *(f"{len(groups[s]):,}" for s in items.parts)]
        )
    first = "label" if KINDS[card.kind].has_labels else ""
    return format_table(rows, [first, *items.parts], texts=(first,))


def quoted(path: str | Path) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path)) if os.name == "posix" else f'"{path}"' if " " in str(path) else str(path)


def _told(source: Path, output: Path, draft: Draft, written: list[Path]) -> str:
    """Return what a source was taken for, what was written, and the next command."""
    lines = [f"{source} is taken for:"]
    lines += [f"  {role:<7} {draft.told[role]}" for role in ROLES if role in draft.told]
    lines += [f"note: {note}" for note in draft.notes]
    lines.append(f"{' and '.join(map(str, written))} written; the card says what each line means.")
    absent = [split for split in SPLITS if split not in draft.splits]
    if absent:
        lines.append(f"Next: bench data split {quoted(output)}")
    else:
        lines.append(f"Next: bench data verify {quoted(output)}, or: bench run -e logmel -t {quoted(output)}")
    return "\n".join(lines)


def _refuse_absent(manifest: Path, card: TaskCard) -> None:
    if not manifest.is_file():
        raise UserError(
            f"no manifest at {manifest}",
            f"mend 'manifest' in the card {card.id!r}, which is relative to the card",
        )


def _short(path: Path) -> str:
    """Return a path as one would name it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _same(one: Path, other: Path) -> bool:
    return resolved(one) == resolved(other)


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode("utf-8"))
    except UnicodeEncodeError as error:
        name = text[max(0, error.start - 30) : error.start + 10].encode("utf-8", "backslashreplace").decode()
        raise UserError(
            f"{path} cannot be written: a file name is no valid Unicode (near {name!r})",
            "Rename that file",
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}",
            "Let it be written, or name another place with --output",
        ) from None
