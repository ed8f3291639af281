"""Records of several results folders, read as one: of several machines or people, or one's own beside examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from results import store
from results.record import Record, RecordError

Place = tuple[str, str, int | None]


def place_of(record: Record) -> Place:
    """Return what one results folder holds once: task, encoder with variant, limit."""
    return record.task.id, record.name, record.limit


@dataclass(frozen=True)
class Together:
    """Records, and the folder that each was read from.

    Attributes:
        records: Sorted by task, encoder and limit.
        folders: By task, encoder and limit.
        examples: Those of :attr:`folders` that are examples, not one's own.
        where: All folders in words.
    """

    records: tuple[Record, ...]
    folders: Mapping[Place, Path]
    examples: frozenset[Place] = frozenset()
    where: str = "the results folders"

    def folder_of(self, record: Record) -> Path:
        """Return the results folder of one of the records."""
        return self.folders[place_of(record)]


def read_together(folders: Sequence[Path], examples: Path | None = None) -> Together:
    """Read the records of all folders; the same run in two of them counts once.

    Args:
        folders: Results folders.
        examples: A folder of examples: of these only what no other folder has is taken.

    Raises:
        RecordError: A record cannot be read, or two folders hold different runs of one encoder on one task: all such
            are named.
    """
    found: dict[Place, Record] = {}
    places: dict[Place, Path] = {}
    clashes = []
    for folder in folders:
        for record in store.read_all(folder):
            place = place_of(record)
            first = found.setdefault(place, record)
            places.setdefault(place, folder)
            if first.run_key != record.run_key:
                one, other = (store.path_of(where, record) for where in (places[place], folder))
                clashes.append(f"  {record.name} on {record.task.id}: {one} and {other}")
    if clashes:
        raise RecordError(
            f"{len(clashes)} record(s) clash, being different runs of one encoder on one task: leave one --results "
            "out, or move the records that are not wanted away:\n" + "\n".join(clashes)
        )
    shown = set()
    if examples is not None:
        for record in store.read_all(examples):
            place = place_of(record)
            if place not in found:
                found[place], places[place] = record, examples
                shown.add(place)
    records = sorted(found.values(), key=lambda record: (record.task.id, record.name, record.limit or 0))
    where = ", ".join(str(folder) for folder in (*folders, *([examples] if examples is not None else [])))
    return Together(tuple(records), places, frozenset(shown), where)
