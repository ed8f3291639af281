"""The headers of pages: what is counted is what pyarrow wrote, and no damage is more than a ValueError."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results.parquet_pages import Chunk, chunks


def parquet(table, **options):
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **{"write_page_checksum": True, **options})
    return buffer.getvalue()


TABLE = pa.table(
    {
        "key": [f"track {i}" for i in range(900)],
        "row": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(2700, dtype=np.float32)), 3),
        "yes": [True, None, False] * 300,
        "list": [[1.5], [], [2.5, 3.5]] * 300,
    }
)


@pytest.mark.parametrize("compression", ["none", "zstd", "snappy", "gzip"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_values_and_sizes_are_those_that_were_written(compression, version, dictionary):
    options = {"data_page_version": version, "use_dictionary": dictionary, "data_page_size": 500}
    data = parquet(TABLE, compression=compression, row_group_size=400, **options)
    about = pq.read_metadata(io.BytesIO(data))
    found = list(chunks(data))
    assert len(found) == about.num_row_groups * about.num_columns == 12
    for i, chunk in enumerate(found):
        said = about.row_group(i // 4).column(i % 4)
        assert (chunk.column, chunk.values) == (said.path_in_schema.partition(".")[0], said.num_values)
        assert 0 < chunk.size <= said.total_uncompressed_size  # which counts the headers too
    assert sum(chunk.values for chunk in found if chunk.column == "row") == 2700


def test_pages_count_where_the_description_lies():
    data = parquet(pa.table({"a": np.arange(1000.0)}), use_dictionary=False, compression="none", write_statistics=False)
    (true,) = chunks(data)
    about = pq.read_metadata(io.BytesIO(data))
    assert true == Chunk("a", 5, 1000, about.row_group(0).column(0).total_uncompressed_size)
    lied = data.replace(b"\x16\xd0\x0f", b"\x16\xd2\x00")  # 1000 as the field of a 64-bit number, with 1 over-long
    assert lied != data
    (found,) = chunks(lied)
    assert found.values == 1000


def test_no_flipped_bit_is_more_than_an_error():
    data = parquet(TABLE.slice(0, 20))
    outcomes = set()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            list(chunks(bytes(damaged)))
            outcomes.add("read")
        except ValueError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize(
    ("description", "match"),
    [
        (b"\x49" * 40 + b"\x00", "too great a length|ends too early"),
        (b"\x1c" * 40 + b"\x00" * 41, "too great a length"),
        (b"\x19\xf3\xff\xff\xff\x7f" + b"\x00" * 100, "ends too early"),
        (b"\x15" + b"\xff" * 20, "has no end"),
        (b"\x1f\x00", "unknown kind"),
        (b"", "ends too early"),
    ],
)
def test_descriptions_that_are_none(description, match):
    data = b"PAR1" + description + len(description).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(ValueError, match=match):
        list(chunks(data))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\xff" * 4 + b"PAR1", bytes(100)])
def test_what_is_no_parquet(data):
    with pytest.raises(ValueError, match=r"does not end as Parquet does|longer than the file"):
        list(chunks(data))
