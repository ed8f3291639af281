"""Row sources, the interface of an embedding store and of precomputed embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from benchmark.audio.index import AudioIndex
from benchmark.embeddings.tracks import Track


class RowSpace(Protocol):
    """What is known of a set of embeddings; what is ``None`` is not known, or does not apply."""

    @property
    def key(self) -> str:
        """The sha256 of all that decides the numbers."""

    @property
    def fingerprint(self) -> str:
        """That of the encoder, or of the file."""

    @property
    def version(self) -> str:
        """The encoder's version."""

    @property
    def dim(self) -> int:
        """Width D of one layer."""

    @property
    def width(self) -> int:
        """Floats in a row: D times the layers."""

    @property
    def layers(self) -> tuple[str, ...] | None:
        """Names of the layers."""

    @property
    def sample_rate(self) -> int | None:
        """Hz."""

    @property
    def channels(self) -> int | None:
        """1 or 2."""

    @property
    def window_seconds(self) -> float | None:
        """Length of a window."""

    @property
    def hop_seconds(self) -> float | None:
        """Distance between windows."""

    @property
    def fitted_on(self) -> str | None:
        """The sha256 of the training split that the encoder was fitted on."""


class RowSource(Protocol):
    """Rows of embeddings, read by key.

    ``reads_audio`` says whether rows are keyed by audio, and made from it where they are missing.
    """

    reads_audio: bool

    @property
    def space(self) -> RowSpace:
        """What is known of the rows."""

    def keys(self, tracks: Sequence[Track], index: AudioIndex) -> list[str | None]:
        """Return the key of each track's row; ``None`` where it is not known yet.

        Raises:
            UserError: Rows that cannot be used.
        """

    def missing(self, tracks: Iterable[Track], index: AudioIndex) -> list[Track]:
        """Return the tracks that have no row and of which one can be made, each file once, in order."""

    def read(self, keys: Sequence[str], *, columns: slice = slice(None), out: np.ndarray | None = None) -> np.ndarray:
        """Return float32 [len(keys), columns], one row a key, in order.

        Raises:
            KeyError: A key without a row.
            UserError: Rows cannot be read.
        """
