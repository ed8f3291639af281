"""Embeddings that are given: which items of a task have one, and what stands in the place of the embedding store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.encoders.precomputed.encoder import Precomputed, as_float32, checked
from probes.data import release

READ_ROWS = 16_384


@dataclass(frozen=True)
class GivenSpace:
    """What is known of embeddings that were computed elsewhere; see :class:`~benchmark.embeddings.space.Space`."""

    encoder: str
    version: str
    fingerprint: str
    dim: int
    layers: None = None

    @property
    def width(self) -> int:
        """Floats in a row."""
        return self.dim

    @property
    def key(self) -> str:
        """The sha256 of contents and matching rule."""
        return hashlib.sha256(json.dumps(["given", self.fingerprint, self.dim]).encode()).hexdigest()


class GivenStore:
    """The rows of one file of embeddings, read by content keys as an embedding store's are."""

    def __init__(self, encoder: Precomputed) -> None:
        self.encoder = encoder
        self.folder = encoder.path
        self.space = GivenSpace(encoder.name, encoder.version, encoder.fingerprint(), encoder.dim)
        self._keys: dict[str, str] = {}
        self._ids: dict[str, str] = {}

    def keys(self, track_ids: Sequence[str]) -> list[str]:
        """Return the key of each track: the sha256 of its id and row. Rows are checked the first time.

        Raises:
            UserError: Rows that cannot be used; see :func:`~benchmark.encoders.precomputed.encoder.checked`.
        """
        if any(one not in self._keys for one in track_ids):
            self._keys.update(zip(track_ids, checked(self.encoder, track_ids), strict=True))
            self._ids = {key: one for one, key in self._keys.items()}
        return [self._keys[one] for one in track_ids]

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
