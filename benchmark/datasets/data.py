"""The data of tasks: what is here, check it, where it belongs, and whether its splits leak."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmark.datasets.checks import (
    complaint,
    contents,
    count_audio,
    has,
    source_state,
    verify_audio,
    verify_items,
    verify_sources,
)
from benchmark.errors import UserError
from benchmark.system.finding import Finding
from benchmark.system.tables import table
from tasks import registry
from tasks.audit import Audit, absent_labels, findings, thin_splits
from tasks.audit import audit as audit_items
from tasks.errors import TaskError
from tasks.registry import Task
from tasks.sources.card import CollectionCard, read_collection
from tasks.sources.locations import (
    CONFIG,
    items_of,
    known_collections,
    location_of,
    missing_audio,
    parse_data_roots,
    read_config,
)

LABELS_SHOWN = 10
DECODED_OF_OWN = 2000  # files of a card of one's own up to which all are decoded: no publisher has counted these
RENDERED = "rendered at first use"


def format_collections(home: Path, data_roots: Sequence[str] = ()) -> str:
    """Return one line a collection: its tasks, and what of it is here."""
    parse_data_roots(data_roots), read_config(home)  # a mistake in these is not the fault of one collection
    rows = []
    for name, tasks in by_collection(registry.builtin_tasks().values()).items():
        ids, card = ", ".join(task.card.id for task in tasks), card_of(name)
        if card is None:
            rows.append([name, ids, "-", RENDERED, "-", _clip(tasks[0].card.licence)])
            continue
        size = f"{card.gigabytes:g}" if card.gigabytes else "?"
        rows.append([name, ids, *_state(card, tasks, home, data_roots), size, _clip(card.licence)])
    headers = ["collection", "tasks", "annotations", "audio", "GB", "licence"]
    text = table(rows, headers, texts=("tasks", "annotations", "audio", "licence"), spare=("licence", "GB"))
    more = "Fetch one: bench data fetch TASK. Its licence, and how to use what you own: bench data where TASK"
    return f"{text}\n\nData home {home}. {more}"


def verify(
    task: str,
    home: Path,
    data_roots: Sequence[str] = (),
    *,
    everything: bool = False,
    annotations_only: bool = False,
) -> Iterator[Finding]:
    """Check sources, counts and audio of tasks, and decode a sample of it.

    Args:
        task: Names of tasks.
        home: The data home.
        data_roots: Folders of collections.
        everything: Decode all audio, and hash archives of audio.
        annotations_only: Look at no audio.

    Raises:
        UserError: Both ``everything`` and ``annotations_only`` were asked for.
    """
    if everything and annotations_only:
        raise UserError("--all is about audio, at which --annotations does not look", "give one of them")
    for name, tasks in by_collection(registry.find(task)).items():
        card = card_of(name)
        place = None if card is None else location_of(card, home, data_roots)
        if card is not None and place is not None:
            yield Finding(f"{name} ({card.title}) in {place.root}, named by {place.origin}")
            sources = card.sources_of([member.card.id for member in tasks])
            wanted = [source for source in sources if source.what == "annotations" or not annotations_only]
            yield from verify_sources(wanted, place, everything)
        for member in tasks:
            try:
                items = member.items(home) if card is None or place is None else items_of(member.card, card, place)
            except TaskError as error:
                yield complaint(f"{member.card.id}: {error}")
                continue
            yield from verify_items(member.card, items)
            if annotations_only:
                yield Finding("  audio: not looked at")
            else:
                own = member.card.manifest is not None
                yield from verify_audio(items, everything or (own and len(items) <= DECODED_OF_OWN), member.card.kind)
            if member.card.manifest is not None:
                told = [*thin_splits(items, member.card.kind), *absent_labels(items, member.card.kind)]
                yield from (Finding(f"  warning: {text}") for text in told)


def where(task: str, home: Path, data_roots: Sequence[str] = ()) -> str:
    """Return where the files of tasks belong, how to get them, and how to name a folder of one's own."""
    lines = []
    for name, tasks in by_collection(registry.find(task)).items():
        card = card_of(name)
        if card is None:
            own = tasks[0].card.manifest is not None
            rendered = f"{RENDERED}, below {home / 'collections'}"
            lines.append(f"{name}: {f'its manifest is {tasks[0].manifest}' if own else rendered}\n")
            continue
        place = location_of(card, home, data_roots)
        lines.append(f"{name}: {card.title}\n")
        lines.append(f"Its folder, named by {place.origin}: {place.root}")
        if place.annotations != place.root:
            lines.append(f"It lacks annotations: these are kept, with links to it, in {place.annotations}")
        lines.append(f"\n{card.layout.rstrip()}\n\nAudio: {card.audio.strip()}\nLicence: {card.licence.strip()}\n")
        for source in card.sources_of([member.card.id for member in tasks]):
            lines.append(f"  {source.file} ({source.what}): {source_state(source, place)}")
            for url in source.urls:
                lines.append(f"      {url}")
            if source.note:
                lines.append(f"      {source.note.strip()}")
        lines.append(f'\nAudio of your own elsewhere: in {home / CONFIG}\n\n[data]\n{name} = "/path/to/{name}"\n')
        lines.append(f"or for one command: --data-root {name}=/path/to/{name} (it is read, never written)\n")
    return "\n".join(lines)


def audit(task: str, home: Path, data_roots: Sequence[str] = (), *, content: bool = False) -> Iterator[Finding]:
    """Yield what splits share and how labels are spread; a leak that the card does not document is an error.

    Args:
        task: Names of tasks.
        home: The data home.
        data_roots: Folders of collections.
        content: Read all audio to find the same bytes under different names.
    """
    for member in registry.find(task):
        card = card_of(member.card.collection)
        items = member.items(home) if card is None else items_of(member.card, card, location_of(card, home, data_roots))
        hashes = contents(items, home) if content else None
        if hashes is not None and (missing := missing_audio(items)):
            yield Finding(f"  {len(missing)} missing audio file(s) could not be compared")
        shared = audit_items(items, member.card.kind, hashes)
        counts = ", ".join(f"{split} {n}" for split, n in shared.counts.items())
        groups = "no groups" if items.groups is None else f"{len(set(items.groups))} groups"
        yield Finding(f"{member.card.id}: {counts}; {groups}, {len(items.labels)} label(s)")
        outcome = findings(shared, member.card.documented)
        for finding in outcome:
            yield Finding(f"  {'ERROR' if finding.is_error else 'note'}: {finding.text}", is_error=finding.is_error)
        if not outcome:
            more = "" if content else "; --content compares the audio itself"
            yield Finding(f"  nothing is shared between splits{more}")
        if shared.prevalence:
            yield Finding(_prevalence(shared))


def by_collection(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    """Return tasks by collection; a user's own card is a collection of its own."""
    collections: dict[str, list[Task]] = {}
    for task in tasks:
        collections.setdefault(task.card.collection or str(task.source), []).append(task)
    return collections


def card_of(name: str | None) -> CollectionCard | None:
    """Return the card of a collection; none for a user's own data and for what is rendered."""
    return read_collection(name) if name in known_collections() else None


def _state(card: CollectionCard, tasks: Sequence[Task], home: Path, data_roots: Sequence[str]) -> tuple[str, str]:
    """Return in words what is here of annotations and audio."""
    try:
        place = location_of(card, home, data_roots)
    except TaskError as error:
        return "-", _clip(str(error))
    needed = card.sources_of([task.card.id for task in tasks])
    sources = [source for source in needed if source.what == "annotations"]
    here = sum(has(source, place) for source in sources)
    annotations = f"{here} of {len(sources)} here" if sources else "in the archives"
    missing, total, unread = count_audio(card, tasks, place)
    if unread == len(tasks):
        return annotations, "-"
    return annotations if unread else "here", f"{total - missing} of {total}"


def _prevalence(audit: Audit) -> str:
    """Return how often labels are, from the most frequent of train to the least; of many, both ends."""
    shares = audit.prevalence
    first = next(iter(shares))  # train, or the first fold
    order = sorted(shares[first], key=lambda label: -shares[first][label])
    rows = [[label, *(f"{share[label]:.2%}" for share in shares.values())] for label in order]
    if len(rows) > 2 * LABELS_SHOWN:
        rows[LABELS_SHOWN:-LABELS_SHOWN] = [[f"and {len(rows) - 2 * LABELS_SHOWN:,} between", *[""] * len(shares)]]
    return table(rows, ["label", *shares], texts=("label",))


def _clip(text: str, width: int = 40) -> str:
    return textwrap.shorten(text, width, placeholder=" …")
