"""Fetch a file: mirrors in their order, resumed where a connection was cut, checked before it takes its name.

What arrives is kept in ``<file>.part`` until it is whole: a cut connection, Ctrl-C or a full disk leaves a part from
which the next call goes on. Nothing that failed a check ever has the name of the file itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tasks.collection import Source
from tasks.disk import NO_SPACE
from tasks.errors import TaskError
from tasks.files import resolved
from tasks.mirror import MirrorError, Progress, from_mirror, mismatch, origin_of

LOCK_SECONDS = 60.0
SMALL = 1 << 24  # bytes up to which a file that is there is hashed each time, not only measured


def fetch(source: Source, root: Path, *, progress: Progress | None = None) -> Path:
    """Return the path of ``source`` below ``root``, after downloading it if it is not there.

    Args:
        source: What to fetch. Without a checksum, a part is only resumed at the mirror that it came from.
        root: Folder that the source's ``file`` is relative to; made when missing.
        progress: Called after each piece; what it raises ends the download, which can be resumed.

    Raises:
        TaskError: No mirror gives the file (each is named with what it answered), there is no mirror, no room, or the
            folder cannot be written.
    """
    target = target_of(source, root)
    if is_sound(source, root):
        return target
    if not source.urls:
        note = f" {source.note}" if source.note else ""
        raise TaskError(f"{source.file} cannot be downloaded: put it at {target}.{note}")
    part, failures = target.with_name(target.name + ".part"), []
    if not resolved(target.parent).is_relative_to(resolved(root)):
        raise TaskError(f"{target.parent} is a link that leads out of {root}: nothing is written there")
    with alone(target):
        if is_sound(source, root):  # another process was faster
            return target
        for url in source.urls:
            try:
                from_mirror(url, source, part, progress)
            except MirrorError as error:
                failures.append(f"  {url}: {error}")
            except OSError as error:
                raise _local(error, part) from None
            else:
                _put(part, target)
                return target
    kept = f"\nWhat arrived is kept: the same command goes on from {part}" if part.exists() else ""
    note = f"\n{source.note}" if source.note else ""
    raise TaskError(f"cannot fetch {source.file}: no mirror gave it:\n" + "\n".join(failures) + note + kept)


def target_of(source: Source, root: Path) -> Path:
    """Return where ``source`` lies below ``root``.

    Raises:
        TaskError: Its ``file`` would lie elsewhere.
    """
    parts = PurePosixPath(source.file).parts
    if not parts or source.file.startswith("/") or ".." in parts or "\\" in source.file or "\0" in source.file:
        raise TaskError(f"the source {source.file!r} does not lie below its collection's root: mend its card")
    return root.joinpath(*parts)


def is_here(source: Source, root: Path) -> bool:
    """Say whether the file is there with the size it should have; its bytes are not read, see :func:`problem_of`."""
    target = target_of(source, root)
    try:
        size = target.stat().st_size
    except OSError:
        return False
    return target.is_file() and (size == source.size if source.size is not None else size > 0)


def is_sound(source: Source, root: Path) -> bool:
    """Say whether the file is there and, when it is small, whether its bytes are right."""
    if not is_here(source, root):
        return False
    return target_of(source, root).stat().st_size > SMALL or not problem_of(source, root)


def problem_of(source: Source, root: Path) -> str:
    """Read the file whole; return what is wrong with it, or nothing."""
    target = target_of(source, root)
    if not target.is_file():
        return "it is missing"
    try:
        return mismatch(target, source)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"


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
        raise TaskError(f"another process is at work on {target}: wait for it, or end it") from None
    except OSError as error:
        raise _local(error, target) from None
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
        raise _local(error, target) from None


def _local(error: OSError, path: Path) -> TaskError:
    """Return what an error of this machine, not of a mirror, means to the user."""
    if error.errno in NO_SPACE:
        return TaskError(
            f"the disk is full: {path} could not be written. Make room, then run the same command again: it goes on "
            "from there"
        )
    return TaskError(f"cannot write {path}: {error.strerror or error}. Let it be written, or choose another data home")
