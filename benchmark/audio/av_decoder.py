"""FFmpeg, by PyAV, as a second decoder: for the sound that libsndfile cannot read, where the extra ``av`` is installed.

It keeps the contract of :mod:`benchmark.audio.sound_files`: a file is played whole, or refused with the reason. FFmpeg
leaves out what an encoder put before and behind the sound where the file says how much that is (MP4 does, bare AAC does
not). Its version is part of the key of embeddings of these files, and of no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

FORM = "av-"
INSTALL = "pip install -c constraints.txt -e '.[av]'"
GATHERED = 2**16  # samples that are handed on at a time: frames hold about a thousand
SLACK_SECONDS = 0.1  # by which a length in a header may be above what is decoded: some count priming and padding
COUNTED = {"mp4", "asf", "wv", "tta", "ape", "tak"}  # whose headers say how long they are; of others FFmpeg guesses
PADDING = 8192  # samples that an encoder may add to fill its last frames
SCALES = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "flt": 1.0, "dbl": 1.0}


class PlayingError(Exception):
    """FFmpeg cannot play a file, or not all of it; the message says why. ``played`` seconds were."""

    def __init__(self, problem: str, played: float = 0.0) -> None:
        super().__init__(problem)
        self.played = played


def form() -> str:
    """Return what names this decoder in a key, with its version; nothing where it is not installed."""
    try:
        return f"{FORM}{version('av')}"
    except PackageNotFoundError:
        return ""


class Stream:
    """The first audio stream of a file, played once.

    Attributes:
        rate: Samples a second, of the frames and not of the header: some codecs double it.
        channels: Channels.
        promised: Samples that the header says; 0 where it does not.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path`` and decode its first frame.

        Raises:
            PlayingError: It holds no sound that FFmpeg can play.
        """
        import av

        self._error: type[Exception] = av.FFmpegError
        try:
            self._container: Any = av.open(str(path), metadata_errors="ignore")
        except (self._error, OSError, ValueError) as error:
            raise PlayingError(f"FFmpeg cannot read it: {_reason(error)}") from None
        try:
            self._open()
        except BaseException:
            self._container.close()
            raise

    def _open(self) -> None:
        if not self._container.streams.audio:
            raise PlayingError("it holds no sound")
        stream = self._container.streams.audio[0]
        self._frames = self._decoded(stream)
        self.rate = self.channels = 0
        self._first = next(self._frames, None)
        if self._first is None:
            raise PlayingError("no samples")
        self.rate, self.channels = self._first.sample_rate, len(self._first.layout.channels)
        names = set(self._container.format.name.split(","))
        seconds = float(stream.duration * stream.time_base) if stream.duration and names & COUNTED else 0.0
        self.promised = round(seconds * self.rate)
        self._trims = "mp4" in names and self.promised > 0

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the samples, float32 [n, channels].

        Raises:
            PlayingError: A frame cannot be decoded, is not like the first, or frames are missing at the end.
        """
        gathered: list[np.ndarray] = []
        held = played = 0
        for frame in self._all():
            samples = _samples(frame)
            if self._trims:  # what follows the length of an MP4's header is its encoder's padding
                samples = samples[: max(self.promised - played, 0)]
            played += frame.samples
            if len(samples):
                gathered.append(samples)
                held += len(samples)
            if held >= GATHERED:
                yield np.concatenate(gathered)
                gathered, held = [], 0
        if gathered:
            yield np.concatenate(gathered)
        if played + SLACK_SECONDS * self.rate < self.promised or (self._trims and played > self.promised + PADDING):
            raise PlayingError(
                f"its header says {self.promised} samples, and it holds {played}",
                min(played, self.promised) / self.rate,
            )

    def _all(self) -> Iterator[Any]:
        played = 0
        for frame in chain([self._first], self._frames):
            if (frame.sample_rate, len(frame.layout.channels)) != (self.rate, self.channels):
                raise PlayingError(
                    f"its sound changes from {self.rate} Hz with {self.channels} channel(s) to {frame.sample_rate} Hz "
                    f"with {len(frame.layout.channels)}",
                    played / self.rate,
                )
            yield frame
            played += frame.samples

    def _decoded(self, stream: Any) -> Iterator[Any]:
        """Yield the frames of a stream that hold samples."""
        played = 0.0
        try:
            for packet in self._container.demux(stream):
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise PlayingError(f"a frame is damaged at {played:.2f} s", played)
                    if frame.samples:
                        played += frame.samples / frame.sample_rate
                        yield frame
        except (self._error, OSError, ValueError) as error:
            raise PlayingError(f"decoding failed: {_reason(error)}", played) from None


def _samples(frame: Any) -> np.ndarray:
    """Return a frame's samples, float32 [n, channels] at full scale 1."""
    name, channels = frame.format.name, len(frame.layout.channels)
    values = frame.to_ndarray()
    values = values.T if name.endswith("p") else values.reshape(-1, channels)
    kind = name.removesuffix("p")
    if kind not in SCALES:
        raise PlayingError(f"its samples are of the format {name}")
    if kind == "u8":
        values = values.astype(np.float32) - SCALES["u8"]
    return np.ascontiguousarray(values * (1 / SCALES[kind]), np.float32)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip().rstrip(".")
