"""The store of log-mels, waveforms and captions that networks are pre-trained on: what it holds, and crops of it.

Written by :mod:`benchmark.pretraining.data.prepare`, laid out by :mod:`benchmark.pretraining.data.shards`. Reading
takes little memory whatever the size: the index (16 bytes a track) and the labels are memory-mapped, and so are the
shards, which all processes of a machine then share. A store in object storage (``s3://...``, any protocol of fsspec) is
read by ranges; its index is fetched once into the data home.

Whether a store is what was written is checked when it is opened: sizes always; contents of files whose size or mtime
has changed since they were hashed, so at most once on each machine; of remote shards sizes alone, unless
``check = "all"``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from benchmark.errors import UserError
from benchmark.pretraining.data.caption_rows import CAPTION_ARRAYS, CaptionRows
from benchmark.pretraining.data.contents import Files, arrays_of, shard_files
from benchmark.pretraining.data.description import AGAIN, StoreCard, read_card
from benchmark.pretraining.data.hashes import FileHashes
from benchmark.pretraining.data.label_rows import dense, has_unknown
from benchmark.pretraining.data.shard_readers import MappedShards, RemoteShards, as_float32
from benchmark.pretraining.data.shards import (
    ARRAYS,
    BANDS,
    DESCRIPTION,
    FORMAT,
    FRAMES_PER_SECOND,
    SAMPLES,
    TRACKS,
)
from benchmark.pretraining.data.storage import file_system, index_columns, remote_hash
from benchmark.system.home import home_folder
from benchmark.system.progress import Reporter, Silent
from results.files import replace_file
from tasks.errors import TaskError
from tasks.files import TABLE, read_bytes

Check = Literal["changed", "all"]
REMOTE_FOLDER = "pretraining-index"


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
        has_waveforms: Whether it has the samples that the front end heard.
        has_captions: Whether some track has a caption.
        caption_digest: The sha256 of what the source's captions were; ``None`` without.
    """

    bands = BANDS

    def __init__(self, path: str, card: StoreCard, files: Files) -> None:
        self.path, self.fingerprint, self.frontend = path, card.fingerprint, card.frontend
        self.tracks, self.left_out, self.labels = card.tracks, card.left_out, card.labels
        self.frames_total = card.frames
        self.seconds_total = card.frames / FRAMES_PER_SECOND
        self._shard_names = tuple(shard.name for shard in card.shards)
        self.cut_seconds = card.cut_seconds
        self.whole_tracks = card.tracks if card.whole_tracks is None else card.whole_tracks
        self._files, arrays = files, files.arrays
        self._index, self._track_numbers = arrays["index.npy"], arrays.get(TRACKS)
        self._label_rows = None if card.labels is None else (arrays[ARRAYS[1]], arrays[ARRAYS[2]])
        self._captions = None if card.captions is None else CaptionRows(*(arrays[name] for name in CAPTION_ARRAYS))
        self.has_waveforms, self.has_captions = files.waveforms is not None, self._captions is not None
        self.caption_digest = card.captions
        unknown = self._label_rows is not None and card.format != FORMAT and has_unknown(self._label_rows[1])
        self.has_unknown_labels = unknown

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
        shards, firsts = self._places(rows, starts, frames)
        if out is None:
            out = np.empty((len(firsts), frames, BANDS), np.float16).transpose(0, 2, 1)
        elif out.shape != (len(firsts), BANDS, frames) or out.dtype != np.float16:
            raise ValueError(f"out is {out.dtype} {list(out.shape)}")
        self._files.log_mels.fill(out.transpose(0, 2, 1), shards, firsts)
        return out

    def waveforms(self, rows: np.ndarray, starts: np.ndarray, frames: int) -> np.ndarray:
        """Return the samples of crops at 16 kHz, as the front end heard them and float16 kept them.

        Frame s of a track is centred on sample 160 * s, where a crop that starts there begins. The last frame of a
        track is filled with zeros.

        Args:
            rows: int64 [n].
            starts: First frames, int64 [n].
            frames: Length of each crop.

        Returns:
            float32 [n, 160 * frames].

        Raises:
            ValueError: The store has no waveforms, or a row or a crop lies outside it.
            UserError: A file cannot be read, or is another than when the store was opened.
        """
        if self._files.waveforms is None:
            raise ValueError(f"the store {self.path} has no waveforms")
        shards, firsts = self._places(rows, starts, frames)
        halves = np.empty((len(firsts), frames, SAMPLES), np.float16)
        self._files.waveforms.fill(halves, shards, firsts)
        return as_float32(halves.reshape(len(firsts), frames * SAMPLES))

    def captions(self, rows: np.ndarray, draws: np.ndarray | None = None) -> tuple[str | None, ...]:
        """Return a caption of each of ``rows`` int64 [n], ``None`` where the track has none.

        Args:
            rows: Rows.
            draws: float64 [n] in [0, 1): which of several captions of a track; ``None`` for the first.

        Raises:
            ValueError: The store has no captions.
        """
        return self._caption_rows().of(rows, draws)

    def distinct_captions(self) -> tuple[str, ...]:
        """Return every caption once, sorted.

        Raises:
            ValueError: The store has no captions.
        """
        return self._caption_rows().distinct()

    def _caption_rows(self) -> CaptionRows:
        if self._captions is None:
            raise ValueError(f"the store {self.path} has no captions")
        return self._captions

    def _places(self, rows: np.ndarray, starts: np.ndarray, frames: int) -> tuple[list[int], list[int]]:
        """Return the shards of crops, and their first rows there."""
        rows, starts = np.asarray(rows), np.asarray(starts)
        if rows.shape != starts.shape or rows.ndim != 1 or frames < 1:
            raise ValueError(f"rows {rows.shape} and starts {starts.shape} for crops of {frames} frames")
        if len(rows) and (rows.min() < 0 or rows.max() >= self.tracks):
            raise ValueError(f"rows from {rows.min()} to {rows.max()} of {self.tracks} tracks")
        places = self._index[rows]
        if (starts < 0).any() or (starts + frames > places["frames"]).any():
            raise ValueError(f"a crop of {frames} frames reaches outside its track")
        return places["shard"].tolist(), (places["offset"].astype(np.int64) + starts).tolist()

    def track_ids(self, rows: Iterable[int]) -> list[str]:
        """Return the ids of ``rows``: for messages, since shards' Parquet files are read for it.

        Raises:
            UserError: One cannot be read.
        """
        import pyarrow.compute as compute

        found = []
        for row in rows:
            place = self._index[row]
            name = f"{self.path}/{self._shard_names[place['shard']]}.parquet"
            table = index_columns(name, ["track_id", "offset", "left_out"])
            held = table.filter(compute.equal(table.column("left_out"), ""))
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
        card = read_card(str(folder), read_bytes(folder / DESCRIPTION, TABLE))
        hashes = FileHashes(folder)
        log_mels, waves = shard_files(card)
        todo = []
        for name, (sha256, size) in (log_mels | waves).items():
            _refuse_size(f"{folder / name}", (folder / name).stat().st_size, size)
            if check == "all" or not hashes.knows(folder / name, sha256):
                todo.append((name, sha256))
        with report.stage("checking", len(todo), "files") as advance:
            for done, (name, sha256) in enumerate(todo, start=1):
                if not hashes.has(folder / name, sha256, fresh=check == "all"):
                    raise _changed(str(folder / name))
                advance(done)
        for name, sha256 in card.arrays.items():
            if not hashes.has(folder / name, sha256):
                raise _changed(str(folder / name))
        wave_reader = MappedShards([folder / name for name in waves], SAMPLES) if waves else None
        reader = MappedShards([folder / name for name in log_mels], BANDS)
        return Store(str(folder), card, Files(reader, wave_reader, arrays_of(str(folder), card, folder)))
    except TaskError as error:
        raise UserError(error.what, f"Restore it, or {AGAIN}") from None
    except OSError as error:
        raise UserError(
            f"cannot read the store {folder}: {error.strerror or error} ({error.filename})",
            f"Restore it, or {AGAIN}",
        ) from None


def _open_remote(address: str, home: Path | None, check: Check, report: Reporter) -> Store:
    system, root = file_system(address)
    try:
        if not system.exists(f"{root}/{DESCRIPTION}"):
            raise UserError(
                f"there is no finished store at {address}",
                "copy one there that bench pretrain prepare made",
            )
        if system.size(f"{root}/{DESCRIPTION}") > TABLE:
            raise UserError(f"{address}/{DESCRIPTION} has more than {TABLE:,} bytes, so it is none", AGAIN)
        card = read_card(address, system.cat_file(f"{root}/{DESCRIPTION}"))
        sizes = {name.rsplit("/", 1)[-1]: about["size"] for name, about in system.find(root, detail=True).items()}
        log_mels, waves = shard_files(card)
        for name, (_, size) in (log_mels | waves).items():
            _refuse_size(f"{address}/{name}", sizes.get(name), size)
        todo = log_mels | waves if check == "all" else {}
        with report.stage("checking", len(todo), "files") as advance:
            for done, (name, (sha256, _)) in enumerate(todo.items(), start=1):
                if remote_hash(system, f"{root}/{name}") != sha256:
                    raise _changed(f"{address}/{name}")
                advance(done)
        folder = home_folder(home) / REMOTE_FOLDER / card.fingerprint[:32]
        hashes = FileHashes(folder)
        for name, sha256 in card.arrays.items():
            if not (folder / name).is_file() or not hashes.has(folder / name, sha256):
                replace_file(folder / name, system.cat_file(f"{root}/{name}"))
                if not hashes.has(folder / name, sha256, fresh=True):
                    raise _changed(f"{address}/{name}")
        wave_reader = RemoteShards(system, [f"{root}/{name}" for name in waves], SAMPLES) if waves else None
        reader = RemoteShards(system, [f"{root}/{name}" for name in log_mels], BANDS)
        return Store(address, card, Files(reader, wave_reader, arrays_of(address, card, folder)))
    except OSError as error:
        raise UserError(
            f"cannot read the store {address}: {error}",
            "see whether the storage can be reached, and run the same command again",
        ) from error


def _refuse_size(name: str, size: int | None, expected: int) -> None:
    if size != expected:
        have = "is missing" if size is None else f"has {size} of {expected} bytes"
        raise UserError(f"{name} {have}, so the store is torn", f"Restore it, or {AGAIN}")


def _changed(name: str) -> UserError:
    return UserError(f"{name} is not what was written: its sha256 is another", f"Restore it, or {AGAIN}")
