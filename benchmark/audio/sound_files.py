"""Sound files, decoded from start to end in blocks, and the reason where one is damaged.

soundfile (libsndfile) decodes wav, flac, mp3, ogg, au, aiff and opus; PyAV, where it is installed, what libsndfile
cannot read (:mod:`benchmark.audio.av_decoder`). What libsndfile says is not believed: the file's own
bytes are looked at before (:mod:`benchmark.audio.inspection`), and what was played is held against them after.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from benchmark.audio import chunks
from benchmark.audio.av_decoder import PlayingError, Stream
from benchmark.audio.inspection import LIMITED, REFUSED, RESYNC, TAG_AT_END, Contents, inspect_file, unheard
from benchmark.audio.ogg import ogg_problem

if TYPE_CHECKING:
    from soundfile import SoundFile

    from benchmark.audio.mpeg import Frames

FAR_OUTSIDE = 8.0  # +18 dB: no codec overshoots that far; such a file holds unscaled integers
MP3_SLACK = 2 * 1152  # frames: encoder delay and padding, where the header counts them differently
BLOCK_SECONDS, BLOCK_VALUES = 10, 2**21
RATES = 1_000, 768_000  # Hz of audio
MOST_CHANNELS, MOST_SECONDS = 64, 24 * 3600
RESTART_SECONDS = 600  # an mp3 or Opus decoder is set anew so often, which leaves a faint artefact there
SHORT_CHUNK = re.compile(r"^\s*(data|SSND|Data Size)\s*:\s*(\d+)\s*\(should be (\d+)\)", re.MULTILINE)


NO_HEADER = "it has no header, which would say its rate and channels. Convert it to flac or wav"


class DamagedAudioError(Exception):
    """A file that cannot be used whole. ``problem`` says why; ``seconds_recovered`` how much could be decoded.

    ``form`` is part of the file's key, as in :class:`~benchmark.audio.inspection.Contents`.
    """

    def __init__(self, problem: str, seconds_recovered: float = 0.0, form: str = "") -> None:
        super().__init__(problem, seconds_recovered, form)
        self.problem, self.seconds_recovered, self.form = problem, seconds_recovered, form


class Player:
    """A file that is played once.

    Attributes:
        rate: Samples a second.
        channels: Channels.
        note: What is to be told of the file though it is used; mostly nothing.
        form: See :class:`~benchmark.audio.inspection.Contents`.
        peak: The largest absolute sample so far.
        played: Samples so far.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``.

        Raises:
            DamagedAudioError: It is missing, empty, not audio, or of a form of which libsndfile would play a part.
        """
        self._path = path
        self._contents = _contents(path)
        self._stream = _stream(path) if self._contents.by_av else None
        self._file = cast("Any", _opened(path, self._contents) if self._stream is None else self._stream)
        self.note, self.form = self._contents.note, self._contents.form
        self.peak, self.played = 0.0, 0
        if self._stream is not None:
            self.rate, self.channels, self._promised = self._stream.rate, self._stream.channels, self._stream.promised
        else:
            self.rate, self.channels, self._promised = self._file.samplerate, self._file.channels, self._file.frames
            self._info = self._file.format, self._file.subtype
        samples = self._contents.samples
        if self.form == LIMITED and samples is not None:
            self._promised = min(self._promised, samples.said // samples.format.block)
        self._limit, self._skip = self._promised, 0
        problem = self._implausible()
        if problem:
            self._file.close()
            raise DamagedAudioError(problem)
        frames = self._contents.frames
        if frames is not None and (self._contents.samples is not None or not frames.counted):
            self._play_frames(frames)

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def blocks(self, seconds: float = BLOCK_SECONDS) -> Iterator[np.ndarray]:
        """Yield the samples, float32 [up to ``seconds`` of them, channels].

        Raises:
            DamagedAudioError: A block cannot be decoded or holds bad samples, or, after the last one, the file turns
                out to hold more than was played.
        """
        size = min(max(round(seconds * self.rate), 1), max(BLOCK_VALUES // self.channels, 1))
        for block in self._by_libsndfile(size) if self._stream is None else self._by_av(self._stream):
            self.peak = max(self.peak, _peak(block, self.played, self.rate))
            self.played += len(block)
            if self.played > MOST_SECONDS * self.rate:
                raise DamagedAudioError(f"it is longer than {MOST_SECONDS // 3600} hours: cut it", MOST_SECONDS)
            yield block
        problem = "" if self._stream is not None else self._shortfall()
        if problem or not self.played:
            raise DamagedAudioError(problem or "no samples", self.played / self.rate)
        problem = unheard(self._contents, self.played, self.rate)
        if problem:
            raise DamagedAudioError(problem, self.played / self.rate, REFUSED)

    def _by_libsndfile(self, size: int) -> Iterator[np.ndarray]:
        import soundfile

        try:
            yield from _blocks(self._file, size, self._limit, self._skip)
        except soundfile.LibsndfileError as error:
            recovered = _recoverable(self._path, self._contents) / self.rate
            raise DamagedAudioError(f"decoding failed: {_reason(error)}", recovered) from None

    def _by_av(self, stream: Stream) -> Iterator[np.ndarray]:
        try:
            yield from stream.blocks()
        except PlayingError as error:
            raise DamagedAudioError(str(error), error.played) from None

    def _implausible(self) -> str:
        """Return why the header's rate, channels or length are none of audio: they decide what a file becomes."""
        lowest, highest = RATES
        if not lowest <= self.rate <= highest:
            return (
                f"its header says {self.rate} Hz, which is no rate of audio ({lowest // 1000} to {highest // 1000} kHz)"
            )
        if not 1 <= self.channels <= MOST_CHANNELS:
            return f"its header says {self.channels} channels, and no more than {MOST_CHANNELS} are taken"
        if MOST_SECONDS * self.rate < self._promised < 2**62:
            hours = self._promised / self.rate / 3600
            return f"its header says {hours:,.0f} hours, and no more than {MOST_SECONDS // 3600} are taken: cut it"
        return ""

    def _play_frames(self, frames: Frames) -> None:
        """Play an MPEG stream that does not count its frames, or lies in a WAV file, from its first frame to its last.

        libsndfile guesses the length of such a file from the bit rate at its start and plays no further, which leaves
        most of a file of variable bit rate unheard. Behind one silent frame of the lowest bit rate the guess is never
        too low. What follows the last frame is kept from the decoder, which gives up there.
        """
        from benchmark.audio.spans import Spans

        kind, sound, inside = frames.kind, frames.with_sound * frames.kind.samples, self._contents.samples is not None
        trailer = self._contents.size - frames.end
        stop = frames.end if inside or trailer > TAG_AT_END else self._contents.size
        pieces: list[bytes | tuple[int, int]] = [(frames.start, stop)]
        if kind.layer == 3 and not frames.counted and (inside or sound >= self._promised or trailer > RESYNC):
            head, length = self._head(frames.start), (144 * 32_000 if kind.version == 3 else 72 * 8_000) // kind.rate
            pieces.insert(0, bytes([0xFF, head[1] | 1, 0x10 | head[2] & 0x0C, head[3]]).ljust(length, b"\0"))
            self._skip = kind.samples
        elif not inside and trailer <= RESYNC:
            self._limit = min(sound, self._promised)
            return
        self._file.close()
        self._file = _player(Spans(self._path, pieces))
        self._limit = self._file.frames

    def _head(self, at: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(at)
            return file.read(4)

    def _shortfall(self) -> str:
        """Return what is missing of the file, now that all of it was played, or nothing."""
        promised, slack, (container, codec) = self._promised, 0, self._info
        if codec.startswith("MPEG"):
            frames = self._contents.frames
            promised, slack = (promised if frames is not None and frames.counted else 0), MP3_SLACK
        if 0 < promised < 2**62 and self.played < promised - slack:
            return f"it decodes short of its header: {self.played} of {promised} samples"
        samples = self._contents.samples
        block = 1 if samples is None else samples.format.block
        # libsndfile trims the length of uncompressed files to what is there, and logs what the header said.
        for name, declared, real in SHORT_CHUNK.findall(self._file.extra_info):
            if int(declared) > int(real) and int(declared) and not chunks.is_unknown(int(declared), block):
                return f"its {name} chunk holds {real} of {declared} bytes"
        return ogg_problem(self._path) if container == "OGG" else ""


def _contents(path: Path) -> Contents:
    """Look at a file, and refuse what is not to be decoded."""
    try:
        if not path.is_file():
            raise DamagedAudioError("it is not a file" if path.exists() else "the file is missing")
        if path.stat().st_size == 0:
            raise DamagedAudioError("the file is empty (0 bytes)")
        contents = inspect_file(path)
    except OSError as error:
        raise DamagedAudioError(f"it cannot be read: {error.strerror or error}") from None
    if contents.problem:
        raise DamagedAudioError(contents.problem, contents.seconds, REFUSED)
    return contents


def _stream(path: Path) -> Stream:
    try:
        return Stream(path)
    except PlayingError as error:
        raise DamagedAudioError(str(error), error.played) from None


def _opened(path: Path, contents: Contents) -> SoundFile:
    """Open a file, or what of it libsndfile is to see."""
    import soundfile

    from benchmark.audio.spans import Spans, patched

    samples = contents.samples
    try:
        if samples is not None and samples.patches:
            return _player(patched(path, samples.patches, samples.at + samples.present))
        try:
            file = _player(path)
        except TypeError:  # soundfile asks for arguments where a name ends in .raw, whatever the file holds
            file = _player(Spans(path, [(0, contents.size)]))
    except (soundfile.LibsndfileError, ValueError) as error:
        raise DamagedAudioError(_not_audio(path, _reason(error))) from None
    if file.format == "RAW":  # libsndfile's guess from a suffix, where there is no header
        file.close()
        raise DamagedAudioError(_not_audio(path, NO_HEADER))
    return file


def _player(source: object) -> SoundFile:
    """Open a file for one pass: soundfile would seek after each read, which some decoders cannot, or not exactly."""
    from soundfile import SoundFile

    class OnePass(SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return False

    return OnePass(source)


def _blocks(file: SoundFile, size: int, limit: int, skip: int = 0) -> Iterator[np.ndarray]:
    """Yield the file's samples, float32 [up to size, channels], up to ``limit``, without the first ``skip``."""
    restart = RESTART_SECONDS * file.samplerate if file.format in ("MP3", "OGG") else 0
    done, short = 0, False
    while wanted := min(size, limit - done, restart - done % restart if restart else size):
        block = file.read(wanted, dtype="float32", always_2d=True)
        if not len(block):
            return
        if short:
            # libsndfile stops at a gap in an Ogg stream and continues after it when asked again.
            raise DamagedAudioError("samples are missing in the middle", done / file.samplerate)
        done, short = done + len(block), len(block) < wanted
        if len(block) > skip:
            yield block[skip:]
        skip = max(skip - len(block), 0)
        if restart and done % restart == 0:
            file.seek(done)


def _peak(block: np.ndarray, offset: int, rate: int) -> float:
    """Return the largest absolute sample of a block that starts ``offset`` samples into the file."""
    peak = float(np.abs(block).max())
    if not np.isfinite(peak):
        bad = offset + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
        raise DamagedAudioError(f"samples that are not finite, the first at {bad / rate:.2f} s", bad / rate)
    if peak > FAR_OUTSIDE:
        raise DamagedAudioError(f"samples far outside [-1, 1] (peak {peak:.3g}): is it unscaled?", offset / rate)
    return peak


def _recoverable(path: Path, contents: Contents) -> int:
    """Return how many frames decode before the first error, read in small blocks."""
    import soundfile

    frames = 0
    with _opened(path, contents) as file:
        try:
            for block in _blocks(file, 4096, file.frames):
                frames += len(block)
        except (soundfile.LibsndfileError, DamagedAudioError):
            pass
    return frames


def _not_audio(path: Path, reason: str) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if not head.strip(b"\0"):
        return "it begins with zeros, and is no audio that libsndfile can read: fetch it again"
    if path.suffix.lower() in (".raw", ".pcm"):
        reason = NO_HEADER
    elif "exist" in reason:  # libsndfile's words for what it does not know
        reason = f"its first bytes are {head[:8].hex(' ')}, which no format that it knows begins with"
    return f"it is not audio that libsndfile can read: {reason}"


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
