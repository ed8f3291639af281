"""Batches for pre-training: any step of a run at random access, so that a resumed run sees what an unbroken one sees.

As in the paper, tracks are drawn uniformly with replacement, and of each one random crop of 3 s, unpadded; a positive
pair is two crops of one track whose centres are less than 5 s apart, or both anywhere in one clip of 10 s; or, as in
Meseguer-Brocal et al. 2024, whose centres are 4 s apart at least.

Crops are log-mels, waveforms, or both, of the same places. Log-mels are as they are stored: mixup belongs on them, and
standardisation of each crop, which the published encoder does
(:func:`benchmark.encoders.published.mule.frontend.standardised`), behind it, on the device of the network. Whether the
published training standardised before mixup, or behind it, is not known.

All draws of a step are a counter-based stream of (seed, step): raw 64-bit words of Philox, which numpy keeps as they
are over its versions. With several processes each computes the draws of the joint batch and reads its own part.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Literal

import numpy as np

from benchmark.errors import UserError
from benchmark.pretraining.data.shard_readers import as_float32
from benchmark.pretraining.data.shards import FRAMES_PER_SECOND
from benchmark.pretraining.data.store import Store

CROP = 300  # frames
DRAWS = 3  # track, first crop, second crop
CAPTIONS = 1  # the stream of draws that choose among the captions of a track: that of crops is 0

#: What a batch holds of each crop: log-mels [96, frames], samples [160 * frames], or both.
Signal = Literal["log-mel", "waveform"]
LOG_MEL: frozenset[Signal] = frozenset({"log-mel"})
THREADS = 2


@dataclass(frozen=True)
class Pairs:
    """How the two crops of a positive pair lie.

    ``within``: their centres are less than ``seconds`` apart; the first lies anywhere in the track. ``clip``: both lie
    anywhere in one clip of ``seconds``, the same for a track at every step (a whole track that is no longer).
    ``apart``: their centres are ``seconds`` apart at least, the first wherever another one has room; in a track that is
    too short for it, one lies at its start and one at its end (:attr:`Sampler.too_short` counts these).
    """

    rule: Literal["within", "clip", "apart"] = "within"
    seconds: float = 5.0


#: The two rules of the paper: full songs (Musicset-ULarge), and clips (AudioSet; Musicset-USmall).
WITHIN_5_SECONDS = Pairs("within", 5.0)
WITHIN_CLIP = Pairs("clip", 10.0)
#: The rule of Meseguer-Brocal et al. 2024.
APART_4_SECONDS = Pairs("apart", 4.0)


@dataclass(frozen=True)
class Batch:
    """One step's part of one process.

    Attributes:
        step: The step.
        rows: Rows of the store, int64 [B].
        first: Log-mels [B, 96, frames], float32 and contiguous, or as the store gives them (float16); ``None`` where
            they are not asked for.
        second: The other crop of each positive pair, of the same kind; ``None`` without pairs.
        labels: float32 [B, labels], NaN where one is not known; ``None`` where they are not asked for.
        tracks: Number of the track of each row, int64 [B]: two pieces of one track share it; ``None`` for the rows.
        masked: Whether labels of the store, if not of this batch, are not known: the same on all processes.
        waveforms: float32 [B, 160 * frames] of each crop of a track: one or, of pairs, two; empty where they are not
            asked for. Sample 160 * s belongs to frame s.
        captions: A caption of each track, ``None`` where it has none; of several, one is drawn. ``None`` where they are
            not asked for.
    """

    step: int
    rows: np.ndarray
    first: np.ndarray | None
    second: np.ndarray | None
    labels: np.ndarray | None
    tracks: np.ndarray | None = None
    masked: bool = False
    waveforms: tuple[np.ndarray, ...] = ()
    captions: tuple[str | None, ...] | None = None


class Sampler:
    """The batches of a run.

    Attributes:
        batch_size: Tracks of the joint batch, over all processes.
        here: Tracks of this process's part.
        too_short: Tracks of the store in which two crops cannot lie as far apart as the pairs ask for.
    """

    def __init__(
        self,
        store: Store,
        *,
        batch: int,
        seed: int,
        frames: int = CROP,
        pairs: Pairs | None = None,
        labels: bool | None = None,
        precision: Literal["float32", "float16"] = "float32",
        rank: int = 0,
        world: int = 1,
        signals: frozenset[Signal] = LOG_MEL,
        captions: bool = False,
    ) -> None:
        """Describe the batches.

        Args:
            store: Where crops come from.
            batch: Tracks of the joint batch, a multiple of ``world``.
            seed: From 0 to 2**64 - 1.
            frames: Length of a crop.
            pairs: How positive pairs lie; ``None`` draws single crops.
            labels: Whether batches have labels; ``None`` where the store has them and crops are single.
            precision: ``float16`` leaves log-mels as they are stored, in their order in memory, to be sent to an
                accelerator at half the size and converted there.
            rank: Number of this process, from 0.
            world: Number of processes. Their parts, in order of their ranks, are the joint batch of a single process.
            signals: What batches hold of each crop. It changes nothing of which crops are drawn.
            captions: Whether batches have captions.

        Raises:
            UserError: The store has fewer tracks than the batch, a track is shorter than the crop, labels, waveforms or
                captions are asked for and there are none, or a number does not fit.
        """
        if batch < 1 or frames < 1 or not 0 <= seed < 2**64 or not 0 <= rank < world:
            raise UserError(
                f"batch {batch}, frames {frames}, seed {seed} and rank {rank} of {world} processes cannot be used",
                "give batch and frames of at least 1, a seed from 0 to 2**64 - 1, and a rank below the number of "
                "processes",
            )
        if batch % world:
            raise UserError(f"a batch of {batch} cannot be shared equally among {world} processes", "choose a multiple")
        if store.tracks < batch:
            raise UserError(
                f"the store {store.path} has {store.tracks} tracks, fewer than the batch of {batch}: the same tracks "
                "would meet in every batch",
                "Prepare more audio, choose a smaller batch, or cut long tracks: bench pretrain prepare --cut SECONDS",
            )
        row, shortest = store.shortest()
        if shortest < frames:
            raise UserError(
                f"the track {store.track_ids([row])[0]!r} of the store {store.path} has {shortest} frames, and a crop "
                f"takes {frames}",
                "choose shorter crops, or leave such tracks out of the store",
            )
        if pairs is not None and (pairs.rule == "clip" and round(pairs.seconds * FRAMES_PER_SECOND) < frames):
            raise UserError(
                f"a crop of {frames} frames does not fit into a clip of {pairs.seconds:g} s",
                "give shorter crops or longer clips",
            )
        if pairs is not None and pairs.seconds <= 0:
            raise UserError(
                f"a pair less than {pairs.seconds:g} s apart cannot be drawn",
                "give clips of more than 0 s",
            )
        if labels and store.labels is None:
            raise UserError(
                f"the store {store.path} has no labels",
                "prepare it with --labels, or with a manifest of them",
            )
        _refuse_lack(store, signals, captions=captions)
        self.batch_size, self.here = batch, batch // world
        self.too_short = 0
        if pairs is not None and pairs.rule == "apart":
            room = store.frames(np.arange(store.tracks)) - frames
            self.too_short = int((room < _reach(pairs)).sum())
        self._signals, self._captions = signals, captions
        self._store, self._seed, self._frames, self._pairs = store, seed, frames, pairs
        self._labels = labels if labels is not None else store.labels is not None and pairs is None
        self._float32 = precision == "float32"
        self._part = slice(rank * self.here, (rank + 1) * self.here)

    def places(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return rows, first frames, and first frames of the other crops of this process's part, each int64 [here]."""
        drawn = uniform(self._seed, step, self.batch_size, DRAWS)[self._part]
        rows = (drawn[:, 0] * self._store.tracks).astype(np.int64)
        length = self._store.frames(rows)
        low = np.zeros(len(rows), np.int64)
        if self._pairs is not None and self._pairs.rule == "clip":
            clip = np.minimum(length, round(self._pairs.seconds * FRAMES_PER_SECOND) + 1)
            low = (of_rows(self._seed, rows) * (length - clip + 1)).astype(np.int64)
            length = low + clip
        high = length - self._frames
        if self._pairs is not None and self._pairs.rule == "apart":
            return rows, *_apart(high, _reach(self._pairs), drawn[:, 1], drawn[:, 2])
        first = _between(low, high, drawn[:, 1])
        if self._pairs is None:
            return rows, first, None
        if self._pairs.rule == "within":
            reach = _reach(self._pairs) - 1
            low, high = np.maximum(low, first - reach), np.minimum(high, first + reach)
        return rows, first, _between(low, high, drawn[:, 2])

    def batch(self, step: int) -> Batch:
        """Return this process's part of a step, from 0. Threads may ask at once.

        Raises:
            UserError: The store cannot be read.
        """
        rows, first, second = self.places(step)
        labels = self._store.label_rows(rows) if self._labels else None
        tracks, masked = self._store.track_numbers(rows), self._labels and self._store.has_unknown_labels
        captions, views = self._captions_of(rows, step), 1 if second is None else 2
        if second is not None:
            rows_of_crops, starts = np.concatenate([rows, rows]), np.concatenate([first, second])
        else:
            rows_of_crops, starts = rows, first
        crops: list[np.ndarray | None] = [None, None]
        waveforms: tuple[np.ndarray, ...] = ()
        if "log-mel" in self._signals:
            crops[:views] = _parts(self._crops(rows_of_crops, starts), views)
        if "waveform" in self._signals:
            waveforms = _parts(self._store.waveforms(rows_of_crops, starts, self._frames), views)
        return Batch(step, rows, crops[0], crops[1], labels, tracks, masked, waveforms, captions)

    def _captions_of(self, rows: np.ndarray, step: int) -> tuple[str | None, ...] | None:
        if not self._captions:
            return None
        drawn = uniform(self._seed, step, self.batch_size, 1, CAPTIONS)[self._part, 0]
        return self._store.captions(rows, drawn)

    def _crops(self, rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
        crops = self._store.crops(rows, starts, self._frames)
        return as_float32(crops) if self._float32 else crops


def _parts(crops: np.ndarray, views: int) -> tuple[np.ndarray, ...]:
    """Return the crops of each view, of which there are one or two."""
    size = len(crops) // views
    return tuple(crops[view * size : (view + 1) * size] for view in range(views))


def _refuse_lack(store: Store, signals: frozenset[Signal], *, captions: bool) -> None:
    """See whether a store has what batches are to hold.

    Raises:
        UserError: It has not.
    """
    if not signals or not signals <= {"log-mel", "waveform"}:
        raise ValueError(f"signals {sorted(signals)}")
    if "waveform" in signals and not store.has_waveforms:
        raise UserError(
            f"the store {store.path} has no waveforms",
            f"Add them, its log-mels stay: bench pretrain prepare AUDIO --out {store.path} --waveforms",
        )
    if captions and not store.has_captions:
        raise UserError(
            f"the store {store.path} has no captions",
            f"Add them, its log-mels stay: bench pretrain prepare AUDIO --out {store.path} --captions FILE.csv",
        )


def stream(
    sampler: Sampler, start: int = 0, *, stop: int | None = None, threads: int = THREADS, ahead: int | None = None
) -> Iterator[Batch]:
    """Yield the batches from step ``start`` on, in order, while threads make the next ones.

    Args:
        sampler: What makes them.
        start: The first step.
        stop: The step before which it ends; ``None`` for never.
        threads: Threads that make batches.
        ahead: Batches that are made or being made beside the one in use, which bounds the memory; ``None`` for one more
            than threads.

    Raises:
        UserError: The store cannot be read; the batches before that step come first.
    """
    if threads < 1 or (ahead is not None and ahead < 1):
        raise ValueError(f"{threads} threads, {ahead} batches ahead")
    steps = count(start) if stop is None else iter(range(start, stop))
    flying: deque[Future[Batch]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="batches")
    try:
        while True:
            while len(flying) < (ahead or threads + 1) and (step := next(steps, None)) is not None:
                flying.append(pool.submit(sampler.batch, step))
            if not flying:
                return
            yield flying.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def uniform(seed: int, step: int, rows: int, draws: int, purpose: int = 0) -> np.ndarray:
    """Return float64 [rows, draws] in [0, 1): row i is the same whatever the number of rows, or other purposes."""
    key, counter = np.array([seed, purpose], np.uint64), np.array([0, step, 0, 0], np.uint64)
    stream_of_step = np.random.Philox(key=key, counter=counter)
    return _in_unit(stream_of_step.random_raw(rows * draws)).reshape(rows, draws)


def of_rows(seed: int, rows: np.ndarray) -> np.ndarray:
    """Return float64 [n] in [0, 1), one number for each row of the store: SplitMix64 of (seed, row)."""
    with np.errstate(over="ignore"):
        mixed = (np.uint64(seed) ^ np.uint64(0x5851F42D4C957F2D)) + rows.astype(np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return _in_unit(mixed ^ (mixed >> np.uint64(31)))


def _in_unit(words: np.ndarray) -> np.ndarray:
    return (words >> np.uint64(11)) * 2.0**-53


def _between(low: np.ndarray, high: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return whole numbers from ``low`` to ``high``, both included."""
    return low + (drawn * (high - low + 1)).astype(np.int64)


def _reach(pairs: Pairs) -> int:
    """Return the least number of frames that are ``seconds`` or more."""
    return math.ceil(pairs.seconds * FRAMES_PER_SECOND)


def _apart(high: np.ndarray, reach: int, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first frames of two crops, from 0 to ``high``, at least ``reach`` apart, or as far apart as can be.

    Args:
        high: The last first frame of each track, int64 [n].
        reach: Frames.
        first: Draws of the one crop, float64 [n] in [0, 1).
        second: Draws of the other.
    """
    reach_here = np.minimum(reach, high)
    # Places from which another crop has room: up to ``high - reach``, and from ``reach`` on, which may overlap.
    before = high - reach_here + 1
    skipped = np.maximum(0, reach_here - before)
    one = _between(np.zeros_like(high), high - skipped, first)
    one = np.where(one >= before, one + skipped, one)
    # Of these, up to ``one - reach``, and from ``one + reach`` on.
    left = np.maximum(0, one - reach_here + 1)
    right = np.maximum(0, high - (one + reach_here) + 1)
    place = (second * (left + right)).astype(np.int64)
    return one, np.where(place < left, place, place - left + one + reach_here)
