"""The plan of a run: which pairs of encoder and task, what is kept, what must be embedded. It decodes no audio."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.audio.index import AudioIndex, look_again
from benchmark.embeddings.fitting import training_split
from benchmark.embeddings.precomputed import GivenStore
from benchmark.embeddings.space import Space, space_of
from benchmark.embeddings.store import EmbeddingStore
from benchmark.encoders.base import Encoder
from benchmark.encoders.precomputed.encoder import Precomputed
from benchmark.encoders.windowing import WindowError
from benchmark.errors import UserError
from benchmark.jobs.existing import standing_of
from benchmark.jobs.items import ask_given
from benchmark.jobs.job import Asked, Pair
from benchmark.jobs.options import Options
from benchmark.system.progress import Reporter, Silent
from tasks.card import TaskCard

if TYPE_CHECKING:
    pass


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
