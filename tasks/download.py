"""Fetch a file: mirrors in their order, resumed where a connection was cut, checked before it takes its name.

What arrives is kept in ``<file>.part`` until it is whole: a cut connection, Ctrl-C or a full disk leaves a part from
which the next call goes on. Nothing that failed a check ever has the name of the file itself.
"""

from __future__ import annotations

import errno
import ftplib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tasks.collection import Source
from tasks.errors import TaskError

if TYPE_CHECKING:
    import requests

#: Called with the bytes that are done, and the bytes in all where they are known.
Progress = Callable[[int, int | None], None]

CHUNK = 1 << 16
TIMEOUT = (10.0, 60.0)  # seconds to connect; seconds without a byte
ATTEMPTS = 3  # in a row that bring nothing new, before a mirror is given up
PAUSE = 2.0  # seconds before the second attempt, doubled for each that follows
LOCK_SECONDS = 60.0
SMALL = 1 << 24  # bytes up to which a file that is there is hashed each time, not only measured
HEADERS = {"User-Agent": "music-probe-benchmark", "Accept-Encoding": "identity"}
RETRIED = {408, 425, 429, 500, 502, 503, 504}
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


class _MirrorError(Exception):
    """One mirror does not give the file; the next may."""


class _CutError(_MirrorError):
    """A transfer that broke off: another attempt at the same mirror may mend it."""


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
    if not target.parent.resolve().is_relative_to(root.resolve()):
        raise TaskError(f"{target.parent} is a link that leads out of {root}: nothing is written there")
    with alone(target):
        if is_sound(source, root):  # another process was faster
            return target
        for url in source.urls:
            try:
                _from_mirror(url, source, part, progress)
            except _MirrorError as error:
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
        return _mismatch(target, source)
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


def refuse_if_full(folder: Path, needed: int, what: str) -> None:
    """Check that ``needed`` more bytes fit into the existing ``folder``.

    Raises:
        TaskError: They do not.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TaskError(
            f"no room for {what}: it needs {in_words(needed)} in {folder}, but {in_words(free)} are free. Make room "
            "there, or choose another data home, then run the same command again"
        )


def in_words(size: float) -> str:
    """Return a number of bytes for people.

    >>> in_words(1_300_000_000)
    '1.3 GB'
    """
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _from_mirror(url: str, source: Source, part: Path, progress: Progress | None) -> None:
    """Leave the whole, checked file in ``part``, or raise why not."""
    while True:
        resumed = _attempts(url, source, part, progress)
        problem = _mismatch(part, source)
        if not problem:
            return
        _discard(part)
        if not resumed:
            raise _MirrorError(problem)
        # The fault may lie in what an earlier call left: once more from the start.


def _attempts(url: str, source: Source, part: Path, progress: Progress | None) -> bool:
    """Transfer until the mirror has no more to give; return whether an earlier call's part was built on."""
    resumed, best, stalled = _size(part) > 0, _size(part), 0
    while True:
        try:
            if url.partition(":")[0].lower() in ("http", "https"):
                _transfer(url, source, part, progress)
            else:
                _with_pooch(url, part)
                resumed = False
        except _CutError:
            stalled = 0 if _size(part) > best else stalled + 1
            best = max(best, _size(part))
            if stalled >= ATTEMPTS:
                raise
            time.sleep(PAUSE * 2 ** max(stalled - 1, 0))
        else:
            return resumed


def _transfer(url: str, source: Source, part: Path, progress: Progress | None) -> None:
    """Ask once, for what is missing; append what comes to ``part``."""
    import requests
    from urllib3.exceptions import HTTPError, NewConnectionError

    offset = _size(part)
    if source.size is not None and offset >= source.size:
        if offset == source.size:
            return
        _discard(part)
        offset = 0
    ask = dict(HEADERS)
    if offset:
        validator = _validator(part, url)
        if validator:
            ask["If-Range"] = validator
        if validator or source.sha256 or source.md5:
            ask["Range"] = f"bytes={offset}-"
        else:
            offset = 0
    try:
        with requests.get(url, headers=ask, stream=True, timeout=TIMEOUT) as response:
            _receive(response, url, offset, source, part, progress)
    except requests.ConnectTimeout:
        raise _MirrorError(f"no answer in {TIMEOUT[0]:.0f} s") from None
    except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
        # Where no host answers at all, another attempt is in vain: the network is down, or the host is gone.
        kind = _MirrorError if isinstance(_innermost(error), NewConnectionError) else _CutError
        raise kind(_plain(error)) from None
    except requests.RequestException as error:
        raise _MirrorError(_plain(error)) from None


def _receive(
    response: requests.Response, url: str, offset: int, source: Source, part: Path, progress: Progress | None
) -> None:
    """Append the answer to ``part`` if it is what was asked for."""
    status = response.status_code
    spans = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
    total = int(spans[2]) if spans and spans[2] != "*" else None
    if status == 416 and offset:
        if total == offset:  # it was whole: only its new name was missing
            return
        _refuse_size(total, source)
        _discard(part)
        raise _CutError(f"it refuses to go on from byte {offset}")
    if status == 206:
        if not (offset and spans and spans[1] and int(spans[1]) == offset):
            _discard(part)
            raise _CutError(f"it sends another range than was asked for: {response.headers.get('Content-Range')}")
    elif status == 200:
        offset = 0  # the server takes no ranges, or the file has changed there
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
    else:
        kind = _CutError if status in RETRIED else _MirrorError
        raise kind(f"it answers {status} {response.reason or ''}".rstrip() + _moved(response))
    pieces = response.raw.stream(CHUNK, decode_content=False)  # bytes as they lie there: checksums are of those
    first = next(pieces, b"")
    if offset == 0 and _is_page(first, response.headers.get("Content-Type", ""), source.file):
        raise _MirrorError(f"it answers with an HTML page, not with the file{_moved(response)}")
    _refuse_size(total, source)
    total = total or source.size
    if total:
        refuse_if_full(part.parent, total - offset, source.file)
    if offset == 0:
        _discard(part)
        validator = _strong(response)
        if validator and not (source.sha256 or source.md5):
            _origin(part).write_text(f"{url}\n{validator}\n")
    done = offset
    with part.open("ab") as file:
        while first:
            file.write(first)
            done += len(first)
            if progress is not None:
                progress(done, total)
            first = next(pieces, b"")
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done != total:
        raise _CutError(f"the connection ended after {done} of {total} bytes")
    if done == 0:
        raise _MirrorError("it sends an empty file")


def _refuse_size(total: int | None, source: Source) -> None:
    if total is not None and source.size is not None and total != source.size:
        raise _MirrorError(f"it has {total} bytes where {source.size} are expected")


def _with_pooch(url: str, part: Path) -> None:
    """Fetch what is not http(s), such as ``ftp:`` and ``doi:``, from the start."""
    from pooch.downloaders import choose_downloader  # type: ignore[import-untyped]

    _discard(part)
    try:
        choose_downloader(url)(url, str(part), None)
    except (OSError, ValueError, EOFError, ftplib.Error) as error:
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            raise
        raise _MirrorError(_plain(error)) from None


def _mismatch(path: Path, source: Source) -> str:
    """Return how size or checksum differ from the source's, or nothing."""
    size = path.stat().st_size
    if source.size is not None and size != source.size:
        return f"wrong size: expected {source.size} bytes, found {size}"
    if size == 0:
        return "it is empty"
    expected = {name: wanted for name in ("sha256", "md5") if (wanted := getattr(source, name))}
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in expected}
    if digests:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                for digest in digests.values():
                    digest.update(block)
    for name, digest in digests.items():
        if digest.hexdigest() != expected[name]:
            return f"wrong {name}: expected {expected[name]}, found {digest.hexdigest()}"
    return ""


def _is_page(first: bytes, kind: str, name: str) -> bool:
    """Say whether this is a web page in the place of another kind of file: a login, a quota, an error."""
    if name.lower().endswith((".html", ".htm", ".xhtml")):
        return False
    head = first[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if kind.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml"):
        return head.startswith(b"<") or not head
    return head.startswith((b"<!doctype html", b"<html"))


def _moved(response: requests.Response) -> str:
    return f" (redirected to {response.url})" if response.history else ""


def _strong(response: requests.Response) -> str:
    """Return what identifies the file's bytes on its server, for If-Range (RFC 9110, section 13.1.5), or nothing."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _origin(part: Path) -> Path:
    return part.with_name(part.name + ".origin")


def _validator(part: Path, url: str) -> str:
    """Return what the server of ``url`` called the bytes that are in ``part``; nothing if they came from elsewhere."""
    try:
        lines = _origin(part).read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    return lines[1] if len(lines) == 2 and lines[0] == url else ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _origin(part).unlink(missing_ok=True)


def _put(part: Path, target: Path) -> None:
    """Give the checked part its name, durably."""
    try:
        part.replace(target)
        _origin(part).unlink(missing_ok=True)
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


def _innermost(error: BaseException) -> BaseException:
    """Return the reason itself: requests and urllib3 wrap it several times."""
    while True:
        inner = getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, BaseException)), None)
        if not isinstance(inner, BaseException) or inner is error:
            return error
        error = inner


def _plain(error: Exception) -> str:
    reason = _innermost(error)
    text = str(reason).strip()
    return f"{type(reason).__name__}: {text}" if text else type(reason).__name__
