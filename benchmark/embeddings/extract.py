"""Extraction of embeddings: audio is decoded, embedded and stored; a resumed run stores the same bytes.

Tracks are taken in the caller's order, in groups that close as soon as they hold a few batches of windows. Batches
never cross groups, and a shard ends where a group ends; so a run that was killed continues at a group's start, builds
the very batches that an unbroken run builds, and stores the same bytes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np

from benchmark.audio.decode import Audio
from benchmark.audio.index import AudioIndex, HashedFile
from benchmark.audio.pool import decode_all
from benchmark.audio.reader import Decoded
from benchmark.audio.windows import TooShortError, cut
from benchmark.embeddings.batches import BatchEncoding, TrackWindows
from benchmark.embeddings.precheck import check_before
from benchmark.embeddings.prefetch import prefetched
from benchmark.embeddings.store import EmbeddingRow, EmbeddingStore
from benchmark.embeddings.tracks import Damage, Track
from benchmark.encoders.base import Encoder
from benchmark.encoders.fingerprint import set_to_eval
from benchmark.errors import UserError
from benchmark.system.scratch import scratch_folder
from benchmark.system.stdout import stdout_to_stderr

GROUP_BATCHES = 4
GROUP_SAMPLES = 2**26  # 256 MiB of audio, held twice: where windows are whole tracks, fewer of them are held
SHARD_SECONDS = 20.0  # a killed run loses at most about this much work, and one group
SHARD_ROWS = 4096


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
    say: Callable[[str], None] | None = None,
) -> Extraction:
    """Embed ``tracks`` (see :func:`missing_tracks`) into ``store``.

    Damaged tracks are collected, not raised: the whole collection is looked at before anyone decides. What the encoder
    prints goes to stderr.

    Args:
        encoder: The encoder, fitted where it has to be; it is moved to ``device``.
        tracks: Tracks to embed.
        store: Where embeddings go.
        index: Where content hashes go.
        workers: Decoding processes.
        batch_size: Windows in a batch.
        device: torch's name of the device.
        progress: Called after each track with the seconds of audio in it.
        say: Is told which rules the check of the encoder had no time for.

    Raises:
        UserError: The encoder fails its check before many tracks, it failed or broke its contract on a track, which is
            named, or the store cannot be written. Finished groups are in the store, also on Ctrl-C.
    """
    started = time.monotonic()
    done = Extraction()
    with stdout_to_stderr():
        if store.space.deformation is None:  # before that it has embedded the clean audio
            check_before(encoder, store.space, len(tracks), device, say)
        encoder.to(device)
        set_to_eval(encoder)  # also where it has a to() of its own
        _extract(encoder, tracks, store, index, workers, batch_size, device, progress, done)
    done.seconds = time.monotonic() - started
    return done


def _extract(
    encoder: Encoder,
    tracks: Sequence[Track],
    store: EmbeddingStore,
    index: AudioIndex,
    workers: int,
    batch_size: int,
    device: str,
    progress: Callable[[float], None] | None,
    done: Extraction,
) -> None:
    # The key of a fitted encoder's space is made from what it was fitted on, not from its fitted state.
    fingerprint = encoder.fingerprint() if encoder.fitted else store.space.fingerprint
    rows: list[EmbeddingRow] = []
    hashed: list[HashedFile] = []
    flushed = time.monotonic()

    def flush() -> None:
        nonlocal flushed
        written = list(hashed)  # the next group's tracks are being added
        index.add(written)
        if rows:
            store.append(rows)
        rows.clear()
        del hashed[: len(written)]
        flushed = time.monotonic()

    encoding = BatchEncoding(encoder, store.space.width, batch_size, device, flush)

    def groups(stopped: threading.Event) -> Generator[list[_Prepared]]:
        paths = [track.path for track in tracks]
        decoded = decode_all(paths, store.space.audio, workers, store.space.deformation, folder=folder)
        pairs = takewhile(lambda _: not stopped.is_set(), zip(tracks, decoded, strict=True))
        try:
            prepared = _prepare(pairs, store, hashed, done, progress)
            yield from _groups(prepared, GROUP_BATCHES * batch_size, GROUP_SAMPLES)
        finally:
            decoded.close()

    store.home.mkdir(parents=True, exist_ok=True)
    try:
        with scratch_folder(store.home) as folder, prefetched(groups) as ahead:
            for group in ahead:
                rows += _rows(encoding, group)
                if not done.embedded and encoder.fingerprint() != fingerprint:
                    rows.clear()
                    raise UserError(
                        f"the encoder {encoder.name!r} is not what it was before it ran, so its embeddings cannot be "
                        "keyed",
                        "load weights in __init__, and name counters and the like in not_in_fingerprint",
                    )
                done.embedded += len(group)
                done.audio_seconds += sum(item.audio.seconds for item in group)
                if time.monotonic() - flushed > SHARD_SECONDS or len(rows) >= SHARD_ROWS:
                    flush()
    finally:
        flush()


def _rows(encoding: BatchEncoding, group: Sequence[_Prepared]) -> list[EmbeddingRow]:
    """Return the rows of a group to store."""
    embeddings = encoding.embed([TrackWindows(item.track.track_id, item.track.path, item.windows) for item in group])
    return [
        EmbeddingRow(
            item.key, item.track.track_id, item.track.collection, item.audio.seconds, len(item.windows),
            item.audio.clipped, embedding,
        )
        for item, embedding in zip(group, embeddings, strict=True)
    ]  # fmt: skip


def _prepare(
    pairs: Iterable[tuple[Track, Decoded]],
    store: EmbeddingStore,
    hashed: list[HashedFile],
    done: Extraction,
    progress: Callable[[float], None] | None,
) -> Iterator[_Prepared]:
    """Cut each track into windows; note its hash; set damaged ones aside; skip content that the store has."""
    locations, prepared = store.places(), set[str]()
    for track, decoded in pairs:
        if decoded.hashed is not None:
            hashed.append(decoded.hashed)
        if progress is not None:
            progress(decoded.audio.seconds if decoded.audio else 0.0)
        if decoded.audio is None or decoded.hashed is None:
            done.damaged.append(Damage(track.track_id, track.path, decoded.problem, decoded.seconds_recovered))
            continue
        key = decoded.hashed.key
        if key in locations or key in prepared:
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
    windows_held = samples_held = 0
    for item in prepared:
        group.append(item)
        windows_held, samples_held = windows_held + len(item.windows), samples_held + item.audio.samples.size
        if windows_held >= windows or samples_held >= samples:
            yield group
            group, windows_held, samples_held = [], 0, 0
    if group:
        yield group
