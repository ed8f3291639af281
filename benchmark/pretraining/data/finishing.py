"""The end of a store: index, labels, captions, the list of what was left out, and ``store.json``."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmark.errors import UserError
from benchmark.pretraining.data.caption_rows import CAPTION_ARRAYS, NUMBERS, STARTS, caption_arrays
from benchmark.pretraining.data.description import ShardCard, StoreCard
from benchmark.pretraining.data.hashes import FileHashes
from benchmark.pretraining.data.label_rows import codes_of, has_unknown, names_of, pieces_of
from benchmark.pretraining.data.shards import (
    BANDS,
    DESCRIPTION,
    FORMAT,
    FRAMES_PER_SECOND,
    INDEX,
    LEFT_OUT,
    NEWER_FORMAT,
    TRACKS,
    WIDER_FORMAT,
    Row,
    ShardWriter,
    digest_of,
    finished,
)
from results.files import replace_file
from results.markdown import csv_cell


def finish(
    folder: Path,
    labels: Sequence[str] | None,
    cut_seconds: float | None = None,
    captions: Mapping[str, Sequence[str]] | None = None,
) -> StoreCard:
    """Write index, labels, captions, list of what was left out, and ``store.json``, from the shards in ``folder``.

    Args:
        folder: The store.
        labels: Names of the labels; ``None`` without.
        cut_seconds: About how long the pieces are that tracks are cut into: one and a half times as long at most, and
            two thirds of it at least, unless the track is shorter. ``None`` leaves tracks whole.
        captions: The captions of the tracks that have any, by id; ``None`` without.

    Raises:
        OSError: The disk is full or not writable.
        TornIndexError: A shard's Parquet file is damaged.
    """
    parts, counts, indices, cards = [], [np.zeros(1, "<i8")], [], []
    left_out: list[Row] = []
    frontend, ids, texts, waves = "", hashlib.sha256(), [], []
    for number, shard in enumerate(finished(folder)):
        held = [row for row in shard.rows if not row.left_out]
        left_out += [row for row in shard.rows if row.left_out]
        parts.append(np.array([(number, row.frames, row.offset) for row in held], INDEX))
        counts.append(np.array([len(row.labels) for row in held], "<i8"))
        indices.append(np.array([place for row in held for place in row.labels], "<i4"))
        cards.append(ShardCard(name=shard.name, tracks=len(held), frames=shard.frames, sha256=shard.sha256))
        for row in held:
            ids.update(row.track_id.encode() + b"\0")
            texts.append(() if captions is None else captions.get(row.track_id, ()))
        frontend = shard.frontend
        waves.append(shard.wave)
    arrays = {"index.npy": np.concatenate(parts)}
    if labels is not None:
        arrays["label_starts.npy"] = np.cumsum(np.concatenate(counts), dtype="<i8")
        arrays["label_indices.npy"] = np.concatenate(indices)
    if captions is not None:
        arrays |= caption_arrays(texts)
    newer = labels is not None and has_unknown(arrays["label_indices.npy"])
    whole = sum(shard.tracks for shard in cards)
    if cut_seconds is not None:
        arrays, newer = _in_pieces(arrays, cut_seconds), True
    for name in (TRACKS, *CAPTION_ARRAYS):
        if name not in arrays:
            (folder / name).unlink(missing_ok=True)
    version = WIDER_FORMAT if captions is not None or all(waves) else NEWER_FORMAT if newer else FORMAT
    digests = {name: _save(folder / name, array) for name, array in arrays.items()}
    write_left_out(folder, left_out)
    card = StoreCard(
        format=version,
        frontend=frontend,
        bands=BANDS,
        tracks=len(arrays["index.npy"]),
        cut_seconds=cut_seconds,
        whole_tracks=None if cut_seconds is None else whole,
        frames=sum(shard.frames for shard in cards),
        left_out=len(left_out),
        labels=None if labels is None else tuple(labels),
        ids=ids.hexdigest(),
        arrays=digests,
        shards=tuple(cards),
        fingerprint="",
        waveforms=tuple(waves) if all(waves) else None,
        captions=None if captions is None else caption_digest(captions),
    )
    card = card.model_copy(update={"fingerprint": card.expected_fingerprint()})
    replace_file(folder / DESCRIPTION, card.content())
    return card


def _in_pieces(arrays: Mapping[str, np.ndarray], seconds: float) -> dict[str, np.ndarray]:
    """Return the arrays of pieces of about ``seconds``, all of a track equally long up to a frame."""
    index = arrays["index.npy"]
    frames = index["frames"].astype(np.int64)
    counts = np.maximum(1, np.round(frames / (seconds * FRAMES_PER_SECOND)).astype(np.int64))
    tracks = np.repeat(np.arange(len(index)), counts)
    within = np.arange(len(tracks)) - np.repeat(np.cumsum(counts) - counts, counts)
    first, last = (within * frames[tracks] // counts[tracks], (within + 1) * frames[tracks] // counts[tracks])
    pieces = index[tracks]
    pieces["offset"] += first.astype(np.uint64)
    pieces["frames"] = last - first
    cut = {"index.npy": pieces, TRACKS: tracks.astype("<i4")}
    if "label_starts.npy" in arrays:
        starts, codes = pieces_of(arrays["label_starts.npy"], arrays["label_indices.npy"], tracks)
        cut |= {"label_starts.npy": starts, "label_indices.npy": codes}
    if STARTS in arrays:
        starts, numbers = pieces_of(arrays[STARTS], arrays[NUMBERS], tracks)
        cut |= {**{name: arrays[name] for name in CAPTION_ARRAYS}, STARTS: starts, NUMBERS: numbers}
    return cut


def caption_digest(captions: Mapping[str, Sequence[str]]) -> str:
    """Return the sha256 of the captions of tracks, by id."""
    return digest_of({track_id: list(texts) for track_id, texts in captions.items()})


def write_left_out(folder: Path, rows: Iterable[Row]) -> None:
    """Write ``left_out.csv``: the tracks that the store does not have, and why."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(
        [["track", "reason"], *([csv_cell(row.track_id), csv_cell(row.left_out or "")] for row in rows)]
    )
    replace_file(folder / LEFT_OUT, text.getvalue().encode())


def write_store(
    folder: Path,
    tracks: Iterable[tuple[str, np.ndarray]],
    labels: Mapping[str, Sequence[str] | None] | None = None,
    frontend: str = "given",
    cut_seconds: float | None = None,
    waveforms: Callable[[str], np.ndarray] | None = None,
    captions: Mapping[str, Sequence[str]] | None = None,
) -> StoreCard:
    """Write a store of log-mels that are there already, without audio.

    Args:
        folder: The new store.
        tracks: Ids and float16 [frames, 96], one at a time in memory.
        labels: The labels of each id; ``None`` where they are not known, ``?name`` where one is not.
        frontend: What the log-mels are.
        cut_seconds: See :func:`finish`.
        waveforms: Gives the waveform of an id, float16 [frames, 160]; ``None`` without.
        captions: See :func:`finish`.

    Raises:
        UserError: There is a store already, or there are no tracks.
        OSError: The disk is full or not writable.
    """
    if next(finished(folder), None) is not None:
        raise UserError(f"{folder} holds shards already", "choose another folder")
    names = None if labels is None else names_of(labels.values())
    numbers = {name: number for number, name in enumerate(names or ())}
    folder.mkdir(parents=True, exist_ok=True)
    with ShardWriter(folder, 0, frontend, names, waveforms=waveforms is not None) as writer:
        for track_id, features in tracks:
            codes = codes_of(labels[track_id], numbers) if labels is not None else ()
            row = Row(track_id, "", 0, 0, "", 0, len(features), codes, "")
            writer.add(row, features, None if waveforms is None else waveforms(track_id))
        writer.close(last=True)
    if next(finished(folder), None) is None:
        raise UserError("no tracks, so there is no store to write", "name a source with audio files")
    return finish(folder, names, cut_seconds, captions)


def _save(path: Path, array: np.ndarray) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array)
    replace_file(path, buffer.getbuffer())
    sha256 = hashlib.sha256(buffer.getbuffer()).hexdigest()
    FileHashes(path.parent).add(path, sha256)
    return sha256
