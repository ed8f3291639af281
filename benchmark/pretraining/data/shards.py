"""Shards: log-mels of whole tracks, one behind the other, in files of bounded size; and what a store is made of.

``shard-00000.f16``
    float16, little-endian, [frames, 96]: a crop of 3 s is one contiguous piece of 57,600 bytes.
``shard-00000.parquet``
    Its tracks, and those left out between them, in the order of the source. Written behind the shard; a shard without
    it was not finished.
``index.npy``, ``label_starts.npy``, ``label_indices.npy``
    Of all tracks: shard, frames, offset (16 bytes a track); labels as compressed sparse rows.
``tracks.npy``
    Where tracks are cut: the number of the track of each piece. The other arrays are of pieces then.
``left_out.csv``, ``store.json``
    What was left out and why; and the whole, with digests. A store without ``store.json`` is not finished.

Every file is written under a temporary name, synced to the disk and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from benchmark.pretraining.data.hashes import FileHashes
from results.files import replace_file
from results.parquet import read_table

FORMAT = 1
#: The format of a store that an older version would misread: it has pieces of tracks, or labels that are not known.
NEWER_FORMAT = 2
BANDS = 96
FRAMES_PER_SECOND = 100
FRAME_BYTES = 2 * BANDS
SHARD_BYTES = 512 * 2**20
INDEX = np.dtype([("shard", "<u4"), ("frames", "<u4"), ("offset", "<u8")])
ARRAYS = ("index.npy", "label_starts.npy", "label_indices.npy")
TRACKS = "tracks.npy"
DESCRIPTION, LEFT_OUT = "store.json", "left_out.csv"


@dataclass(frozen=True, slots=True)
class Row:
    """A track of the source: its file as it was read, and where its frames lie, or why it is left out.

    ``name``, ``size``, ``mtime_ns`` and ``sha256`` are of the audio file, ``labels`` are indices.
    """

    track_id: str
    name: str
    size: int
    mtime_ns: int
    sha256: str
    offset: int
    frames: int
    labels: tuple[int, ...]
    left_out: str


@dataclass(frozen=True)
class Shard:
    """A finished shard. ``last`` says that the source ended in it; else it was closed because it was full."""

    name: str
    frames: int
    sha256: str
    last: bool
    frontend: str
    labels: str  # digest of their names
    rows: tuple[Row, ...]


class TornIndexError(Exception):
    """A shard's Parquet file that is not what was written. The message says how."""


class ShardCard(BaseModel):
    """A shard, in ``store.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^shard-[0-9]{5,}$")]  # of files in the store's own folder
    tracks: int
    frames: int
    sha256: str


class StoreCard(BaseModel):
    """``store.json``. ``tracks`` are the rows of the index: pieces of ``whole_tracks`` where these were cut."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    frontend: str
    bands: int
    tracks: int
    frames: int
    left_out: int
    labels: tuple[str, ...] | None
    ids: str
    arrays: dict[Annotated[str, Field(pattern=r"^[a-z_]+\.npy$")], str]
    shards: tuple[ShardCard, ...]
    fingerprint: str
    cut_seconds: float | None = None
    whole_tracks: int | None = None

    def expected_fingerprint(self) -> str:
        """Return the sha256 of all that the store says but its fingerprint."""
        newer = set() if self.cut_seconds is not None else {"cut_seconds", "whole_tracks"}
        return digest_of(self.model_dump(mode="json", exclude={"fingerprint", *newer}))


class ShardWriter:
    """Writes shards, each closed before the track that would make it larger than ``SHARD_BYTES``.

    A track that is larger alone is a shard of its own. To be used as a context, which removes what is not finished.
    """

    def __init__(self, folder: Path, first: int, frontend: str, labels: Sequence[str] | None) -> None:
        self._folder, self._number, self._frontend = folder, first, frontend
        self._labels = digest_of(labels)
        self._rows: list[Row] = []
        self._frames = 0
        self._file: BinaryIO | None = None
        self._temporary = Path()
        self._hash = hashlib.sha256()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()
            self._temporary.unlink(missing_ok=True)
            self._file = None

    def add(self, row: Row, features: np.ndarray) -> None:
        """Append float16 [row.frames, 96].

        Raises:
            OSError: The disk is full or not writable.
            ValueError: The features are of another kind.
        """
        if features.shape != (row.frames, BANDS) or features.dtype != np.float16 or not row.frames:
            raise ValueError(f"features {features.dtype} {list(features.shape)} for {row.frames} frames")
        if self._frames and (self._frames + row.frames) * FRAME_BYTES > SHARD_BYTES:
            self.close(last=False)
        if self._file is None:
            self._temporary = self._folder / f".{self._name}.f16.{secrets.token_hex(4)}.tmp"
            self._file = self._temporary.open("xb")
        data = np.ascontiguousarray(features, "<f2").reshape(-1).view(np.uint8).data
        self._file.write(data)
        self._hash.update(data)
        self._rows.append(row)
        self._frames += row.frames

    def leave_out(self, row: Row) -> None:
        """Note a track that is not in the shard."""
        self._rows.append(row)

    def close(self, *, last: bool) -> None:
        """Finish the shard that is being written; without any frames there is none."""
        if self._file is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        path = self._folder / f"{self._name}.f16"
        self._temporary.replace(path)
        self._file = None
        rows = _with_offsets(self._rows)
        shard = Shard(self._name, self._frames, self._hash.hexdigest(), last, self._frontend, self._labels, rows)
        FileHashes(self._folder).add(path, shard.sha256)
        write_index(self._folder, shard)
        self._number += 1
        self._rows, self._frames, self._hash = [], 0, hashlib.sha256()

    @property
    def left_out(self) -> list[Row]:
        """The tracks noted as left out since the last shard was closed."""
        return [row for row in self._rows if row.left_out]

    @property
    def _name(self) -> str:
        return shard_name(self._number)


def write_index(folder: Path, shard: Shard) -> None:
    """Write the Parquet file of a shard.

    Raises:
        OSError: The disk is full or not writable.
    """
    about = {key: value for key, value in vars(shard).items() if key != "rows"}
    about["digest"] = _digest(shard)
    columns = {name: pa.array([getattr(row, name) for row in shard.rows], kind) for name, kind in _columns().items()}
    table = pa.table(columns).replace_schema_metadata({"shard": json.dumps({"format": FORMAT, **about})})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    replace_file(folder / f"{shard.name}.parquet", memoryview(buffer.getvalue()))


def read_index(folder: Path, number: int) -> Shard | None:
    """Return a finished shard, or ``None`` where there is no such one.

    Raises:
        TornIndexError: Its Parquet file is damaged, or of another format.
    """
    path = folder / f"{shard_name(number)}.parquet"
    if not path.exists():
        return None
    try:
        table = read_table(path)
        about = json.loads(table.schema.metadata[b"shard"])
        if about.pop("format") != FORMAT:
            raise TornIndexError(f"{path} has another format")
        digest = about.pop("digest", None)  # older ones have none
        other = [name for name, kind in _columns().items() if table.schema.field(name).type != kind]
        if other:
            raise TornIndexError(f"{path} has columns of another type: {', '.join(other)}")
        columns = [table.column(name).to_pylist() for name in _columns()]
        rows = [Row(*cells) for cells in zip(*columns, strict=True)]
        shard = Shard(**about, rows=tuple(replace(row, labels=tuple(row.labels)) for row in rows))
    except (OSError, KeyError, TypeError, ValueError, RecursionError, pa.ArrowException) as error:
        raise TornIndexError(f"{path} cannot be read ({str(error).splitlines()[0]})") from None
    if digest not in (None, _digest(shard)):
        raise TornIndexError(f"{path} is not as it was written: its digest differs")
    return shard


def _digest(shard: Shard) -> str:
    """Return the sha256 of all that a shard's Parquet file says: its own checksums do not cover its metadata."""
    return digest_of({**vars(shard), "rows": [astuple(row) for row in shard.rows]})


def finished(folder: Path, first: int = 0) -> Iterator[Shard]:
    """Yield the finished shards in order, from number ``first`` to the first that is missing.

    Raises:
        TornIndexError: The next one's Parquet file is damaged.
    """
    number = first
    while (shard := read_index(folder, number)) is not None:
        yield shard
        number += 1


def shard_name(number: int) -> str:
    """Return the name of a shard's files, without suffix."""
    return f"shard-{number:05d}"


def digest_of(content: Any) -> str:
    """Return the sha256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _with_offsets(rows: Sequence[Row]) -> tuple[Row, ...]:
    ends = np.cumsum([row.frames for row in rows])
    return tuple(replace(row, offset=int(end) - row.frames) for row, end in zip(rows, ends, strict=True))


def _columns() -> dict[str, pa.DataType]:
    return {
        "track_id": pa.string(),
        "name": pa.string(),
        "size": pa.int64(),
        "mtime_ns": pa.int64(),
        "sha256": pa.string(),
        "offset": pa.int64(),
        "frames": pa.int64(),
        "labels": pa.list_(pa.int32()),
        "left_out": pa.string(),
    }
