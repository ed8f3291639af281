"""``bench results``: records as a table, one row a record and metric, as wide as the terminal is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Final

from benchmark.errors import UserError
from benchmark.reports.score_table import chosen_records
from benchmark.system.tables import table
from results import store
from results.frames import COLUMNS, Split, frame_of
from results.intervals import span
from results.markdown import csv_cell
from results.together import Together
from tasks.spelling import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

Value = Callable[[Mapping[str, Any]], str]


def select(
    together: Together,
    *,
    encoders: Sequence[str] = (),
    tasks: Sequence[str] = (),
    metric: str | None = None,
    split: Split = "test",
) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows that are asked for, and the tasks that were asked for and have no record.

    Args:
        together: The records, with the points of learning curves if these were read.
        encoders: Names of rows, or globs; none for all.
        tasks: Ids, aliases, globs or groups; none for all.
        metric: Rows of this metric alone.
        split: ``valid``, ``test``, or ``all`` for both.

    Raises:
        UserError: A name that fits nothing.
    """
    records, absent = [*together.records, *together.curves], list[str]()
    if encoders or tasks:
        records, absent = chosen_records(records, encoders, tasks, together.where)
    frame = frame_of(((record, store.path_of(together.folder_of(record), record)) for record in records), split)
    if metric is not None:
        known = frame.metric.unique().tolist()
        if metric not in known and known:
            hint = did_you_mean(metric, known, f"there are {', '.join(known)}")
            raise UserError(f"no record here has the metric {metric!r}", hint)
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


#: What a terminal shows. What is of a part of its task says so in every row, unless all rows are of whole tasks.
SHOWN: Final[Mapping[str, Value]] = {
    "task": _text("task"),
    "encoder": _text("name"),
    "metric": _text("metric"),
    "split": _text("split"),
    "part": lambda row: part_of(row) or "whole",
    "value": _number("value"),
    "95 % int.": lambda row: span(row["low"], row["high"]),
    "std": _number("std"),
    "seeds": _text("seeds"),
    "ridge": _number("ridge"),
    "published": _number("published"),
    "status": _text("status"),
    "items": _text("items"),
    "trials": _text("trials"),
    "protocol": _text("protocol"),
    "dim": _text("dim"),
    "created": lambda row: str(row["created"])[:10],
}
#: What a narrow terminal may do without, the least needed first.
SPARE: Final = ("created", "dim", "protocol", "trials", "items", "std", "ridge", "seeds", "status", "published")


def format_frame(frame: pd.DataFrame, seen: Set[tuple[str, str]] = frozenset()) -> str:
    """Return the rows as a table, as wide as the terminal; what is alike in all rows stands in the line below it.

    Args:
        frame: The rows.
        seen: Task and row of runs whose encoder has seen the task's collection in its training: a column marks them.
    """
    rows = _plain(frame)
    texts = {name: [value(row) for row in rows] for name, value in SHOWN.items()}
    marks = ["yes" if (row["task"], row["name"]) in seen else "-" for row in rows]
    if "yes" in marks:
        texts["seen"] = marks
    told = [f"{len({row['path'] for row in rows})} record(s), {len(rows)} row(s)"]
    if len(set(texts["split"])) == 1:
        told.append(f"split {texts.pop('split')[0]}")
    if set(texts["part"]) == {"whole"}:
        told.append("all of whole tasks")
        texts.pop("part")
    texts = {name: cells for name, cells in texts.items() if name not in SPARE or set(cells) != {"-"}}
    lines = zip(*texts.values(), strict=True)
    if "seen" in texts:
        told.append("seen: the encoder was trained on the task's collection, says its card")
    shown = table(lines, list(texts), texts=("part", "status"), spare=SPARE)
    return f"{shown}\n\n{'; '.join(told)}. Every column: --csv or --json"
