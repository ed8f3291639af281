"""MPEG audio frames (layers I to III): their number, changes of their format, and the bytes around them.

A frame's header says how long it is, so that a walk reads four bytes of each. It costs about a hundredth of decoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from benchmark.audio.media_tags import Bytes, end_of_tags

ENCODERS = (b"LAME", b"Lavf", b"Lavc")  # write checksums into their tag
SAME = 0xFFFE0C00  # the bits of a header that all frames of a stream share: sync, version, layer, rate
KBITS = {  # by (MPEG-1, layer)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
VERSIONS = {3: "MPEG-1", 2: "MPEG-2", 0: "MPEG-2.5"}


@dataclass(frozen=True)
class Kind:
    """What all frames of a stream share.

    Attributes:
        version: The two bits of the header: 3 for MPEG-1, 2 for MPEG-2, 0 for MPEG-2.5.
        layer: 1, 2 or 3.
        rate: Samples a second.
        channels: 1 or 2.
    """

    version: int
    layer: int
    rate: int
    channels: int

    @property
    def samples(self) -> int:
        """Samples in a frame."""
        return 384 if self.layer == 1 else 576 if self.layer == 3 and self.version != 3 else 1152

    @property
    def side_information(self) -> int:
        """Bytes between the header of a layer III frame and its data, or its tag."""
        return (17 if self.channels == 1 else 32) if self.version == 3 else (9 if self.channels == 1 else 17)

    def describe(self) -> str:
        """Return the kind as a person says it."""
        channels = "mono" if self.channels == 1 else "stereo"
        return f"{VERSIONS[self.version]} layer {'I' * self.layer}, {self.rate} Hz, {channels}"


@dataclass(frozen=True)
class Tag:
    """A Xing, Info or VBRI tag, which fills a first frame without sound.

    Attributes:
        name: Which of the three.
        frames: Frames that it counts, itself aside; 0 where it counts none.
        skipped: Samples of encoder delay and padding that a decoder is to leave out.
        frame_bytes: Bytes of the frame that holds it.
        music_bytes: Bytes of all frames as the encoder wrote them, this one included; 0 where it did not say.
        music_crc: The checksum of those behind this one; ``None`` where it did not say.
    """

    name: str
    frames: int
    skipped: int
    frame_bytes: int = 0
    music_bytes: int = 0
    music_crc: int | None = None


@dataclass(frozen=True)
class Gap:
    """Bytes between frames that are neither frame nor tag: where they begin, how many, and the frames before them."""

    at: int
    size: int
    frames: int


@dataclass(frozen=True)
class Frames:
    """What a walk over a stream found.

    Attributes:
        kind: Of the first frame, and of all that were counted.
        start: Byte of the first frame.
        end: Byte behind the last frame, cut or whole.
        count: Whole frames.
        lost: The first place between frames that holds what is none.
        changed: Another kind that the stream continues with behind ``count`` frames.
        have: Bytes that are there of a last frame that is cut; 0 where it is whole.
        want: Bytes that this frame should have; 0 where its header is cut too.
        tag: The tag in the first frame.
    """

    kind: Kind
    start: int
    end: int
    count: int
    lost: Gap | None
    changed: Kind | None
    have: int
    want: int
    tag: Tag | None

    @property
    def with_sound(self) -> int:
        """Whole frames, without one that holds a tag."""
        return self.count - (self.tag is not None)

    @property
    def counted(self) -> int:
        """Frames that the tag counts, where it is one that libsndfile goes by; 0 else."""
        return self.tag.frames if self.tag is not None and self.tag.name != "VBRI" else 0


def kind_of(header: int) -> Kind | None:
    """Return the kind of frame that a header of 32 bits begins, or none if it is not one."""
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or header >> 12 & 15 == 15 or header >> 10 & 3 == 3:
        return None
    return Kind(version, layer, RATES[version][header >> 10 & 3], 1 if header & 0xC0 == 0xC0 else 2)


@lru_cache(maxsize=64)
def lengths_of(kind: Kind) -> tuple[int, ...]:
    """Return the bytes of a frame by the seven bits of its header that hold bit rate, rate and padding; 0: no frame."""
    lengths = []
    for bits in range(128):
        row, column, padding = bits >> 3, bits >> 1 & 3, bits & 1
        if row in (0, 15) or column == 3 or RATES[kind.version][column] != kind.rate:
            lengths.append(0)
            continue
        bit_rate = 1000 * KBITS[kind.version == 3, kind.layer][row]
        if kind.layer == 1:
            lengths.append((12 * bit_rate // kind.rate + padding) * 4)
        else:
            lengths.append(kind.samples // 8 * bit_rate // kind.rate + padding)
    return tuple(lengths)


def walk(data: Bytes, start: int = 0, stop: int | None = None) -> Frames | None:
    """Walk over the frames of a stream.

    Args:
        data: The bytes of a file.
        start: Where the stream may begin; tags there are passed over.
        stop: Where it ends; at the end of ``data`` by default.

    Returns:
        What was found, or ``None`` where no two frames follow each other.
    """
    size = len(data) if stop is None else min(stop, len(data))
    tags, _ = end_of_tags(data, start, size)
    first = _next_stream(data, tags, size)
    if first is None:
        return None
    at, kind = first
    begin = at
    count, lost, another, tag = 0, None, None, _tag(data, begin, kind)
    while True:
        end, passed, have, want = _run(data, at, size, kind)
        count += passed
        if have or end >= size:
            break
        tags, zeros = end_of_tags(data, end, size)
        follows = _next_stream(data, tags, size)
        if follows is None:
            break
        at, next_kind = follows
        if next_kind != kind:
            another = next_kind
            break
        skipped = at - tags + zeros
        if skipped and lost is None and not (count == 1 and tag):  # behind a tag's own frame no sound can be lost
            lost = Gap(end, skipped, count)
    return Frames(kind, begin, end + have, count, lost, another, have, want, tag)


def _run(data: Bytes, at: int, size: int, kind: Kind) -> tuple[int, int, int, int]:
    """Walk over frames of one kind; return where they end, how many they are, and what a cut one has and should."""
    lengths, mono, count = lengths_of(kind), kind.channels == 1, 0
    read, same = int.from_bytes, int.from_bytes(data[at : at + 4], "big") & SAME
    while at + 4 <= size:
        header = read(data[at : at + 4], "big")
        length = lengths[header >> 9 & 127]
        if header & SAME != same or not length or (header & 0xC0 == 0xC0) != mono:
            return at, count, 0, 0
        if at + length > size:
            return at, count, size - at, length
        at += length
        count += 1
    rest = data[at:size]
    beginning = same.to_bytes(4, "big")
    cut = rest[:1] == b"\xff" and (len(rest) < 2 or rest[1] & 0xFE == beginning[1])
    return at, count, (len(rest) if cut else 0), 0


def _next_stream(data: Bytes, at: int, size: int) -> tuple[int, Kind] | None:
    """Return where the next frame lies that another of its kind follows, or the end of the file, and its kind."""
    while 0 <= (at := data.find(b"\xff", at, size)) <= size - 4:
        header = int.from_bytes(data[at : at + 4], "big")
        kind = kind_of(header)
        length = 0 if kind is None else lengths_of(kind)[header >> 9 & 127]
        if kind is not None and length:
            after = at + length
            following = int.from_bytes(data[after : after + 4], "big") if after + 4 <= size else 0
            if following & SAME == header & SAME and lengths_of(kind)[following >> 9 & 127]:
                return at, kind
            if after <= size and end_of_tags(data, after, size)[0] == size:
                return at, kind
        at += 1
    return None


def _tag(data: Bytes, at: int, kind: Kind) -> Tag | None:
    """Return what a Xing, Info or VBRI tag in the frame at ``at`` says, if there is one."""
    tag = data[at + 4 + kind.side_information : at + 4 + kind.side_information + 160]
    if kind.layer == 3 and tag[:4] in (b"Xing", b"Info"):
        flags = tag[7]
        lame = 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
        gap = int.from_bytes(tag[lame + 21 : lame + 24], "big")
        frames = int.from_bytes(tag[8:12], "big") if flags & 1 else 0
        own = lengths_of(kind)[int.from_bytes(data[at : at + 4], "big") >> 9 & 127]
        music = int.from_bytes(tag[lame + 28 : lame + 32], "big") if tag[lame : lame + 4] in ENCODERS else 0
        crc = int.from_bytes(tag[lame + 32 : lame + 34], "big") if music else None
        return Tag(tag[:4].decode(), frames, (gap >> 12) + (gap & 0xFFF), own, music, crc)
    vbri = data[at + 36 : at + 36 + 18]
    if kind.layer == 3 and vbri[:4] == b"VBRI":
        return Tag("VBRI", int.from_bytes(vbri[14:18], "big"), 0)
    return None


def first_plausible(data: Bytes, begin: int) -> int:
    """Return where the first bytes lie that could be a frame's header, whatever follows; -1 if there are none."""
    at = begin - 1
    while 0 <= (at := data.find(b"\xff", at + 1, begin + (1 << 16))) <= len(data) - 48:
        head = data[at + 1 : at + 3]
        if head[0] >= 0xE2 and head[0] & 0x18 != 0x08 and head[0] & 0x06 and head[1] < 0xF0 and ~head[1] & 0x0C:
            return at
    return -1
