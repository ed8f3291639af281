"""The predictions of a record as arrays: what each retrained probe said about each item of a split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from results import store
from results.record import Record, RecordError
from results.rerun import rerun

SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Predictions:
    """One split of n items.

    Attributes:
        track_ids: n distinct ids.
        groups: The group of each item, or ``None`` for a task without groups.
        targets: int64 [n] for multiclass (label indices), else float32 [n, L].
        outputs: float32 [n, L] of each retrained probe.
        labels: Names of the columns.
    """

    track_ids: tuple[str, ...]
    groups: tuple[str, ...] | None
    targets: np.ndarray
    outputs: tuple[np.ndarray, ...]
    labels: tuple[str, ...]

    def take(self, rows: np.ndarray) -> Predictions:
        """Return the items at ``rows``."""
        return replace(
            self,
            track_ids=tuple(self.track_ids[i] for i in rows),
            groups=None if self.groups is None else tuple(self.groups[i] for i in rows),
            targets=self.targets[rows],
            outputs=tuple(outputs[rows] for outputs in self.outputs),
        )


def read_split(results: Path, record: Record, split: str = "test") -> Predictions:
    """Read one split of the predictions that a record names.

    Raises:
        RecordError: The file is missing, is not whole Parquet, or is not what a run writes for this record.
    """
    path = store.predictions_path(results, record)
    if not path.is_file():
        raise RecordError(
            f"{path}, the predictions of {record.encoder.id} on {record.task.id}, is not there",
            f"Restore it, or compute it again: {rerun(record)}",
        )
    table = store.read_predictions(results, record)
    try:
        labels = tuple((table.schema.metadata or {})[b"labels"].decode().split(SEPARATOR))
        table = table.filter([name == split for name in table["split"].to_pylist()])
        groups = table["group"].to_pylist()
        targets = table["target"].combine_chunks()
        if record.task.has_classes:
            wanted = targets.to_numpy(zero_copy_only=False).astype(np.int64)
        else:
            wanted = _columns(targets, len(labels))
        outputs = tuple(
            _columns(table[name].combine_chunks(), len(labels))
            for name in table.column_names
            if name.startswith("outputs_")
        )
        ids = tuple(table["track_id"].to_pylist())
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise _malformed(path, record, str(error)) from error
    if not outputs or not ids or len(set(ids)) < len(ids):
        problem = "no outputs" if not outputs else f"no items of {split}" if not ids else "an id that stands twice"
        raise _malformed(path, record, problem)
    grouped = all(group is not None for group in groups)
    return Predictions(ids, tuple(groups) if grouped else None, wanted, outputs, labels)


def _columns(values: object, width: int) -> np.ndarray:
    """Return float32 [n, width] of an Arrow column of lists."""
    return np.asarray(values.flatten(), np.float32).reshape(-1, width)  # type: ignore[attr-defined]


def _malformed(path: Path, record: Record, problem: str) -> RecordError:
    return RecordError(
        f"{path} does not hold the predictions of {record.encoder.id} on {record.task.id} ({problem})",
        f"Restore it, or compute it again: {rerun(record)}",
    )
