"""The plan of a run: which pairs of encoder and task, what is kept, what must be embedded. It decodes no audio."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.embeddings.audio_index import AudioIndex, look_again
from benchmark.embeddings.extract import Track
from benchmark.embeddings.fit_hook import training_split
from benchmark.embeddings.space import Space, space_of
from benchmark.embeddings.store import EmbeddingStore
from benchmark.encoders.base import Encoder
from benchmark.encoders.precomputed import Precomputed
from benchmark.errors import UserError
from benchmark.given import GivenStore, differences_in_words, given_rows
from benchmark.left_out import tell
from benchmark.long_lists import shown
from benchmark.options import Options, TrainPart
from benchmark.progress import Reporter, Silent
from benchmark.protocols import protocol_of
from benchmark.scoring import refuse_undefined
from benchmark.standing import Standing, standing_of
from benchmark.windows import WindowError
from probes.protocol import Protocol
from results.record import Record
from tasks.card import TaskCard
from tasks.items import Items
from tasks.registry import Task

if TYPE_CHECKING:
    from tasks.places import Place


@dataclass(frozen=True)
class Asked:
    """A task with the items that this run uses, and the ids of those that are missing and left out.

    ``whole`` holds all items that the annotations give, whether or not their audio is there.
    """

    task: Task
    items: Items
    fingerprint: str
    protocol: Protocol
    missing: tuple[str, ...] = ()
    whole: Items | None = None

    @property
    def tracks(self) -> list[Track]:
        """The items as tracks to embed."""
        pairs = zip(self.items.track_ids, self.items.audio, strict=True)
        return [Track(track_id, self.task.collection, path) for track_id, path in pairs]


@dataclass
class Pair:
    """One encoder on one task, and what lies in the place of its record.

    ``own_windows`` says that the encoder could not take the task's windows and, as asked, was given its own. ``part``
    is the part of train that its probe sees, where that is not all.
    """

    encoder: Encoder
    asked: Asked
    source: EmbeddingStore | GivenStore
    standing: Standing = field(default_factory=Standing)
    own_windows: bool = False
    part: TrainPart | None = None

    @property
    def kept(self) -> Record | None:
        """The record that makes the run unnecessary, if there is one."""
        return self.standing.kept

    @property
    def given(self) -> GivenStore | None:
        """The embeddings that stand in the encoder's place, if they were computed elsewhere."""
        return self.source if isinstance(self.source, GivenStore) else None

    @property
    def store(self) -> EmbeddingStore:
        """The store of the encoder's embeddings; only for pairs without given ones."""
        assert isinstance(self.source, EmbeddingStore)
        return self.source

    @property
    def space(self) -> Space:
        """The space of the encoder on this task; only for pairs without given embeddings."""
        return self.store.space

    def keys(self, index: AudioIndex) -> list[str | None]:
        """Return what each item's embedding is stored under; ``None`` where its audio was not read yet, or changed."""
        if self.given is not None:
            return list(self.given.keys(self.asked.items.track_ids))
        return [index.key(audio) for audio in self.asked.items.audio]


def ask(task: Task, items: Items, options: Options, *, audio: bool = True) -> Asked:
    """Return the task with its items, cut down to what is there and to ``--limit``, and its probes' protocol.

    Args:
        task: The task.
        items: What its annotations give.
        options: For ``--allow-missing`` and ``--limit``.
        audio: Whether audio is needed; without, no item is left out for the lack of it.

    Raises:
        UserError: More is missing than ``--allow-missing`` says, a split is empty, or a metric could not be computed.
    """
    present = items
    missing: tuple[str, ...] = ()
    if audio and task.has_reader:
        present, missing = present_items(task, items, options)
        _refuse_empty(present, f"{task.card.id} has no item of", f"whose audio is there (see {_where(task)})")
    return _asked(task, items, present, missing, options)


def _asked(task: Task, whole: Items, items: Items, missing: tuple[str, ...], options: Options) -> Asked:
    if options.limit is not None:
        items = items.take(limited_rows(items, options.limit, options.seed))
    refuse_undefined(task.card, items)
    return Asked(task, items, task.fingerprint(items), protocol_of(options.protocol, task.card), missing, whole)


def ask_given(asked: Asked, encoder: Precomputed, options: Options, report: Reporter) -> Asked:
    """Return what ``asked`` is for embeddings that are given: the items that have one, with audio or without.

    Raises:
        UserError: More have none than ``--allow-missing`` says, a split is empty, or a metric could not be computed.
    """
    task, whole = asked.task, asked.whole or asked.items
    differences = task.size_differences(whole)
    rows, missing = given_rows(encoder, whole, task.card.id, differences, options.allow_missing, report)
    items = whole.take(rows)
    tell(task.card, whole, missing, (), report)
    _refuse_empty(items, f"{encoder.path} has no track of", f"of {task.card.id}")
    return _asked(task, whole, items, missing, options)


def _refuse_empty(items: Items, before: str, after: str) -> None:
    empty = [split for split, n in items.counts().items() if n == 0]
    if empty:
        raise UserError(f"{before} {' and '.join(empty)} {after}: every split needs some.")


def present_items(task: Task, items: Items, options: Options) -> tuple[Items, tuple[str, ...]]:
    """Return the items whose audio is there, and what is missing: ids, and counts that differ from the card's.

    Raises:
        UserError: More is missing than ``--allow-missing`` says.
    """
    from tasks.places import as_named, folder_meant, missing_audio, unreadable

    absent = missing_audio(items)
    shut = unreadable(items, absent)
    if shut:
        told = [f"  {folder}: {count} audio file(s)" for folder, count in shut.items()]
        raise UserError(
            f"{task.card.id} has audio in folders that may not be read:\n"
            + "\n".join(told)
            + "\nGive yourself the right to read them (chmod u+rx FOLDER), or see who owns them: ls -ld FOLDER"
        )
    place = _place(task, options) if absent else None
    differences = task.size_differences(items)
    total = len(absent) + sum(map(abs, differences.values()))
    missing = [items.track_ids[row] for row in absent]
    missing += differences_in_words(differences)
    if total > options.allow_missing:
        paths = [items.audio[row] for row in absent]
        paths = paths if place is None else as_named(paths, place)
        lines = [f"{items.track_ids[row]}: {path}" for row, path in zip(absent, paths, strict=True)]
        lines = shown(lines, options.home / f"missing-{task.card.id}.txt", [str(path) for path in paths])
        lines += [f"  the annotations give {text[1:-1]}" for text in missing[len(absent) :]]
        elsewhere = "" if place is None else folder_meant(items, absent, place)
        raise UserError(
            f"{task.card.id} lacks {len(absent)} of {len(items)} audio files"
            + (" and has other counts than its card" if differences else "")
            + f", and --allow-missing is {options.allow_missing}:\n"
            + "\n".join([*lines, *([elsewhere] if elsewhere else [])])
            + f"\nSee {_where(task)}, or leave them out with --allow-missing {total} (the record "
            "will name them, and the leaderboard will keep it apart)."
        )
    there = np.setdiff1d(np.arange(len(items)), absent)
    return items.take(there), tuple(missing)


def _where(task: Task) -> str:
    """Return where a user reads what belongs where; the data commands know no tasks of mirdata."""
    if task.loaded is not None:
        return f"what mirdata's loader expects in {task.source}"
    return f"'bench data where {task.card.id}'"


def _place(task: Task, options: Options) -> Place | None:
    """Return where the collection of a built-in task lies; the data of mirdata lie where they were found."""
    from tasks.collection import read_collection
    from tasks.places import place_of as place_of_collection

    if task.loaded is not None:
        return None
    return place_of_collection(read_collection(task.collection), options.home, options.data_roots)


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


def make_pairs(
    encoders: Sequence[Encoder],
    asked: Sequence[Asked],
    options: Options,
    report: Reporter | None = None,
    *,
    records: bool = True,
) -> list[Pair]:
    """Return every pair of the run, one store shared by all pairs of one space.

    Args:
        encoders: Encoders, or embeddings that are given.
        asked: Tasks; see :func:`ask`.
        options: What the user chose.
        report: Is told which given embeddings are left aside.
        records: Whether the pairs' records matter: what lies in their places is then looked at.

    Raises:
        UserError: An encoder breaks the contract or cannot take a task's window; given embeddings lack tracks or
            cannot be used.
        RecordError: What lies in the place of a record cannot be read.
    """
    index = AudioIndex(options.home)
    if not all(isinstance(encoder, Precomputed) for encoder in encoders):
        look_again(index, (path for each in asked for path in each.items.audio), report or Silent())
    stores: dict[str, EmbeddingStore] = {}
    pairs = []
    for encoder in encoders:
        if isinstance(encoder, Precomputed):
            if options.deform:
                raise UserError(
                    f"--deform {options.deform[0].text}: the embeddings in {encoder.path} were computed elsewhere, and "
                    "there is no audio of them to deform: leave --deform out, or name the encoder that made them"
                )
            given = GivenStore(encoder)
            for each in asked:
                asked_given = ask_given(each, encoder, options, report or Silent())
                for part in options.parts:
                    pair = Pair(encoder, asked_given, given, part=part)
                    pair.keys(index)  # unusable rows show now, before anything is trained
                    pairs.append(pair)
            continue
        for each in asked:
            card = each.task.card
            fitted_on = _fitted_on(encoder, each, options, index, report or Silent())
            used, space, fell_back = _fed(encoder, card, options, fitted_on)
            store = stores.setdefault(space.key, EmbeddingStore(options.home, space))
            pairs += [Pair(used, each, store, own_windows=fell_back, part=part) for part in options.parts]
    for pair in pairs:
        refuse_layer(pair, options)
        if records:
            pair.standing = standing_of(pair, index, options)
    return pairs


def refuse_layer(pair: Pair, options: Options) -> None:
    """Refuse a ``--layer`` that the pair's encoder does not have.

    Raises:
        UserError: It names no layer, or the encoder has none.
    """
    layers, wanted = pair.source.space.layers, options.layer
    if wanted is None or (
        layers is not None and (wanted in ("auto", "mix", "all") or layer_index(wanted, layers) >= 0)
    ):
        return
    if layers is None:
        hint = ": name it with ?layer=all" if pair.encoder.text.startswith("hf:") else ""
        raise UserError(f"--layer {wanted}: the encoder {pair.encoder.name!r} gives no layers to choose from{hint}")
    near = difflib.get_close_matches(wanted, [*layers, "auto", "mix", "all"], n=1)
    hint = f"did you mean {near[0]!r}? It" if near else "it"
    raise UserError(
        f"--layer {wanted}: the encoder {pair.encoder.name!r} has no such layer; {hint} has {', '.join(layers)} (or "
        f"their numbers from 0 to {len(layers) - 1}); auto chooses one on valid, mix learns a mixture, all takes them "
        "side by side"
    )


def layer_index(name: str, layers: Sequence[str]) -> int:
    """Return the index of a layer named by its name, else by its number; -1 if there is none."""
    if name in layers:
        return list(layers).index(name)
    return int(name) if name.isdecimal() and int(name) < len(layers) else -1


def _fitted_on(encoder: Encoder, asked: Asked, options: Options, index: AudioIndex, report: Reporter) -> str | None:
    """Return the sha256 of the training split, for an encoder that is fitted on it: all of train, in every part."""
    if not encoder.fitted:
        return None
    if options.export is not None:
        raise UserError(
            f"--export: the encoder {encoder.name!r} is fitted on each task, and an exported probe cannot say what it "
            "was fitted on: leave --export out"
        )
    return training_split(asked.task.card.id, *train_of(asked), index, report)


def train_of(asked: Asked) -> tuple[list[str], list[Path]]:
    """Return the ids and audio files of the items of train."""
    rows = asked.items.rows("train")
    return [asked.items.track_ids[i] for i in rows], [asked.items.audio[i] for i in rows]


def _fed(encoder: Encoder, card: TaskCard, options: Options, fitted_on: str | None) -> tuple[Encoder, Space, bool]:
    """Return the encoder as the task's windows want it, its space, and whether it fell back to its own windows."""
    if card.window_seconds is None:
        return encoder, space_of(encoder, None, None, fitted_on), False
    used = encoder.for_window(card.window_seconds)
    used.text = encoder.text
    try:
        return used, space_of(used, card.window_seconds, card.hop_seconds, fitted_on), False
    except WindowError as error:
        if not options.own_windows:
            raise UserError(f"{error}, or --own-windows to give it its own (the record will say so)") from None
        return encoder, space_of(encoder, None, None, fitted_on), True
