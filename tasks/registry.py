"""Find tasks by id, alias, glob, group or path of a card. Cards are read at the first look, never at import."""

from __future__ import annotations

import fnmatch
import hashlib
import importlib
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from tasks.card import TaskCard, read_card
from tasks.errors import TaskError
from tasks.files import expanded, resolved
from tasks.items import Items
from tasks.spelling import as_on_disk, did_you_mean

Progress = Callable[[int, int], None]

TABLES = (".csv", ".tsv", ".xlsx", ".xls", ".ods")  # what a user may give in place of a card
CARDS = 200  # cards beside a manifest that are looked into
#: The built-in collections. Each is a module or package of ``tasks.collections`` of this name.
COLLECTIONS = ("demo", "emomusic", "giantsteps", "gtzan", "jamendo", "msd", "mtt", "nsynth")


def collection_exists(name: str | None) -> bool:
    """Say whether ``name`` is a built-in collection."""
    return name in COLLECTIONS


def collection_module(name: str) -> Any:
    """Import a built-in collection.

    It has ``prepare(home, progress)``, which makes its audio and returns the path of a manifest, with
    ``annotate(home)`` and ``prepare_some(home, ids, progress)``, which do so for some of its items; or
    ``items(card, root)``, which reads the annotations below its root.

    Raises:
        TaskError: There is no such collection.
    """
    if not collection_exists(name):
        raise TaskError(f"unknown collection {name!r}", collection_meant(name))
    return importlib.import_module(f"tasks.collections.{name}")


def collection_meant(name: str) -> str:
    """Return in words which collection was probably meant by ``name``, or which there are."""
    hint = did_you_mean(name.lower(), COLLECTIONS, f"write one of {', '.join(COLLECTIONS)}")
    return f"{hint} (audio of your own is named by 'manifest')"


@dataclass(frozen=True)
class Task:
    """A card with the place it was read from; for mirdata, whose cards are made from the data, also the items."""

    card: TaskCard
    source: Path
    loaded: Items | None = field(default=None, compare=False, repr=False)

    @property
    def collection(self) -> str:
        """The name of the audio collection: a built-in one, or the folder that holds the manifest."""
        return self.card.collection or self.manifest.parent.name

    @property
    def group(self) -> str:
        """The leaderboard table that the task belongs to: its first group, or the folder of the user's manifest."""
        if self.card.groups:
            return self.card.groups[0]
        own = self.card.manifest is not None and collection_exists(self.collection)
        return f"{self.collection} (own)" if own else self.collection

    @property
    def manifest(self) -> Path:
        """The user's manifest; only for cards that name one."""
        assert self.card.manifest is not None
        return resolved(as_on_disk([self.source.parent / self.card.manifest])[0])

    def items(
        self,
        home: Path,
        progress: Progress | None = None,
        data_roots: Sequence[str] = (),
        *,
        audio: bool = True,
        rendered: bool = True,
    ) -> Items:
        """Return the task's items, rendering or reading what they need first.

        Args:
            home: The data home.
            progress: Called while a collection is rendered, with (clips done, clips).
            data_roots: ``COLLECTION=DIR``, where the user has collections.
            audio: Whether the audio that a manifest names must be there.
            rendered: Whether a collection that makes its own audio makes all of it; if not, :meth:`render` makes some.

        Raises:
            TaskError: A manifest or annotations that cannot be used, or a manifest whose counts are not the card's.
        """
        if self.loaded is not None:
            return self.loaded
        if self.has_reader:
            from tasks.sources.card import read_collection
            from tasks.sources.locations import items_of, location_of

            collection = read_collection(self.collection)
            return items_of(self.card, collection, location_of(collection, home, data_roots))
        from tasks.readers.manifest import read_manifest

        if self.card.collection is None:
            manifest = self.manifest
        elif rendered:
            manifest = collection_module(self.card.collection).prepare(home, progress)
        else:
            manifest = collection_module(self.card.collection).annotate(home)
        items = read_manifest(manifest, self.card, audio=audio and (rendered or self.card.collection is None))
        if self.size_differences(items):
            advice = "mend the manifest or the card" if self.card.manifest else "remove that folder and run again"
            raise TaskError(
                f"the task {self.card.id!r} should have {self.card.sizes} items, but {manifest} gives {items.counts()}",
                advice,
            )
        return items

    def render(self, home: Path, items: Items, progress: Progress | None = None) -> None:
        """Make the audio of some items, where the collection makes its own; else nothing.

        Args:
            home: The data home.
            items: Of :meth:`items` with ``rendered=False``.
            progress: Called with (clips done, clips to render).

        Raises:
            TaskError: It cannot be written.
        """
        if not self.has_reader and self.card.collection is not None:
            collection_module(self.card.collection).prepare_some(home, set(items.track_ids), progress)

    @property
    def has_reader(self) -> bool:
        """Whether the items come from a collection's own annotations rather than from a manifest."""
        if self.loaded is not None:
            return True
        return self.card.collection is not None and hasattr(collection_module(self.card.collection), "items")

    def size_differences(self, items: Items) -> dict[str, int]:
        """Return by split how many items there are more (or, negative, fewer) than the card says; only differences."""
        counts, sizes = items.counts(), self.card.sizes or {}
        return {split: counts[split] - size for split, size in sizes.items() if counts[split] != size}

    def fingerprint(self, items: Items) -> str:
        """Return the sha256 of what decides the task's scores: card rules and items."""
        card = self.card
        rule = f"{card.id}|{card.version}|{card.kind}|{card.metrics}|{card.window_seconds}|{card.hop_seconds}"
        return hashlib.sha256(f"{rule}|{items.digest()}".encode()).hexdigest()


@cache
def builtin_tasks() -> Mapping[str, Task]:
    """Return the built-in tasks by id, in order of id."""
    folder = Path(str(resources.files("tasks").joinpath("cards"))).resolve()
    cards = {}
    for path in sorted(folder.glob("*.toml")):
        card = read_card(path)
        if card.collection is None or not collection_exists(card.collection):
            raise TaskError(
                f"{path}: unknown collection {card.collection!r}",
                f"{collection_meant(str(card.collection))}",
            )
        cards[card.id] = Task(card, path)
    return cards


def groups() -> Mapping[str, tuple[str, ...]]:
    """Return the ids of the built-in tasks by group."""
    by_group: dict[str, list[str]] = {}
    for task in builtin_tasks().values():
        for group in task.card.groups:
            by_group.setdefault(group, []).append(task.card.id)
    return {group: tuple(ids) for group, ids in sorted(by_group.items())}


def find(names: str | Iterable[str], home: Path | None = None, data_roots: Sequence[str] = ()) -> list[Task]:
    """Return the tasks that ``names`` ask for, each once, in the order asked.

    Args:
        names: Ids, aliases, globs (``demo_*``), groups, ``all``, paths of cards, or ``mirdata:<loader>:<attribute>``;
            one string may hold several, separated by commas.
        home: The data home, below which mirdata's data lie in ``collections/mirdata_<loader>``.
        data_roots: ``mirdata_<loader>=DIR`` where they lie elsewhere.

    Raises:
        TaskError: A name that fits nothing (with the nearest that do), or two different cards with one id.
    """
    wanted = [names] if isinstance(names, str) else list(names)
    tasks: dict[str, Task] = {}
    parts = [[text] if Path(text).is_file() else text.split(",") for text in wanted]  # a path may hold a comma
    for name in (name.strip() for several in parts for name in several if name.strip()):
        for task in [_mirdata(name, home, data_roots)] if name.startswith("mirdata:") else _find_one(name):
            known = tasks.setdefault(task.card.id, task)
            if known.source != task.source:
                raise TaskError(
                    f"two cards have the id {task.card.id!r}: {known.source} and {task.source}",
                    "leave one out, or change the id of one",
                )
    if not tasks:
        raise TaskError("no task was named", "list them with 'bench tasks'")
    return list(tasks.values())


def _mirdata(name: str, home: Path | None, data_roots: Sequence[str]) -> Task:
    from tasks.readers.mirdata_loaders import loader_of, task_for
    from tasks.sources.locations import parse_data_roots

    collection = f"mirdata_{loader_of(name)}"
    root = parse_data_roots(data_roots).get(collection)
    if root is None:
        if home is None:
            raise TaskError(f"where {name!r} lies is not known", f"give --data-root {collection}=DIR")
        root = home / "collections" / collection
    if not root.is_dir():
        raise TaskError(f"no data for {name!r} at {root}", f"put them there, or give --data-root {collection}=DIR")
    card, items = task_for(name, root)
    return Task(card, root, items)


def _find_one(name: str) -> list[Task]:
    if name.endswith(".toml"):
        path = resolved(as_on_disk([expanded(name)])[0])
        task = Task(read_card(path), path)
        if task.card.collection is not None and not collection_exists(task.card.collection):
            raise TaskError(
                f"{path}: unknown collection {task.card.collection!r}",
                f"{collection_meant(task.card.collection)}",
            )
        builtin = builtin_tasks().get(task.card.id)
        if builtin is not None and builtin.source != path:
            raise TaskError(f"{path}: {task.card.id!r} is the id of a built-in task", "choose another id for the card")
        return [task]
    if name.lower().endswith(TABLES) or (os.sep in name and expanded(name).is_dir()):
        _refuse_no_card(name)
    tasks, by_group = builtin_tasks(), groups()
    aliases = {alias: task for task in tasks.values() for alias in task.card.aliases}
    key = re.sub(r"-(?![^\[]*\])", "_", name.lower())  # but not the hyphen of a range, as in demo_[a-k]*
    if key in tasks:
        return [tasks[key]]
    if key in aliases:
        return [aliases[key]]
    if key in by_group:
        return [tasks[task_id] for task_id in by_group[key]]
    if key == "all":
        return list(tasks.values())
    if any(sign in name for sign in "*?["):
        matches = [task for task_id, task in tasks.items() if fnmatch.fnmatchcase(task_id, key)]
        if matches:
            return matches
    known = [*tasks, *aliases, *by_group]
    hint = did_you_mean(key, known, "list them with 'bench tasks'", names=3, cutoff=0.5)
    raise TaskError(f"no task, alias or group fits {name!r}", f"{hint} (the path of a card ends in .toml)")


def _refuse_no_card(name: str) -> None:
    """Refuse a manifest or a folder in place of a card, and name the card that goes with it, or what writes one.

    Raises:
        TaskError: Always.
    """
    path = as_on_disk([expanded(name)])[0]
    folder = path if path.is_dir() else path.parent
    what = "a folder" if path.is_dir() else "a table"
    if not path.exists():
        raise TaskError(f"there is no file {name} (and a task is named by its card, a .toml file)", "check the path")
    fits: list[Path] = []
    here: Iterable[Path] = () if path.is_dir() else Path().glob("*.toml")  # where 'bench tasks new' writes one
    for card in [*sorted(folder.glob("*.toml"))[:CARDS], *sorted(here)[:CARDS]]:
        try:
            task = Task(read_card(card), card)
            if task.card.manifest is not None and (path.is_dir() or task.manifest == resolved(path)):
                fits += [card] if resolved(card) not in map(resolved, fits) else []
        except (TaskError, OSError):
            continue
    if fits:
        names = " or ".join(f"--task {shlex.quote(str(card))}" for card in fits[:3])
        raise TaskError(f"{name} is {what}, and a task is named by its card", f"give {names}")
    raise TaskError(
        f"{name} is {what}, and a task is named by its card, of which there is none beside it",
        f"Write one: bench tasks new {shlex.quote(name)}",
    )
