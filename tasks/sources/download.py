"""Fetch a file: mirrors in their order, resumed where a connection was cut, checked before it takes its name.

What arrives is kept in ``<file>.part`` until it is whole: a cut connection, Ctrl-C or a full disk leaves a part from
which the next call continues. Nothing that failed a check ever has the name of the file itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import TaskError
from tasks.files import resolved
from tasks.sources.card import Source
from tasks.sources.disk import not_written
from tasks.sources.http import MirrorError, Progress, from_mirror, origin_of
from tasks.sources.state import is_sound, target_of

LOCK_SECONDS = 60.0


def fetch(
    source: Source, root: Path, *, progress: Progress | None = None, headers: Mapping[str, str] | None = None
) -> Path:
    """Return the path of ``source`` below ``root``, after downloading it if it is not there.

    Args:
        source: What to fetch. Without a checksum, a part is only resumed at the mirror that it came from.
        root: Folder that the source's ``file`` is relative to; made when missing.
        progress: Called after each piece; what it raises ends the download, which can be resumed.
        headers: Sent to the mirrors beside our own, such as who asks.

    Raises:
        TaskError: No mirror gives the file (each is named with what it answered), there is no mirror, no room, or the
            folder cannot be written.
    """
    target = target_of(source, root)
    if is_sound(source, root):
        return target
    if not source.urls:
        note = f". {source.note}" if source.note else ""
        raise TaskError(f"{source.file} cannot be downloaded", f"put it at {target}{note}")
    part, failures = target.with_name(target.name + ".part"), []
    if not resolved(target.parent).is_relative_to(resolved(root)):
        raise TaskError(
            f"{target.parent} is a link that leads out of {root}: nothing is written there",
            "name another folder, or remove that link",
        )
    with alone(target):
        if is_sound(source, root):  # another process was faster
            return target
        for url in source.urls:
            try:
                from_mirror(url, source, part, progress, headers)
            except MirrorError as error:
                failures.append(f"  {url}: {error}")
            except OSError as error:
                raise not_written(error, part) from None
            else:
                _put(part, target)
                return target
    kept = f", which continues from {part}" if part.exists() else ""
    note = f" ({source.note})" if source.note else ""
    raise TaskError(
        f"cannot fetch {source.file}: no mirror gave it",
        f"Run the same command again{kept}, or put the file at {target}{note}",
        failures,
    )


@contextmanager
def alone(target: Path) -> Iterator[None]:
    """Keep other processes from writing ``target`` meanwhile.

    Raises:
        TaskError: Another process has held it for :data:`LOCK_SECONDS`, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    path = target.with_name(f".{target.name}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(path))
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise TaskError(f"another process is at work on {target}", "wait for it, or end it") from None
    except OSError as error:
        raise not_written(error, target) from None
    try:
        yield
        # After a success nobody who waited has anything left to write. After a failure the lock's file must stay:
        # who waits for it and who comes later have to meet at the same one.
        path.unlink(missing_ok=True)
    finally:
        lock.release()


def _put(part: Path, target: Path) -> None:
    """Give the checked part its name, durably."""
    try:
        part.replace(target)
        origin_of(part).unlink(missing_ok=True)
        if os.name == "posix":
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise not_written(error, target) from None
