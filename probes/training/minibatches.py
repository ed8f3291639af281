"""Minibatches: the rows of each step, read from memory or from a memory map.

The rows of step ``s`` depend on the seed, the number and width of items and the batch size alone, so that a training
that was set aside continues as if it had not been, and trainings of one seed share their minibatches.
"""

from __future__ import annotations

import copy
import itertools
import mmap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO

import numpy as np
import torch

from probes.data import SplitArrays, release, standardisation

#: Embeddings beyond so many bytes are read in shuffled blocks instead of being shuffled row by row.
ROW_SHUFFLE_BYTES = 2**30
BLOCK_ROWS = 256
CHUNK_BLOCKS = 128  # 32,768 rows are shuffled with each other,
CHUNK_BYTES = 2**28  # or as many blocks as fit into so many bytes,
FEWEST_BLOCKS = 8  # but so many at least


@dataclass(frozen=True)
class Minibatch:
    """The rows of one step: inputs [n, D] as they are and standardised (``None`` unless asked for), and targets."""

    raw: torch.Tensor | None
    standard: torch.Tensor | None
    targets: torch.Tensor

    def inputs(self, *, standardised: bool) -> torch.Tensor:
        """Return one of the two."""
        rows = self.standard if standardised else self.raw
        assert rows is not None
        return rows


def is_large(embeddings: np.ndarray) -> bool:
    """Say whether ``embeddings`` are read in shuffled blocks."""
    return embeddings.nbytes > ROW_SHUFFLE_BYTES


def chunk_blocks(dim: int) -> int:
    """Return how many blocks of float32 rows of width ``dim`` are held, and shuffled with each other, at a time."""
    fit = CHUNK_BYTES // (BLOCK_ROWS * dim * 4)
    return min(CHUNK_BLOCKS, max(FEWEST_BLOCKS, fit))


class TrainInputs:
    """The train split, ready to be drawn from; what is standardised is made once, where it fits.

    Args:
        split: Train.
        targets: Encoded targets on the device.
        device: torch's name of the device.
        dtype: What the probe multiplies in.
    """

    def __init__(self, split: SplitArrays, targets: torch.Tensor, device: str, dtype: torch.dtype) -> None:
        self.embeddings, self.targets, self.device, self.dtype = split.embeddings, targets, device, dtype
        self.large = is_large(split.embeddings)
        self.mean, self.scale = standardisation(split.embeddings, on=True)
        self._mean = torch.from_numpy(self.mean).to(device)
        self._scale = torch.from_numpy(self.scale).to(device)
        self._raw: torch.Tensor | None = None
        self._standard: torch.Tensor | None = None
        self._preparing = threading.Lock()

    def with_targets(self, targets: torch.Tensor) -> TrainInputs:
        """Return the same inputs with other targets."""
        other = copy.copy(self)
        other.targets = targets
        return other

    @property
    def dim(self) -> int:
        """Width D of a row."""
        return int(self.embeddings.shape[1])

    @property
    def raw(self) -> torch.Tensor:
        """All rows as they are, float32 [n, D] on the device."""
        with self._preparing:
            if self._raw is None:
                rows = torch.from_numpy(np.ascontiguousarray(self.embeddings, np.float32))
                self._raw = rows.to(self.device, self.dtype)
            return self._raw

    @property
    def standard(self) -> torch.Tensor:
        """All rows standardised."""
        with self._preparing:
            if self._standard is None:
                rows = torch.from_numpy(np.ascontiguousarray(self.embeddings, np.float32)).to(self.device)
                self._standard = self.standardise(rows)
            return self._standard

    def standardise(self, rows: torch.Tensor) -> torch.Tensor:
        """Return float32 rows [n, D] standardised, in the probe's type."""
        return ((rows - self._mean) * self._scale).to(self.dtype)

    def stream(self, batch_size: int, seed: int, start: int, *, raw: bool, standard: bool) -> Iterator[Minibatch]:
        """Yield the minibatches of steps ``start``, ``start + 1``, ... without end; each holds until the next."""
        if self.large:
            return self._from_blocks(batch_size, seed, start, raw=raw, standard=standard)
        return self._from_memory(batch_size, seed, start, raw=raw, standard=standard)

    def _from_memory(self, batch_size: int, seed: int, start: int, *, raw: bool, standard: bool) -> Iterator[Minibatch]:
        sources = [self.raw if raw else None, self.standard if standard else None]
        n = len(self.targets)
        if batch_size >= n:  # every step sees all rows: their order is of no consequence
            everything = Minibatch(sources[0], sources[1], self.targets)
            while True:
                yield everything
        buffers = [None if source is None else torch.empty_like(source[:batch_size]) for source in sources]
        for rows in row_order(n, batch_size, seed, start):
            index = torch.from_numpy(rows).to(self.device)
            gathered = [
                None
                if source is None or buffer is None
                else torch.index_select(source, 0, index, out=buffer[: len(rows)])
                for source, buffer in zip(sources, buffers, strict=True)
            ]
            yield Minibatch(gathered[0], gathered[1], self.targets.index_select(0, index))

    def _from_blocks(self, batch_size: int, seed: int, start: int, *, raw: bool, standard: bool) -> Iterator[Minibatch]:
        count = chunk_blocks(self.embeddings.shape[1])
        chunks = chunk_order(len(self.targets), batch_size, seed, start, count)
        dim = self.embeddings.shape[1]
        most = min(count * BLOCK_ROWS, len(self.targets))
        # Memory for this chunk and the next, by turns: fresh pages for each would cost as much as reading.
        turns = itertools.cycle([np.empty((most, dim), np.float32) for _ in range(2)])
        gathered = torch.empty(batch_size, dim)
        with ThreadPoolExecutor(1) as reader:  # the next chunk is read while this one trains
            coming = reader.submit(self._read, next(chunks), next(turns))
            while True:
                chunk, held = coming.result()
                coming = reader.submit(self._read, next(chunks), next(turns))
                for first in range(chunk.skipped * batch_size, len(chunk.rows), batch_size):
                    part = chunk.order[first : first + batch_size]
                    x = torch.index_select(held, 0, torch.from_numpy(part), out=gathered[: len(part)]).to(self.device)
                    original = x.to(self.dtype, copy=standard) if raw else None
                    yield Minibatch(
                        original,
                        x.sub_(self._mean).mul_(self._scale).to(self.dtype) if standard else None,
                        self.targets.index_select(0, torch.from_numpy(chunk.rows[part]).to(self.device)),
                    )

    def _read(self, chunk: Chunk, into: np.ndarray) -> tuple[Chunk, torch.Tensor]:
        """Return the chunk and its rows, float32 [rows, D] in the memory of ``into``, block after block."""
        held = into[: len(chunk.rows)]
        file = _plain_file(self.embeddings)
        at = 0
        for block in chunk.blocks:
            start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, len(self.embeddings))
            part = held[at : at + stop - start]
            if file is None:
                part[:] = self.embeddings[start:stop]
            else:  # read, not mapped: a page fault every 4 KiB costs more than the copy
                file.seek(self._offset + int(start) * part.strides[0])
                if file.readinto(part.data.cast("B")) != part.nbytes:
                    raise OSError(f"{file.name} is shorter than it was")
            at += stop - start
        if file is not None:
            file.close()
        release(self.embeddings)
        return chunk, torch.from_numpy(held)

    @property
    def _offset(self) -> int:
        return int(getattr(self.embeddings, "offset", 0))


def _plain_file(embeddings: np.ndarray) -> FileIO | None:
    """Return the file behind a whole float32 memory map, opened for reading; ``None`` for any other array."""
    name = getattr(embeddings, "filename", None)
    whole = (
        isinstance(embeddings, np.memmap) and isinstance(embeddings.base, mmap.mmap) and embeddings.flags.c_contiguous
    )
    if name is None or not whole or embeddings.dtype != np.float32:
        return None
    return open(name, "rb", buffering=0)  # noqa: PTH123 - unbuffered, closed by the caller


def row_order(n: int, batch_size: int, seed: int, start: int = 0) -> Iterator[np.ndarray]:
    """Yield the rows of steps from ``start`` on: every epoch is a fresh shuffle; its last minibatch may be smaller."""
    per_epoch = -(-n // batch_size)
    epoch, skipped = divmod(start, per_epoch)
    while True:
        order = np.random.default_rng([seed, 0, epoch]).permutation(n)
        for first in range(skipped * batch_size, n, batch_size):
            yield order[first : first + batch_size]
        epoch, skipped = epoch + 1, 0


@dataclass(frozen=True)
class Chunk:
    """Blocks that are shuffled with each other: their numbers, their rows, the order of those, minibatches to skip."""

    blocks: np.ndarray
    rows: np.ndarray
    order: np.ndarray
    skipped: int


def chunk_order(n: int, batch_size: int, seed: int, start: int = 0, count: int | None = None) -> Iterator[Chunk]:
    """Yield the chunks of the steps from ``start`` on: each epoch shuffles the blocks, each chunk its rows.

    A chunk has ``count`` blocks, :data:`CHUNK_BLOCKS` by default.
    """
    count = CHUNK_BLOCKS if count is None else count
    blocks, epoch = -(-n // BLOCK_ROWS), 0
    while True:
        rng = np.random.default_rng([seed, 0, epoch])
        order = rng.permutation(blocks)
        for first in range(0, blocks, count):
            part = order[first : first + count]
            rows = np.concatenate([np.arange(b * BLOCK_ROWS, min((b + 1) * BLOCK_ROWS, n)) for b in part])
            shuffled = rng.permutation(len(rows))
            steps = -(-len(rows) // batch_size)
            if start < steps:
                yield Chunk(part, rows, shuffled, start)
            start = max(0, start - steps)
        epoch += 1
