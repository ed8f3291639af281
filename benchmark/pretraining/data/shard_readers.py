"""Reading pieces of shards: memory-mapped from a folder, or by ranged requests from an object storage (fsspec).

A reader is of one kind of file, whose rows have a width: 96 bands of log-mels, or 160 samples of waveforms.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmark.errors import UserError

#: Shards held mapped at once: a mapping keeps a file descriptor, of which a process may often have no more than 1024.
MAPPED = 512


class ShardReader(Protocol):
    """Where crops come from. Threads may read at once."""

    def fill(self, out: np.ndarray, shards: Sequence[int], firsts: Sequence[int]) -> None:
        """Fill float16 [n, frames, width] with the frames from ``firsts`` on of ``shards``."""


class MappedShards:
    """Shards in a folder."""

    def __init__(self, paths: Sequence[Path], width: int) -> None:
        """Remember each shard as it is now; a file that is another one later is refused.

        Raises:
            OSError: A shard is missing.
        """
        self._paths, self._width = paths, width
        self._seen = [_identity(path.stat()) for path in paths]
        self._shard = lru_cache(maxsize=MAPPED)(self._map)

    def fill(self, out: np.ndarray, shards: Sequence[int], firsts: Sequence[int]) -> None:
        """Fill float16 [n, frames, width]; see :class:`ShardReader`.

        Raises:
            UserError: A shard is gone, or another than when the store was opened.
        """
        frames = out.shape[1]
        for place, (shard, first) in enumerate(zip(shards, firsts, strict=True)):
            out[place] = self._shard(shard)[first : first + frames]

    def _map(self, shard: int) -> np.ndarray:
        path = self._paths[shard]
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if _identity(os.fstat(descriptor)) != self._seen[shard]:
                    raise UserError(
                        f"{path} was changed while it was in use",
                        "start again with the store as it is now",
                    )
                mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UserError(
                f"cannot read {path}: {error.strerror or error}",
                "let it be read, and run the same command again: it continues from the last checkpoint",
            ) from error
        return np.frombuffer(mapped, "<f2").reshape(-1, self._width)


class RemoteShards:
    """Shards behind a file system of fsspec: all crops of a batch are asked for at once."""

    def __init__(self, system: Any, paths: Sequence[str], width: int) -> None:
        self._system, self._paths, self._width = system, paths, width

    def fill(self, out: np.ndarray, shards: Sequence[int], firsts: Sequence[int]) -> None:
        """Fill float16 [n, frames, width]; see :class:`ShardReader`.

        Raises:
            UserError: The storage fails, or answers with too few bytes.
        """
        frames, width = out.shape[1], 2 * self._width
        starts = [first * width for first in firsts]
        ends = [start + frames * width for start in starts]
        paths = [self._paths[shard] for shard in shards]
        answers = self._system.cat_ranges(paths, starts, ends, on_error="return")
        for place, (path, answer) in enumerate(zip(paths, answers, strict=True)):
            if isinstance(answer, BaseException):
                raise UserError(
                    f"cannot read {path}: {answer or type(answer).__name__}",
                    "see whether the storage can be reached, and run the same command again: it continues from the "
                    "last checkpoint",
                ) from answer
            if len(answer) != frames * width:
                raise UserError(
                    f"{path} gave {len(answer)} bytes where {frames * width} were asked for: is it cut?",
                    "Copy the store there again",
                )
            out[place] = np.frombuffer(answer, "<f2").reshape(frames, self._width)


def as_float32(halves: np.ndarray) -> np.ndarray:
    """Return float16 [n, ...] as contiguous float32. torch converts halves several times as fast as numpy."""
    import torch

    found = np.empty(halves.shape, np.float32)  # of numpy: its large arrays are of huge pages, fresh memory is dear
    for to, one in zip(torch.from_numpy(found), torch.from_numpy(halves), strict=True):
        to.copy_(one)  # each too small for torch to start threads
    return found


def _identity(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
