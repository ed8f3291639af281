"""One file from one mirror: resumed where a connection was cut, and checked when it is whole.

This is code of our own, because pooch, which has the checks, starts a broken download of 40 GB from its first byte.

What arrives is kept in ``<file>.part``. Without a checksum a part is only built on at the mirror that it came from, and
only while that mirror says that the file has not changed (``<file>.part.origin`` has what it said).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.sources.card import Source
from tasks.sources.disk import refuse_if_full
from tasks.sources.state import mismatch

if TYPE_CHECKING:
    import requests

#: Called with the bytes that are done, and the bytes in all where they are known.
Progress = Callable[[int, int | None], None]

CHUNK = 1 << 16
TIMEOUT = (10.0, 60.0)  # seconds to connect; seconds without a byte
ATTEMPTS = 3  # in a row that bring nothing new, before a mirror is given up
PAUSE = 2.0  # seconds before the second attempt, doubled for each that follows
HEADERS = {"User-Agent": "music-probe-benchmark", "Accept-Encoding": "identity"}
RETRIED = {408, 425, 429, 500, 502, 503, 504}


class MirrorError(Exception):
    """One mirror does not give the file; the next may."""


class _CutError(MirrorError):
    """A transfer that broke off: another attempt at the same mirror may mend it."""


def from_mirror(
    url: str, source: Source, part: Path, progress: Progress | None, headers: Mapping[str, str] | None = None
) -> None:
    """Leave the whole, checked file in ``part``.

    Args:
        url: Where the mirror has it.
        source: What the file is to be.
        part: What has come of it, and where the rest goes.
        progress: Called after each piece.
        headers: Sent beside our own, such as who asks; not to another host that a redirection names.

    Raises:
        MirrorError: The mirror does not give it.
        OSError: It cannot be written.
        TaskError: There is no room for it.
    """
    while True:
        resumed = _attempts(url, source, part, progress, headers or {})
        problem = mismatch(part, source)
        if not problem:
            return
        _discard(part)
        if not resumed:
            raise MirrorError(problem)
        # The fault may lie in what an earlier call left: once more from the start.


def origin_of(part: Path) -> Path:
    """Return the file that says which mirror a part without a checksum came from."""
    return part.with_name(part.name + ".origin")


def _attempts(url: str, source: Source, part: Path, progress: Progress | None, headers: Mapping[str, str]) -> bool:
    """Transfer until the mirror has no more to give; return whether an earlier call's part was built on."""
    best, stalled = _size(part), 0
    resumed = best > 0
    while True:
        try:
            _transfer(url, source, part, progress, headers)
        except _CutError:
            stalled = 0 if _size(part) > best else stalled + 1
            best = max(best, _size(part))
            if stalled >= ATTEMPTS:
                raise
            time.sleep(PAUSE * 2 ** max(stalled - 1, 0))
        else:
            return resumed


def _transfer(url: str, source: Source, part: Path, progress: Progress | None, headers: Mapping[str, str]) -> None:
    """Ask once, for what is missing; append what comes to ``part``."""
    import requests
    from urllib3.exceptions import HTTPError, NewConnectionError

    offset = _size(part)
    if source.size is not None and offset >= source.size:
        if offset == source.size:
            return
        _discard(part)
        offset = 0
    ask = {**HEADERS, **headers}
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
        raise MirrorError(f"no answer in {TIMEOUT[0]:.0f} s") from None
    except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
        # Where no host answers at all, another attempt is in vain: the network is down, or the host is gone.
        kind = MirrorError if isinstance(_innermost(error), NewConnectionError) else _CutError
        raise kind(_plain(error)) from None
    except requests.RequestException as error:
        raise MirrorError(_plain(error)) from None


def _receive(
    response: requests.Response, url: str, offset: int, source: Source, part: Path, progress: Progress | None
) -> None:
    """Append the answer to ``part`` if it is what was asked for."""
    offset, total = _range_of(response, offset, source, part)
    if response.status_code == 416:  # the file was whole: only its new name was missing
        return
    pieces = response.raw.stream(CHUNK, decode_content=False)  # bytes as they lie there: checksums are of those
    first = next(pieces, b"")
    if offset == 0 and _is_page(first, response.headers.get("Content-Type", ""), source.file):
        raise MirrorError(f"it answers with an HTML page, not with the file{_moved(response)}")
    _refuse_size(total, source)
    total = total or source.size
    if total:
        refuse_if_full(part.parent, total - offset, source.file)
    if offset == 0:
        _discard(part)
        validator = _strong(response)
        if validator and not (source.sha256 or source.md5):
            origin_of(part).write_text(f"{url}\n{validator}\n")
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
        raise MirrorError("it sends an empty file")


def _range_of(response: requests.Response, offset: int, source: Source, part: Path) -> tuple[int, int | None]:
    """Return the first byte of the answer, and the bytes of the whole file where the server says them.

    Raises:
        MirrorError: The server has no such file.
        _CutError: It answers with another range, and another attempt may help.
    """
    status = response.status_code
    spans = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
    total = int(spans[2]) if spans and spans[2] != "*" else None
    if status == 416 and offset:
        if total == offset:
            return offset, total
        _refuse_size(total, source)
        _discard(part)
        raise _CutError(f"it refuses to continue from byte {offset}")
    if status == 206:
        if not (offset and spans and spans[1] and int(spans[1]) == offset):
            _discard(part)
            raise _CutError(f"it sends another range than was asked for: {response.headers.get('Content-Range')}")
    elif status == 200:
        offset = 0  # the server takes no ranges, or the file has changed there
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
    else:
        kind = _CutError if status in RETRIED else MirrorError
        raise kind(f"it answers {status} {response.reason or ''}".rstrip() + _moved(response))
    return offset, total


def _refuse_size(total: int | None, source: Source) -> None:
    if total is not None and source.size is not None and total != source.size:
        raise MirrorError(f"it has {total} bytes where {source.size} are expected")


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


def _validator(part: Path, url: str) -> str:
    """Return what the server of ``url`` called the bytes that are in ``part``; nothing if they came from elsewhere."""
    try:
        lines = origin_of(part).read_text().splitlines()
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
    origin_of(part).unlink(missing_ok=True)


def _innermost(error: BaseException) -> BaseException:
    """Return the reason itself: requests and urllib3 wrap it several times."""
    while True:
        inner = getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, BaseException)), None)
        if not isinstance(inner, BaseException) or inner is error:
            return error
        error = inner


def _plain(error: Exception) -> str:
    reason = _innermost(error)
    text = re.sub(r"^HTTPS?Connection(Pool)?\(.*?\): ", "", str(reason).strip())
    return f"{type(reason).__name__}: {text}" if text else type(reason).__name__
