"""Precomputed embeddings as a row source, like an embedding store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.audio.index import AudioIndex
from benchmark.embeddings.tracks import Track
from benchmark.encoders.precomputed.encoder import Precomputed, as_float32, checked
from probes.data import release

READ_ROWS = 16_384


@dataclass(frozen=True)
class PrecomputedSpace:
    """What is known of embeddings that were computed elsewhere; see :class:`~benchmark.embeddings.space.Space`."""

    encoder: str
    version: str
    fingerprint: str
    dim: int
    layers: tuple[str, ...] | None = None
    sample_rate: int | None = None
    channels: int | None = None
    window_seconds: float | None = None
    hop_seconds: float | None = None
    fitted_on: str | None = None

    @property
    def width(self) -> int:
        """Floats in a row."""
        return self.dim

    @property
    def key(self) -> str:
        """The sha256 of contents and matching rule."""
        return hashlib.sha256(json.dumps(["given", self.fingerprint, self.dim]).encode()).hexdigest()


class PrecomputedStore:
    """The rows of one file of embeddings, read by content keys as an embedding store's are."""

    reads_audio = False

    def __init__(self, encoder: Precomputed) -> None:
        self.encoder = encoder
        self.folder = encoder.path
        self.space = PrecomputedSpace(encoder.name, encoder.version, encoder.fingerprint(), encoder.dim)
        self._keys: dict[str, str] = {}
        self._ids: dict[str, str] = {}

    def keys(self, tracks: Sequence[Track], index: AudioIndex) -> list[str | None]:  # noqa: ARG002 - no audio is read
        """Return the key of each track: the sha256 of its id and row. Rows are checked the first time.

        Raises:
            UserError: Rows that cannot be used; see :func:`~benchmark.encoders.precomputed.encoder.checked`.
        """
        ids = [track.track_id for track in tracks]
        if any(track_id not in self._keys for track_id in ids):
            self._keys.update(zip(ids, checked(self.encoder, ids), strict=True))
            self._ids = {key: track_id for track_id, key in self._keys.items()}
        return [self._keys[track_id] for track_id in ids]

    def missing(self, tracks: Iterable[Track], index: AudioIndex) -> list[Track]:  # noqa: ARG002 - none can be made
        """Return no track: a run uses the items that have a row, and nothing is embedded."""
        return []

    def read(self, keys: Sequence[str], *, columns: slice = slice(None), out: np.ndarray | None = None) -> np.ndarray:
        """Return float32 [len(keys), width], one row a key, in order; see the embedding store's.

        Raises:
            KeyError: A key that :meth:`keys` has not given.
        """
        if out is None:
            out = np.empty((len(keys), len(range(*columns.indices(self.space.width)))), np.float32)
        for start in range(0, len(keys), READ_ROWS):
            part = [self._ids[key] for key in keys[start : start + READ_ROWS]]
            out[start : start + READ_ROWS] = as_float32(self.encoder.read(part))[:, columns]
            release(out)
        return out
