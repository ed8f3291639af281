"""Parquet within bounds: small files that would become gigabytes are refused before they do."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results import parquet
from results.parquet import OversizedError, read_table


def written(path, table, **options):
    pq.write_table(table, path, write_page_checksum=True, **options)
    return path


def test_reads_what_was_written(tmp_path):
    table = pa.table(
        {
            "split": pa.array(["test", None] * 500),
            "key": pa.array([f"k{i}" for i in range(1000)]).dictionary_encode(),
            "row": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(3000, dtype=np.float32)), 3),
            "target": pa.array([[1.0], []] * 500),
        }
    ).replace_schema_metadata({"labels": "a"})
    path = written(tmp_path / "x.parquet", table, row_group_size=300)
    assert read_table(path).combine_chunks().equals(pq.read_table(path).combine_chunks())
    assert read_table(path.read_bytes()).schema.metadata[b"labels"] == b"a"
    assert read_table(path, ["row", "key", "absent"]).column_names == ["key", "row"]
    assert read_table(written(path, table.slice(0, 0))).num_rows == 0


@pytest.mark.parametrize("encoded", [True, False])
def test_one_long_text_many_times(tmp_path, encoded):
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, np.int32)), pa.array(["x" * 1_000_000]))
    path = tmp_path / "x.parquet"
    options = {"store_schema": encoded, "compression": "zstd", "dictionary_pagesize_limit": 2**24}
    with pq.ParquetWriter(path, pa.schema({"id": texts.type}), **options) as writer:
        for _ in range(4):
            writer.write_table(pa.table({"id": texts}))
    assert path.stat().st_size < 10_000
    code = (
        "import re, resource, sys, pathlib; from results.parquet import read_table\n"
        "try: read_table(pathlib.Path(sys.argv[1]))\n"
        "except ValueError as error: print(error, end=' ')\n"
        "status = pathlib.Path('/proc/self/status')\n"  # a child's ru_maxrss begins with what its parent had
        "peak = re.search(r'VmHWM:\\s+(\\d+)', status.read_text())[1] if status.exists() else "
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(peak)"
    )
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    assert "in memory are a bomb" in said
    assert int(said.split()[-1]) < 900_000  # kB, most of it libraries; rows would be 4 GB


@pytest.mark.parametrize(
    "column",
    [
        pa.array(np.zeros(80_000_000, np.float32)),
        pa.array(["a"] * 5_000_000),
        pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(80_000_000, np.float32)), 8),
    ],
    ids=["numbers", "texts", "rows"],
)
def test_one_value_many_times(tmp_path, column, monkeypatch):
    path = written(tmp_path / "x.parquet", pa.table({"a": column}), compression="zstd")
    assert path.stat().st_size < 1_000_000
    monkeypatch.setattr(parquet, "_batches", lambda *_: pytest.fail("its pages were read"))
    with pytest.raises(OversizedError, match="in memory are a bomb"):
        read_table(path)


def test_a_bomb_in_a_column_that_is_not_asked_for_is_not_read(tmp_path):
    table = pa.table({"a": pa.array(["a"] * 5_000_000), "b": pa.array(np.arange(5_000_000, dtype=np.int8))})
    path = written(tmp_path / "x.parquet", table)
    assert read_table(path, ["b"]).column_names == ["b"]


def test_lists_of_texts_are_refused(tmp_path):
    path = written(tmp_path / "x.parquet", pa.table({"a": pa.array([["x"]])}))
    with pytest.raises(ValueError, match="'a' holds texts within lists"):
        read_table(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files on this system")
def test_a_pipe_and_a_folder_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_table(tmp_path / "pipe")
    with pytest.raises(OSError, match="a folder"):
        read_table(tmp_path)
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="not a regular file"):
        read_table(tmp_path / "zero")
