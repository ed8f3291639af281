"""Audio: decode, mix, resample, cut into windows. One file in, one float32 array out, or a reason why not.

soundfile (libsndfile) decodes wav, flac, mp3, ogg, au, aiff and opus; soxr resamples at HQ. A file is refused, with the
seconds that could be recovered, when it decodes short of its header, holds nothing, is not audio, or has samples that
are not finite or far outside full scale. Samples slightly beyond full scale (lossy codecs overshoot) are clipped to
[-1, 1] and the track is counted as clipped.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from soundfile import SoundFile

#: Changes whenever the same file and rule would give other samples.
PIPELINE_VERSION = 1

FAR_OUTSIDE = 8.0  # +18 dB: no codec overshoots that far; such a file holds unscaled integers
MP3_SLACK = 2 * 1152  # frames: encoder delay and padding, where the header counts them differently
BLOCK_SECONDS = 600  # each further block of an mp3 or Opus file begins with a faint artefact of the decoder
SHORT_CHUNK = re.compile(r"^\s*(data|SSND|Data Size)\s*:\s*(\d+)\s*\(should be (\d+)\)", re.MULTILINE)
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # Ogg's CRC-32 runs the other way than zlib's
UNKNOWN_LENGTHS = {0, 0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF}  # what writers to a pipe leave in a header


@dataclass(frozen=True)
class AudioRule:
    """How a file becomes an encoder's input: its rate in Hz and its channels (1: the mean, 2: stereo).

    ``decoding`` is ``plain``, or names the rule of :mod:`benchmark.decoding_rules` that an encoder was published with.
    """

    sample_rate: int
    channels: Literal[1, 2] = 1
    decoding: Literal["plain", "mule"] = "plain"


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

    if rule.decoding == "mule":
        from benchmark.decoding_rules import mule_waveform

        samples, rate, peak = decode(path, None)
        return Audio(mule_waveform(samples, rate)[None], len(samples) / rate, peak > 1)
    samples, rate, peak = decode(path, rule.channels)
    seconds = len(samples) / rate
    if rate != rule.sample_rate:
        samples = soxr.resample(samples, rate, rule.sample_rate, quality="HQ")
    if len(samples) == 0:
        raise DamagedAudioError("too short to resample", seconds)
    np.clip(samples, -1, 1, out=samples)
    return Audio(np.ascontiguousarray(samples.T), seconds, peak > 1)


def decode(path: Path, channels: Literal[1, 2] | None = 1) -> tuple[np.ndarray, int, float]:
    """Decode ``path`` at its own rate, mixing block by block so that only the mix of a long file is held.

    Args:
        path: The file.
        channels: 1 (the mean), 2 (stereo), or ``None`` for the file's own.

    Returns:
        float32 [samples, channels], its rate in Hz, and the largest absolute sample before mixing.

    Raises:
        DamagedAudioError: See :func:`load`.
    """
    import soundfile

    if not path.is_file():
        raise DamagedAudioError("it is not a file" if path.exists() else "the file is missing")
    if path.stat().st_size == 0:
        raise DamagedAudioError("the file is empty (0 bytes)")
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise DamagedAudioError(_not_audio(path, _reason(error))) from None
    with file:
        if file.format == "RAW":  # libsndfile's guess from a suffix, where there is no header
            raise DamagedAudioError(_not_audio(path, "no header"))
        samples, peak = _samples(path, file, channels)
        if file.subtype == "MPEG_LAYER_III" and len(samples) >= file.frames and not mp3_counts_frames(path):
            samples, peak = _all_of_mp3(path, channels, file.samplerate)
        problem, rate = _shortfall(path, file, len(samples)), file.samplerate
    if problem or len(samples) == 0:
        raise DamagedAudioError(problem or "no samples", len(samples) / rate)
    return samples, rate, peak


def _samples(path: Path, file: SoundFile, channels: Literal[1, 2] | None) -> tuple[np.ndarray, float]:
    """Decode an open file to float32 [samples, channels], with the largest absolute sample before mixing."""
    import soundfile

    rate, peak, found = file.samplerate, 0.0, 0
    blocks = [np.zeros((0, channels or file.channels), np.float32)]
    try:
        for block in _blocks(file, BLOCK_SECONDS * rate):
            peak = max(peak, _peak(block, found, rate))
            blocks.append(_mix(block, channels))
            found += len(block)
    except soundfile.LibsndfileError as error:
        raise DamagedAudioError(f"decoding failed: {_reason(error)}", _recoverable(path) / rate) from None
    return np.concatenate(blocks), peak


def _blocks(file: SoundFile, size: int) -> Iterator[np.ndarray]:
    """Yield the file's samples, float32 [up to size, channels]; none may follow a block that came short."""
    found, short = 0, False
    while len(block := file.read(size, dtype="float32", always_2d=True)):
        if short:
            # libsndfile stops at a gap in an Ogg stream and goes on behind it when asked again.
            raise DamagedAudioError("samples are missing in the middle", found / file.samplerate)
        yield block
        found, short = found + len(block), len(block) < size


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
    return _ogg_problem(path) if file.format == "OGG" else ""


def mp3_counts_frames(path: Path) -> bool:
    """Say whether an MP3 file states its number of frames, in a Xing or Info tag inside its first frame."""
    _, frame = _first_mp3_frame(path)
    if not frame:
        return False
    tag = frame[4 + _side_information(frame) :]
    return tag[:4] in (b"Xing", b"Info") and bool(tag[7] & 1) and any(tag[8:12])


def _first_mp3_frame(path: Path) -> tuple[int, bytes]:
    """Return where the first MPEG frame starts, and 48 bytes of it or more; 0 and nothing when there is none."""
    with path.open("rb") as file:
        start, head = 0, file.read(10)
        while len(head) == 10 and head[:3] == b"ID3":  # ID3v2: a size of four 7-bit bytes, without this header
            size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
            start = file.seek(size + (10 if head[5] & 0x10 else 0), 1)
            head = file.read(10)
        head += file.read(65_536)
    for found in re.finditer(rb"\xff[\xe2-\xff]", head):
        frame = head[found.start() :]
        # A reserved version, layer, bit rate or sample rate: not a frame.
        if len(frame) >= 48 and (frame[1] & 0x18) != 0x08 and frame[1] & 0x06 and frame[2] < 0xF0 and ~frame[2] & 0x0C:
            return start + found.start(), frame
    return 0, b""


def _all_of_mp3(path: Path, channels: Literal[1, 2] | None, rate: int) -> tuple[np.ndarray, float]:
    """Decode an MP3 that does not count its frames, whatever its first frame makes libsndfile believe.

    libsndfile guesses the length of such a file from the bit rate at its start and plays no further, which leaves most
    of a file of variable bit rate unheard. Behind one silent frame of the lowest bit rate the guess is never too low.
    """
    from soundfile import SoundFile

    start, frame = _first_mp3_frame(path)
    if not frame:
        raise DamagedAudioError("no MPEG frame near its start")
    version_1 = (frame[1] & 0x18) == 0x18
    size = (144 * 32_000 if version_1 else 72 * 8_000) // rate
    silence = bytes([0xFF, frame[1] | 1, 0x10 | frame[2] & 0x0C, frame[3]]).ljust(size, b"\0")
    with SoundFile(io.BytesIO(silence + path.read_bytes()[start:])) as file:
        if file.samplerate != rate:
            raise DamagedAudioError("its first MPEG frame is not like the others")
        samples, peak = _samples(path, file, channels)
    return samples[1152 if version_1 else 576 :], peak


def _side_information(frame: bytes) -> int:
    """Return the bytes of side information between the header of a layer III frame and its data, or its tag."""
    version_1, mono = (frame[1] & 0x18) == 0x18, (frame[3] & 0xC0) == 0xC0
    return (17 if mono else 32) if version_1 else (9 if mono else 17)


def _ogg_problem(path: Path) -> str:
    """Return what is wrong with the pages of an Ogg file (RFC 3533, section 6), or nothing.

    libogg passes over pages that are cut or fail their checksum, and libsndfile then plays on without a word.
    """
    following: dict[bytes, int] = {}  # stream -> the number of its next page
    ended: set[bytes] = set()
    with path.open("rb") as file:
        while (head := file.read(27))[:4] == b"OggS" and len(head) == 27:
            table = file.read(head[26])
            body = file.read(sum(table))
            if len(table) < head[26] or len(body) < sum(table):
                return "its last Ogg page is cut"
            page = (head[:22] + bytes(4) + head[26:] + table + body).translate(MIRRORED)
            crc = zlib.crc32(page, 0xFFFFFFFF) ^ 0xFFFFFFFF
            if crc.to_bytes(4, "big").translate(MIRRORED) != head[22:26]:
                return f"the Ogg page that ends at byte {file.tell()} is damaged: its checksum fails"
            stream, number = head[14:18], int.from_bytes(head[18:22], "little")
            if head[5] & 2 and ended:
                return "it is a chain of Ogg streams, and libsndfile plays the first alone: join them"
            if following.get(stream, number) != number:
                return f"Ogg pages are missing before byte {file.tell() - len(body)}"
            following[stream] = number + 1
            ended |= {stream} if head[5] & 4 else set()
    return "" if following.keys() == ended else "its last Ogg page is missing"


def _recoverable(path: Path) -> int:
    """Return how many frames decode before the first error, read in small blocks."""
    import soundfile

    frames = 0
    with soundfile.SoundFile(path) as file:
        try:
            for block in _blocks(file, 4096):
                frames += len(block)
        except (soundfile.LibsndfileError, DamagedAudioError):
            pass
    return frames


def _not_audio(path: Path, reason: str) -> str:
    with path.open("rb") as file:
        head = file.read(512).lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page saved as audio"
    if path.suffix.lower() in (".m4a", ".mp4", ".aac", ".wma"):
        return f"libsndfile cannot read {path.suffix}: convert it to flac or wav"
    return f"it is not audio that libsndfile can read: {reason}"


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def _mix(samples: np.ndarray, channels: int | None) -> np.ndarray:
    """Return [samples, channels]: as they are, their mean, or stereo (a mono file twice; more than two: refused)."""
    have = samples.shape[1]
    if channels is None or have == channels:
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
