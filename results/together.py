"""Records of several results folders, read as one: of several machines or people, or one's own beside examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from results import store
from results.record import Record, RecordError

Place = tuple[str, str, int | None]
_Key = tuple[str, str, int, float, int]


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
        curves: The points of learning curves, where these were asked for. They have no place of their own among
            ``folders``.
        curve_folders: Their folders, by place, fraction and repeat.
    """

    records: tuple[Record, ...]
    folders: Mapping[Place, Path]
    examples: frozenset[Place] = frozenset()
    where: str = "the results folders"
    curves: tuple[Record, ...] = ()
    curve_folders: Mapping[_Key, Path] = field(default_factory=dict)

    def folder_of(self, record: Record) -> Path:
        """Return the results folder of one of the records, or of the points of learning curves."""
        return self.folders[place_of(record)] if record.curve is None else self.curve_folders[_key(record)]


def read_together(folders: Sequence[Path], examples: Path | None = None, *, curves: bool = False) -> Together:
    """Read the records of all folders; the same run in two of them counts once.

    Args:
        folders: Results folders.
        examples: A folder of examples: of these only what no other folder has is taken.
        curves: Read the points of learning curves too.

    Raises:
        RecordError: A record cannot be read, or two folders hold different runs of one encoder on one task: all such
            are named.
    """
    found: dict[_Key, Record] = {}
    places: dict[_Key, Path] = {}
    clashes = []
    for folder in folders:
        for record in store.read_all(folder, curves=curves):
            key = _key(record)
            first = found.setdefault(key, record)
            places.setdefault(key, folder)
            if first.run_key != record.run_key:
                one, other = (store.path_of(where, record) for where in (places[key], folder))
                clashes.append(f"  {record.name} on {record.task.id}: {one} and {other}")
    if clashes:
        raise RecordError(
            f"{len(clashes)} record(s) clash, being different runs of one encoder on one task",
            "leave one --results out, or move the records that are not wanted away",
            clashes,
        )
    shown = set()
    if examples is not None:
        for record in store.read_all(examples, curves=curves):
            key = _key(record)
            if key not in found:
                found[key], places[key] = record, examples
                shown.add(key)
    records = sorted(found.values(), key=_key)
    where = ", ".join(str(folder) for folder in (*folders, *([examples] if examples is not None else [])))
    return Together(
        tuple(record for record in records if record.curve is None),
        {place_of(found[key]): folder for key, folder in places.items() if found[key].curve is None},
        frozenset(place_of(found[key]) for key in shown if found[key].curve is None),
        where,
        tuple(record for record in records if record.curve is not None),
        {key: folder for key, folder in places.items() if found[key].curve is not None},
    )


def _key(record: Record) -> _Key:
    """Return the place of a record, and which point of a learning curve it is (0, 0 where it is none)."""
    point = record.curve
    return (
        record.task.id,
        record.name,
        record.limit or 0,
        *((0.0, 0) if point is None else (point.fraction, point.repeat)),
    )
