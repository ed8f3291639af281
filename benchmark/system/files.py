"""Files: the sha256 of one, and tables as bytes of Parquet with checksums."""

from __future__ import annotations

import errno
import hashlib
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def parquet_bytes(table: pa.Table) -> memoryview:
    """Return ``table`` as Parquet with page checksums, uncompressed: embeddings hardly shrink."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="none", write_page_checksum=True)
    return memoryview(buffer.getvalue())


def content_hash(path: Path) -> str:
    """Return the sha256 of a file's bytes.

    Raises:
        OSError: It cannot be read, or is no regular file: a device or a pipe might never end.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
