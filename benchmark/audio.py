"""Audio: decode, mix, resample, cut into windows. One file in, one float32 array out, or a reason why not.

soundfile (libsndfile) decodes wav, flac, mp3, ogg, au, aiff and opus; soxr resamples at HQ. A file is refused, with the
seconds that could be recovered, when it decodes short of its header, holds nothing, is not audio, or has samples that
are not finite or far outside full scale. Samples slightly beyond full scale (lossy codecs overshoot) are clipped to
[-1, 1] and the track is counted as clipped.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

if TYPE_CHECKING:
    from soundfile import SoundFile

#: Changes whenever the same file and rule would give other samples.
PIPELINE_VERSION = 1

FAR_OUTSIDE = 8.0  # +18 dB: no codec overshoots that far; such a file holds unscaled integers
MP3_SLACK = 2 * 1152  # frames: encoder delay and padding, where the header counts them differently
BLOCK_SECONDS = 60
SHORT_CHUNK = re.compile(r"^\s*(data|SSND|Data Size)\s*:\s*(\d+)\s*\(should be (\d+)\)", re.MULTILINE)
UNKNOWN_LENGTHS = {0, 0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF}  # what writers to a pipe leave in a header


@dataclass(frozen=True)
class AudioRule:
    """How a file becomes an encoder's input: its rate in Hz and its channels (1: the mean, 2: stereo)."""

    sample_rate: int
    channels: Literal[1, 2] = 1


@dataclass(frozen=True)
class Audio:
    """A decoded file: float32 [channels, samples] in [-1, 1], its own length in seconds, and whether it was clipped."""

    samples: np.ndarray
    seconds: float
    clipped: bool


class DamagedAudioError(Exception):
    """A file that cannot be used whole. ``problem`` says why; ``seconds_recovered`` how much could be decoded."""

    def __init__(self, problem: str, seconds_recovered: float = 0.0) -> None:
        super().__init__(problem, seconds_recovered)
        self.problem, self.seconds_recovered = problem, seconds_recovered


def pipeline_name() -> str:
    """Return the audio pipeline's version with the libraries that shape its samples, for keys and records."""
    import soundfile
    import soxr

    return f"{PIPELINE_VERSION}; libsndfile {soundfile.__libsndfile_version__}; soxr {soxr.__version__} HQ"


def load(path: Path, rule: AudioRule) -> Audio:
    """Decode ``path`` whole and bring it to ``rule``.

    Raises:
        DamagedAudioError: The file is missing, empty, not audio, shorter than its header says, or holds bad samples.
    """
    import soxr

    samples, rate, peak = decode(path, rule.channels)
    seconds = len(samples) / rate
    if rate != rule.sample_rate:
        samples = soxr.resample(samples, rate, rule.sample_rate, quality="HQ")
    if len(samples) == 0:
        raise DamagedAudioError("too short to resample", seconds)
    np.clip(samples, -1, 1, out=samples)
    return Audio(np.ascontiguousarray(samples.T), seconds, peak > 1)


def decode(path: Path, channels: Literal[1, 2] = 1) -> tuple[np.ndarray, int, float]:
    """Decode ``path`` at its own rate, mixing block by block so that only the mix of a long file is held.

    Returns:
        float32 [samples, channels], its rate in Hz, and the largest absolute sample before mixing.

    Raises:
        DamagedAudioError: See :func:`load`.
    """
    import soundfile

    if not path.is_file():
        raise DamagedAudioError("the file is missing")
    if path.stat().st_size == 0:
        raise DamagedAudioError("the file is empty (0 bytes)")
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise DamagedAudioError(_not_audio(path, error)) from None
    with file:
        rate, peak = file.samplerate, 0.0
        blocks: list[np.ndarray] = []
        try:
            while len(block := file.read(BLOCK_SECONDS * rate, dtype="float32", always_2d=True)):
                peak = max(peak, _peak(block, sum(map(len, blocks)), rate))
                blocks.append(_mix(block, channels))
        except soundfile.LibsndfileError as error:
            raise DamagedAudioError(f"decoding failed: {_reason(error)}", _recoverable(path) / rate) from None
        samples = np.concatenate(blocks or [np.zeros((0, channels), np.float32)])
        problem = _shortfall(path, file, len(samples))
    if problem or len(samples) == 0:
        raise DamagedAudioError(problem or "no samples", len(samples) / rate)
    return samples, rate, peak


def _peak(block: np.ndarray, offset: int, rate: int) -> float:
    """Return the largest absolute sample of a block that starts ``offset`` samples into the file."""
    peak = float(np.abs(block).max())
    if not np.isfinite(peak):
        bad = offset + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
        raise DamagedAudioError(f"samples that are not finite, the first at {bad / rate:.2f} s", bad / rate)
    if peak > FAR_OUTSIDE:
        raise DamagedAudioError(f"samples far outside [-1, 1] (peak {peak:.3g}): is it unscaled?", offset / rate)
    return peak


def _shortfall(path: Path, file: SoundFile, found: int) -> str:
    """Return what is missing of a file of which ``found`` samples were decoded, or nothing."""
    promised, slack = file.frames, 0
    if file.format == "MP3":  # without a frame count in the file, libsndfile's length is a guess from its size
        promised, slack = (promised if mp3_counts_frames(path) else 0), MP3_SLACK
    if 0 < promised < 2**62 and found < promised - slack:
        return f"it decodes short of its header: {found} of {promised} samples"
    # libsndfile trims the length of uncompressed files to what is there, and logs what the header said.
    for name, said, real in SHORT_CHUNK.findall(file.extra_info):
        if int(said) not in UNKNOWN_LENGTHS and int(said) > int(real):
            return f"its {name} chunk holds {real} of {said} bytes"
    if file.format == "OGG" and not _ogg_is_closed(path):
        return "its last Ogg page is missing or cut"
    return ""


def mp3_counts_frames(path: Path) -> bool:
    """Say whether an MP3 file states its number of frames, in a Xing or Info tag inside its first frame."""
    with path.open("rb") as file:
        head = file.read(10)
        while len(head) == 10 and head[:3] == b"ID3":  # ID3v2: a size of four 7-bit bytes, without this header
            size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
            file.seek(size + (10 if head[5] & 0x10 else 0), 1)
            head = file.read(10)
        head += file.read(8192)
    for found in re.finditer(rb"\xff[\xe2-\xff]", head):
        frame = head[found.start() :]
        if len(frame) < 48 or (frame[1] & 0x18) == 0x08 or not frame[1] & 0x06:
            continue  # a reserved version or layer: not a frame
        version_1, mono = (frame[1] & 0x18) == 0x18, (frame[3] & 0xC0) == 0xC0
        side_information = (17 if mono else 32) if version_1 else (9 if mono else 17)
        tag = frame[4 + side_information :]
        return tag[:4] in (b"Xing", b"Info") and bool(tag[7] & 1) and any(tag[8:12])
    return False


def _ogg_is_closed(path: Path) -> bool:
    """Say whether the last Ogg page is whole and carries the end-of-stream mark (RFC 3533, section 6)."""
    with path.open("rb") as file:
        tail = _tail(file, 2 * 65_307)
    start = tail.rfind(b"OggS")
    if start < 0 or len(tail) < start + 27:
        return False
    segments = tail[start + 26]
    table = tail[start + 27 : start + 27 + segments]
    whole = len(table) == segments and len(tail) >= start + 27 + segments + sum(table)
    return whole and bool(tail[start + 5] & 4)


def _tail(file: BinaryIO, size: int) -> bytes:
    file.seek(0, 2)
    file.seek(max(0, file.tell() - size))
    return file.read()


def _recoverable(path: Path) -> int:
    """Return how many frames decode before the first error, read in small blocks."""
    import soundfile

    frames = 0
    with soundfile.SoundFile(path) as file:
        try:
            while len(block := file.read(4096, dtype="float32", always_2d=True)):
                frames += len(block)
        except soundfile.LibsndfileError:
            pass
    return frames


def _not_audio(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(512).lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page saved as audio"
    if path.suffix.lower() in (".m4a", ".mp4", ".aac", ".wma"):
        return f"libsndfile cannot read {path.suffix}: convert it to flac or wav"
    return f"it is not audio that libsndfile can read: {_reason(error)}"


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def _mix(samples: np.ndarray, channels: int) -> np.ndarray:
    """Return [samples, channels]: the mean over all channels, or stereo (a mono file twice; more than two: refused)."""
    have = samples.shape[1]
    if have == channels:
        return samples
    if channels == 1:
        return samples.mean(axis=1, dtype=np.float32, keepdims=True)
    if have > 2:
        raise DamagedAudioError(f"{have} channels, but the encoder takes stereo")
    return np.repeat(samples, 2, axis=1)


def content_hash(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
