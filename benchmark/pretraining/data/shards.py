"""Shards: log-mels of whole tracks, one behind the other, in files of bounded size; and what a store is made of.

``shard-00000.f16``
    float16, little-endian, [frames, 96]: a crop of 3 s is one contiguous piece of 57,600 bytes.
``shard-00000.wave.f16``
    Where waveforms were asked for: float16, little-endian, [frames, 160], the samples at 16 kHz of which the log-mels
    were computed. Frame s is centred on sample 160 * s of its track, where row s begins; the last row is filled with
    zeros, of which there are 1 to 160.
``shard-00000.parquet``
    Its tracks, and those left out between them, in the order of the source. Written behind the shard; a shard without
    it was not finished.
``index.npy``, ``label_starts.npy``, ``label_indices.npy``
    Of all tracks: shard, frames, offset (16 bytes a track); labels as compressed sparse rows.
``caption_starts.npy``, ``caption_numbers.npy``, ``caption_offsets.npy``, ``caption_texts.npy``
    Captions: see :mod:`benchmark.pretraining.data.caption_rows`.
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
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.pretraining.data.hashes import FileHashes
from results.files import replace_file
from results.parquet import read_table

FORMAT = 1
#: The format of a store that an older version would misread: it has pieces of tracks, or labels that are not known.
NEWER_FORMAT = 2
#: The format of a store, and of the index of a shard, that has waveforms; and of a store that has captions.
WIDER_FORMAT = 3
BANDS = 96
FRAMES_PER_SECOND = 100
FRAME_BYTES = 2 * BANDS
#: Samples of a waveform, at 16 kHz, for each frame.
SAMPLES = 160
WAVE_BYTES = 2 * SAMPLES
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
    """A finished shard. ``last`` says that the source ended in it; else it was closed because it was full.

    ``sha256`` is of its log-mels, ``wave`` of its waveforms, or empty.
    """

    name: str
    frames: int
    sha256: str
    last: bool
    frontend: str
    labels: str  # digest of their names
    rows: tuple[Row, ...]
    wave: str = ""


class TornIndexError(Exception):
    """A shard's Parquet file that is not what was written. The message says how."""


class GrowingFile:
    """A file that is written piece by piece under a temporary name, until it is finished or discarded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        self._file: BinaryIO = self._temporary.open("xb")
        self._hash = hashlib.sha256()

    def write(self, rows: np.ndarray) -> None:
        """Append float16 rows.

        Raises:
            OSError: The disk is full or not writable.
        """
        data = np.ascontiguousarray(rows, "<f2").reshape(-1).view(np.uint8).data
        self._file.write(data)
        self._hash.update(data)

    def finish(self) -> str:
        """Sync the file to the disk, give it its name, and return its sha256.

        Raises:
            OSError: The disk is full or not writable.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._path)
        sha256 = self._hash.hexdigest()
        FileHashes(self._path.parent).add(self._path, sha256)
        return sha256

    def discard(self) -> None:
        """Remove what is not finished."""
        with suppress(OSError):  # what it still holds does not fit on a full disk
            self._file.close()
        self._temporary.unlink(missing_ok=True)


class ShardWriter:
    """Writes shards, each closed before the track that would make it larger than ``SHARD_BYTES``.

    A track that is larger alone is a shard of its own. Waveforms lie beside and count nothing, so that a shard holds
    the same tracks with and without them. To be used as a context, which removes what is not finished.
    """

    def __init__(
        self, folder: Path, first: int, frontend: str, labels: Sequence[str] | None, *, waveforms: bool = False
    ) -> None:
        self._folder, self._number, self._frontend = folder, first, frontend
        self._labels, self._waveforms = digest_of(labels), waveforms
        self._rows: list[Row] = []
        self._frames = 0
        self._files: list[GrowingFile] = []

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files:
            file.discard()
        self._files = []

    def add(self, row: Row, features: np.ndarray, waveform: np.ndarray | None = None) -> None:
        """Append a track: float16 [row.frames, 96], and float16 [row.frames, 160] where the store has waveforms.

        Raises:
            OSError: The disk is full or not writable.
            ValueError: The features or the waveform are of another kind.
        """
        kinds = [(features, BANDS)] if waveform is None else [(features, BANDS), (waveform, SAMPLES)]
        for found, width in kinds:
            if found.shape != (row.frames, width) or found.dtype != np.float16 or not row.frames:
                raise ValueError(f"{found.dtype} {list(found.shape)} for {row.frames} frames of {width}")
        if (waveform is not None) != self._waveforms:
            raise ValueError(f"waveforms: {self._waveforms}, and {row.track_id!r} has {waveform is not None}")
        if self._frames and (self._frames + row.frames) * FRAME_BYTES > SHARD_BYTES:
            self.close(last=False)
        if not self._files:
            names = [f"{self._name}.f16", wave_name(self._name)] if self._waveforms else [f"{self._name}.f16"]
            for name in names:
                self._files.append(GrowingFile(self._folder / name))
        for file, (found, _) in zip(self._files, kinds, strict=True):
            file.write(found)
        self._rows.append(row)
        self._frames += row.frames

    def leave_out(self, row: Row) -> None:
        """Note a track that is not in the shard."""
        self._rows.append(row)

    def close(self, *, last: bool) -> None:
        """Finish the shard that is being written; without any frames there is none."""
        if not self._files:
            return
        sha256, *waves = [file.finish() for file in self._files]
        self._files = []
        rows, wave = _with_offsets(self._rows), waves[0] if waves else ""
        shard = Shard(self._name, self._frames, sha256, last, self._frontend, self._labels, rows, wave)
        write_index(self._folder, shard)
        self._number += 1
        self._rows, self._frames = [], 0

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
    about = {key: value for key, value in _said(shard).items() if key != "rows"}
    about["digest"] = _digest(shard)
    version = WIDER_FORMAT if shard.wave else FORMAT
    columns = {name: pa.array([getattr(row, name) for row in shard.rows], kind) for name, kind in _columns().items()}
    table = pa.table(columns).replace_schema_metadata({"shard": json.dumps({"format": version, **about})})
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
        if about.pop("format") not in (FORMAT, WIDER_FORMAT):
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
    return digest_of({**_said(shard), "rows": [astuple(row) for row in shard.rows]})


def _said(shard: Shard) -> dict[str, Any]:
    """Return the fields of a shard: without waveforms those that it had before there were any."""
    return {key: value for key, value in vars(shard).items() if key != "wave" or value}


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


def wave_name(shard: str) -> str:
    """Return the name of the file of a shard's waveforms."""
    return f"{shard}.wave.f16"


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
