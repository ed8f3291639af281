"""Lines of rows as Parquet, and Parquet as such lines again."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.jobs.label_rows import BETWEEN, JsonLines, LabelledFile
from results.files import replace_file
from results.parquet import read_table

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 4096  # that are in memory at once


def write_parquet(out: Path, lines: JsonLines, text: Path) -> None:
    """Write the rows of ``text``, whose first line is a head, as Parquet with page checksums."""
    import pyarrow.parquet as pq

    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    schema = _schema(lines)
    try:
        with text.open(encoding="utf-8") as file:
            next(file)
            with pq.ParquetWriter(temporary, schema, write_page_checksum=True) as writer:
                while batch := list(islice(_rows(lines, file), ROWS)):
                    writer.write_table(_table(lines, schema, batch))
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def json_of(out: Path, lines: JsonLines, text: Path) -> None:
    """Write the rows of a table of Parquet as lines, so that it can be continued.

    Raises:
        UserError: It is no Parquet, or no table of labels of this probe.
    """
    import pyarrow as pa

    names = lines.columns.names()
    advice = "choose another -o, or remove it"
    try:
        table = read_table(out)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{out} cannot be read as Parquet ({error})", advice) from None
    if tuple(table.column_names) != names or table.schema.types != _schema(lines).types:
        raise UserError(
            f"{out} is not what 'bench predict' writes for this probe: it has other columns",
            f"To keep it, {advice}",
        )
    makers = {str(maker) for maker in table["probe"].unique().to_pylist()}
    if makers - {lines.columns.made_by}:
        other = sorted(makers - {lines.columns.made_by})[0]
        raise UserError(
            f"{out} holds rows of another probe, or of another choice: they were made by {other!r}, not by "
            f"{lines.columns.made_by!r} (the column 'probe')",
            "Choose another -o, or remove it",
        )
    rows = (lines.line(_row(lines, names, cells)) for batch in table.to_batches() for cells in batch.to_pylist())
    replace_file(text, "".join(f"{line}\n" for line in (lines.head, *rows)).encode())


def _rows(lines: JsonLines, file: Iterator[str]) -> Iterator[LabelledFile]:
    for line in file:
        row = lines.row(line)
        assert row is not None
        yield row


def _schema(lines: JsonLines) -> pa.Schema:
    import pyarrow as pa

    columns = lines.columns
    kinds = {"path": pa.string(), "seconds": pa.float64(), "problem": pa.string(), "labels": pa.string(),
             "uncertainty": pa.float32(), "size": pa.int64(), "mtime_ns": pa.int64(), "probe": pa.string()}  # fmt: skip
    names, first = columns.names(), len(columns.first)
    outputs = range(first, first + len(columns.labels))
    return pa.schema([(name, pa.float32() if i in outputs else kinds[name]) for i, name in enumerate(names)])


def _table(lines: JsonLines, schema: pa.Schema, rows: Sequence[LabelledFile]) -> pa.Table:
    import pyarrow as pa

    columns = lines.columns
    cells: list[list[Any]] = [[row.path for row in rows], [row.seconds for row in rows], [row.problem for row in rows]]
    if columns.decided:
        cells += [[BETWEEN.join(row.labels) for row in rows], [row.uncertainty for row in rows]]
    cells += [[None if row.values is None else row.values[i] for row in rows] for i in range(len(columns.labels))]
    cells += [[row.size for row in rows], [row.mtime_ns for row in rows], [columns.made_by] * len(rows)]
    arrays = [pa.array(column, kind) for column, kind in zip(cells, schema.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _row(lines: JsonLines, names: Sequence[str], cells: dict[str, Any]) -> LabelledFile:
    columns = lines.columns
    outputs = names[len(columns.first) : len(columns.first) + len(columns.labels)]
    values = tuple(cells[name] for name in outputs)
    labels = cells.get("labels", "") if columns.decided else ""
    return LabelledFile(
        cells["path"], cells["seconds"], cells["problem"], tuple(labels.split(BETWEEN)) if labels else (),
        cells["uncertainty"] if columns.decided else None, None if None in values else values, cells["size"],
        cells["mtime_ns"],
    )  # fmt: skip
