"""Where collections lie: folders that users name, or the data home; and which of their audio files are there.

A folder that a user names is read, never written. Where it lacks annotations, these are fetched into a folder of the
data home that has links to what the user's folder holds, so that the collection is read from one place.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from tasks.card import TaskCard
from tasks.errors import NoAnnotationsError, TaskError
from tasks.files import SETTINGS, expanded, parse_toml, read_text, resolved
from tasks.items import Items
from tasks.kinds import KINDS
from tasks.sources.card import CollectionCard, Source
from tasks.sources.layout import denied, folder_with, near_miss
from tasks.sources.state import is_here, is_sound, is_unpacked, target_of
from tasks.spelling import as_on_disk, did_you_mean

CONFIG = "config.toml"
TABLES = ("data",)


@dataclass(frozen=True)
class CollectionLocation:
    """Where a collection lies.

    Attributes:
        collection: Its name.
        root: The folder that its files are below.
        annotations: The folder that its annotations are fetched into and that it is read from: ``root``, or one of the
            data home that joins ``root`` with them when ``root`` is a user's and lacks some.
        read_only: Whether ``root`` is a user's, and therefore never written.
        origin: Who says so, for messages: ``--data-root``, the path of the configuration file, or ``data home``.
    """

    collection: str
    root: Path
    annotations: Path
    read_only: bool
    origin: str


def location_of(collection: CollectionCard, home: Path, data_roots: Sequence[str] = ()) -> CollectionLocation:
    """Return where ``collection`` lies: as ``data_roots`` say, else the configuration file, else below ``home``.

    Args:
        collection: Its card.
        home: The data home; ``config.toml`` in it has a table ``[data]`` of collections and folders.
        data_roots: ``COLLECTION=DIR``, relative to the working folder.

    Raises:
        TaskError: A root or the configuration file cannot be used, or the folder it names is not there.
    """
    own = home / "collections" / collection.name
    given, configured = parse_data_roots(data_roots), read_config(home)
    if collection.name in given:
        root, origin = given[collection.name], "--data-root"
    elif collection.name in configured:
        root, origin = configured[collection.name], str(home / CONFIG)
    else:
        return CollectionLocation(collection.name, own, own, False, "data home")
    root = as_on_disk([root])[0]
    if not os.path.isdir(root):  # noqa: PTH112, pathlib raises where a folder above may not be read
        shut = denied(root)
        problem = f"cannot be looked for: the folder {shut} may not be read" if shut else "is not there"
        problem = "is not a folder" if os.path.lexists(root) else problem
        raise TaskError(
            f"the folder {root} of the collection {collection.name!r} {problem}",
            f"name one that is there ({origin} names this one)",
        )
    # What an archive of annotations held cannot be told from outside: it is unpacked into the data home.
    if all(source.unpack is None and is_here(source, root) for source in fetchable(collection)):
        return CollectionLocation(collection.name, root, root, True, origin)
    joined = own.with_name(f"{collection.name}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}")
    return CollectionLocation(collection.name, root, joined, True, origin)


def items_of(card: TaskCard, collection: CollectionCard, place: CollectionLocation) -> Items:
    """Return the items of a built-in card, as its collection's module reads them from ``place``.

    Raises:
        TaskError: The annotations are missing or not what they should be. Where that is because files are not there,
            or damaged, the message ends with the command that helps.
    """
    if place.annotations != place.root:
        join_folders(place, collection)
    module = importlib.import_module(f"tasks.collections.{collection.name}")
    try:
        items = module.items(card, place.annotations)
    except OSError as error:
        raise TaskError(
            f"cannot read {error.filename or place.root}: {error.strerror or error}",
            f"let it be read, or name another folder with --data-root {place.collection}=DIR",
        ) from None
    except TaskError as error:
        command = _other_folder(error, place) or _next_command(card, collection, place, str(error))
        if not command:
            raise
        raise TaskError(
            error.what,
            error.do if error.rows else f"{error.do}\n{command}",
            (*error.rows, command) if error.rows else (),
        ) from None
    _refuse_other_kind(card, items)
    return replace(items, audio=as_on_disk(items.audio, place.annotations))


@cache
def known_collections() -> tuple[str, ...]:
    """Return the names of the built-in collections that have a card, sorted."""
    folder = Path(str(resources.files("tasks").joinpath("collections")))
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def parse_data_roots(values: Iterable[str]) -> dict[str, Path]:
    """Return the folders of ``COLLECTION=DIR`` arguments, absolute, by collection; a built-in task names its own.

    Raises:
        TaskError: An argument has another form, names no collection, or one collection twice.
    """
    roots: dict[str, Path] = {}
    for value in values:
        name, sign, folder = value.partition("=")
        name = _collections_of_tasks().get(name.strip(), name.strip())
        if not sign or not name or not folder.strip():
            raise TaskError(
                f"--data-root {value!r} names no collection and folder",
                "give COLLECTION=DIR, such as gtzan=/data/gtzan",
            )
        problem = _unknown(name)
        if problem:
            raise TaskError(f"--data-root {value}: there is no collection {name!r}", problem)
        if name in roots:
            raise TaskError(
                f"--data-root names the collection {name!r} twice: {roots[name]} and {folder}",
                "leave one out",
            )
        roots[name] = expanded(folder.strip()).absolute()
    return roots


def read_config(home: Path) -> dict[str, Path]:
    """Return the folders of the table ``[data]`` in ``home/config.toml``, by collection; none if there is no file.

    Relative folders are relative to the file.

    Raises:
        TaskError: The file cannot be read or used; the message names the line.
    """
    path = home / CONFIG
    try:
        text = read_text(path, SETTINGS)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise TaskError(
            f"cannot read {path}: {error.strerror or error}", "let it be read, or name another --home"
        ) from None
    config = parse_toml(text, path)
    for key in config:
        if key not in TABLES:
            hint = did_you_mean(key, TABLES, f"write {' or '.join(f'[{table}]' for table in TABLES)}")
            raise TaskError(f"{_line(path, text, key)}: unknown key {key!r}", hint)
    data = config.get("data", {})
    if not isinstance(data, Mapping):
        raise TaskError(
            f"{_line(path, text, 'data')}: data is no table of folders", 'write [data], then gtzan = "/path"'
        )
    roots = {}
    for name, folder in data.items():
        problem, remedy = f"there is no collection {name!r}", _unknown(name)
        if not remedy and (not isinstance(folder, str) or not folder.strip()):
            problem, remedy = f"data.{name} is {folder!r}", "write the path of a folder in quotes"
        if remedy:
            raise TaskError(f"{_line(path, text, name)}: {problem}", remedy)
        roots[name] = (home / expanded(folder.strip())).absolute()
    return roots


def missing_audio(items: Items) -> list[int]:
    """Return the indices of the items whose audio file is not there, in order.

    Each folder is listed once, so that 300,000 files cost one look at each folder and not one at each file.
    """
    missing = []
    for folder, rows in _by_folder(items).items():
        names = _files(folder)
        if names is None:
            missing += [row for row, _ in rows]
            continue
        # A file system may spell a name in another way than it was asked for: only who is not listed is looked up.
        missing += [row for row, name in rows if name not in names and not os.path.isfile(Path(folder, name))]  # noqa: PTH113
    return sorted(missing)


def empty_audio(items: Items) -> list[int]:
    """Return the indices of the items whose audio file is there but has no bytes, in order."""
    empty = []
    for row, path in enumerate(items.audio):
        try:
            if os.stat(path).st_size == 0:  # noqa: PTH116, several times as fast where there are many
                empty.append(row)
        except OSError:
            continue
    return empty


def unreadable(items: Items, rows: Iterable[int]) -> dict[Path, int]:
    """Return the folders that may not be looked into, with how many of the files at ``rows`` are in each."""
    found: dict[Path, int] = {}
    known: dict[Path, Path | None] = {}
    for row in rows:
        path = items.audio[row]
        if path.parent not in known:
            known[path.parent] = denied(path)
        folder = known[path.parent]
        if folder is not None:
            found[folder] = found.get(folder, 0) + 1
    return found


def as_named(paths: Iterable[Path], place: CollectionLocation) -> list[Path]:
    """Return paths as the user knows them: below the folder that was named, not below the one with links to it."""
    folders: dict[Path, Path] = {}
    named = []
    for path in paths:
        if path.parent not in folders:
            real = resolved(path.parent)
            joined = resolved(place.annotations)
            inside = place.annotations != place.root and real.is_relative_to(joined)
            folders[path.parent] = place.root / real.relative_to(joined) if inside else real
        named.append(folders[path.parent] / path.name)
    return named


def folder_meant(items: Items, rows: Sequence[int], place: CollectionLocation) -> str:
    """Return in words which folder seems to be meant, where the files at ``rows`` are missing; nothing if none does."""
    folder = near_miss([items.audio[row] for row in rows], place.annotations.absolute(), place.root)
    if folder is None:
        return ""
    return f"Files of these names lie in {folder}: if that is meant, give --data-root {place.collection}={folder}"


def _refuse_other_kind(card: TaskCard, items: Items) -> None:
    """Refuse a card of one's own that asks a collection for a kind of task that it does not give."""
    kind, n = KINDS[card.kind], len(items)
    fits = items.targets.shape == ((n, len(items.labels)) if kind.several else (n,))
    binary = bool(np.isin(items.targets[:1000], (0, 1)).all())
    of_numbers = card.labels is None and items.labels == card.targets
    if not fits or kind.has_labels == of_numbers or (kind.has_labels and kind.several and not binary):
        raise TaskError(
            f"the card {card.id!r} is of the kind {card.kind!r}, which {card.collection!r} does not give",
            "write the kind of a built-in card of that collection ('bench tasks' lists them)",
        )


def _other_folder(error: TaskError, place: CollectionLocation) -> str:
    """Return where an annotation file that is missing lies a level higher or lower; nothing where it does not."""
    if not isinstance(error, NoAnnotationsError) or not error.path.is_relative_to(place.annotations):
        return ""
    folder = folder_with(place.root, str(error.path.relative_to(place.annotations)))
    if folder is None:
        return ""
    return f"There is one in {folder}: if that is meant, give --data-root {place.collection}={folder}"


def fetchable(collection: CollectionCard, tasks: Collection[str] = ()) -> list[Source]:
    """Return the annotations that have an address: of a collection, or of the tasks named."""
    return [source for source in collection.sources_of(tasks) if source.what == "annotations" and source.urls]


def _next_command(card: TaskCard, collection: CollectionCard, place: CollectionLocation, complaint: str) -> str:
    """Return what to do about annotations that a reader complained of; nothing if all of them are there and sound."""
    needed = collection.sources_of([card.id])
    # Without annotations of its own, a collection has them in its archives of audio.
    needed = tuple(source for source in needed if source.what == "annotations") or needed
    blamed = [source for source in needed if source.file in complaint] or needed
    absent = [source for source in blamed if not _is_in_place(source, place)]
    if not absent:
        return ""
    if all(source.urls and (source.what == "annotations" or not place.read_only) for source in absent):
        return f"Fetch what is missing with: bench data fetch {card.id}"
    return f"See what to bring, and where it belongs, with: bench data where {card.id}"


def _is_in_place(source: Source, place: CollectionLocation) -> bool:
    if source.unpack is not None:
        return is_unpacked(source, place.annotations)
    return is_sound(source, place.annotations)


def join_folders(place: CollectionLocation, collection: CollectionCard) -> None:
    """Link what the user's folder holds into the folder of the annotations, which themselves are never links."""
    joined = place.annotations
    try:
        joined.mkdir(parents=True, exist_ok=True)
        for source in fetchable(collection):
            for folder in reversed(target_of(source, joined).relative_to(joined).parents):
                if (joined / folder).is_symlink():
                    (joined / folder).unlink()
                (joined / folder).mkdir(exist_ok=True)
        _link(place.root, joined)
    except OSError as error:
        raise TaskError(
            f"cannot join {place.root} with its annotations in {joined}: {error.strerror or error}",
            f"Put these annotations into {place.root} yourself ('bench data where' names them)",
        ) from None


def _link(theirs: Path, ours: Path) -> None:
    for entry in ours.iterdir():
        if entry.is_symlink() and not entry.exists():
            entry.unlink()
    for entry in theirs.iterdir():
        link = ours / entry.name
        if link.is_dir() and not link.is_symlink() and entry.is_dir():
            _link(entry, link)
        elif not link.exists():
            with contextlib.suppress(FileExistsError):  # another process has just done the same
                link.symlink_to(entry)


def _by_folder(items: Items) -> dict[str, list[tuple[int, str]]]:
    folders: dict[str, list[tuple[int, str]]] = {}
    for row, path in enumerate(items.audio):
        folder, name = os.path.split(path)
        folders.setdefault(folder, []).append((row, name))
    return folders


def _files(folder: str) -> set[str] | None:
    try:
        with os.scandir(folder or ".") as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except PermissionError:
        return set()  # one may not list it, but perhaps open a file in it
    except OSError:
        return None


@cache
def _collections_of_tasks() -> Mapping[str, str]:
    """Return the collection of each built-in task, by the task's id and its aliases."""
    collections: dict[str, str] = {}
    for file in resources.files("tasks").joinpath("cards").iterdir():
        if file.name.endswith(".toml"):
            card = parse_toml(file.read_text(encoding="utf-8"), Path(file.name))
            names = [str(card["id"]), *map(str, card.get("aliases", ()))] if "collection" in card else []
            collections |= dict.fromkeys(names, str(card.get("collection", "")))
    return {name: collection for name, collection in collections.items() if collection not in ("", name)}


def _unknown(name: str) -> str:
    """Return what was probably meant where there is no collection of this name, else nothing."""
    known = known_collections()
    if name in known or name.startswith("mirdata_"):
        return ""
    return did_you_mean(name.lower(), known, f"name one of {', '.join(known)}", cutoff=0.5)


def _line(path: Path, text: str, key: str) -> str:
    """Return the file with the line that ``key`` stands in, as far as that can be told."""
    pattern = re.compile(rf"""^\s*(\[+\s*)?(data\s*\.\s*)?["']?{re.escape(key)}["']?\s*[=.\]]""")
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.match(line):
            return f"{path}, line {number}"
    return str(path)
