"""The data of tasks: what is here, fetch it, check it, where it belongs, and whether its splits leak."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from rich.filesize import decimal

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
from benchmark.system.progress import Advance, Reporter
from benchmark.system.tables import table
from tasks import registry
from tasks.audit import Audit, absent_labels, findings, thin_splits
from tasks.audit import audit as audit_items
from tasks.errors import TaskError
from tasks.registry import Task
from tasks.sources.card import CollectionCard, Source, read_collection
from tasks.sources.disk import refuse_if_full
from tasks.sources.fetch import fetch_annotations, obtain, pending
from tasks.sources.locations import (
    CONFIG,
    CollectionLocation,
    items_of,
    known_collections,
    location_of,
    missing_audio,
    parse_data_roots,
    read_config,
)
from tasks.sources.state import is_unpacked

ASK_ABOVE = 1_000_000_000  # bytes of audio that are fetched without --yes
LABELS_SHOWN = 10
DECODED_OF_OWN = 2000  # files of a card of one's own up to which all are decoded: no publisher has counted these
RENDERED = "rendered at first use"


def format_collections(home: Path, data_roots: Sequence[str] = ()) -> str:
    """Return one line a collection: its tasks, and what of it is here."""
    parse_data_roots(data_roots), read_config(home)  # a mistake in these is not the fault of one collection
    rows = []
    for name, tasks in _by_collection(registry.builtin_tasks().values()).items():
        ids, card = ", ".join(task.card.id for task in tasks), _card(name)
        if card is None:
            rows.append([name, ids, "-", RENDERED, "-", _clip(tasks[0].card.licence)])
            continue
        size = f"{card.gigabytes:g}" if card.gigabytes else "?"
        rows.append([name, ids, *_state(card, tasks, home, data_roots), size, _clip(card.licence)])
    headers = ["collection", "tasks", "annotations", "audio", "GB", "licence"]
    text = table(rows, headers, texts=("tasks", "annotations", "audio", "licence"), spare=("licence", "GB"))
    more = "Fetch one: bench data fetch TASK. Its licence, and how to use what you own: bench data where TASK"
    return f"{text}\n\nData home {home}. {more}"


def fetch(
    task: str,
    home: Path,
    report: Reporter,
    data_roots: Sequence[str] = (),
    *,
    annotations_only: bool = False,
    yes: bool = False,
    again: bool = False,
    keep_archives: bool = False,
) -> Iterator[Finding]:
    """Fetch annotations always, and audio where it can be downloaded; more than 1 GB of it needs ``yes``.

    Raises:
        UserError: Something cannot be fetched, or audio is large, or of unknown size, and ``yes`` was not given; all
            else is here.
    """
    large: list[str] = []
    failures: list[str] = []
    for name, tasks in _by_collection(registry.find(task)).items():
        card = _card(name)
        if card is None:
            own = tasks[0].card.manifest is not None
            yield Finding(f"{name}: {'its manifest and audio are your own' if own else RENDERED}, nothing to fetch")
            continue
        place = location_of(card, home, data_roots)
        ids = [member.card.id for member in tasks]
        try:
            with _Bars(report) as bars:
                fetched = fetch_annotations(card, place, bars, again=again, tasks=ids)
            if fetched:
                report.say(f"{name}: {len(fetched)} annotation file(s) fetched into {place.annotations}")
        except TaskError as error:
            failures.append(str(error))
        audio = [source for source in card.sources_of(ids) if source.what == "audio"]
        jobs = [] if annotations_only or place.read_only else pending(audio, place.root, again=again)
        todo = [part for parts in jobs for part in parts]
        size = _size(todo, card)
        if todo and not yes and (size is None or size > ASK_ABOVE):
            amount = "of unknown size" if size is None else decimal(size)
            large.append(f"{name}: {amount}, licence: {card.licence.strip()}")
        elif todo:
            try:
                _fetch_audio(card, todo, place, size, report, again=again, keep_archives=keep_archives)
            except TaskError as error:
                failures.append(str(error))
        yield from _what_is_here(card, tasks, place)
    if large:
        failures.append(
            "the audio was not fetched, because it is large: repeat with --yes to fetch it (an interrupted download "
            "continues where it stopped)\n  " + "\n  ".join(large)
        )
    if failures:
        raise UserError("\n".join(failures))


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
        raise UserError("--all is about audio, at which --annotations does not look: give one of them")
    for name, tasks in _by_collection(registry.find(task)).items():
        card = _card(name)
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
    for name, tasks in _by_collection(registry.find(task)).items():
        card = _card(name)
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
        card = _card(member.card.collection)
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


class _Bars(ExitStack):
    """One bar for each source that is fetched, and one for each that is unpacked."""

    def __init__(self, report: Reporter) -> None:
        super().__init__()
        self._report = report
        self._advance: Advance | None = None
        self._file, self._done, self._began = "", 0, (0.0, 0)

    def __call__(self, source: Source, done: int, total: int | None) -> None:
        """Show that ``done`` bytes of ``source`` are fetched or unpacked."""
        if self._advance is None or source.file != self._file or done < self._done:
            self.close()
            title = f"{'unpack' if source.file == self._file else 'fetch'} {source.file}"
            self._advance = self.enter_context(self._report.stage(title, (total or 0) / 1e6, "MB"))
            self._file, self._began = source.file, (time.monotonic(), done)
        self._done = done
        seconds = time.monotonic() - self._began[0]
        note = f"{(done - self._began[1]) / 1e6 / seconds:.1f} MB/s" if seconds > 1 else ""
        self._advance(done / 1e6, note, None if total is None else total / 1e6)


def _by_collection(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    """Return tasks by collection; a user's own card is a collection of its own."""
    by_collection: dict[str, list[Task]] = {}
    for task in tasks:
        by_collection.setdefault(task.card.collection or str(task.source), []).append(task)
    return by_collection


def _card(name: str | None) -> CollectionCard | None:
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


def _size(sources: Sequence[Source], card: CollectionCard) -> int | None:
    if all(source.size is not None for source in sources):
        return sum(source.size or 0 for source in sources)
    return int(card.gigabytes * 1e9) if card.gigabytes else None


def _fetch_audio(
    card: CollectionCard,
    todo: Sequence[Source],
    place: CollectionLocation,
    size: int | None,
    report: Reporter,
    *,
    again: bool,
    keep_archives: bool,
) -> None:
    hosts = ", ".join(dict.fromkeys(urlsplit(source.urls[0]).hostname or "?" for source in todo if source.urls))
    amount = "" if size is None else f", {decimal(size)}"
    report.say(f"{card.name}: {len(todo)} audio file(s){amount} from {hosts or place.root} into {place.root}")
    try:
        place.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {place.root}: {error.strerror or error}") from None
    if all(source.size is not None for source in todo):
        parts = (place.root / f"{source.file}.part" for source in todo)
        refuse_if_full(place.root, (size or 0) - sum(p.stat().st_size for p in parts if p.is_file()), card.name)
    with _Bars(report) as bars:
        obtain(todo, place.root, again=again, keep_archives=keep_archives, progress=bars)


def _what_is_here(card: CollectionCard, tasks: Sequence[Task], place: CollectionLocation) -> Iterator[Finding]:
    """Yield what is here now, and how to get what is not."""
    missing, total, unread = count_audio(card, tasks, place)
    if unread == len(tasks):
        try:
            items_of(tasks[0].card, card, place)
        except TaskError as error:
            yield Finding(f"{card.name}: not complete yet: {error}")
        return
    read = f"annotations of {len(tasks) - unread} of {len(tasks)} task(s)"
    yield Finding(f"{card.name}: {read}, audio {total - missing} of {total}")
    if not missing:
        return
    if place.read_only:
        yield Finding(f"  {missing} file(s) are not in {place.root}, which is yours and never written")
    for source in card.sources_of([task.card.id for task in tasks]):
        if source.unpack is not None and not place.read_only and is_unpacked(source, place.root):
            yield Finding(f"  {source.file} was unpacked before: --again unpacks it once more")
        elif not source.urls and not has(source, place):
            yield Finding(f"  {source.file} cannot be downloaded. {source.note.strip()}".rstrip())
    yield Finding(f"  What belongs where: bench data where {tasks[0].card.id}")


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
