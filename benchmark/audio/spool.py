"""Spooling of a track's samples: in memory, or in a file where they are many.

So the length of a track costs a decoding process no memory. The file is mapped into memory where it is read, and
whoever reads it lets go of the pages (:func:`release`). It is removed as soon as it is mapped, where the system allows
that (:func:`forget_name`).
"""

from __future__ import annotations

import mmap
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import UserError

#: Values that are held in memory: 128 MiB, 35 minutes of mono at 16 kHz.
IN_MEMORY = 2**25


class Spool:
    """Collects pieces float32 [n, channels] and gives them back as one array [channels, samples].

    To be used as a context: what was written is removed unless the array was asked for.
    """

    def __init__(self, channels: int, folder: Path | None = None) -> None:
        """Begin.

        Args:
            channels: Channels of every piece.
            folder: Where the file goes, if one is needed; the system's folder for such files by default.
        """
        self._channels, self._folder = channels, folder
        self._pieces: list[np.ndarray] = []
        self._file: Any = None  # a temporary file
        self._given = False
        self.length = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._given:
            self._pieces.clear()
            if self._file is not None:
                self._file.close()
                with suppress(OSError):
                    Path(self._file.name).unlink()

    def add(self, piece: np.ndarray) -> None:
        """Take a piece.

        Raises:
            UserError: The file cannot be written.
        """
        self.length += len(piece)
        self._pieces.append(piece)
        if self._file is not None or self.length * self._channels > IN_MEMORY:
            try:
                self._write()
            except OSError as error:
                raise UserError(
                    f"cannot keep a long track in {self._where()} while it is embedded: {error.strerror or error}",
                    "Make room there and run the same command again; finished tracks are kept",
                ) from error

    def samples(self) -> np.ndarray:
        """Return all of it, float32 [channels, samples]: contiguous, or mapped from the file."""
        self._given = True
        if self._file is not None:
            self._file.close()
            return opened(Path(self._file.name), self.length, self._channels)
        samples = np.empty((self._channels, self.length), np.float32)
        at = self.length
        while self._pieces:  # from the end, so that each is let go of
            piece = self._pieces.pop()
            samples[:, at - len(piece) : at] = piece.T
            at -= len(piece)
        return samples

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.NamedTemporaryFile(prefix="samples-", dir=self._folder, delete=False)  # noqa: SIM115
        for piece in self._pieces:
            self._file.write(np.ascontiguousarray(piece, np.float32).data)
        self._pieces.clear()

    def _where(self) -> str:
        return str(self._folder or tempfile.gettempdir())


def opened(path: Path, length: int, channels: int) -> np.ndarray:
    """Return samples [channels, length] that a :class:`Spool` has written, mapped from their file."""
    return np.memmap(path, np.float32, "r", shape=(length, channels)).T


def file_of(samples: np.ndarray) -> Path | None:
    """Return the file that samples are mapped from; none where they are in memory."""
    name = getattr(samples, "filename", None)
    return None if name is None else Path(name)


def forget_name(samples: np.ndarray) -> None:
    """Remove the file that samples are mapped from: it stays until they are let go of."""
    path = file_of(samples)
    if path is not None:
        with suppress(OSError):  # some systems remove no file that is in use
            path.unlink()


def release(samples: np.ndarray) -> None:
    """Let go of the pages of samples that are mapped from a file, which would count as this process's memory."""
    mapped = getattr(samples, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
