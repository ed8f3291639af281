"""Extraction: audio through a frozen encoder into the store. Resumable, and deterministic in spite of interruptions.

Tracks are taken in the caller's order, in groups that close as soon as they hold a few batches of windows. Batches
never cross groups, and a shard ends where a group ends; so a run that was killed goes on at a group's start, builds the
very batches that an unbroken run builds, and stores the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.audio import Audio
from benchmark.embeddings.audio_index import AudioIndex, Seen
from benchmark.embeddings.decoding import Decoded, decode_all
from benchmark.embeddings.store import EmbeddingStore, Row
from benchmark.encoders.base import Encoder
from benchmark.errors import UserError
from benchmark.windows import TooShortError, cut

GROUP_BATCHES = 4
GROUP_SAMPLES = 2**27  # 512 MiB of audio: where windows are whole tracks, fewer of them are held
SHARD_SECONDS = 20.0  # a killed run loses at most about this much work, and one group
SHARD_ROWS = 4096


@dataclass(frozen=True)
class Track:
    """A track to embed: its id and collection, for people, and its file."""

    track_id: str
    collection: str
    path: Path


@dataclass(frozen=True)
class Damage:
    """A track whose audio cannot be used."""

    track_id: str
    path: Path
    problem: str
    seconds_recovered: float


@dataclass
class Extraction:
    """What an extraction did: tracks embedded, seconds of audio in them, wall-clock seconds, and all damaged tracks."""

    embedded: int = 0
    audio_seconds: float = 0.0
    seconds: float = 0.0
    damaged: list[Damage] = field(default_factory=list)


@dataclass(frozen=True)
class _Prepared:
    track: Track
    key: str
    audio: Audio
    windows: list[np.ndarray]


def missing_tracks(tracks: Iterable[Track], store: EmbeddingStore, index: AudioIndex) -> list[Track]:
    """Return the tracks whose embedding is not in the store, each file once, in order."""
    places, seen, missing = store.places(), set[Path](), []
    for track in tracks:
        if track.path in seen:
            continue
        seen.add(track.path)
        if index.key(track.path) not in places:
            missing.append(track)
    return missing


def extract(
    encoder: Encoder,
    tracks: Sequence[Track],
    store: EmbeddingStore,
    index: AudioIndex,
    *,
    workers: int,
    batch_size: int,
    device: str,
    progress: Callable[[float], None] | None = None,
) -> Extraction:
    """Embed ``tracks`` (see :func:`missing_tracks`) into ``store``.

    Damaged tracks are collected, not raised: the whole collection is looked at before anyone decides.

    Args:
        encoder: The encoder; it is moved to ``device``.
        tracks: Tracks to embed.
        store: Where embeddings go.
        index: Where content hashes go.
        workers: Decoding processes.
        batch_size: Windows in a batch.
        device: torch's name of the device.
        progress: Called after each track with the seconds of audio in it.

    Raises:
        UserError: The encoder failed or broke its contract on a track, which is named, or the store cannot be written.
            Finished groups are in the store, also on Ctrl-C.
    """
    started = time.monotonic()
    done = Extraction()
    encoder.to(device)
    if hasattr(encoder, "eval"):  # it is a torch module itself
        encoder.eval()
    rows: list[Row] = []
    seen: list[Seen] = []
    flushed = time.monotonic()

    def flush() -> None:
        nonlocal flushed
        index.add(seen)
        if rows:
            store.append(rows)
        rows.clear()
        seen.clear()
        flushed = time.monotonic()

    decoded = decode_all([track.path for track in tracks], store.space.audio, workers)
    prepared = _prepare(zip(tracks, decoded, strict=True), store, seen, done, progress)
    try:
        for group in _groups(prepared, GROUP_BATCHES * batch_size, GROUP_SAMPLES):
            embeddings = _embed(encoder, store, group, batch_size, device)
            if not done.embedded and encoder.fingerprint() != store.space.fingerprint:
                raise UserError(
                    f"the encoder {encoder.name!r} is not what it was before it ran, so its embeddings cannot be "
                    "keyed: load weights in __init__, and name counters and the like in not_in_fingerprint"
                )
            for item, embedding in zip(group, embeddings, strict=True):
                track = item.track
                row = Row(
                    item.key, track.track_id, track.collection, item.audio.seconds, len(item.windows),
                    item.audio.clipped, embedding,
                )  # fmt: skip
                rows.append(row)
                done.embedded += 1
                done.audio_seconds += item.audio.seconds
            if time.monotonic() - flushed > SHARD_SECONDS or len(rows) >= SHARD_ROWS:
                flush()
    finally:
        decoded.close()  # type: ignore[attr-defined]
        flush()
    done.seconds = time.monotonic() - started
    return done


def _prepare(
    pairs: Iterable[tuple[Track, Decoded]],
    store: EmbeddingStore,
    seen: list[Seen],
    done: Extraction,
    progress: Callable[[float], None] | None,
) -> Iterator[_Prepared]:
    """Cut each track into windows; note its hash; set damaged ones aside; skip content that the store has."""
    places, prepared = store.places(), set[str]()
    for track, decoded in pairs:
        if decoded.seen is not None:
            seen.append(decoded.seen)
        if progress is not None:
            progress(decoded.audio.seconds if decoded.audio else 0.0)
        if decoded.audio is None or decoded.seen is None:
            done.damaged.append(Damage(track.track_id, track.path, decoded.problem, decoded.seconds_recovered))
            continue
        key = decoded.seen.key
        if key in places or key in prepared:
            continue
        try:
            windows = cut(decoded.audio.samples, store.space.windows)
        except TooShortError as error:
            done.damaged.append(Damage(track.track_id, track.path, f"too short: {error}", decoded.audio.seconds))
            continue
        prepared.add(key)
        yield _Prepared(track, key, decoded.audio, windows)


def _groups(prepared: Iterable[_Prepared], windows: int, samples: int) -> Iterator[list[_Prepared]]:
    """Yield the tracks in groups, each closed by the track that brings it to so many windows or samples."""
    group: list[_Prepared] = []
    held = heard = 0
    for item in prepared:
        group.append(item)
        held, heard = held + len(item.windows), heard + item.audio.samples.size
        if held >= windows or heard >= samples:
            yield group
            group, held, heard = [], 0, 0
    if group:
        yield group


def _embed(
    encoder: Encoder, store: EmbeddingStore, group: Sequence[_Prepared], batch_size: int, device: str
) -> list[np.ndarray]:
    """Return one pooled float32 embedding [width] a track: batches of equally long windows, then the mean over each."""
    width = store.space.width
    places = [(i, j) for i, item in enumerate(group) for j in range(len(item.windows))]
    by_length: dict[int, list[tuple[int, int]]] = {}
    for i, j in places:
        by_length.setdefault(group[i].windows[j].shape[1], []).append((i, j))
    found = [np.empty((len(item.windows), width), np.float32) for item in group]
    for same in by_length.values():
        for start in range(0, len(same), batch_size):
            batch = same[start : start + batch_size]
            waveforms = np.stack([group[i].windows[j] for i, j in batch])
            names = list(dict.fromkeys(group[i].track.track_id for i, _ in batch))
            for (i, j), row in zip(batch, _call(encoder, waveforms, width, device, names), strict=True):
                found[i][j] = row
    for item, rows in zip(group, found, strict=True):
        if not np.isfinite(rows).all():
            raise UserError(
                f"the encoder {encoder.name!r} gave an embedding that is not finite for the track "
                f"{item.track.track_id!r} ({item.track.path}): mend the encoder; finished tracks are kept"
            )
    return [rows.mean(axis=0, dtype=np.float64).astype(np.float32) for rows in found]


def _call(encoder: Encoder, waveforms: np.ndarray, width: int, device: str, names: Sequence[str]) -> np.ndarray:
    """Call the encoder on [B, channels, n] and return float32 [B, width], whatever allowed shape it answers in."""
    where = f"the encoder {encoder.name!r} on track(s) {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
    try:
        answer = _answer(encoder, waveforms, device)
    except (UserError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise UserError(f"{where} raised {type(error).__name__}: {error}") from error
    if not np.issubdtype(answer.dtype, np.floating):
        raise UserError(f"{where} returned {answer.dtype}, not floats")
    wanted = (encoder.dim,) if encoder.layers is None else (len(encoder.layers), encoder.dim)
    if encoder.layers is None and answer.ndim == 3 and answer.shape[1] > 0 and answer.shape[2] == encoder.dim:
        answer = answer.mean(axis=1, dtype=np.float64)
    if answer.shape != (len(waveforms), *wanted):
        expected = f"[{len(waveforms)}, {', '.join(map(str, wanted))}]"
        raise UserError(f"{where} returned shape {list(answer.shape)} where {expected} was declared")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as that
        return answer.reshape(len(waveforms), width).astype(np.float32, copy=False)


def _answer(encoder: Encoder, waveforms: np.ndarray, device: str) -> np.ndarray:
    if encoder.arrays == "numpy":
        return _as_array(encoder.embed(waveforms))
    import torch

    with torch.no_grad():
        return _as_array(encoder.embed(torch.from_numpy(waveforms).to(device)))


def _as_array(answer: Any) -> np.ndarray:
    if hasattr(answer, "detach"):
        answer = answer.detach()
        answer = (answer.float() if answer.is_floating_point() else answer).cpu().numpy()
    return np.asarray(answer)
