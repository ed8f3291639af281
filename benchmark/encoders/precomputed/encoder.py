"""Precomputed embeddings in place of an encoder: ``emb:FILE_OR_DIR``. They need no audio."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmark.encoders.base import Encoder
from benchmark.encoders.precomputed.files import read_rows
from benchmark.encoders.spec import EncoderSpec
from benchmark.errors import UserError
from benchmark.system.long_lists import shown
from tasks.files import expanded, resolved

#: How rows find their tracks; part of the fingerprint.
MATCHING = "ids equal as texts"


class Precomputed(Encoder):
    """Embeddings computed elsewhere, one row a track: what stands in the place of an encoder has no audio to say of.

    Attributes:
        path: The file or folder.
        ids: Its ids, each once.
        dim: Width D of a row.
    """

    window_seconds = None
    hop_seconds = None
    arrays = "numpy"
    notes: ClassVar[tuple[str, ...]] = ("Computed elsewhere: how audio was decoded, cut and pooled is not known here.",)

    def __init__(self, path: Path, name: str | None = None, home: Path | None = None) -> None:
        """Read the ids of ``path``.

        Args:
            path: A file or folder; see :func:`~benchmark.encoders.precomputed.files.read_rows`.
            name: Its id in records; by default the name of the file without its ending.
            home: The data home, where lists too long to show go; by default the present folder.

        Raises:
            UserError: It cannot be read, or an id is there twice.
        """
        self.path, self.home = path, home or Path()
        self.name = name or (resolved(path).name if path.is_dir() else path.stem)
        self._rows = read_rows(path)
        self.ids, self.dim = self._rows.ids, self._rows.dim
        twice = [track_id for track_id, n in Counter(self.ids).items() if n > 1]
        if twice:
            refuse(
                f"{path} has {len(twice)} id(s) more than once; a track has one embedding",
                twice,
                self.listing("duplicates"),
                "leave one row of each",
            )
        self.version = self.fingerprint()[:12]

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each id."""
        return {track_id: row for row, track_id in enumerate(self.ids)}

    def read(self, track_ids: Sequence[str]) -> np.ndarray:
        """Return the rows of ``track_ids``, as numbers [n, D] of the file's own type.

        Raises:
            KeyError: An id that is not there.
            UserError: A file of the folder cannot be read, or is of another width.
        """
        return self._rows.take(np.array([self.rows[track_id] for track_id in track_ids], np.int64))

    def listing(self, what: str) -> Path:
        """Return where a list too long to show is written."""
        return self.home / f"{what}-{self.path.name}.txt"

    def embed(self, waveforms: Any) -> Any:  # noqa: ARG002 - the contract's
        """Refuse: there is nothing that could embed."""
        raise UserError(
            f"{self.path} holds embeddings, not an encoder: it cannot embed audio",
            "name the encoder that made them",
        )

    def fingerprint(self) -> str:
        """Return the sha256 of the contents and of the matching rule."""
        return hashlib.sha256(json.dumps([MATCHING, self._rows.ids, self._rows.digests]).encode()).hexdigest()


def open_precomputed(spec: EncoderSpec, home: Path) -> Precomputed:
    """Return the embeddings that ``emb:`` names; the option ``name`` is their id in records.

    Raises:
        UserError: They cannot be read, or an id is there twice.
    """
    spec.check_options(("name",))
    return Precomputed(expanded(spec.target), spec.options.get("name"), home)


def checked(encoder: Precomputed, track_ids: Sequence[str], block: int = 4096) -> list[str]:
    """Check the rows of ``track_ids`` and return the sha256 of each, id included.

    Raises:
        UserError: Rows that are not finite, do not fit into float32 or are constant, or all rows are the same: they are
            named.
    """
    keys: list[str] = []
    wrong: dict[str, list[str]] = {}
    first: np.ndarray | None = None
    same = True
    for start in range(0, len(track_ids), block):
        names = track_ids[start : start + block]
        raw = encoder.read(names)
        values = as_float32(raw)
        finite, fits = np.isfinite(raw).all(axis=1), np.isfinite(values).all(axis=1)
        constant = fits & (values == values[:, :1]).all(axis=1) & (encoder.dim > 1)
        for problem, is_wrong in {
            "are not finite (NaN or infinite)": ~finite,
            "have numbers beyond float32": finite & ~fits,
            "are constant: all numbers of the row are equal": constant,
        }.items():
            wrong.setdefault(problem, []).extend(name for name, bad in zip(names, is_wrong, strict=True) if bad)
        first = values[0] if first is None else first
        same = same and bool((values == first).all())
        digests = (
            hashlib.sha256(name.encode() + b"\0" + row.tobytes()) for name, row in zip(names, values, strict=True)
        )
        keys += [digest.hexdigest() for digest in digests]
    for problem, ids in wrong.items():
        if ids:
            refuse(
                f"{len(ids)} of the {len(track_ids)} embeddings of {encoder.path} that are wanted {problem}",
                ids,
                encoder.listing("unusable"),
                "compute them again, or take them out of the file and leave them out with --allow-missing "
                f"{len(ids)} (the record will name them)",
            )
    if same and len(track_ids) > 1:
        raise UserError(
            f"all {len(track_ids)} embeddings of {encoder.path} that are wanted are the same row",
            "write the row of each track, in the order of its ids, and run again",
        )
    return keys


def as_float32(raw: np.ndarray) -> np.ndarray:
    """Return numbers as float32; what does not fit becomes infinite."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(raw.astype(np.float32))


def refuse(problem: str, ids: Sequence[str], listing: Path, advice: str) -> None:
    """Raise a :class:`UserError` that names the first ids and writes all of them to ``listing`` when there are many."""
    raise UserError(problem, advice, shown(ids, listing))
