"""NSynth: single notes of 4 s, 305,979 of them, as the tasks ``nsynth_p`` (pitch) and ``nsynth_i`` (instrument family).

Each split is a folder ``nsynth-<split>`` with ``examples.json`` (records by note) and ``audio/<note>.wav`` (16 kHz,
mono). A note is named ``<family>_<source>_<instrument>-<pitch>-<velocity>``, such as ``bass_synthetic_033-060-100``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tasks.card import SPLITS, TaskCard
from tasks.errors import TaskError
from tasks.items import Items
from tasks.readers.tables import Ids, TableRow, label_indices, read_json

NOTE = re.compile(r"(?P<instrument>[a-z_]+_[0-9]{3})-(?P<pitch>[0-9]{3})-(?P<velocity>[0-9]{3})")
KEPT = ("note_str", "instrument_str", "instrument_family_str", "pitch")
Note = tuple[Any, ...]  # the values of KEPT

#: What a card may predict, by the name in its ``outputs``.
LABEL_OF: dict[str, Callable[[Note], str]] = {
    "pitch": lambda note: str(note[3]),
    "instrument_family": lambda note: str(note[2]),
}


def items(card: TaskCard, root: Path) -> Items:
    """Return the notes of train, valid and test, each in order of their names; groups are instruments.

    Raises:
        TaskError: An ``examples.json`` that is missing or cannot be used, named with the line or record.
    """
    index = label_indices(card)
    output = card.targets[0]
    if output not in LABEL_OF:
        raise TaskError(
            f"the card {card.id!r} predicts {output!r}, which NSynth does not have",
            f"write one of {', '.join(LABEL_OF)} there",
        )
    label_of = LABEL_OF[output]
    ids = Ids()
    splits: list[str] = []
    groups: list[str] = []
    targets: list[int] = []
    audio: list[Path] = []
    for split in SPLITS:
        folder = (root / f"nsynth-{split}").absolute()
        path = folder / "examples.json"
        for name, note in sorted(read_json(path, _trim).items()):
            record = TableRow(path, f"record {name!r}", {})
            _check(name, note, record)
            label = label_of(note)
            if label not in index:
                raise record.error(f"the {output} {label!r} is not one of the card's labels")
            ids.take(name, record)
            splits.append(split)
            groups.append(note[1])
            targets.append(index[label])
            audio.append(Path(f"{folder}/audio/{name}.wav"))  # a name is checked, and 300,000 joins take seconds
    return Items(
        tuple(ids.taken), tuple(splits), tuple(audio), tuple(groups), np.array(targets, np.int64), tuple(index)
    )


def _trim(cells: dict[str, Any]) -> Any:
    """Keep of a record what is needed: the train file has 289,205 of them."""
    return tuple(cells.get(name) for name in KEPT) if "note_str" in cells else cells


def _check(name: str, note: Any, record: TableRow) -> None:
    if not isinstance(note, tuple):
        raise record.error("there is no 'note_str'")
    note_str, instrument, family, pitch = note
    found = NOTE.fullmatch(name)
    if found is None or note_str != name:
        raise record.error(f"its note_str is {note_str!r}; a note is named such as 'bass_synthetic_033-060-100'")
    if instrument != found["instrument"] or pitch != int(found["pitch"]) or not name.startswith(f"{family}_"):
        raise record.error(f"its instrument {instrument!r}, family {family!r} and pitch {pitch!r} are not of its name")
