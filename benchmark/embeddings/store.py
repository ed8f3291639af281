"""The embedding store: one folder a space, plain Parquet shards in it, one row a piece of audio.

A row is keyed by the sha256 of the audio file, so a collection is embedded once for all of its tasks, a moved or
renamed file keeps its embedding, and a changed file never meets its old one. Shards are written whole (a temporary
name, fsync, one rename) and only ever added; where two processes embedded the same audio, the first shard by name
counts.

The columns are key, track_id, collection, seconds, windows, clipped and embedding (a fixed-size list of float32), which
pandas, DuckDB and Arrow read without us.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.audio.index import AudioIndex
from benchmark.embeddings.space import Space
from benchmark.embeddings.tracks import Track
from benchmark.errors import UserError
from benchmark.system.files import parquet_bytes
from probes.data import release
from results.files import read_regular, refuse_irregular, replace_file
from results.parquet import read_table

FOLDER = "embeddings"
DESCRIPTION = "space.json"
TORN = ".torn"
COLUMNS = ("key", "track_id", "collection", "seconds", "windows", "clipped", "embedding")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbeddingRow:
    """One track's embedding, pooled over its windows, with what the extraction saw of the audio."""

    key: str
    track_id: str
    collection: str
    seconds: float
    windows: int
    clipped: bool
    embedding: np.ndarray


@dataclass(frozen=True)
class RowLocation:
    """Where a row lies, and what it says of the audio."""

    shard: str
    row: int
    seconds: float
    clipped: bool


class TornError(Exception):
    """A shard that is not what was written. The message says how."""


class EmbeddingStore:
    """The embeddings of one space below a home folder."""

    reads_audio = True

    def __init__(self, home: Path, space: Space) -> None:
        self.home, self.space = home, space
        self.folder = home / FOLDER / space.folder
        self._places: dict[str, RowLocation] = {}
        self._seen: set[str] = set()

    def places(self) -> dict[str, RowLocation]:
        """Return where each key's row lies. Shards that another process has added meanwhile are read too.

        A shard that cannot be read, or is not of this space, is renamed to ``*.torn`` and named in a warning; its rows
        are simply not there, and the next extraction makes them again.
        """
        paths = shards(self.folder)
        if paths and not self._seen:
            with suppress(OSError):  # it is for people, who may have mounted the store read-only
                self._describe()
        for path in paths:
            if path.name in self._seen:
                continue
            self._seen.add(path.name)
            try:
                columns = read_shard(path, ("key", "seconds", "clipped"), self.space.width)
            except FileNotFoundError:
                continue
            except TornError as error:
                set_aside(path)
                log.warning("%s is torn (%s): set aside, its tracks will be embedded again", path, error)
                continue
            for row, (key, seconds, clipped) in enumerate(zip(*columns, strict=True)):
                self._places.setdefault(key, RowLocation(path.name, row, seconds, clipped))
        return self._places

    def keys(self, tracks: Sequence[Track], index: AudioIndex) -> list[str | None]:
        """Return the key of each track: that of its audio, ``None`` where it was not read yet, or has changed."""
        return [index.key(track.path) for track in tracks]

    def missing(self, tracks: Iterable[Track], index: AudioIndex) -> list[Track]:
        """Return the tracks that have no row here, each file once, in order."""
        locations, paths, missing = self.places(), set[Path](), []
        for track in tracks:
            if track.path in paths:
                continue
            paths.add(track.path)
            if index.key(track.path) not in locations:
                missing.append(track)
        return missing

    def append(self, rows: Sequence[EmbeddingRow]) -> Path:
        """Write ``rows`` as one new shard and return its path.

        Raises:
            UserError: The disk is full or not writable; nothing of this shard is kept, all earlier ones are.
        """
        table = self._table(rows)
        path = self.folder / f"{time.time_ns():020d}-{os.getpid()}.parquet"
        try:
            self._describe()
            replace_file(path, parquet_bytes(table))
        except OSError as error:
            raise UserError(
                f"cannot write embeddings to {self.folder}: {error.strerror or error}. What was embedded before is "
                "kept",
                "make room (see 'bench cache ls' and 'bench cache prune') and run the same command again",
            ) from error
        return path

    def read(self, keys: Sequence[str], *, columns: slice = slice(None), out: np.ndarray | None = None) -> np.ndarray:
        """Return float32 [len(keys), width], one row a key, in order; every shard is read once.

        Args:
            keys: Content hashes.
            columns: Which floats of a row: those of one layer, say.
            out: Where rows go, such as a memory map; a new array by default.

        Raises:
            KeyError: A key that is not in the store.
            UserError: A shard that can no longer be read; it is set aside, so that the next run makes it again.
        """
        locations = self.places()
        by_shard: dict[str, list[tuple[int, int]]] = {}
        for i, key in enumerate(keys):
            location = locations[key]
            by_shard.setdefault(location.shard, []).append((i, location.row))
        if out is None:
            out = np.empty((len(keys), len(range(*columns.indices(self.space.width)))), np.float32)
        for shard, pairs in by_shard.items():
            path = self.folder / shard
            try:
                _, values = read_shard(path, ("key", "embedding"), self.space.width)
            except FileNotFoundError:
                raise UserError(f"{path} is gone", "run the same command again to embed its tracks again") from None
            except TornError as error:
                set_aside(path)
                self._places.clear()
                self._seen.clear()
                raise UserError(
                    f"{path} is torn ({error}) and was set aside",
                    "run the same command again to embed its tracks again",
                ) from None
            to, rows = zip(*pairs, strict=True)
            out[list(to)] = values[list(rows), columns]
            release(out)  # of a memory map, only what one shard filled stays in memory
        return out

    def _table(self, rows: Sequence[EmbeddingRow]) -> pa.Table:
        matrix = np.stack([row.embedding for row in rows]).astype(np.float32, copy=False)
        if matrix.shape[1] != self.space.width or not np.isfinite(matrix).all():
            raise ValueError(f"rows of width {matrix.shape[1]} that are finite={np.isfinite(matrix).all()}")
        embedding = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), self.space.width)
        return pa.table(
            {
                "key": [row.key for row in rows],
                "track_id": [row.track_id for row in rows],
                "collection": [row.collection for row in rows],
                "seconds": [row.seconds for row in rows],
                "windows": pa.array([row.windows for row in rows], pa.int32()),
                "clipped": [row.clipped for row in rows],
                "embedding": embedding,
            }
        )

    def _describe(self) -> None:
        """Write the description unless it is there: it may have been lost, or damaged."""
        path, text = self.folder / DESCRIPTION, (json.dumps(self.space.describe(), indent=2) + "\n").encode()
        try:
            same = read_regular(path, len(text)) == text
        except OSError:  # there is none, or what is there is no description
            same = False
        if not same:
            replace_file(path, text)


def read_shard(path: Path, columns: Sequence[str], width: int | None) -> list[Any]:
    """Read columns of a shard, checksums included: lists, and ``embedding`` as float32 [rows, width].

    Args:
        path: The shard.
        columns: Names of columns.
        width: Floats in an embedding; ``None`` takes them as they are.

    Raises:
        TornError: It is not Parquet, its checksums fail, or its columns are not those of a shard.
        FileNotFoundError: Another process has set it aside, or deleted it.
        UserError: The system does not let it be read.
    """
    try:
        refuse_irregular(path)
        kind = pq.read_schema(path).field("embedding").type
        if not pa.types.is_fixed_size_list(kind) or width not in (None, kind.list_size):
            raise TornError(f"its embeddings are {kind}, not {width} floats")
        table = read_table(path, columns)
        arrays = []
        for name in columns:
            column = table.column(name).combine_chunks()
            matrix = name == "embedding"
            arrays.append(column.flatten().to_numpy().reshape(-1, kind.list_size) if matrix else column.to_pylist())
    except FileNotFoundError:
        raise
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:  # Arrow's own findings have no number
            raise UserError(
                f"cannot read {path}: {error.strerror or error}",
                "let it be read and run the same command again, or embed its tracks again with another --home",
            ) from error
        raise TornError(str(error).splitlines()[0]) from None
    return arrays


def set_aside(path: Path) -> None:
    """Rename a torn shard, so that its tracks are embedded again."""
    with suppress(FileNotFoundError):  # another process was faster
        path.replace(path.with_name(path.name + TORN))


def shards(folder: Path) -> list[Path]:
    """Return the shards of a folder, oldest first."""
    return sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))


def leftovers(folder: Path) -> Iterator[Path]:
    """Yield what killed processes and torn shards left in a folder."""
    yield from sorted(path for path in folder.glob("*") if path.name.endswith(TORN))
    yield from sorted(path for path in folder.glob(".*") if path.name.endswith(".tmp"))
