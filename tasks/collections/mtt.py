"""MagnaTagATune: 25,860 clips of about 29 s with the 50 most frequent of its 188 tags, untagged clips included.

Split by the first character of a clip's folder, as everybody does: 0-b train, c valid, d-f test. The annotations are
read from ``magnatagatune.json.gz`` (of jukemir, from which the published split comes) or, where that is not there, from
the dataset's own ``annotations_final.csv`` and ``clip_info_final.csv``; both give the same items.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.card import TaskCard
from tasks.errors import TaskError
from tasks.items import Items
from tasks.readers.tables import Ids, TableRow, label_indices, read_records, read_table
from tasks.sources.layout import choose_folder
from tasks.spelling import composed

JUKEMIR, TAGS, CLIPS = "magnatagatune.json.gz", "annotations_final.csv", "clip_info_final.csv"
CORRUPT = {35644, 55753, 57881}  # clips whose MP3 files are empty in the archive
CLIP_PATH = re.compile(r"([0-9a-f])/[^/\\]+\.mp3")


@dataclass(frozen=True)
class MttClip:
    """One annotated clip."""

    number: int
    mp3_path: str
    artist: str
    tags: list[str]
    record: TableRow

    @property
    def split(self) -> str:
        """The split that the folder decides."""
        found = CLIP_PATH.fullmatch(self.mp3_path)
        if found is None:
            raise self.record.error(f"the mp3_path {self.mp3_path!r} is not a path such as 'f/name.mp3'")
        return "train" if found[1] < "c" else "valid" if found[1] == "c" else "test"


def items(card: TaskCard, root: Path) -> Items:
    """Return the clips in order of their ids; groups are artists.

    Raises:
        TaskError: An annotation file that is missing or cannot be used, named with the line or record.
    """
    index = label_indices(card)
    clips = sorted(_clips(root, tuple(index)), key=lambda clip: clip.number)
    targets = np.zeros((len(clips), len(index)), np.float32)
    ids = Ids()
    for row, clip in zip(targets, clips, strict=True):
        ids.take(str(clip.number), clip.record)
        for tag in clip.tags:
            if tag not in index:
                raise clip.record.error(f"the tag {tag!r} is not one of the card's {len(index)} labels")
            row[index[tag]] = 1
        if not clip.artist:
            raise clip.record.error("the artist is empty")
    folder = choose_folder(root, ("mp3", "mp3s", "audio"), "0123456789abcdef")
    return Items(
        tuple(ids.taken),
        tuple(clip.split for clip in clips),
        tuple((folder / clip.mp3_path).absolute() for clip in clips),
        tuple(clip.artist for clip in clips),
        targets,
        tuple(index),
    )


def _clips(root: Path, labels: tuple[str, ...]) -> Iterable[MttClip]:
    if (root / JUKEMIR).exists():
        return _from_jukemir(root / JUKEMIR)
    if (root / TAGS).exists():
        return _from_tables(root / TAGS, root / CLIPS, labels)
    raise TaskError(
        f"there are no annotations of MagnaTagATune in {root}",
        f"put {JUKEMIR} there, or {TAGS} together with {CLIPS}",
    )


def _from_jukemir(path: Path) -> Iterator[MttClip]:
    for name, record in read_records(path):
        number, mp3_path = record.whole("extra", "clip_id"), record.text("extra", "mp3_path")
        if name != f"{number:05d}":
            raise record.error(f"its clip_id is {number}")
        if not mp3_path or number in CORRUPT:  # a clip that no player ever saw, or that cannot be heard
            continue
        tags = record.value("y")
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise record.error(f"'y' is {tags!r}, not a list of tags")
        clip = MttClip(number, mp3_path, record.text("extra", "artist"), [composed(tag) for tag in tags], record)
        if record.value("split") != clip.split:
            raise record.error(f"its split is {record.value('split')!r}, but its folder says {clip.split!r}")
        yield clip


def _from_tables(tags_path: Path, clips_path: Path, labels: tuple[str, ...]) -> Iterator[MttClip]:
    known: dict[int, tuple[str, str]] = {}
    for record in read_table(clips_path, ("clip_id", "artist", "mp3_path"), "\t"):
        known[record.whole("clip_id")] = record.text("artist"), record.text("mp3_path")
    for record in read_table(tags_path, ("clip_id", "mp3_path", *labels), "\t"):
        number, mp3_path = record.whole("clip_id"), record.text("mp3_path")
        artist, same_path = known.get(number, ("", ""))
        if mp3_path != same_path:
            raise record.error(f"the mp3_path of clip {number} is {mp3_path!r}, but in {clips_path.name} {same_path!r}")
        if number in CORRUPT:
            continue
        cells = record.cells
        tags = [label for label in labels if cells[label] == "1"]
        for label in labels:
            if cells[label] not in ("0", "1"):
                raise record.error(f"the tag {label!r} is {cells[label]!r}, neither 0 nor 1")
        yield MttClip(number, mp3_path, artist, tags, record)
