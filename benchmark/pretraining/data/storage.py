"""Where a store lies: a folder, or an object storage behind an address (fsspec)."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.pretraining.data.description import AGAIN
from benchmark.system.extras import install_command
from results.parquet import read_table

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 2**24


def file_system(address: str) -> tuple[Any, str]:
    """Return the file system of fsspec for an address, and the path in it.

    Raises:
        UserError: fsspec, or what it needs for the protocol, is not installed, or the protocol is unknown.
    """
    try:
        system, path = import_module("fsspec.core").url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise UserError(
            f"cannot reach {address}: {error}",
            "Stores in object storage need fsspec, and its package for the protocol (s3fs for s3://, gcsfs for "
            f"gs://):\n  {install_command('pretrain')}",
        ) from None
    return system, path.rstrip("/")


def remote_hash(system: Any, path: str) -> str:
    """Return the sha256 of a file behind a file system of fsspec."""
    found = hashlib.sha256()
    with system.open(path, "rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def index_columns(name: str, columns: list[str]) -> pa.Table:
    """Return columns of a shard's Parquet file, which lies in a folder or behind an address.

    Raises:
        UserError: It cannot be read.
    """
    import pyarrow as pa

    try:
        system, inner = file_system(name) if "://" in name else (None, name)
        return read_table(Path(inner) if system is None else system.cat_file(inner), columns)
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise UserError(f"cannot read {name}: {str(error).splitlines()[0]}", f"restore it, or {AGAIN}") from None
