"""Records as a table: one row a record, split and metric, as a pandas frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from results import store
from results.partial import is_partial
from results.record import Record, RecordError
from results.status import statuses

if TYPE_CHECKING:
    import pandas as pd

Split = Literal["valid", "test", "all"]
ALL: Final = "all"
SPLITS: Final = ("valid", "test", ALL)
#: The columns of :func:`load_results` and their types; numbers that may be missing are floats or pandas' ``Int64``.
COLUMNS: Final = {
    "task": "str",
    "group": "str",
    "kind": "str",
    "encoder": "str",
    "variant": "str",
    "name": "str",
    "split": "str",
    "metric": "str",
    "primary": "bool",
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "std": "float64",
    "seeds": "int64",
    "seed_values": "object",
    "question": "str",
    "items_low": "float64",
    "items_high": "float64",
    "constant": "float64",
    "permuted": "float64",
    "ridge": "float64",
    "published": "float64",
    "status": "object",
    "items": "int64",
    "limit": "Int64",
    "partial": "bool",
    "fraction": "float64",
    "repeat": "Int64",
    "protocol": "str",
    "trials": "int64",
    "layer": "object",
    "dim": "int64",
    "encoder_version": "str",
    "task_version": "int64",
    "run_key": "str",
    "created": "str",
    "path": "str",
}


def load_results(
    folder: str | Path | Iterable[str | Path] = "results", *, curves: bool = False, split: Split = "all"
) -> pd.DataFrame:
    """Return the records below one or more results folders as a table, one row a record, split and metric.

    Nothing is left out: limited and partial runs and every variant are rows too, told apart by the columns ``limit``,
    ``partial`` and ``variant``. The history of displaced records is not read.

    | columns | what they hold |
    | --- | --- |
    | ``task``, ``group``, ``kind``, ``task_version`` | the task, its table of the leaderboard, its kind |
    | ``encoder``, ``encoder_version``, ``dim``, ``layer`` | the encoder; no ``layer`` where it has none |
    | ``variant`` | other than default choices that change what is measured (``bf16+quick``); else empty |
    | ``name`` | what names the record's row: the encoder, and the variant where there is one |
    | ``split``, ``metric``, ``primary`` | ``valid`` chose the probe, ``test`` did not; is it the primary metric? |
    | ``value``, ``std``, ``seeds`` | mean and deviation over the retrained probes, and their number |
    | ``seed_values`` | the score of each retrained probe, as a tuple |
    | ``low``, ``high``, ``question`` | 95 % interval, over ``items and seeds`` or over ``items`` alone |
    | ``items_low``, ``items_high`` | 95 % interval of these very probes, over items alone |
    | ``constant``, ``permuted``, ``ridge`` | the floors on the same metric; missing on ``valid`` |
    | ``published``, ``status`` | the published score, and what ours is beside it; missing where there is none |
    | ``items`` | how many items the split has |
    | ``limit``, ``partial`` | what ``--limit`` gave; whether items were missing or damaged |
    | ``fraction``, ``repeat`` | of a point of a learning curve |
    | ``protocol``, ``trials`` | what the probe may be, and how many settings were tried |
    | ``run_key`` | equal for runs that must give equal numbers |
    | ``created``, ``path`` | when the record was written (ISO 8601), and its file |

    Args:
        folder: A results folder, or several.
        curves: Read the points of learning curves too.
        split: The rows of ``valid`` or of ``test`` alone; then a row is a record and a metric.

    Returns:
        A frame with these columns, sorted by folder, task, encoder and variant. Without records it has no rows.

    Raises:
        RecordError: A folder is not there, or a record cannot be read or is not as it was written.
        ValueError: There is no such split.
    """
    folders = [Path(folder)] if isinstance(folder, str | Path) else [Path(each) for each in folder]
    found: list[tuple[Record, Path]] = []
    for each in folders:
        if not each.is_dir():
            raise RecordError(
                f"there is no results folder {each}", "name another, or run something first, with 'bench run'"
            )
        found += [(record, store.path_of(each, record)) for record in store.read_all(each, curves=curves)]
    return frame_of(found, split)


def frame_of(records: Iterable[tuple[Record, Path]], split: Split = "all") -> pd.DataFrame:
    """Return the table of records, each with its file: see :func:`load_results`.

    Raises:
        ValueError: There is no such split.
    """
    import pandas as pd

    if split not in SPLITS:
        raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
    rows = [row for record, path in records for row in _rows(record, path) if split in (ALL, row["split"])]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _rows(record: Record, path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of one record; keys are those of COLUMNS."""
    floors = record.floors
    beside = {status.metric: status for status in reversed(statuses(record))}  # of several sources the first
    for split, scores in (("valid", record.scores.valid), ("test", record.scores.test)):
        for metric, score in scores.items():
            of_floors = {
                name: floor[metric].value if split == "test" and floor is not None else None
                for name, floor in (
                    ("constant", floors.constant), ("permuted", floors.permuted), ("ridge", floors.ridge)
                )
            }  # fmt: skip
            yield of_floors | {
                "task": record.task.id,
                "group": record.task.group,
                "kind": record.task.kind,
                "encoder": record.encoder.id,
                "variant": record.variant,
                "name": record.name,
                "split": split,
                "metric": metric,
                "primary": metric == record.task.metrics[0],
                "value": score.value,
                "low": score.low,
                "high": score.high,
                "std": score.std,
                "seeds": len(score.seeds),
                "seed_values": tuple(score.seeds),
                "question": score.question,
                "items_low": score.items_low,
                "items_high": score.items_high,
                "published": beside[metric].published if split == "test" and metric in beside else None,
                "status": beside[metric].word if split == "test" and metric in beside else None,
                "items": record.data.counts[split],
                "limit": record.limit,
                "partial": is_partial(record),
                "fraction": None if record.curve is None else record.curve.fraction,
                "repeat": None if record.curve is None else record.curve.repeat,
                "protocol": record.protocol,
                "trials": len(record.search.trials),
                "layer": record.probe.layer,
                "dim": record.encoder.dim,
                "encoder_version": record.encoder.version,
                "task_version": record.task.version,
                "run_key": record.run_key,
                "created": record.created,
                "path": str(path),
            }
