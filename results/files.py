"""Files of a results folder, read and named with care: others may have made them."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from pathlib import Path

#: No record or predictions are larger: what is, is something else, and is not read into memory.
LARGEST = 2**32


def read_regular(path: Path, largest: int = LARGEST) -> bytes:
    """Return the content of a regular file; whatever else lies there (a fifo, a device) is not waited for.

    Args:
        path: The file; a link to one will do.
        largest: Bytes that are read at most.

    Raises:
        OSError: It is not there, is not a regular file, is larger, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, so that what was looked at is what is read
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise OSError(errno.EINVAL, f"it is {kind}", str(path))
        if found.st_size > largest:
            raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes, and at most {largest:,} are read", str(path))
        data = file.read(min(largest, found.st_size) + 1)  # room for as much is made before it is read
    if len(data) > largest:
        raise OSError(errno.EFBIG, f"it has more than the {largest:,} bytes that are read", str(path))
    return data


def refuse_irregular(path: Path) -> int:
    """Return the bytes of a regular file, for libraries that open it by its name.

    Raises:
        OSError: It is not there, or is not a regular file.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise OSError(errno.EINVAL, f"it is {kind}", str(path))
    return found.st_size


def is_plain_name(name: str) -> bool:
    r"""Say whether ``name`` is that of a file in the folder where it is looked for, on any system.

    >>> [is_plain_name(name) for name in ("a.parquet", "../a.parquet", "/a", "C:a", r"..\a", "..", "")]
    [True, False, False, False, False, False, False]
    """
    return name not in ("", ".", "..") and not set(name) & set("/\\:\0") and name.isprintable()


def is_leftover(path: Path) -> bool:
    """Say whether a file is what a process left that was killed within :func:`replace_file`."""
    return re.fullmatch(r"\..+\.[0-9a-f]{8}\.tmp", path.name) is not None


def replace_file(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to a temporary file beside ``path``, sync it to the disk, and rename it onto ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
