"""The store of log-mels that networks are pre-trained on: what it holds, and crops of it.

Written by :mod:`benchmark.pretraining.data.prepare`, laid out by :mod:`benchmark.pretraining.data.shards`. Reading
takes little memory whatever the size: the index (16 bytes a track) and the labels are memory-mapped, and so are the
shards, which all processes of a machine then share. A store in object storage (``s3://...``, any protocol of fsspec) is
read by ranges; its index is fetched once into the data home.

Whether a store is what was written is checked when it is opened: sizes always; contents of files whose size or mtime
has changed since they were hashed, so at most once on each machine; of remote shards sizes alone, unless
``check = "all"``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from benchmark.errors import UserError
from benchmark.pretraining.data.hashes import FileHashes
from benchmark.pretraining.data.label_rows import dense, has_unknown
from benchmark.pretraining.data.shard_readers import MappedShards, RemoteShards, ShardReader
from benchmark.pretraining.data.shards import (
    ARRAYS,
    BANDS,
    DESCRIPTION,
    FORMAT,
    FRAME_BYTES,
    FRAMES_PER_SECOND,
    INDEX,
    NEWER_FORMAT,
    TRACKS,
    StoreCard,
)
from benchmark.system.extras import install_command
from benchmark.system.home import home_folder
from benchmark.system.progress import Reporter, Silent
from results.files import replace_file
from results.parquet import read_table
from tasks.errors import TaskError
from tasks.files import TABLE, check_npy, read_bytes, refuse_no_file

Check = Literal["changed", "all"]
AGAIN = "make it again with bench pretrain prepare"
REMOTE_FOLDER = "pretraining-index"
BLOCK = 2**24
FORMATS = (FORMAT, NEWER_FORMAT)


class Store:
    """An open store; see :func:`open_store`. Threads may read at once.

    Attributes:
        path: Its folder or address.
        fingerprint: The sha256 of its contents: front end, labels, tracks and the digests of all shards.
        tracks: Tracks, numbered from 0: the rows. Where tracks were cut, their pieces.
        whole_tracks: Tracks before they were cut.
        cut_seconds: About how long the pieces are; ``None`` where tracks are whole.
        has_unknown_labels: Whether some label of some track is not known.
        left_out: Tracks of the source that it does not have.
        frames_total: Frames of all tracks.
        seconds_total: Their seconds, at 100 frames a second.
        bands: 96.
        labels: Names of the labels, or ``None`` without.
        frontend: The version of the front end that made it.
    """

    bands = BANDS

    def __init__(
        self,
        path: str,
        card: StoreCard,
        index: np.ndarray,
        label_rows: tuple[np.ndarray, np.ndarray] | None,
        reader: ShardReader,
        track_numbers: np.ndarray | None = None,
    ) -> None:
        self.path, self.fingerprint, self.frontend = path, card.fingerprint, card.frontend
        self.tracks, self.left_out, self.labels = card.tracks, card.left_out, card.labels
        self.frames_total = card.frames
        self.seconds_total = card.frames / FRAMES_PER_SECOND
        self._shard_names = tuple(shard.name for shard in card.shards)
        self.cut_seconds = card.cut_seconds
        self.whole_tracks = card.tracks if card.whole_tracks is None else card.whole_tracks
        self._index, self._label_rows, self._reader = index, label_rows, reader
        self._track_numbers = track_numbers
        self.has_unknown_labels = label_rows is not None and card.format == NEWER_FORMAT and has_unknown(label_rows[1])

    def frames(self, rows: np.ndarray) -> np.ndarray:
        """Return the frames of tracks, int64 [n], of ``rows`` int64 [n]."""
        return self._index[rows]["frames"].astype(np.int64)

    def shortest(self) -> tuple[int, int]:
        """Return the row of the shortest track, and its frames."""
        frames = self._index["frames"]
        row = int(frames.argmin())
        return row, int(frames[row])

    def label_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return float32 [n, labels] of ``rows`` int64 [n]: zeros and ones, and NaN where a label is not known.

        Raises:
            ValueError: The store has no labels.
        """
        if self._label_rows is None or self.labels is None:
            raise ValueError(f"the store {self.path} has no labels")
        starts, codes = self._label_rows
        return dense(starts, codes, rows, len(self.labels))

    def track_numbers(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of the track of each of ``rows`` int64 [n]: pieces of one track share it."""
        return np.asarray(rows if self._track_numbers is None else self._track_numbers[rows]).astype(np.int64)

    def crops(self, rows: np.ndarray, starts: np.ndarray, frames: int, out: np.ndarray | None = None) -> np.ndarray:
        """Return crops of tracks, as they are stored: log10(1 + 10000 * mel power), not standardised.

        Args:
            rows: int64 [n].
            starts: First frames, int64 [n].
            frames: Length of each crop.
            out: float16 [n, 96, frames], written and returned. Without it the answer is new, and lies in memory as the
                shards do, frame after frame: the transposed view of [n, frames, 96].

        Raises:
            ValueError: A row or a crop outside the store, or ``out`` is of another kind.
            UserError: A shard cannot be read, or is another than when the store was opened.
        """
        rows, starts = np.asarray(rows), np.asarray(starts)
        if rows.shape != starts.shape or rows.ndim != 1 or frames < 1:
            raise ValueError(f"rows {rows.shape} and starts {starts.shape} for crops of {frames} frames")
        if len(rows) and (rows.min() < 0 or rows.max() >= self.tracks):
            raise ValueError(f"rows from {rows.min()} to {rows.max()} of {self.tracks} tracks")
        places = self._index[rows]
        if (starts < 0).any() or (starts + frames > places["frames"]).any():
            raise ValueError(f"a crop of {frames} frames reaches outside its track")
        if out is None:
            out = np.empty((len(rows), frames, BANDS), np.float16).transpose(0, 2, 1)
        elif out.shape != (len(rows), BANDS, frames) or out.dtype != np.float16:
            raise ValueError(f"out is {out.dtype} {list(out.shape)}")
        firsts = places["offset"].astype(np.int64) + starts
        self._reader.fill(out.transpose(0, 2, 1), places["shard"].tolist(), firsts.tolist())
        return out

    def track_ids(self, rows: Iterable[int]) -> list[str]:
        """Return the ids of ``rows``: for messages, since shards' Parquet files are read for it.

        Raises:
            UserError: One cannot be read.
        """
        import pyarrow as pa

        found = []
        for row in rows:
            place = self._index[row]
            name = f"{self.path}/{self._shard_names[place['shard']]}.parquet"
            try:
                system, inner = _file_system(name) if "://" in name else (None, name)
                columns = ["track_id", "offset", "left_out"]
                table = read_table(Path(inner) if system is None else system.cat_file(inner), columns)
            except (OSError, KeyError, ValueError, pa.ArrowException) as error:
                raise UserError(
                    f"cannot read {name}: {str(error).splitlines()[0]}", f"restore it, or {AGAIN}"
                ) from None
            held = table.filter(pa.compute.equal(table.column("left_out"), ""))
            offsets = held.column("offset").to_numpy()
            found.append(
                held.column("track_id")[int(np.searchsorted(offsets, place["offset"], side="right")) - 1].as_py()
            )
        return found


def open_store(
    path: Path | str, *, home: Path | None = None, check: Check = "changed", report: Reporter | None = None
) -> Store:
    """Open a finished store.

    Args:
        path: Its folder, or its address for fsspec.
        home: The data home, where the index of a remote store is kept; ``None`` for the usual one.
        check: ``changed`` reads the content of files that changed since they were hashed; ``all`` reads every shard.
        report: Progress of that reading.

    Raises:
        UserError: There is no store, it is not finished or empty, its format is of another version, a file is missing,
            torn or changed, or the storage cannot be read.
    """
    report = report or Silent()
    address = str(path).rstrip("/")
    return _open_remote(address, home, check, report) if "://" in address else _open_local(Path(path), check, report)


def refuse_another(store: Store, fingerprint: str, what: str) -> None:
    """See whether the store is the one that ``what`` was begun with.

    Raises:
        UserError: It is not.
    """
    if store.fingerprint != fingerprint:
        raise UserError(
            f"the store {store.path} has the fingerprint {store.fingerprint[:12]}, and {what} was begun on a store "
            f"with {fingerprint[:12]}: it cannot continue with other data",
            "Give the store that it began with, or a new --out",
        )


def _open_local(folder: Path, check: Check, report: Reporter) -> Store:
    if not (folder / DESCRIPTION).is_file():
        begun = folder.is_dir() and any(folder.glob("*shard-*"))
        if begun:
            raise UserError(
                f"the store {folder} is not finished", "run the same bench pretrain prepare again: it continues"
            )
        raise UserError(f"there is no store at {folder}", f"Make one: bench pretrain prepare AUDIO --out {folder}")
    try:
        card = _card(str(folder), read_bytes(folder / DESCRIPTION, TABLE))
        hashes = FileHashes(folder)
        expected = {f"{shard.name}.f16": (shard.sha256, shard.frames * FRAME_BYTES) for shard in card.shards}
        todo = []
        for name, (sha256, size) in expected.items():
            _refuse_size(f"{folder / name}", (folder / name).stat().st_size, size)
            if check == "all" or not hashes.knows(folder / name, sha256):
                todo.append((name, sha256))
        with report.stage("checking", len(todo), "shards") as advance:
            for done, (name, sha256) in enumerate(todo, start=1):
                if not hashes.has(folder / name, sha256, fresh=check == "all"):
                    raise _changed(str(folder / name))
                advance(done)
        for name, sha256 in card.arrays.items():
            if not hashes.has(folder / name, sha256):
                raise _changed(str(folder / name))
        reader = MappedShards([folder / name for name in expected])
        return _store(str(folder), card, folder, reader)
    except TaskError as error:
        raise UserError(error.what, f"Restore it, or {AGAIN}") from None
    except OSError as error:
        raise UserError(
            f"cannot read the store {folder}: {error.strerror or error} ({error.filename})",
            f"Restore it, or {AGAIN}",
        ) from None


def _open_remote(address: str, home: Path | None, check: Check, report: Reporter) -> Store:
    system, root = _file_system(address)
    try:
        if not system.exists(f"{root}/{DESCRIPTION}"):
            raise UserError(
                f"there is no finished store at {address}",
                "copy one there that bench pretrain prepare made",
            )
        if system.size(f"{root}/{DESCRIPTION}") > TABLE:
            raise UserError(f"{address}/{DESCRIPTION} has more than {TABLE:,} bytes, so it is none", AGAIN)
        card = _card(address, system.cat_file(f"{root}/{DESCRIPTION}"))
        sizes = {name.rsplit("/", 1)[-1]: about["size"] for name, about in system.find(root, detail=True).items()}
        for shard in card.shards:
            _refuse_size(f"{address}/{shard.name}.f16", sizes.get(f"{shard.name}.f16"), shard.frames * FRAME_BYTES)
        todo = card.shards if check == "all" else ()
        with report.stage("checking", len(todo), "shards") as advance:
            for done, shard in enumerate(todo, start=1):
                if _remote_hash(system, f"{root}/{shard.name}.f16") != shard.sha256:
                    raise _changed(f"{address}/{shard.name}.f16")
                advance(done)
        folder = home_folder(home) / REMOTE_FOLDER / card.fingerprint[:32]
        hashes = FileHashes(folder)
        for name, sha256 in card.arrays.items():
            if not (folder / name).is_file() or not hashes.has(folder / name, sha256):
                replace_file(folder / name, system.cat_file(f"{root}/{name}"))
                if not hashes.has(folder / name, sha256, fresh=True):
                    raise _changed(f"{address}/{name}")
        reader = RemoteShards(system, [f"{root}/{shard.name}.f16" for shard in card.shards])
        return _store(address, card, folder, reader)
    except OSError as error:
        raise UserError(
            f"cannot read the store {address}: {error}",
            "see whether the storage can be reached, and run the same command again",
        ) from error


def _store(path: str, card: StoreCard, folder: Path, reader: ShardReader) -> Store:
    """Return the store whose index lies in ``folder``.

    Raises:
        UserError: Index or labels do not belong to the rest.
    """
    try:
        for name in card.arrays:
            with (folder / name).open("rb") as file:
                check_npy(file, refuse_no_file(folder / name), str(folder / name))
        index, *label_rows = (
            np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in ARRAYS if name in card.arrays
        )
        numbers = np.load(folder / TRACKS, mmap_mode="r", allow_pickle=False) if TRACKS in card.arrays else None
    except (ValueError, TaskError) as error:
        raise UserError(f"the index of the store {path} cannot be read ({error})", AGAIN) from None
    expected = 0 if card.labels is None else 2
    sound = len(label_rows) == expected and index.dtype == INDEX and len(index) == card.tracks
    if sound and label_rows:
        sound = len(label_rows[0]) == card.tracks + 1 and label_rows[0][-1] == len(label_rows[1])
    if (numbers is not None) != (card.cut_seconds is not None) or (numbers is not None and len(numbers) != card.tracks):
        sound = False
    if not sound:
        raise UserError(f"the index of the store {path} does not belong to its {DESCRIPTION}", AGAIN)
    return Store(path, card, index, (label_rows[0], label_rows[1]) if label_rows else None, reader, numbers)


def _card(path: str, content: bytes) -> StoreCard:
    try:
        card = StoreCard.model_validate_json(content)
    except ValidationError as error:
        version = _version(content)
        if version not in (None, *FORMATS):
            raise _other_version(path, version) from None
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "content"
        raise UserError(f"{path}/{DESCRIPTION} is torn ({field}: {first['msg']})", AGAIN) from None
    if card.format not in FORMATS:
        raise _other_version(path, card.format)
    if card.fingerprint != card.expected_fingerprint():
        raise UserError(
            f"{path}/{DESCRIPTION} was changed: its fingerprint is of another content",
            f"Restore it, or {AGAIN}",
        )
    if card.bands != BANDS:
        raise UserError(f"the store {path} has {card.bands} bands, and networks take {BANDS}", AGAIN)
    if not card.tracks:
        raise UserError(f"the store {path} is empty", f"{AGAIN} from audio that can be used")
    return card


def _version(content: bytes) -> Any:
    import json

    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found.get("format") if isinstance(found, dict) else None


def _other_version(path: str, version: Any) -> UserError:
    return UserError(
        f"the store {path} has the format {version!r}, and this version of the package reads {FORMATS[0]} "
        f"and {FORMATS[1]}",
        AGAIN,
    )


def _refuse_size(name: str, size: int | None, expected: int) -> None:
    if size != expected:
        have = "is missing" if size is None else f"has {size} of {expected} bytes"
        raise UserError(f"{name} {have}, so the store is torn", f"Restore it, or {AGAIN}")


def _changed(name: str) -> UserError:
    return UserError(f"{name} is not what was written: its sha256 is another", f"Restore it, or {AGAIN}")


def _remote_hash(system: Any, path: str) -> str:
    found = hashlib.sha256()
    with system.open(path, "rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def _file_system(address: str) -> tuple[Any, str]:
    """Return the file system of fsspec for an address, and the path in it.

    Raises:
        UserError: fsspec, or what it needs for the protocol, is not installed, or the protocol is unknown.
    """
    try:
        system, path = import_module("fsspec.core").url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise UserError(
            f"cannot reach {address}: {error}",
            "Stores in object storage need fsspec, and its package for the protocol (s3fs for s3://, gcsfs for "
            f"gs://):\n  {install_command('pretrain')}",
        ) from None
    return system, path.rstrip("/")
