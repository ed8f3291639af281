"""Parquet that others may have made, read within bounds: a few kB of it can repeat one value a billion times.

What its pages say of themselves is looked at first: how many values, and how many bytes when they are decompressed.
Texts are then read as numbers into the list of the different ones, which says what they take when they are written
out. Only then are rows made, on one thread, and counted.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.files import refuse_irregular
from results.parquet_pages import BYTE_ARRAY, Chunk, chunks

if TYPE_CHECKING:
    import pyarrow as pa

#: Content beyond so many bytes, and times the file's own size, is no content of a run but a bomb.
FREE, RATIO = 250_000_000, 30
BATCH = 65_536  # rows that are read at a time
TEXT = 64  # bytes of a text as an object of Python, at least
BOOLEAN, INT32, FLOAT = 0, 1, 4
WIDTHS = {BOOLEAN: 1, INT32: 4, FLOAT: 4, BYTE_ARRAY: TEXT}  # bytes of a value in memory, by its physical type


class OversizedError(ValueError):
    """A file of Parquet whose content would take far more memory than its size accounts for."""


def read_table(source: bytes | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a table; its page checksums are verified.

    Args:
        source: A file, or its content.
        columns: Names of the columns to read, those of them that it has; all by default.

    Raises:
        OversizedError: It would take more than ``FREE`` bytes and ``RATIO`` times its size.
        OSError: It cannot be read, or is no ordinary file.
        pyarrow.ArrowException: It is not whole Parquet.
        ValueError: Its pages cannot be followed, or it holds lists of texts, which no table of this package has.
    """
    import pyarrow as pa

    size = refuse_irregular(source) if isinstance(source, Path) else len(source)
    with _opened(source) as file:
        schema = file.schema_arrow
        rows = file.metadata.num_rows
    names = [name for name in schema.names if columns is None or name in columns]
    pages = _pages(source, names)
    claimed = sum(max(WIDTHS.get(chunk.kind, 8) * chunk.values, chunk.size) for chunk in pages)
    _refuse_bomb(size, max(WIDTHS[INT32] * rows, claimed))
    long = {chunk.column for chunk in pages if chunk.values * chunk.size > FREE}  # no text is longer than its pages
    texts = [name for name in names if name in long and _is_text(schema.field(name).type)]
    nested = [name for name in names if schema.field(name).type.num_fields and "string" in str(schema.field(name))]
    if nested:
        raise ValueError(f"the column {nested[0]!r} holds texts within lists or the like")
    if texts:
        with _opened(source, read_dictionary=texts) as file:
            _refuse_bomb(size, sum(map(_written_out, _batches(file, texts))))
    held, batches = 0, []
    with _opened(source) as file:
        for batch in _batches(file, names):
            held += batch.nbytes
            _refuse_bomb(size, held)
            batches.append(batch)
        wanted = pa.schema([schema.field(name) for name in names], schema.metadata)
        return pa.Table.from_batches(batches, batches[0].schema if batches else wanted)


def _opened(source: bytes | Path, **options: Any) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = str(source) if isinstance(source, Path) else pa.BufferReader(source)
    return pq.ParquetFile(file, page_checksum_verification=True, **options)


def _batches(file: Any, columns: Sequence[str]) -> Iterable[Any]:
    return file.iter_batches(batch_size=BATCH, columns=list(columns), use_threads=False)


def _pages(source: bytes | Path, names: Sequence[str]) -> list[Chunk]:
    """Return what the pages of columns say of themselves."""
    with ExitStack() as stack:
        data: bytes | mmap.mmap
        if isinstance(source, Path):
            file = stack.enter_context(source.open("rb"))
            data = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        else:
            data = source
        return [chunk for chunk in chunks(data) if chunk.column in names]


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(inner) for test in tests)


def _written_out(batch: Any) -> int:
    """Return what texts take, from the lengths of the different ones and how often each is there."""
    import pyarrow.compute as pc

    total = 0
    for column in batch.columns:
        lengths = pc.binary_length(column.dictionary)
        total += TEXT * len(column) + int(pc.sum(pc.take(lengths, column.indices)).as_py() or 0)
    return total


def _refuse_bomb(size: int, held: int) -> None:
    if held > max(FREE, RATIO * size):
        raise OversizedError(f"{size:,} bytes that would take {held:,} in memory are a bomb")
