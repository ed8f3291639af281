"""Fetch the annotations and the audio of tasks; say what to bring by hand where that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from rich.filesize import decimal

from benchmark.datasets.checks import count_audio, has
from benchmark.datasets.data import RENDERED, by_collection, card_of
from benchmark.datasets.own import quoted
from benchmark.errors import UserError
from benchmark.system.finding import Finding
from benchmark.system.home import home_folder
from benchmark.system.progress import Advance, Reporter
from tasks import registry
from tasks.errors import TaskError
from tasks.registry import Task
from tasks.sources.by_hand import absent, by_hand
from tasks.sources.card import CollectionCard, Source
from tasks.sources.disk import refuse_if_full
from tasks.sources.fetch import fetch_annotations, obtain, pending
from tasks.sources.locations import CollectionLocation, items_of, location_of
from tasks.sources.state import is_here, is_unpacked

ASK_ABOVE = 1_000_000_000  # bytes of audio that are fetched without --yes


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
        UserError: Something cannot be fetched (the message then says of every file that is not here where it belongs,
            with its size, checksum and addresses), or audio is large, or of unknown size, and ``yes`` was not given;
            all else is here.
    """
    large: list[str] = []
    failures: list[str] = []
    lacking: list[tuple[Source, Path]] = []
    for name, tasks in by_collection(registry.find(task)).items():
        card = card_of(name)
        if card is None:
            own = tasks[0].card.manifest is not None
            yield Finding(f"{name}: {'its manifest and audio are your own' if own else RENDERED}, nothing to fetch")
            continue
        place = location_of(card, home, data_roots)
        ids, failed = [member.card.id for member in tasks], len(failures)
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
        size = _size([part for part in todo if not is_here(part, place.root)], card)
        if todo and not yes and (size is None or size > ASK_ABOVE):
            amount = "of unknown size" if size is None else decimal(size)
            large.append(f"{name}: {amount}, licence: {card.licence.strip()}")
        elif todo:
            try:
                failures += _fetch_audio(card, jobs, place, size, report, again=again, keep_archives=keep_archives)
            except TaskError as error:
                failures.append(str(error))
        if len(failures) > failed:
            annotations = [source for source in card.sources_of(ids) if source.what == "annotations"]
            lacking += absent(annotations, place.annotations)
            lacking += [] if annotations_only or place.read_only else absent(audio, place.root)
        yield from _what_is_here(card, tasks, place)
    if large:
        failures.append(
            "the audio was not fetched, because it is large: repeat with --yes to fetch it (an interrupted download "
            "continues where it stopped)\n  " + "\n  ".join(large)
        )
    if lacking:
        words = ["bench data fetch", task, *(f"--data-root {quoted(root)}" for root in data_roots)]
        words += ["--annotations"] if annotations_only else []
        words += [] if home == home_folder(None) else [f"--home {quoted(home)}"]
        failures.append(by_hand(lacking, " ".join(words)))
    if failures:
        raise UserError(
            f"{task} is not fetched whole",
            "do what each line says; all else is here",
            [line for failure in failures for line in failure.splitlines()],
        )


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


def _size(sources: Sequence[Source], card: CollectionCard) -> int | None:
    """Return the bytes that sources have in all, none of which is here; ``None`` where that is not known."""
    if all(source.size is not None for source in sources):
        return sum(source.size or 0 for source in sources)
    return int(card.gigabytes * 1e9) if card.gigabytes else None


def _fetch_audio(
    card: CollectionCard,
    jobs: Sequence[Sequence[Source]],
    place: CollectionLocation,
    size: int | None,
    report: Reporter,
    *,
    again: bool,
    keep_archives: bool,
) -> list[str]:
    """Fetch and unpack archive after archive, and return what fails: one dead address must not stop all."""
    todo = [part for parts in jobs for part in parts if not is_here(part, place.root)]
    hosts = ", ".join(dict.fromkeys(urlsplit(source.urls[0]).hostname or "?" for source in todo if source.urls))
    amount = "" if size is None else f", {decimal(size)}"
    if todo:
        report.say(f"{card.name}: {len(todo)} audio file(s){amount} from {hosts} into {place.root}")
    else:
        report.say(f"{card.name}: unpacking {len(jobs)} archive(s) that are in {place.root}")
    try:
        place.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the folder {place.root}: {error.strerror or error}",
            f"make room or let it be written, or name another folder with --data-root {card.name}=DIR",
        ) from None
    if todo and all(source.size is not None for source in todo):
        begun = (place.root / f"{source.file}.part" for source in todo)
        refuse_if_full(place.root, (size or 0) - sum(p.stat().st_size for p in begun if p.is_file()), card.name)
    failures = []
    for parts in jobs:
        try:
            with _Bars(report) as bars:
                obtain(parts, place.root, again=again, keep_archives=keep_archives, progress=bars)
        except TaskError as error:
            failures.append(str(error))
    return failures


def _what_is_here(card: CollectionCard, tasks: Sequence[Task], place: CollectionLocation) -> Iterator[Finding]:
    """Yield what is here now, and how to get what is not."""
    missing, total, unread = count_audio(card, tasks, place)
    if unread == len(tasks):
        try:
            items_of(tasks[0].card, card, place)
        except TaskError as error:
            problem = str(error).partition("\n")[0]  # without the command, which is this one
            yield Finding(f"{card.name}: not complete yet: {problem}")
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
