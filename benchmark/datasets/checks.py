"""Checks of a collection: whether sources, counts, labels and audio are here and sound. They yield what they find."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmark.audio.lengths import RULE, far_shorter
from benchmark.system.finding import Finding
from benchmark.system.progress import Terminal
from benchmark.system.tables import table
from results.markdown import folded
from tasks.card import TaskCard
from tasks.errors import TaskError
from tasks.items import Items
from tasks.kinds import KINDS, Kind
from tasks.registry import Task
from tasks.sources.card import CollectionCard, Source
from tasks.sources.locations import CollectionLocation, empty_audio, items_of, missing_audio, unreadable
from tasks.sources.state import is_here, is_unpacked, problem_of

SAMPLE = 20  # audio files that are decoded unless all are wanted
STATES_SHOWN = 40  # rows of the table by split and class
SHOWN = 5
T = TypeVar("T")


def count_audio(card: CollectionCard, tasks: Sequence[Task], place: CollectionLocation) -> tuple[int, int, int]:
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


def has(source: Source, place: CollectionLocation) -> bool:
    """Say whether the source's file is here, or was unpacked."""
    if source.unpack is not None and is_unpacked(source, place.annotations):
        return True
    return is_here(source, place.annotations) or (place.read_only and is_here(source, place.root))


def source_state(source: Source, place: CollectionLocation) -> str:
    """Return in words whether the source is here."""
    if source.unpack is not None and is_unpacked(source, place.annotations):
        return "here, unpacked"
    if has(source, place) or (place.root / source.file).is_dir():
        return "here"
    return "not here" if source.urls else "not here; it cannot be downloaded"


def verify_sources(sources: Sequence[Source], place: CollectionLocation, everything: bool) -> Iterator[Finding]:
    """Check the files that are here, archives of audio only if ``everything`` is."""
    for source in sources:
        folder = place.root if place.read_only and is_here(source, place.root) else place.annotations
        if not (folder / source.file).is_file() or (source.what == "audio" and not everything):
            yield Finding(f"  {source.file}: {source_state(source, place)}")
            continue
        problem = problem_of(source, folder)
        if problem:
            yield complaint(f"{folder / source.file}: {problem}; remove it, then bench data fetch")
        else:
            known = "sha256" if source.sha256 else "md5" if source.md5 else "size" if source.size else ""
            yield Finding(f"  {source.file}: {f'{known} is right' if known else 'here; no checksum is known'}")


def verify_items(card: TaskCard, items: Items) -> Iterator[Finding]:
    """Check counts and labels, and show the first, tenth and last item of each split."""
    counts = items.counts()
    sizes = dict(card.sizes or {})
    wrong = {split: size for split, size in sizes.items() if counts[split] != size}
    text = ", ".join(f"{split} {n}" for split, n in counts.items())
    agrees = " as the card says" if sizes and not wrong else ""
    yield Finding(f"{card.id}: {text}{agrees}; {len(items.labels)} label(s)")
    if wrong:
        yield complaint(f"the card says {', '.join(f'{split} {size}' for split, size in sizes.items())}")
    if card.labels and items.labels != card.labels:
        yield complaint("the labels are not the card's, or in another order")
    for split in items.parts:
        rows = items.rows(split).tolist()
        for place, row in {"1st": rows[:1], "10th": rows[9:10], "last": rows[-1:]}.items():
            for i in row:
                target = _target(card.kind, items, i)
                yield Finding(f"  {split:<5} {place:>4}  {items.track_ids[i]}  {target}  {items.audio[i]}")


def verify_audio(items: Items, everything: bool, kind: Kind | None = None) -> Iterator[Finding]:
    """Look for the audio, and decode a sample of it, or ``everything``.

    Args:
        items: The items.
        everything: Whether all files are decoded.
        kind: Of the task; where it is given, what is wrong is counted by split and class too.
    """
    missing, empty = missing_audio(items), empty_audio(items)
    yield Finding(f"  audio: {len(items) - len(missing)} of {len(items)} here")
    for folder, count in unreadable(items, missing).items():
        yield complaint(f"the folder {folder} may not be read, so {count} audio file(s) in it are not found")
    for what, rows in (("missing", missing), ("empty (0 bytes)", empty)):
        if rows:
            yield complaint(f"{len(rows)} audio file(s) are {what}:", [items.audio[row] for row in rows])
    states = dict.fromkeys((items.audio[row] for row in missing), "missing")
    states |= dict.fromkeys((items.audio[row] for row in empty), "damaged")
    yield from _decode_some(items, sorted({*range(len(items))} - {*missing} - {*empty}), everything, states)
    if kind is not None and states:
        yield Finding(format_states(items, kind, [states.get(path, "") for path in items.audio]))


def format_states(items: Items, kind: Kind, states: Sequence[str]) -> str:
    """Return how many items of each split and class are missing, damaged or short; only where there are any.

    Args:
        items: n items.
        kind: Of the task.
        states: Of each item ``missing``, ``damaged``, ``short``, or nothing where it is sound.
    """
    names = [name for name in ("missing", "damaged", "short") if name in states]
    member = KINDS[kind].membership(items.targets, len(items.labels))
    splits, found = np.array(items.splits), np.array(states, dtype=object)
    rows = []
    for split in items.parts:
        inside = splits == split
        sums = [int((inside & (found == name)).sum()) for name in names]
        if not any(sums):
            continue
        rows.append([split, "all", *sums, int(inside.sum())])
        for label, name in enumerate(items.labels if KINDS[kind].has_labels else ()):
            of_class = inside & member[:, label]
            sums = [int((of_class & (found == state)).sum()) for state in names]
            if any(sums):
                rows.append([split, name, *sums, int(of_class.sum())])
    if len(rows) > STATES_SHOWN:
        rows = [*rows[:STATES_SHOWN], [f"and {len(rows) - STATES_SHOWN} more", *[""] * (len(names) + 2)]]
    return table(rows, ["split", "class", *names, "of"], texts=("class",))


def _decode_some(items: Items, rows: Sequence[int], everything: bool, states: dict[Path, str]) -> Iterator[Finding]:
    """Decode the files at ``rows``, or a sample of them that is always the same; note in ``states`` what is wrong."""
    paths = every = list(dict.fromkeys(items.audio[row] for row in rows))
    if not everything and len(paths) > SAMPLE:
        chosen = np.random.default_rng(0).choice(len(paths), SAMPLE, replace=False)
        paths = [paths[place] for place in sorted(chosen.tolist())]
    if not paths:
        yield Finding("  no audio file was decoded: there is none to decode")
        return
    checked = _in_threads(_checked, paths, "decode")
    damaged = [f"{path}: {file.problem}" for path, file in zip(paths, checked, strict=True) if file.problem]
    rest = f" (of {len(every):,}: --all decodes them all)" if len(paths) < len(every) else ""
    yield Finding(f"  decoded {len(paths)} file(s): {f'{len(damaged)} damaged' if damaged else 'all sound'}{rest}")
    states |= {path: "damaged" for path, file in zip(paths, checked, strict=True) if file.problem}
    yield from _notes(paths, checked, states)
    yield from map(complaint, damaged)


@dataclass(frozen=True)
class _Checked:
    """What decoding a file showed: its problem, what is to be told of it, and its length."""

    problem: str = ""
    note: str = ""
    seconds: float = 0.0


def _checked(path: Path) -> _Checked:
    from benchmark.audio.decode import DamagedAudioError
    from benchmark.audio.integrity import deep_problem
    from benchmark.audio.sound_files import Player

    try:
        with Player(path) as player:
            for _ in player.blocks():
                pass
        problem, note = deep_problem(path)
        return _Checked(problem, player.note or note, player.played / player.rate)
    except DamagedAudioError as error:
        return _Checked(error.problem)
    except OSError as error:
        return _Checked(f"it cannot be read: {error.strerror or error}")


def _notes(paths: Sequence[Path], checked: Sequence[_Checked], states: dict[Path, str]) -> Iterator[Finding]:
    """Yield what is to be told of files that are no problem: odd ends, and lengths far below the others'."""
    notes: dict[str, list[Path]] = {}
    for path, file in zip(paths, checked, strict=True):
        if file.note and not file.problem:
            notes.setdefault(file.note.partition(", of which")[0], []).append(path)
    sound = [(path, file.seconds) for path, file in zip(paths, checked, strict=True) if not file.problem]
    seconds = np.array([length for _, length in sound])
    for row in far_shorter(seconds):
        what = f"far shorter than the others ({RULE}, {np.median(seconds):.1f} s)"
        notes.setdefault(what, []).append(sound[row][0])
        states[sound[row][0]] = "short"
    for what, which in notes.items():
        yield Finding(f"  note: {len(which)} file(s): {what}:{_listed(which)}")


def _in_threads(work: Callable[[Path], T], paths: Sequence[Path], verb: str) -> list[T]:
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


def contents(items: Items, home: Path) -> dict[Path, str]:
    """Return the hash of each audio file that is here; what was hashed before and has not changed is not read."""
    from benchmark.audio.index import HASH, AudioIndex, HashedFile

    index, missing = AudioIndex(home), set(missing_audio(items))
    paths = list(dict.fromkeys(path for row, path in enumerate(items.audio) if row not in missing))
    known = {path: key[:HASH] for path in paths if (key := index.key(path)) is not None}
    fresh = [path for path in paths if path not in known]
    hashed = _in_threads(HashedFile.of, fresh, "hash")
    index.add(hashed)
    return known | {path: file.key for path, file in zip(fresh, hashed, strict=True)}


def _target(kind: Kind, items: Items, row: int) -> str:
    """Return the target of one item in words."""
    target = items.targets[row]
    if KINDS[kind].has_labels:
        return ", ".join(items.labels[label] for label in KINDS[kind].labels_of(target)) or "no label"
    return ", ".join(f"{label} {value:.3g}" for label, value in zip(items.labels, target, strict=True))


def complaint(text: str, which: Sequence[Path] = ()) -> Finding:
    """Return a problem, below it the first of the files that have it."""
    return Finding(f"  PROBLEM: {folded(text)}{_listed(which)}", is_error=True)


def _listed(paths: Sequence[Path]) -> str:
    """Return the first of many paths, each on a line of its own."""
    names = "".join(f"\n      {folded(str(path))}" for path in paths[:SHOWN])
    return names + (f"\n      and {len(paths) - SHOWN} more" if len(paths) > SHOWN else "")
