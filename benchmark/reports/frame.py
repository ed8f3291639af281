"""``bench results``: records as a table, one row a record and metric, as wide as the terminal is."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmark.errors import UserError
from benchmark.reports.score_table import chosen_records
from benchmark.system.tables import WIDTH, table
from results import store
from results.frames import COLUMNS, Split, frame_of
from results.intervals import span
from results.markdown import csv_cell
from results.record import Record
from results.together import Together
from tasks.spelling import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

NARROWEST: Final = 40  # columns of a terminal below which a table is not made narrower
PATH_COLUMN: Final = "path"
Value = Callable[[Mapping[str, Any]], str]


def select(
    together: Together,
    *,
    curves: Sequence[tuple[Record, Path]] = (),
    encoders: Sequence[str] = (),
    tasks: Sequence[str] = (),
    metric: str | None = None,
    split: Split = "test",
) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows that are asked for, and the tasks that were asked for and have no record.

    Args:
        together: The records.
        curves: Points of learning curves, with their files.
        encoders: Names of rows, or globs; none for all.
        tasks: Ids, aliases, globs or groups; none for all.
        metric: Rows of this metric alone.
        split: ``valid``, ``test``, or ``all`` for both.

    Raises:
        UserError: A name that fits nothing.
    """
    paths = {id(record): store.path_of(together.folder_of(record), record) for record in together.records}
    paths |= {id(record): path for record, path in curves}
    records, absent = [*together.records, *(record for record, _ in curves)], list[str]()
    if encoders or tasks:
        records, absent = chosen_records(records, encoders, tasks, together.where)
    frame = frame_of(((record, paths[id(record)]) for record in records), split)
    if metric is not None:
        known = frame.metric.unique().tolist()
        if metric not in known and known:
            hint = did_you_mean(metric, known, f"there are {', '.join(known)}")
            raise UserError(f"no record here has the metric {metric!r}: {hint}")
        frame = frame[frame.metric == metric]
    return frame, absent


def as_json(frame: pd.DataFrame) -> str:
    """Return the rows as a list of JSON objects, with null for what is missing."""
    return json.dumps(_plain(frame), indent=2, ensure_ascii=False, allow_nan=False)


def as_csv(frame: pd.DataFrame) -> str:
    """Return the rows as CSV, in which no text passes for a formula; values of seeds are separated by spaces."""
    shown = frame.copy()
    shown["seed_values"] = [" ".join(map(repr, values)) for values in frame.seed_values]
    for name, kind in COLUMNS.items():
        if kind in ("str", "object"):
            shown[name] = [csv_cell(text) if isinstance(text, str) else text for text in shown[name]]
    return shown.to_csv(index=False, lineterminator="\n")


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows with ``None`` for whatever is missing."""
    return [{str(name): _value(str(name), value) for name, value in row.items()} for row in frame.to_dict("records")]


def _value(name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if value is None or value != value or str(value) == "<NA>":  # NaN alone is unlike itself
        return None
    return int(value) if COLUMNS[name] == "Int64" else value


def _number(name: str) -> Value:
    return lambda row: "-" if row[name] is None else f"{row[name]:z.3f}"


def _text(name: str) -> Value:
    return lambda row: "-" if row[name] in (None, "") else str(row[name])


def part_of(row: Mapping[str, Any]) -> str:
    """Return in words of which part of its task a row is; nothing where it is of the whole."""
    words = []
    if row["fraction"] is not None:
        words.append(f"{row['fraction']:g} of train, repeat {row['repeat']}")
    if row["limit"] is not None:
        words.append(f"limit {row['limit']}")
    if row["partial"]:
        words.append("partial")
    return ", ".join(words)


#: What a terminal shows, the most important first: as many as fit, in the order of :data:`PLACES`.
SHOWN: Final[Mapping[str, Value]] = {
    "task": _text("task"),
    "encoder": _text("name"),
    "metric": _text("metric"),
    "value": _number("value"),
    "part": lambda row: part_of(row) or "whole",
    "split": _text("split"),
    "95 % int.": lambda row: span(row["low"], row["high"]),
    "seeds": _text("seeds"),
    "ridge": _number("ridge"),
    "items": _text("items"),
    "published": _number("published"),
    "status": _text("status"),
    "trials": _text("trials"),
    "protocol": _text("protocol"),
    "std": _number("std"),
    "dim": _text("dim"),
    "created": lambda row: str(row["created"])[:10],
}
#: Columns that always stand there, since a number without them is not understood.
ALWAYS: Final = ("task", "encoder", "metric", "value", "part", "split")
NAMES: Final = ("task", "encoder", "metric")
WRAPPED: Final = 24  # columns beyond which a name is wrapped, so that others have room
PLACES: Final = (
    "task", "encoder", "metric", "split", "part", "value", "95 % int.", "std", "seeds", "ridge", "published", "status",
    "items", "trials", "protocol", "dim", "created",
)  # fmt: skip


def terminal_width() -> int:
    """Return the columns of the terminal (``$COLUMNS`` where that is set); of what is no terminal, 120."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def format_frame(frame: pd.DataFrame, width: int) -> str:
    """Return the rows as a table of at most ``width`` columns, as far as what must be said of a number fits there.

    Columns that are alike in all rows and say nothing (``part`` of whole runs, one split) stand in the last line.
    """
    rows = _plain(frame)
    texts = {name: [value(row) for row in rows] for name, value in SHOWN.items()}
    told = [f"{len({row[PATH_COLUMN] for row in rows})} record(s), {len(rows)} row(s)"]
    if len(set(texts["split"])) == 1:
        told.append(f"split {texts.pop('split')[0]}")
    if set(texts["part"]) == {"whole"}:
        told.append("all of whole tasks")
        texts.pop("part")
    texts = {name: cells for name, cells in texts.items() if name in ALWAYS or set(cells) != {"-"}}
    chosen = [name for name in texts if name in ALWAYS]
    for name in texts:
        if name not in chosen and _width([*chosen, name], texts) <= max(width, NARROWEST):
            chosen.append(name)
    placed = [name for name in PLACES if name in chosen]
    left = [name for name in texts if name not in chosen]
    if left:
        told.append(f"not shown for lack of room: {', '.join(left)}")
    told.append("all columns: --csv or --json")
    lines, room = zip(*(texts[name] for name in placed), strict=True), max(width, NARROWEST)
    return f"{table(lines, placed, len(NAMES), width=room)}\n\n{textwrap.fill('; '.join(told), room)}"


def _width(names: Sequence[str], texts: Mapping[str, Sequence[str]]) -> int:
    """Return how wide a table of these columns is, with long names wrapped; tabulate pads a header by two."""
    widths = [max([len(name) + 2, *map(len, texts[name])]) for name in names]
    return (
        sum(min(n, WRAPPED) if name in NAMES else n for name, n in zip(names, widths, strict=True)) + 2 * len(names) - 2
    )
