"""Inspection of a file's bytes: whether it is sound and complete, and whether all of it was decoded.

libsndfile plays what it finds and says nothing of the rest. So what it played is held against the file: the frames of
an MP3, the length of a FLAC stream and what follows it, the samples of a WAV file and what follows them. A look reads
the headers of frames and chunks alone, and costs a few hundredths of decoding.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.audio import av_decoder, chunks, containers, flac, mpeg
from benchmark.audio.media_tags import Bytes, end_of_tags, id3v2_size

#: Raised when a look may find what it did not find before: then files that were looked at are looked at again.
INSPECTION_VERSION = 2
#: How MPEG streams were played whose form is now another: part of the key of their embeddings, and of theirs alone.
REPLAYED = "mpeg2"
#: The first version played what follows the samples of a W64 file as samples.
LIMITED = "w64"
REFUSED = "refused"
CUT = "it ends inside an MPEG frame"
JUNK = 1 << 16  # bytes before the first frame that libmpg123 passes over
SLACK = 2  # MPEG frames by which encoders, tags and decoders differ
TAG_AT_END = 128  # bytes behind the last frame that libmpg123 knows: an ID3v1 tag
RESYNC = 1024  # bytes without a frame after which libmpg123 gives up


@dataclass(frozen=True)
class Contents:
    """What a file holds, by its own bytes.

    Attributes:
        problem: Why it must not be decoded, or nothing.
        seconds: How much could be heard of it in spite of ``problem``.
        note: What is to be told of a file that is used; nothing where all is well.
        size: Bytes of the file.
        frames: Of an MPEG stream, alone or in a WAV file.
        stream: Of a FLAC file.
        last: The last frame of a FLAC file.
        samples: Of a WAV, AIFF, AU, CAF or W64 file.
        form: Names a change of the samples that files of this form, and no others, have seen: it is part of the key
            of their embeddings. Empty for most.
    """

    problem: str = ""
    seconds: float = 0.0
    note: str = ""
    size: int = 0
    frames: mpeg.Frames | None = None
    stream: flac.StreamInfo | None = None
    last: flac.FrameHeader | None = None
    samples: chunks.Samples | None = None
    form: str = ""

    @property
    def by_av(self) -> bool:
        """Whether FFmpeg plays it, and not libsndfile."""
        return self.form.startswith(av_decoder.FORM)

    def key(self, content: str) -> str:
        """Return the key of the file's embeddings, given the hash of its content."""
        form = REFUSED if self.problem else self.form
        return f"{content}-{form}" if form else content


def inspect_file(path: Path) -> Contents:
    """Return what a file that is not empty holds.

    Raises:
        OSError: It cannot be read.
    """
    with mapped(path) as data:
        container = containers.sniff(data)
        if container is not None and container.sound and av_decoder.form():
            return Contents(size=len(data), form=av_decoder.form())
        if container is not None:
            return Contents(container.describe(), size=len(data))
        begin = 0
        while size := id3v2_size(data[begin : begin + 10]):
            begin += size
        if data[begin : begin + 4] == flac.MARK:
            return _flac(data, begin)
        samples = chunks.samples_of(data)
        if samples is not None:
            return _chunked(data, samples)
        if data[:4] in containers.KNOWN:
            return Contents(size=len(data))
        return _mpeg(data, begin)


def unheard(contents: Contents, decoded: int, rate: int) -> str:
    """Return what of a file was not played, given the number of ``decoded`` samples at ``rate`` Hz, or nothing."""
    frames, samples = contents.frames, contents.samples
    if frames is not None:
        skipped = frames.tag.skipped if frames.tag is not None else 0
        sound = frames.with_sound * frames.kind.samples
        if decoded + skipped + SLACK * frames.kind.samples < sound:
            return f"only {decoded / rate:.2f} s of the {sound / rate:.2f} s in its MPEG frames could be played"
    elif contents.stream is not None and contents.last is not None and not contents.stream.total:
        due = contents.last.first + contents.last.samples
        if decoded < due:
            return f"its last FLAC frame is cut: {decoded} of {due} samples"
    elif samples is not None and samples.format.block:
        left = samples.present - decoded * samples.format.block
        if left >= max(chunks.SMALL, samples.present // 10):
            return f"only {decoded / rate:.2f} s were played, {left} of {samples.present} bytes of its samples were not"
    return ""


@contextmanager
def mapped(path: Path) -> Iterator[Bytes]:
    """Yield the bytes of a file that is not empty, mapped into memory where the system can do that."""
    with path.open("rb") as file:
        try:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # a file system that maps nothing
            yield file.read()
            return
        with view:
            yield view


def _mpeg(data: Bytes, begin: int) -> Contents:
    """Look at an MPEG stream, or at what nobody knows."""
    size = len(data)
    frames = mpeg.walk(data, begin)
    if frames is None:
        return Contents(size=size)  # libsndfile may know; it plays no MPEG stream of which no two frames agree
    zeros = end_of_tags(data, begin, size)[1]
    if frames.start - begin > JUNK:
        what = "zeros" if zeros > JUNK else "no sound"
        return Contents(f"{frames.start - begin} bytes before its first frame are {what}: fetch it again", size=size)
    if frames.start - begin > max(JUNK >> 4, (frames.end - frames.start)):
        return Contents(f"only {frames.end - frames.start} of its {size} bytes are MPEG frames", size=size)
    contents = _frames(frames, size)
    # The first version took bytes before the first frame for one and left a part of some streams unheard; and of
    # streams that much follows it played what libmpg123 gave before it gave up.
    another = mpeg.first_plausible(data, begin) != frames.start or size - frames.end > RESYNC
    if frames.kind.layer == 3 and not frames.counted and another:
        return replace(contents, form=REPLAYED)
    return contents


def _frames(frames: mpeg.Frames, size: int) -> Contents:
    """Say what is wrong with the frames of a stream, or to be told of them."""
    kind = frames.kind
    frame_seconds = kind.samples / kind.rate

    def seconds(count: int) -> float:
        return count * frame_seconds

    problem, decoded = "", seconds(frames.with_sound)
    if frames.changed is not None:
        problem = (
            f"it continues after {decoded:.2f} s as another stream ({frames.changed.describe()} behind "
            f"{kind.describe()}), and libsndfile plays the first alone: join them again"
        )
    elif frames.lost is not None:
        decoded = seconds(frames.lost.frames)
        problem = f"{frames.lost.size} bytes at byte {frames.lost.at} are no MPEG frame: it is damaged"
    elif frames.counted and frames.with_sound - frames.counted > SLACK:
        decoded = seconds(frames.counted)
        problem = (
            f"its {frames.tag.name if frames.tag else ''} tag counts {frames.counted} frames, but it has "
            f"{frames.with_sound}, and libsndfile plays {decoded:.2f} s of {seconds(frames.with_sound):.2f} s: is it "
            "two files, joined? Join them again"
        )
    note = ""
    if frames.have:
        of = f"{frames.have} of {frames.want}" if frames.want else f"{frames.have}"
        note = f"{CUT}, of which {of} bytes are there"
    return Contents(problem, decoded if problem else 0.0, note, size, frames)


def _flac(data: Bytes, begin: int) -> Contents:
    """Look at a FLAC stream: the samples that it promises, the last frame, and whether another stream follows."""
    size, stream = len(data), flac.stream_info(data, begin)
    if stream is None or not stream.rate:
        return Contents(size=size)
    last = flac.last_frame(data, stream, size)
    another = None if flac.ends_as_promised(data, stream, last) else flac.next_stream(data, stream.frames_at)
    if another is not None:
        seconds = stream.total / stream.rate
        return Contents(
            f"it is two FLAC streams, joined (the second begins at byte {another.start}), and libsndfile plays the "
            "first alone: join them again",
            seconds,
            size=size,
        )
    if last is not None and stream.total and last.first + last.samples > stream.total:
        return Contents(
            f"its header promises {stream.total} samples, but its last frame ends with sample "
            f"{last.first + last.samples}, and libsndfile plays no more than the header promises",
            stream.total / stream.rate,
            size=size,
        )
    return Contents(size=size, stream=stream, last=last)


def _chunked(data: Bytes, samples: chunks.Samples) -> Contents:
    """Look at a file of chunks: does its header contradict itself, and what follows the samples."""
    kind, size = samples.format, len(data)
    if kind.problem:
        return Contents(kind.problem, size=size)
    if samples.behind >= max(chunks.SMALL, samples.said // 10):
        seconds = samples.said / (kind.block * kind.rate) if kind.block and kind.rate else 0.0
        return Contents(
            f"its {samples.name} chunk says {samples.said} bytes, but {samples.behind} bytes that are no chunk follow "
            "it: is its length wrong?",
            seconds,
            size=size,
        )
    if data[:4] in (b"riff", b"caff"):  # of which libsndfile plays what is there, whatever their headers say
        if samples.present < samples.said:
            return Contents(
                f"its {samples.name} chunk holds {samples.present} of {samples.said} bytes",
                samples.present / (kind.block * kind.rate) if kind.block and kind.rate else 0.0,
                size=size,
            )
        if data[:4] == b"riff" and kind.block and size > samples.at + (samples.said + 7) // 8 * 8:
            return Contents(size=size, samples=samples, form=LIMITED)
    frames = None
    if kind.code == chunks.MP3:
        frames = mpeg.walk(data, samples.at, samples.at + samples.present)
        if frames is not None:
            contents = _frames(frames, size)
            return replace(contents, samples=samples, form=REPLAYED)
    return Contents(size=size, samples=samples)
