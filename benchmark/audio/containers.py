"""The container format of a file by its first bytes, whatever its name is.

Only what libsndfile does not read is named here; what it reads gives no answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchmark.audio.av_decoder import INSTALL
from benchmark.audio.media_tags import Bytes, end_of_tags, id3v2_size

HEAD = 4096  # bytes that are looked at
#: Where a mark lies, the mark, and what it marks.
AUDIO = (
    (4, b"ftyp", "MPEG-4 (AAC or ALAC, as in .m4a)"),
    (4, b"moov", "QuickTime"),
    (4, b"mdat", "QuickTime"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF (Windows Media, as in .wma)"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"\x7f\xfe\x80\x01", "DTS"),
    (0, b"ADIF", "AAC (ADIF)"),
    (0, b".RMF", "RealMedia"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"wvpk", "WavPack"),
    (0, b"TTA1", "True Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"tBaK", "TAK"),
    (0, b"OFR ", "OptimFROG"),
    (0, b"ajkg", "Shorten"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, b"#!AMR", "AMR"),
    (0, b"\x00\x00\x01\xba", "an MPEG program stream"),
)
OTHER = (
    (
        0,
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer, not the file: 'git lfs pull' fetches the file",
    ),
    (0, b"/annex/objects/", "a git-annex pointer, not the file: 'git annex get' fetches the file"),
    (0, b"../.git/annex/objects/", "a git-annex pointer, not the file: 'git annex get' fetches the file"),
    (0, b"MThd", "MIDI: notes, and no sound"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "compressed with gzip"),
    (0, b"BZh", "compressed with bzip2"),
    (0, b"\xfd7zXZ\x00", "compressed with xz"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"%PDF-", "a PDF"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"\x89HDF", "HDF5 data"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x7fELF", "a program"),
)
#: How files begin that libsndfile reads.
KNOWN = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"fLaC", b"OggS", b".snd", b"dns.", b"caff", b"NIST_1A")
MPEG_TS = 188  # bytes of a packet


@dataclass(frozen=True)
class Container:
    """What a file is that libsndfile cannot read.

    Attributes:
        name: In words.
        sound: Whether it holds sound, which another decoder may read.
    """

    name: str
    sound: bool

    def describe(self) -> str:
        """Say what it is, and what to do."""
        if self.sound:
            return (
                f"it is {self.name}, which libsndfile cannot read: convert it to flac or wav, or let FFmpeg read it "
                f"({INSTALL})"
            )
        return f"it is {self.name}" + ("" if ":" in self.name else ": fetch it again")


def sniff(data: Bytes) -> Container | None:
    """Return what a file is that libsndfile cannot read; none for what it may read, and for what nobody knows.

    Args:
        data: The bytes of the file, of which the first few thousand decide.
    """
    zeros = end_of_tags(data, 0, len(data))
    if zeros == (len(data), len(data)):
        return Container("nothing but zeros, as a download that broke off leaves", False)
    begin = 0
    while size := id3v2_size(data[begin : begin + 10]):
        begin += size
    head = data[begin : begin + HEAD]
    if head.startswith(KNOWN):
        movie = head[:4] in (b"RIFF", b"RIFX") and head[8:12] in (b"AVI ", b"CDXA")
        return Container("a film (AVI)", True) if movie else None
    for marks, sound in ((AUDIO, True), (OTHER, False)):
        for at, mark, name in marks:
            if head[at : at + len(mark)] == mark:
                return Container(name, sound)
    if _is_adts(head):
        return Container("AAC (ADTS)", True)
    if len(head) > 2 * MPEG_TS and all(head[at] == 0x47 for at in (0, MPEG_TS, 2 * MPEG_TS)):
        return Container("an MPEG transport stream", True)
    return _text(data[:HEAD])


def _is_adts(head: bytes) -> bool:
    """Say whether two frames of AAC follow each other: each has twelve bits set, two that are zero, and its length."""
    at = 0
    for _ in range(2):
        frame = head[at : at + 7]
        if len(frame) < 7 or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0:
            return False
        length = (frame[3] & 3) << 11 | frame[4] << 3 | frame[5] >> 5
        if length < 7:
            return False
        at += length
        if at >= len(head):
            return True
    return True


def _text(head: bytes) -> Container | None:
    """Return what a text is: a web page, an answer of a server, or some other."""
    try:
        text = head.decode("utf-8-sig").strip().lower()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a letter may be cut at the end
            return None
        text = head[: error.start].decode("utf-8-sig").strip().lower()
    if re.search(r"[^\n\r\t\x20-\x7e\x80-\U0010ffff]", text) or not text:
        return None
    if text.startswith(("<!doctype", "<html")):
        return Container("a web page saved as audio", False)
    if text.startswith("<?xml") or text.startswith("<error"):
        what = "a web page saved as audio" if "<html" in text or "<body" in text else "an answer of a server in XML"
        return Container(what, False)
    if text[0] in "{[":
        return Container("an answer of a server in JSON, not sound", False)
    return Container("text, not sound", False)
