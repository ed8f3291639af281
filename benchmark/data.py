"""The data commands: what is here, fetch it, check it, where it belongs, and whether its splits leak."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from benchmark.errors import UserError
from benchmark.home import home_folder
from benchmark.progress import Advance, Reporter, Terminal
from tasks import registry
from tasks.archives import is_unpacked, obtain, pending
from tasks.audit import Audit, findings
from tasks.audit import audit as audit_items
from tasks.card import SPLITS
from tasks.collection import CollectionCard, Source, read_collection
from tasks.download import in_words, is_here, problem_of, refuse_if_full
from tasks.errors import TaskError
from tasks.items import Items
from tasks.places import (
    CONFIG,
    Place,
    empty_audio,
    fetch_annotations,
    items_of,
    known_collections,
    missing_audio,
    parse_data_roots,
    place_of,
    read_config,
)
from tasks.registry import Task

ASK_ABOVE = 1_000_000_000  # bytes of audio that are fetched without --yes
SAMPLE = 20  # audio files that verify decodes
SHOWN, LABELS_SHOWN = 5, 10
RENDERED = "rendered at first use"


def ls(home: Path | None, data_roots: Sequence[str] = ()) -> None:
    """Print one line a collection: its tasks, and what of it is here."""
    where = home_folder(home)
    parse_data_roots(data_roots), read_config(where)  # a mistake in these is not the fault of one collection
    rows = []
    for name, tasks in _by_collection(registry.builtin_tasks().values()).items():
        ids, card = ", ".join(task.card.id for task in tasks), _card(name)
        if card is None:
            rows.append([name, ids, "-", RENDERED, "-", _clip(tasks[0].card.licence)])
            continue
        size = f"{card.gigabytes:g}" if card.gigabytes else "?"
        rows.append([name, ids, *_state(card, tasks, where, data_roots), size, _clip(card.licence)])
    print(_table(rows, ["collection", "tasks", "annotations", "audio", "GB", "licence"]))
    print(f"\nData home {where}. Fetch one: bench data fetch TASK. Use what you own: bench data where TASK")


def fetch(
    task: str,
    home: Path | None,
    data_roots: Sequence[str] = (),
    *,
    annotations_only: bool = False,
    yes: bool = False,
    again: bool = False,
    keep_archives: bool = False,
) -> None:
    """Fetch annotations always, and audio where it can be downloaded; more than 1 GB of it needs ``yes``.

    Raises:
        UserError: Something cannot be fetched, or audio is large, or of unknown size, and ``yes`` was not given; all
            else is here.
    """
    base, report = home_folder(home), Terminal()
    large: list[str] = []
    failures: list[str] = []
    for name, tasks in _by_collection(registry.find(task)).items():
        card = _card(name)
        if card is None:
            own = tasks[0].card.manifest is not None
            print(f"{name}: {'its manifest and audio are your own' if own else RENDERED}, nothing to fetch")
            continue
        place = place_of(card, base, data_roots)
        try:
            _fetch_annotations(card, place, report, again)
        except TaskError as error:
            failures.append(str(error))
        audio = [source for source in card.sources if source.what == "audio"]
        jobs = [] if annotations_only or place.read_only else pending(audio, place.root, again=again)
        todo = [part for parts in jobs for part in parts]
        size = _size(todo, card)
        if todo and not yes and (size is None or size > ASK_ABOVE):
            amount = "of unknown size" if size is None else in_words(size)
            large.append(f"{name}: {amount}, licence: {card.licence.strip()}")
        elif todo:
            try:
                _fetch_audio(card, todo, place, size, report, again=again, keep_archives=keep_archives)
            except TaskError as error:
                failures.append(str(error))
        _tell(card, tasks, place)
    if large:
        failures.append(
            "the audio was not fetched, because it is large:\n  "
            + "\n  ".join(large)
            + "\nRepeat with --yes to fetch it; an interrupted download goes on where it stopped"
        )
    if failures:
        raise UserError("\n".join(failures))


def verify(task: str, home: Path | None, data_roots: Sequence[str] = (), *, everything: bool = False) -> None:
    """Check sources, counts and audio of tasks, and decode a sample of it, or all; exit 1 when something is wrong."""
    base, problems = home_folder(home), 0
    for name, tasks in _by_collection(registry.find(task)).items():
        card = _card(name)
        place = None if card is None else place_of(card, base, data_roots)
        if card is not None and place is not None:
            print(f"{name} ({card.title}) in {place.root}, named by {place.origin}")
            problems += _verify_sources(card, place, everything)
        for one in tasks:
            try:
                items = one.items(base) if card is None or place is None else items_of(one.card, card, place)
            except TaskError as error:
                problems += _problem(f"{one.card.id}: {error}")
                continue
            problems += _verify_items(one, items, everything)
    if problems:
        print(f"\n{problems} problem(s). What belongs where: bench data where {task}", file=sys.stderr)
        sys.exit(1)


def where(task: str, home: Path | None, data_roots: Sequence[str] = ()) -> None:
    """Print where the files of tasks belong, how to get them, and how to name a folder of one's own."""
    base = home_folder(home)
    for name, tasks in _by_collection(registry.find(task)).items():
        card = _card(name)
        if card is None:
            own = tasks[0].card.manifest is not None
            rendered = f"{RENDERED}, below {base / 'collections'}"
            print(f"{name}: {f'its manifest is {tasks[0].manifest}' if own else rendered}\n")
            continue
        place = place_of(card, base, data_roots)
        print(f"{name}: {card.title}\n")
        print(f"Its folder, named by {place.origin}: {place.root}")
        if place.annotations != place.root:
            print(f"It lacks annotations: these are kept, with links to it, in {place.annotations}")
        print(f"\n{card.layout.rstrip()}\n\nAudio: {card.audio.strip()}\nLicence: {card.licence.strip()}\n")
        for source in card.sources:
            print(f"  {source.file} ({source.what}): {_source_state(source, place)}")
            for url in source.urls:
                print(f"      {url}")
            if source.note:
                print(f"      {source.note.strip()}")
        print(f'\nAudio of your own elsewhere: in {base / CONFIG}\n\n[data]\n{name} = "/path/to/{name}"\n')
        print(f"or for one command: --data-root {name}=/path/to/{name} (it is read, never written)\n")


def audit(task: str, home: Path | None, data_roots: Sequence[str] = (), *, content: bool = False) -> None:
    """Print what splits share and how labels are spread; exit 1 on a leak that the card does not document.

    Args:
        task: Names of tasks.
        home: The data home.
        data_roots: Folders of collections.
        content: Read all audio to find the same bytes under different names.
    """
    base, errors = home_folder(home), 0
    for one in registry.find(task):
        card = _card(one.card.collection)
        items = one.items(base) if card is None else items_of(one.card, card, place_of(card, base, data_roots))
        hashes = _contents(items, base) if content else None
        found = audit_items(items, one.card.kind, hashes)
        counts = ", ".join(f"{split} {n}" for split, n in found.counts.items())
        groups = "no groups" if items.groups is None else f"{len(set(items.groups))} groups"
        print(f"{one.card.id}: {counts}; {groups}, {len(items.labels)} label(s)")
        outcome = findings(found, getattr(one.card, "documented", None))
        for finding in outcome:
            print(f"  {'ERROR' if finding.is_error else 'note'}: {finding.text}")
            errors += finding.is_error
        if not outcome:
            print("  nothing is shared between splits" + ("" if content else "; --content compares the audio itself"))
        _print_prevalence(found)
    if errors:
        print(f"{errors} error(s)", file=sys.stderr)
        sys.exit(1)


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
    found: dict[str, list[Task]] = {}
    for task in tasks:
        found.setdefault(task.card.collection or str(task.source), []).append(task)
    return found


def _card(name: str | None) -> CollectionCard | None:
    """Return the card of a collection; none for a user's own data and for what is rendered."""
    return read_collection(name) if name in known_collections() else None


def _state(card: CollectionCard, tasks: Sequence[Task], home: Path, data_roots: Sequence[str]) -> tuple[str, str]:
    """Return in words what is here of annotations and audio."""
    try:
        place = place_of(card, home, data_roots)
    except TaskError as error:
        return "-", _clip(str(error))
    sources = [source for source in card.sources if source.what == "annotations"]
    here = sum(_has(source, place) for source in sources)
    annotations = f"{here} of {len(sources)} here" if sources else "in the archives"
    missing, total, unread = _count_audio(card, tasks, place)
    if unread == len(tasks):
        return annotations, "-"
    return annotations if unread else "here", f"{total - missing} of {total}"


def _count_audio(card: CollectionCard, tasks: Sequence[Task], place: Place) -> tuple[int, int, int]:
    """Return missing and all audio files of a collection, and how many of its tasks cannot be read."""
    missing: set[Path] = set()
    every: set[Path] = set()
    unread = 0
    for task in tasks:
        try:
            items = items_of(task.card, card, place)
        except TaskError:
            unread += 1
            continue
        every.update(items.audio)
        missing.update(items.audio[row] for row in missing_audio(items))
    return len(missing), len(every), unread


def _has(source: Source, place: Place) -> bool:
    if source.unpack is not None and is_unpacked(source, place.annotations):
        return True
    return is_here(source, place.annotations) or (place.read_only and is_here(source, place.root))


def _source_state(source: Source, place: Place) -> str:
    if source.unpack is not None and is_unpacked(source, place.annotations):
        return "here, unpacked"
    if _has(source, place) or (place.root / source.file).is_dir():
        return "here"
    return "not here" if source.urls else "not here; it cannot be downloaded"


def _size(sources: Sequence[Source], card: CollectionCard) -> int | None:
    if all(source.size is not None for source in sources):
        return sum(source.size or 0 for source in sources)
    return int(card.gigabytes * 1e9) if card.gigabytes else None


def _fetch_annotations(card: CollectionCard, place: Place, report: Reporter, again: bool) -> None:
    with _Bars(report) as bars:
        fetched = fetch_annotations(card, place, bars, again=again)
    if fetched:
        report.say(f"{card.name}: {len(fetched)} annotation file(s) fetched into {place.annotations}")


def _fetch_audio(
    card: CollectionCard,
    todo: Sequence[Source],
    place: Place,
    size: int | None,
    report: Reporter,
    *,
    again: bool,
    keep_archives: bool,
) -> None:
    hosts = ", ".join(dict.fromkeys(urlsplit(source.urls[0]).hostname or "?" for source in todo if source.urls))
    amount = "" if size is None else f", {in_words(size)}"
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


def _tell(card: CollectionCard, tasks: Sequence[Task], place: Place) -> None:
    """Print what is here now, and how to get what is not."""
    missing, total, unread = _count_audio(card, tasks, place)
    if unread == len(tasks):
        try:
            items_of(tasks[0].card, card, place)
        except TaskError as error:
            print(f"{card.name}: not complete yet: {error}")
        return
    print(
        f"{card.name}: annotations of {len(tasks) - unread} of {len(tasks)} task(s), audio {total - missing} of {total}"
    )
    if not missing:
        return
    if place.read_only:
        print(f"  {missing} file(s) are not in {place.root}, which is yours and never written")
    for source in card.sources:
        if source.unpack is not None and not place.read_only and is_unpacked(source, place.root):
            print(f"  {source.file} was unpacked before: --again unpacks it once more")
        elif not source.urls and not _has(source, place):
            print(f"  {source.file} cannot be downloaded. {source.note.strip()}".rstrip())
    print(f"  What belongs where: bench data where {tasks[0].card.id}")


def _verify_sources(card: CollectionCard, place: Place, everything: bool) -> int:
    problems = 0
    for source in card.sources:
        folder = place.root if place.read_only and is_here(source, place.root) else place.annotations
        if not (folder / source.file).is_file() or (source.what == "audio" and not everything):
            print(f"  {source.file}: {_source_state(source, place)}")
            continue
        problem = problem_of(source, folder)
        if problem:
            problems += _problem(f"{folder / source.file}: {problem}; remove it, then bench data fetch")
        else:
            known = "sha256" if source.sha256 else "md5" if source.md5 else "size" if source.size else ""
            print(f"  {source.file}: {f'{known} is right' if known else 'here; no checksum is known'}")
    return problems


def _verify_items(task: Task, items: Items, everything: bool) -> int:
    problems, card, counts = 0, task.card, items.counts()
    sizes = dict(card.sizes or {})
    wrong = {split: size for split, size in sizes.items() if counts[split] != size}
    text = ", ".join(f"{split} {n}" for split, n in counts.items())
    print(f"{card.id}: {text}{' as the card says' if sizes and not wrong else ''}; {len(items.labels)} label(s)")
    if wrong:
        problems += _problem(f"the card says {', '.join(f'{split} {size}' for split, size in sizes.items())}")
    if card.labels and items.labels != card.labels:
        problems += _problem("the labels are not the card's, or in another order")
    for split in SPLITS:
        rows = items.rows(split).tolist()
        for place, row in {"1st": rows[:1], "10th": rows[9:10], "last": rows[-1:]}.items():
            for i in row:
                print(
                    f"  {split:<5} {place:>4}  {items.track_ids[i]}  {_target(card.kind, items, i)}  {items.audio[i]}"
                )
    missing, empty = missing_audio(items), empty_audio(items)
    print(f"  audio: {len(items) - len(missing)} of {len(items)} here")
    for what, rows in (("missing", missing), ("empty (0 bytes)", empty)):
        if rows:
            names = "".join(f"\n      {items.audio[row]}" for row in rows[:SHOWN])
            more = f"\n      and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
            problems += _problem(f"{len(rows)} audio file(s) are {what}:{names}{more}")
    return problems + _verify_audio(items, sorted({*range(len(items))} - {*missing} - {*empty}), everything)


def _verify_audio(items: Items, rows: Sequence[int], everything: bool) -> int:
    """Decode the files at ``rows``, or a sample of them that is always the same."""
    paths = list(dict.fromkeys(items.audio[row] for row in rows))
    if not everything and len(paths) > SAMPLE:
        chosen = np.random.default_rng(0).choice(len(paths), SAMPLE, replace=False)
        paths = [paths[place] for place in sorted(chosen.tolist())]
    damaged = []
    for path, problem in zip(paths, _in_threads(_decode_problem, paths, "decode"), strict=True):
        damaged += [f"{path}: {problem}"] if problem else []
    print(f"  decoded {len(paths)} file(s): " + (f"{len(damaged)} damaged" if damaged else "all sound"))
    return sum(_problem(text) for text in damaged)


def _decode_problem(path: Path) -> str:
    from benchmark.audio import DamagedAudioError, decode

    try:
        decode(path)
    except DamagedAudioError as error:
        return error.problem
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return ""


def _in_threads(work: Callable[[Path], str], paths: Sequence[Path], verb: str) -> list[str]:
    """Return ``work`` of each path; decoding and hashing leave the interpreter alone, so threads are enough."""
    done = []
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        with Terminal().stage(verb, len(paths), "files") as advance:
            for result in pool.map(work, paths):
                done.append(result)
                advance(len(done))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for no file that has not begun
    return done


def _contents(items: Items, home: Path) -> dict[Path, str]:
    """Return the hash of each audio file that is here; what was hashed before and has not changed is not read."""
    from benchmark.audio import content_hash
    from benchmark.embeddings.audio_index import AudioIndex, Seen

    index, missing = AudioIndex(home), set(missing_audio(items))
    paths = list(dict.fromkeys(path for row, path in enumerate(items.audio) if row not in missing))
    known = {path: key for path in paths if (key := index.key(path)) is not None}
    fresh = [path for path in paths if path not in known]
    stats = [path.stat() for path in fresh]
    hashes = _in_threads(content_hash, fresh, "hash")
    entries = zip(fresh, stats, hashes, strict=True)
    index.add(Seen(str(path), stat.st_size, stat.st_mtime_ns, key) for path, stat, key in entries)
    if missing:
        print(f"  {len(missing)} missing audio file(s) could not be compared")
    return known | dict(zip(fresh, hashes, strict=True))


def _print_prevalence(found: Audit) -> None:
    """Print how often labels are, from the most frequent of train to the least; of many, both ends."""
    shares = found.prevalence
    if not shares:
        return
    order = sorted(shares["train"], key=lambda label: -shares["train"][label])
    rows = [[label, *(f"{shares[split][label]:.2%}" for split in SPLITS)] for label in order]
    if len(rows) > 2 * LABELS_SHOWN:
        rows[LABELS_SHOWN:-LABELS_SHOWN] = [["…", "", "", ""]]
    print(_table(rows, ["label", *SPLITS]))


def _target(kind: str, items: Items, row: int) -> str:
    """Return the target of one item in words."""
    target = items.targets[row]
    if kind == "multiclass":
        return items.labels[int(target)]
    if kind == "regression":
        return ", ".join(f"{label} {value:.3g}" for label, value in zip(items.labels, target, strict=True))
    return ", ".join(items.labels[i] for i in np.flatnonzero(target)) or "no label"


def _problem(text: str) -> int:
    print(f"  PROBLEM: {text}")
    return 1


def _clip(text: str, width: int = 40) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def _table(rows: list[list[str]], headers: list[str]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)
