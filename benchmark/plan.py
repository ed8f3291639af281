"""The plan of a run: which pairs of encoder and task, what is kept, what must be embedded. It opens no audio."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from benchmark.embeddings.audio_index import AudioIndex
from benchmark.embeddings.extract import Track
from benchmark.embeddings.space import Space, space_of
from benchmark.embeddings.store import EmbeddingStore
from benchmark.encoders.base import Encoder, Precision
from benchmark.errors import UserError
from benchmark.scoring import refuse_undefined
from benchmark.windows import WindowError
from probes.protocol import TRAINING_VERSION, Protocol, protocol_for
from results import store as records
from results.record import SCHEMA_VERSION, Record
from tasks.card import TaskCard
from tasks.items import Items
from tasks.places import parse_data_roots
from tasks.registry import Task

Overwrite = Literal["always", "never", "missing"]

SHOWN = 20
LARGEST_SEED = 2**31

#: Changes whenever scoring or selection would give other numbers for the same embeddings; training has its own.
SCORING_VERSION = 1


@dataclass(frozen=True)
class Options:
    """What a user may choose of a run; see ``bench run --help``. ``None`` leaves the choice to the protocol."""

    home: Path
    results: Path
    trials: int | None = None
    seed: int = 0
    seeds: int | None = None
    limit: int | None = None
    device: str = "auto"
    batch_size: int = 32
    workers: int | None = None
    overwrite: Overwrite = "missing"
    allow_damaged: int = 0
    allow_missing: int = 0
    data_roots: tuple[str, ...] = ()
    precision: Precision | None = None
    own_windows: bool = False

    def __post_init__(self) -> None:
        least = {
            "trials": 1,
            "seeds": 1,
            "limit": 3,
            "batch_size": 1,
            "workers": 0,
            "allow_damaged": 0,
            "allow_missing": 0,
            "seed": 0,
        }
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise UserError(f"--{name.replace('_', '-')} must be at least {smallest}, not {value}")
        if self.seed > LARGEST_SEED:
            raise UserError(f"--seed must be at most {LARGEST_SEED}, not {self.seed}")
        parse_data_roots(self.data_roots)
        if self.overwrite not in ("always", "never", "missing"):
            raise UserError(f"--overwrite must be always, never or missing, not {self.overwrite!r}")


@dataclass(frozen=True)
class Asked:
    """A task with the items that this run uses, and the ids of those whose audio is missing and left out."""

    task: Task
    items: Items
    fingerprint: str
    protocol: Protocol
    missing: tuple[str, ...] = ()

    @property
    def tracks(self) -> list[Track]:
        """The items as tracks to embed."""
        pairs = zip(self.items.track_ids, self.items.audio, strict=True)
        return [Track(track_id, self.task.collection, path) for track_id, path in pairs]


@dataclass
class Pair:
    """One encoder on one task. ``kept`` is the record that makes the run unnecessary, if there is one.

    ``own_windows`` says that the encoder could not take the task's windows and, as asked, was given its own.
    """

    encoder: Encoder
    asked: Asked
    store: EmbeddingStore
    kept: Record | None = None
    own_windows: bool = False

    @property
    def space(self) -> Space:
        """The space of the encoder on this task."""
        return self.store.space


def ask(task: Task, items: Items, options: Options) -> Asked:
    """Return the task with its items, cut down to what is there and to ``--limit``, and its probes' protocol.

    Raises:
        UserError: More is missing than ``--allow-missing`` says, a split is empty, or a metric could not be computed.
    """
    missing: tuple[str, ...] = ()
    if task.has_reader:
        items, missing = present_items(task, items, options)
        empty = [split for split, n in items.counts().items() if n == 0]
        if empty:
            raise UserError(
                f"{task.card.id} has no item of {' and '.join(empty)} whose audio is there: every split needs some. "
                f"See {_where(task)}"
            )
    if options.limit is not None:
        items = items.take(limited_rows(items, options.limit, options.seed))
    refuse_undefined(task.card, items)
    return Asked(task, items, task.fingerprint(items), protocol_for(task.card.id, *task.card.groups), missing)


def present_items(task: Task, items: Items, options: Options) -> tuple[Items, tuple[str, ...]]:
    """Return the items whose audio is there, and what is missing: ids, and counts that differ from the card's.

    Raises:
        UserError: More is missing than ``--allow-missing`` says.
    """
    from tasks.places import missing_audio

    absent = missing_audio(items)
    differences = task.size_differences(items)
    total = len(absent) + sum(map(abs, differences.values()))
    missing = [items.track_ids[row] for row in absent]
    missing += [
        f"({abs(n)} {'more' if n > 0 else 'fewer'} items of {split} than the card)" for split, n in differences.items()
    ]
    if total > options.allow_missing:
        paths = _real(items.audio[row] for row in absent)
        lines = [f"  {items.track_ids[row]}: {path}" for row, path in zip(absent[:SHOWN], paths, strict=False)]
        if len(absent) > SHOWN:
            listing = options.home / f"missing-{task.card.id}.txt"
            listing.parent.mkdir(parents=True, exist_ok=True)
            listing.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
            lines.append(f"  … and {len(absent) - SHOWN} more: all are listed in {listing}")
        lines += [f"  the annotations give {text[1:-1]}" for text in missing[len(absent) :]]
        raise UserError(
            f"{task.card.id} lacks {len(absent)} of {len(items)} audio files"
            + (" and has other counts than its card" if differences else "")
            + f", and --allow-missing is {options.allow_missing}:\n"
            + "\n".join(lines)
            + f"\nSee {_where(task)}, or leave them out with --allow-missing {total} (the record "
            "will name them, and the leaderboard will carry the mark)."
        )
    there = np.setdiff1d(np.arange(len(items)), absent)
    return items.take(there), tuple(missing)


def _where(task: Task) -> str:
    """Return where a user reads what belongs where; the data commands know no tasks of mirdata."""
    if task.loaded is not None:
        return f"what mirdata's loader expects in {task.source}"
    return f"'bench data where {task.card.id}'"


def _real(paths: Iterable[Path]) -> list[Path]:
    """Return paths with the links among their folders followed: into a user's folder, where that is linked to."""
    folders: dict[Path, Path] = {}
    real = []
    for path in paths:
        if path.parent not in folders:
            folders[path.parent] = path.parent.resolve()
        real.append(folders[path.parent] / path.name)
    return real


def limited_rows(items: Items, limit: int, seed: int) -> np.ndarray:
    """Return the rows of a seeded sample of about ``limit`` items, each split in proportion and none left empty."""
    if limit >= len(items):
        return np.arange(len(items))
    rng = np.random.default_rng([seed, 4])
    chosen = []
    for split in ("train", "valid", "test"):
        rows = items.rows(split)
        chosen.append(rng.permutation(rows)[: max(1, round(limit * len(rows) / len(items)))])
    return np.sort(np.concatenate(chosen))


def make_pairs(encoders: Sequence[Encoder], asked: Sequence[Asked], options: Options) -> list[Pair]:
    """Return every pair of the run, one store shared by all pairs of one space.

    Raises:
        UserError: An encoder breaks the contract or cannot take a task's window, or a record stands in the way of
            ``--overwrite never``.
    """
    index = AudioIndex(options.home)
    stores: dict[str, EmbeddingStore] = {}
    pairs = []
    for encoder in encoders:
        for each in asked:
            card = each.task.card
            used, space, fell_back = _fed(encoder, card, options)
            store = stores.setdefault(space.key, EmbeddingStore(options.home, space))
            pair = Pair(used, each, store, own_windows=fell_back)
            pair.kept = _kept(pair, index, options)
            pairs.append(pair)
    return pairs


def _fed(encoder: Encoder, card: TaskCard, options: Options) -> tuple[Encoder, Space, bool]:
    """Return the encoder as the task's windows want it, its space, and whether it fell back to its own windows."""
    if card.window_seconds is None:
        return encoder, space_of(encoder, None, None), False
    used = encoder.for_window(card.window_seconds)
    try:
        return used, space_of(used, card.window_seconds, card.hop_seconds), False
    except WindowError as error:
        if not options.own_windows:
            raise UserError(f"{error}, or --own-windows to give it its own (the record will say so)") from None
        return encoder, space_of(encoder, None, None), True


def _kept(pair: Pair, index: AudioIndex, options: Options) -> Record | None:
    if options.overwrite == "always":
        return None
    card = pair.asked.task.card
    path = records.record_path(options.results, card.id, pair.encoder.name, options.limit)
    if not path.is_file():
        return None
    record = records.read(path)
    keys = [index.key(audio) for audio in pair.asked.items.audio]
    same = None not in keys and record.run_key == run_key(pair, [key for key in keys if key], options)
    if same and len(record.data.damaged) <= options.allow_damaged and _predictions_exist(options, record):
        return record
    if options.overwrite == "never":
        raise UserError(
            f"{path} holds the record of a different run, and --overwrite never keeps it: choose another --results "
            "folder, or --overwrite missing (the old record moves to history/)"
        )
    return None


def _predictions_exist(options: Options, record: Record) -> bool:
    """Say whether the predictions that ``record`` names are there."""
    return records.predictions_path(options.results, record).is_file()


def run_key(pair: Pair, audio_keys: Iterable[str], options: Options) -> str:
    """Return the sha256 of all that decides a record's numbers: equal keys mean that a run would repeat them.

    Args:
        pair: Encoder and task.
        audio_keys: The content hash of every item's audio, in order.
        options: For trials, seeds and limit.
    """
    card, protocol = pair.asked.task.card, pair.asked.protocol
    state = {
        "schema": SCHEMA_VERSION,
        "scoring": SCORING_VERSION,
        "training": TRAINING_VERSION,
        "encoder": pair.encoder.name,
        "space": pair.space.key,
        "task": pair.asked.fingerprint,
        "audio": hashlib.sha256("".join(audio_keys).encode()).hexdigest(),
        "probe": card.probe.model_dump(),
        "protocol": asdict(protocol),
        "trials": options.trials or protocol.trials,
        "seed": options.seed,
        "seeds": options.seeds or protocol.seeds,
        "limit": options.limit,
        "device": None if options.device in ("auto", "cpu") else options.device.partition(":")[0],
        "shown": [card.title, pair.asked.task.collection, pair.asked.task.group],
    }
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
