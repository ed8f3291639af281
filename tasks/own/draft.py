"""From a folder or a table to the text of a card and, where the source cannot be read as it is, of a manifest."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import TaskError
from tasks.kinds import KINDS, Kind
from tasks.metrics.table import label_problems, metrics_of, usual_metrics
from tasks.own.audio_paths import AudioBelow, relative_path
from tasks.own.card_text import CardDraft, card_text, identifier
from tasks.own.columns import Roles, labels_in, roles_of
from tasks.own.folder import read_folder
from tasks.own.tables import SEPARATORS, Table, read_table
from tasks.own.targets import Named
from tasks.row_problems import rows_in_words
from tasks.spelling import clashes, composed
from tasks.split_names import split_named

SHOWN = 12
SPLIT = "split"  # the column that a manifest has where its source names none


@dataclass(frozen=True)
class Draft:
    """A card and a manifest that are ready to be written.

    Attributes:
        card: The text of the card.
        manifest: The text of the manifest; ``None`` where the source itself is one.
        manifest_path: Where it goes, or where the source lies.
        told: Of each role in words what it was taken for, and why.
        notes: What else is to be told.
        splits: The splits that the source names.
    """

    card: str
    manifest: str | None
    manifest_path: Path
    told: Mapping[str, str]
    notes: tuple[str, ...]
    splits: frozenset[str]


def manifest_beside(card: Path) -> Path:
    """Return where the manifest of a new card goes.

    >>> manifest_beside(Path("a/card.toml")).as_posix()
    'a/card.manifest.csv'
    """
    return card.with_name(f"{card.stem}.manifest.csv")


def draft_of_folder(folder: Path, card: Path, command: str, allow_unlabelled: int = 0) -> Draft:
    """Return the card and the manifest of a folder whose sub-folders are labels.

    Raises:
        TaskError: As :func:`tasks.own.folder.read_folder`.
    """
    found = read_folder(folder, allow_unlabelled)
    manifest = manifest_beside(card)
    nested = any(file.below for file in found.files)
    by_split = any(file.split for file in found.files)
    header = ["id", "path", *(["split"] if by_split else []), "label", *(["folder"] if nested else [])]
    rows = [
        [
            composed(file.name),
            relative_path(file.file, card.parent),
            *([file.split] if by_split else []),
            file.label,
            *([f"{file.label}/{file.below}".rstrip("/")] if nested else []),
        ]
        for file in found.files
    ]
    labels = sorted({file.label for file in found.files})
    name = Path(folder.absolute()).name
    text = card_text(
        CardDraft(
            identifier(name), name.strip() or "My task", "multiclass", *_metrics("multiclass", ("label",), labels),
            manifest.name, "id", "path", SPLIT, ("label",), None, command,
        )
    )  # fmt: skip
    splits = frozenset(file.split for file in found.files if file.split)
    return Draft(text, csv_text(header, rows), manifest, found.told, (*found.notes, *_label_notes(labels)), splits)


def draft_of_table(path: Path, card: Path, command: str, named: Named, root: Path | None = None) -> Draft:
    """Return the card of a table, and a manifest where the table cannot be read as one.

    Args:
        path: The table, of any separator.
        card: Where the card goes.
        command: That the card says it was written by.
        named: What the user says columns are.
        root: The folder below which audio is looked for; that of the table by default.

    Raises:
        TaskError: The table cannot be read, or it is not clear what its columns are.
    """
    table = read_table(path)
    roles = roles_of(table, named, AudioBelow(path.parent if root is None else root))
    labels = labels_in(table, roles)
    different = sorted({label for of_row in labels for label in of_row})
    if KINDS[roles.kind].has_labels and not KINDS[roles.kind].several and len(different) < 2:
        raise TaskError(
            f"every row of {path} has the same {roles.targets[0]}: there is nothing to tell apart",
            "Name another column with --target",
        )
    reasons = _why_rewritten(table, roles, labels)
    notes = [*_row_notes(table, roles, labels), *_label_notes(different)]
    columns = {"id": roles.id or "id", "audio": roles.audio, "split": roles.split or SPLIT}
    targets, manifest, manifest_path = roles.targets, None, path
    if reasons:
        manifest_path = manifest_beside(card)
        manifest, columns["id"], targets = _rewritten(table, roles, labels, card.parent)
        notes.append(f"{path.name} stays as it is; {manifest_path.name} is made from it, because " + "; ".join(reasons))
    name = path.stem.removesuffix(".manifest")
    told_as = relative_path(manifest_path, card.parent) if manifest is None else manifest_path.name
    text = card_text(
        CardDraft(
            identifier(name), name, roles.kind, *_metrics(roles.kind, targets, different), told_as, columns["id"],
            columns["audio"], columns["split"], targets, roles.group, command,
        )
    )  # fmt: skip
    splits = frozenset() if roles.split is None else frozenset(map(_canonical, table.column(roles.split)))
    return Draft(text, manifest, manifest_path, _told(roles, labels, different), tuple(notes), splits)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as CSV with commas."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """Return ``wanted``, with a number behind it where that is taken."""
    known = set(taken)
    return next(name for name in (wanted, *(f"{wanted}_{i}" for i in range(2, len(known) + 3))) if name not in known)


def _metrics(kind: Kind, targets: tuple[str, ...], labels: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the metrics of a new card, and the others that it may have."""
    usual = usual_metrics(kind, targets, labels)
    others = [name for name in metrics_of(kind, targets) if name not in usual]
    return usual, tuple(name for name in others if not any(label_problems((name,), label) for label in labels))


def _canonical(cell: str) -> str:
    return split_named(cell) or ""


def _why_rewritten(table: Table, roles: Roles, labels: Sequence[Sequence[str]]) -> list[str]:
    """Return why the table itself is no manifest that the reader takes; nothing where it is."""
    reasons = []
    if not table.plain:
        sign = SEPARATORS.get(table.separator, repr(table.separator))
        reasons.append(
            f"its cells are separated by {sign}" if table.separator != "," else "it is not plain CSV in UTF-8"
        )
    if any(name.startswith("(column ") for name in table.header):
        reasons.append("a column has no name")
    if not roles.found.direct:
        reasons.append("paths are not relative to it")
    if roles.id is None:
        reasons.append("it has no column of ids")
    if roles.binary:
        reasons.append("labels are columns")
    elif KINDS[roles.kind].several and KINDS[roles.kind].has_labels and roles.target.separator not in ("", "|"):
        reasons.append("labels are not separated by '|'")
    if roles.target.decimal_comma:
        reasons.append("numbers have a decimal comma")
    if KINDS[roles.kind].several and any("|" in label for of_row in labels for label in of_row):
        raise TaskError(
            f"labels of {table.path} hold '|', which separates labels in a manifest",
            "write another sign in them",
        )
    return reasons


def _rewritten(
    table: Table, roles: Roles, labels: Sequence[Sequence[str]], folder: Path
) -> tuple[str, str, tuple[str, ...]]:
    """Return a manifest with all columns of the table, the name of its column of ids, and its target columns."""
    header, rows = list(table.header), [list(row) for row in table.rows]
    audio = header.index(roles.audio)
    for row, file in zip(rows, roles.found.files, strict=True):
        row[audio] = row[audio].replace("\\", "/") if file is None else relative_path(file, folder)
    targets = roles.targets
    if KINDS[roles.kind].has_labels and KINDS[roles.kind].several:
        joined = ["|".join(of_row) for of_row in labels]
        if roles.binary:
            targets = (free_name("labels", header),)
            header.append(targets[0])
            rows = [[*row, cell] for row, cell in zip(rows, joined, strict=True)]
        else:
            place = header.index(targets[0])
            for row, cell in zip(rows, joined, strict=True):
                row[place] = cell
    elif roles.target.decimal_comma:
        for place in map(header.index, targets):
            for row in rows:
                row[place] = row[place].replace(",", ".")
    id_column = roles.id
    if id_column is None or id_column == roles.audio:  # ids stay what they were, though paths change
        cells = [f"row-{number}" for number in table.numbers] if id_column is None else table.column(id_column)
        id_column = free_name("id", header)
        header = [id_column, *header]
        rows = [[cell, *row] for cell, row in zip(cells, rows, strict=True)]
    return csv_text(header, rows), id_column, targets


def _told(roles: Roles, labels: Sequence[Sequence[str]], different: Sequence[str]) -> dict[str, str]:
    told = dict(roles.told)
    if KINDS[roles.kind].has_labels:
        counts = Counter(label for of_row in labels for label in of_row)
        shown = [f"{label} {count:,}" for label, count in counts.most_common(SHOWN)]
        more = f" and {len(different) - SHOWN:,} more" if len(different) > SHOWN else ""
        told["labels"] = f"{len(different):,}: {', '.join(shown)}{more}"
    return told


def _row_notes(table: Table, roles: Roles, labels: Sequence[Sequence[str]]) -> list[str]:
    notes = []
    missing = [row for row, file in zip(table.numbers, roles.found.files, strict=True) if file is None]
    if missing:
        first = table.column(roles.audio)[roles.found.files.index(None)]
        notes.append(
            f"{len(missing)} of {len(table.rows)} audio files are not there, such as {first} "
            f"({rows_in_words(missing)}): if they lie elsewhere, say it with --root DIR"
        )
    if KINDS[roles.kind].has_labels:
        without = [row for row, held in zip(table.numbers, labels, strict=True) if not held]
        fate = "are items without a label" if KINDS[roles.kind].several else "will be refused: fill or remove them"
    else:
        cells = [table.column(name) for name in roles.targets]
        without = [row for row, held in zip(table.numbers, zip(*cells, strict=True), strict=True) if not all(held)]
        fate = "will be refused: fill or remove them"
    if without:
        notes.append(f"{len(without)} row(s) have no {', '.join(roles.targets)} and {fate} ({rows_in_words(without)})")
    return notes


def _label_notes(labels: Sequence[str]) -> list[str]:
    found = clashes(labels, notes=True)
    if not found:
        return []
    pairs = "; ".join(f"{clash.first!r} and {clash.second!r} {clash.why}" for clash in found[:3])
    more = f" and {len(found) - 3} more pairs" if len(found) > 3 else ""
    return [f"labels may be meant as one: {pairs}{more}. Write them alike, or set distinct_labels = true in the card"]
