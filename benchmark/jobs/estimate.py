"""What embedding would take: tracks, hours of audio, time and disk, by space.

Headers of a sample are read, and two tracks decoded, which tell how fast decoding is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.filesize import decimal

from benchmark.audio.windows import WindowRule, window_starts
from benchmark.encoders.check.speed import Speed

if TYPE_CHECKING:
    from benchmark.embeddings.space import Space
    from benchmark.embeddings.tracks import Track
    from benchmark.encoders.base import Encoder
    from benchmark.jobs.job import Job
    from benchmark.jobs.options import EmbedSettings

SAMPLE = 100  # headers that are read
DECODED = 2  # files that are decoded
BUDGET = 10.0  # seconds that timing an encoder may take
SAID_FROM = 300e6  # bytes of memory for one track
ROW_BYTES = 160  # of a stored row beside its embedding: hash, id, collection, numbers


@dataclass(frozen=True)
class Lengths:
    """How long tracks are.

    Attributes:
        seconds: Seconds of each track, in order; the mean of the others where nobody looked. [N]
        looked_up: Tracks whose length is known from an earlier run.
        read: Tracks whose header was read.
        guessed: Tracks that have the mean.
        unreadable: Files of the sample whose header cannot be read.
    """

    seconds: np.ndarray
    looked_up: int
    read: int
    guessed: int
    unreadable: int = 0

    @property
    def hours(self) -> float:
        """All of them, in hours."""
        return float(self.seconds.sum()) / 3600

    def describe(self) -> str:
        """Say where the hours come from."""
        parts = []
        if self.looked_up:
            parts.append(f"{self.looked_up:,} known from earlier runs")
        if self.read:
            parts.append(f"{self.read:,} from their headers")
        if self.guessed:
            parts.append(f"{self.guessed:,} taken to be as long as those")
        if self.unreadable:
            parts.append(f"{self.unreadable:,} of a sample cannot be read")
        return ", ".join(parts)


@dataclass(frozen=True)
class SpaceEstimate:
    """What embedding the tracks of one space would take; ``seconds`` is ``None`` where it is not known."""

    encoder: str
    windows: str
    tracks: int
    to_embed: int
    lengths: Lengths
    seconds: float | None
    disk: int
    why: str = ""
    memory: str = ""


def lengths_of(tracks: Sequence[Track], keys: Sequence[str | None], known: Mapping[str, float]) -> Lengths:
    """Return how long ``tracks`` are: as ``known`` by content hash, else from at most :data:`SAMPLE` headers.

    Args:
        tracks: The tracks.
        keys: The content hash of each where the audio index has it.
        known: Seconds by content hash.
    """
    import soundfile

    seconds = np.array([known.get(key, np.nan) if key else np.nan for key in keys])
    unknown = np.flatnonzero(np.isnan(seconds))
    looked_up, unreadable = len(tracks) - len(unknown), 0
    # Evenly spread, for a collection's files are often sorted by their kind.
    spread = unknown[np.linspace(0, len(unknown) - 1, min(SAMPLE, len(unknown))).astype(int)] if len(unknown) else []
    for i in spread:
        try:
            seconds[i] = soundfile.info(tracks[i].path).duration
        except (OSError, TypeError, soundfile.SoundFileError):  # a name that ends in .raw is a TypeError
            unreadable += 1
    guessed = np.isnan(seconds)
    if not guessed.all():
        seconds[guessed] = seconds[~guessed].mean()
    return Lengths(seconds, looked_up, len(spread) - unreadable, int(guessed.sum()), unreadable)


def known_seconds(home: Path) -> dict[str, float]:
    """Return the seconds of all audio that was ever embedded into ``home``, by content hash, whatever the encoder."""
    from benchmark.embeddings.store import FOLDER, TornError, read_shard, shards

    known: dict[str, float] = {}
    for folder in sorted((home / FOLDER).glob("*")):
        for path in shards(folder):
            try:
                keys, seconds = read_shard(path, ("key", "seconds"), None)
            except (TornError, FileNotFoundError):
                continue  # the run will set it aside, and say so
            known.update(zip(keys, seconds, strict=True))
    return known


def handed_over(seconds: np.ndarray, windows: WindowRule, sample_rate: int) -> float:
    """Return the seconds of audio that an encoder is handed for tracks of ``seconds``: windows overlap."""
    total = 0.0
    for n in np.nan_to_num(seconds):
        samples = max(round(n * sample_rate), windows.minimum, 1)
        if windows.window is None or samples <= windows.window:
            total += samples / sample_rate
        else:
            total += len(window_starts(samples, windows.window, windows.hop)) * windows.window / sample_rate
    return total


def embedding_seconds(
    speed: Speed, decoding: float | None, lengths: Lengths, job: Job, device: str, workers: int
) -> float:
    """Return the expected wall-clock seconds of an extraction.

    Decoding runs beside the encoder where it has cores of its own; an encoder of tensors on the CPU takes all of them.

    Args:
        speed: Of the encoder.
        decoding: Seconds that one worker takes for a second of audio; ``None`` where no file could be decoded.
        lengths: Of the tracks to embed.
        job: For the windows and the rate.
        device: Where the encoder runs.
        workers: Decoding processes.
    """
    encoding = speed.per_second * handed_over(lengths.seconds, job.store.space.windows, job.encoder.sample_rate)
    decode = (decoding or 0.0) * float(np.nan_to_num(lengths.seconds).sum()) / max(workers, 1)
    beside = workers > 0 and (device != "cpu" or job.encoder.arrays == "numpy")
    return max(encoding, decode) if beside else encoding + decode


def estimates(jobs: Sequence[Job], settings: EmbedSettings, speed: Speed | None = None) -> list[SpaceEstimate]:
    """Return what embedding would take for each space of ``jobs``; encoders with work to do are timed briefly.

    Jobs whose embeddings were computed elsewhere have no such space, and are left out.

    Args:
        jobs: Encoders on tasks.
        settings: How they would be embedded.
        speed: Of the only encoder, where it was measured already.
    """
    from benchmark.audio.index import AudioIndex
    from benchmark.encoders.remote import device_for
    from benchmark.system.machine import workers_of

    index, known = AudioIndex(settings.home), known_seconds(settings.home)
    by_space: dict[str, list[Job]] = {}
    for job in jobs:
        if not job.source.reads_audio:
            continue
        by_space.setdefault(job.store.space.key, []).append(job)
    spaces = []
    for sharing in by_space.values():
        first = sharing[0]
        tracks = {track.path: track for job in sharing for track in job.data.tracks}
        open_tracks = [track for job in sharing if job.kept is None for track in job.data.tracks]
        todo = first.store.missing(open_tracks, index)
        lengths = lengths_of(todo, [index.key(track.path) for track in todo], known)
        seconds: float | None = 0.0
        why = ""
        if todo:
            device, workers = device_for(first.encoder, settings.device), workers_of(settings.workers)
            used, why = (
                (speed, "") if speed else _timed(first.encoder, device, first.store.space.windows, settings.batch_size)
            )
            decoding = decoding_speed(todo, lengths, first)
            seconds = embedding_seconds(used, decoding, lengths, first, device, workers) if used else None
        disk, memory = (
            len(todo) * (first.store.space.width * 4 + ROW_BYTES),
            whole_track_memory(todo, first.store.space),
        )
        windows = format_windows(first.store.space.windows, first.encoder.sample_rate)
        spaces.append(
            SpaceEstimate(first.encoder.name, windows, len(tracks), len(todo), lengths, seconds, disk, why, memory)
        )
    return spaces


def _timed(encoder: Encoder, device: str, windows: WindowRule, batch_size: int) -> tuple[Speed | None, str]:
    from benchmark.encoders.check.check import measure_speed

    speed = measure_speed(encoder, device, windows, batch_size, BUDGET)
    return speed, "" if speed else f"{encoder.name} does not run, or not within {BUDGET:g} s, on audio that is made up"


def decoding_speed(tracks: Sequence[Track], lengths: Lengths, job: Job) -> float | None:
    """Return the seconds that decoding a second of audio takes, by two of ``tracks``; ``None`` where both are damaged.

    The two are of middle length, so that none of an hour is chosen among songs.
    """
    from benchmark.audio.decode import DamagedAudioError, load

    middle = np.argsort(np.nan_to_num(lengths.seconds), kind="stable")
    chosen = middle[len(middle) // 2 :][: DECODED + 1]
    spent = heard = 0.0
    for i in chosen[-DECODED:]:
        started = time.perf_counter()
        try:
            heard += load(tracks[i].path, job.store.space.audio).seconds
        except (OSError, DamagedAudioError):
            continue
        spent += time.perf_counter() - started
    return spent / heard if heard else None


def whole_track_memory(tracks: Sequence[Track], space: Space) -> str:
    """Say what the longest of ``tracks`` takes in memory, for an encoder that takes whole tracks; nothing if little.

    All headers are read. Samples are held as they are decoded, mixed and resampled, and once more in a batch.
    """
    import soundfile

    if space.windows.window is not None and space.audio.decoding == "plain":
        return ""
    most, longest, hours = 0.0, None, 0.0
    for track in tracks:
        try:
            info = soundfile.info(track.path)
        except (OSError, TypeError, soundfile.SoundFileError):
            continue
        values = info.duration * space.audio.sample_rate * space.audio.channels
        if space.audio.decoding != "plain":
            values += info.frames * info.channels
        if info.frames < 2**62 and 8 * values > most:
            most, longest, hours = 8 * values, track, info.duration / 3600
    if longest is None or most < SAID_FROM:
        return ""
    return (
        f"{space.encoder} takes whole tracks, and the longest of them ({longest.path.name}, {hours:.1f} h) about "
        f"{decimal(int(most))} of memory beside the encoder's own: leave it out where that is too much"
    )


def format_windows(windows: WindowRule, sample_rate: int) -> str:
    """Return how tracks are cut, in a few words."""
    if windows.window is None:
        return "whole tracks"
    return f"{windows.window / sample_rate:g} s every {windows.hop / sample_rate:g} s"


def format_time(seconds: float) -> str:
    """Return a time as a person says it: ``under 1 s``, ``40 s``, ``12 min``, ``3.4 h``."""
    if seconds <= 0:
        return "0 s"
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
