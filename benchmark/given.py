"""Embeddings that are given: which items of a task have one, and what stands in the place of the embedding store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.encoders.precomputed import Precomputed, as_float32, checked, refuse
from benchmark.errors import UserError
from benchmark.progress import Reporter
from probes.data import release
from tasks.items import Items

EXAMPLES = 3
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
            UserError: Rows that cannot be used; see :func:`~benchmark.encoders.precomputed.checked`.
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


def given_rows(
    encoder: Precomputed, items: Items, task: str, differences: Mapping[str, int], allowed: int, report: Reporter
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the indices of the items that have an embedding, and in words what is missing.

    What the file has beyond the task is told and left aside.

    Args:
        encoder: The embeddings.
        items: All items of the task.
        task: The task's id.
        differences: By how many items each split differs from the task's card.
        allowed: How many embeddings, and items of the card, may be missing.
        report: Is told of surplus ids.

    Raises:
        UserError: More are missing, or all are.
    """
    has = np.array([one in encoder.rows for one in items.track_ids])
    if not has.any():
        theirs, ours = ", ".join(encoder.ids[:EXAMPLES]), ", ".join(items.track_ids[:EXAMPLES])
        raise UserError(
            f"no id of {encoder.path} is a track of {task}: it has ids such as {theirs}, and the task {ours}. Ids must "
            "be equal as texts"
        )
    absent = [one for one, there in zip(items.track_ids, has, strict=True) if not there]
    missing = [*absent, *differences_in_words(differences)]
    total = len(absent) + sum(map(abs, differences.values()))
    if total > allowed:
        refuse(
            f"{encoder.path} has no embedding of {len(absent)} of the {len(items)} tracks of {task}"
            + (", whose annotations give other counts than its card" if differences else "")
            + f", and --allow-missing is {allowed}",
            missing,
            encoder.listing(f"missing-{task}"),
            f"\nAdd them, or leave them out with --allow-missing {total} (the record will name them, and the "
            "leaderboard will keep it apart).",
        )
    surplus = len(encoder.ids) - int(has.sum())
    if surplus:
        wanted = set(items.track_ids)
        examples = [one for one in encoder.ids if one not in wanted][:EXAMPLES]
        report.say(
            f"{encoder.path}: {surplus} of its {len(encoder.ids)} ids are no tracks of {task} and are left aside "
            f"({', '.join(examples)}{', …' if surplus > EXAMPLES else ''})"
        )
    return np.flatnonzero(has), tuple(missing)


def differences_in_words(differences: Mapping[str, int]) -> list[str]:
    """Return how the items of each split differ from the card's, as a record names it."""
    return [
        f"({abs(n)} {'more' if n > 0 else 'fewer'} items of {split} than the card)" for split, n in differences.items()
    ]
