"""Musical keys as ``mir_eval`` writes them, and what an estimated key is worth beside the reference.

The weights are those of the MIREX task Audio Key Detection (https://www.music-ir.org/mirex/wiki/2021:Audio_Key_Detection):
1 for the same key, 0.5 for a perfect fifth, 0.3 for the relative and 0.2 for the parallel key, else 0. The rule is that
of ``mir_eval.key.weighted_score`` up to version 0.8: a fifth counts where the estimate lies *above* the reference. It
is written out here, because later versions of mir_eval may count fifths both ways by default; a test holds all pairs of
keys to mir_eval's rule.

A key is a letter in upper or lower case with ``#`` or ``b``, white space, and ``major``, ``minor`` or ``other``; or it
is ``X``, not to be told. As mir_eval has it, ``Cb``, ``Fb``, ``E#`` and ``B#`` are no keys, and ``other`` counts as a
mode that differs from both others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

FIFTH, RELATIVE, PARALLEL = 0.5, 0.3, 0.2
MODES = ("major", "minor", "other")
TONICS = {
    "c": 0, "c#": 1, "db": 1, "d": 2, "d#": 3, "eb": 3, "e": 4, "f": 5, "f#": 6, "gb": 6, "g": 7, "g#": 8, "ab": 8,
    "a": 9, "a#": 10, "bb": 10, "b": 11,
}  # fmt: skip


@dataclass(frozen=True)
class Key:
    """A key: semitones of its tonic above C, and its mode; both ``None`` for ``X``."""

    tonic: int | None
    mode: str | None


def parse_key(label: str) -> Key | None:
    """Return the key that a label names, or ``None`` where it names none.

    >>> parse_key("Bb minor") == parse_key("A#  minor") == Key(10, "minor")
    True
    """
    if label.lower() == "x":
        return Key(None, None)
    parts = label.split()
    if len(parts) != 2 or parts[0].lower() not in TONICS or parts[1] not in MODES:
        return None
    return Key(TONICS[parts[0].lower()], parts[1])


def weighted_score(reference: Key, estimate: Key) -> float:
    """Return the weight of an estimated key: 1, 0.5, 0.3, 0.2 or 0."""
    if reference == estimate:
        return 1.0
    if reference.tonic is None or estimate.tonic is None:
        return 0.0
    above = (estimate.tonic - reference.tonic) % 12
    if reference.mode == estimate.mode:
        return FIFTH if above == 7 else 0.0
    if above == {"major": 9, "minor": 3}.get(str(reference.mode)):
        return RELATIVE
    return PARALLEL if above == 0 else 0.0


def score_table(labels: Sequence[str]) -> np.ndarray:
    """Return float64 [C, C]: the weight of the estimated key of each column for the reference of each row.

    Raises:
        ValueError: A label that is no key.
    """
    keys = []
    for label in labels:
        key = parse_key(label)
        if key is None:
            raise ValueError(f"{label!r} is not a key such as 'Db major', 'F# minor' or 'X'")
        keys.append(key)
    return np.array([[weighted_score(reference, estimate) for estimate in keys] for reference in keys])


def key_weights(targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Return float64 [n]: :func:`weighted_score` of the estimated keys, 0.5 for a fifth *above* only."""
    return key_scores(tuple(labels))[targets, np.argmax(outputs, axis=1)]


def symmetric_key_weights(targets: np.ndarray, outputs: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Return float64 [n] as :func:`key_weights`, with 0.5 for a fifth both ways, as MIREX counts since 2017."""
    table = key_scores(tuple(labels))
    return np.maximum(table, table.T * (table.T == FIFTH))[targets, np.argmax(outputs, axis=1)]


@lru_cache(maxsize=8)
def key_scores(labels: tuple[str, ...]) -> np.ndarray:
    """Return float64 [C, C]: :func:`score_table` of the labels, which is not to be written to."""
    table = score_table(labels)
    table.flags.writeable = False
    return table
