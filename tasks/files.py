"""Files that other people made, read with bounds: ordinary files only, and no more bytes than their use can need.

A path may lead to a pipe that never ends, to a device, or to a file of 10 GB; a text may be nested a hundred thousand
deep, or hold a number of 10,000 digits; an array may claim a size that no memory has. All of these are refused before
anything is read or made of them. The messages name the file; errors of the system (``OSError``) are the caller's.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
import tomllib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from tasks.errors import TaskError

SETTINGS = 1_000_000  #: bytes of a card or a configuration file
DESCRIPTION = 20_000_000  #: bytes of a description that lies beside what this package wrote
TABLE = 300_000_000  #: bytes of a manifest or another table that a user makes
ANNOTATIONS = 2_000_000_000  #: bytes of a published annotation file
INFLATED = 4  #: times its size that a compressed file may become, beyond INFLATED_FREE bytes
INFLATED_FREE = 40_000_000  #: as JSON, so many bytes may become 20 times as much memory
BLOCK = 1 << 20
#: How names of audio files end, also of those that libsndfile cannot read: these are then named, with the reason.
AUDIO_SUFFIXES = frozenset({
    ".wav", ".wave", ".w64", ".rf64", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".au", ".snd", ".aiff", ".aif",
    ".aifc", ".caf", ".m4a", ".mp4", ".aac", ".wma",
})  # fmt: skip
DOTS = 200  #: in a line of TOML, outside texts: a key of more parts takes time by the square
BITS = 64  #: of a whole number in TOML, whose own bound it is
MAGIC = b"\x93NUMPY"
_TOML_TEXTS = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'')
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` written out.

    Raises:
        TaskError: It begins with the ``~name`` of a user that this machine does not know.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise TaskError(
            f"{path}: no home folder of {Path(path).parts[0]!r} is known on this machine",
            "write the folder out in full",
        ) from None


def resolved(path: Path) -> Path:
    """Return an absolute path without links.

    Raises:
        TaskError: A link leads to itself.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # the second up to Python 3.12
        raise TaskError(
            f"{path} cannot be followed: a link on the way leads to itself",
            "remove or mend that link (ls -l shows where it leads)",
        ) from None


def refuse_no_file(path: Path, limit: int | None = None) -> int:
    """Return the size of an ordinary file in bytes.

    Raises:
        OSError: It cannot be looked at.
        TaskError: It is a folder, a pipe or the like, or larger than ``limit``.
    """
    try:
        found = os.stat(path)  # noqa: PTH116, which may be patched for all readers at once
    except ValueError:
        raise TaskError(
            f"{str(path)!r} is no name that a file can have",
            "check how the name is written: it holds a character that no file system takes",
        ) from None
    if not stat.S_ISREG(found.st_mode):
        what = _KINDS.get(stat.S_IFMT(found.st_mode), "no ordinary file")
        raise TaskError(f"cannot read {path}: it is {what}, not a file", "name a file")
    if limit is not None and found.st_size > limit:
        raise TaskError(
            f"cannot read {path}: it has {found.st_size:,} bytes, and such a file may have {limit:,}",
            "check that it is the file that is meant",
        )
    return found.st_size


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of an ordinary file of at most ``limit`` bytes.

    Raises:
        OSError: It cannot be read.
        TaskError: It is a folder, a pipe or the like, or larger.
    """
    size = refuse_no_file(path, limit)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:  # noqa: PTH123, of a descriptor that no pipe can hold up
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise TaskError(
                f"cannot read {path}: it is no file any more",
                "run the same command again when nothing else writes there",
            )
        content = file.read(size + 1)  # room for as much is made before it is read
        while len(content) <= limit and (more := file.read(BLOCK)):  # a file that grows, or does not say its size
            content += more
    if len(content) > limit:
        raise TaskError(
            f"cannot read {path}: it has more than the {limit:,} bytes that such a file may have",
            "check that it is the file that is meant",
        )
    return content


def read_text(path: Path, limit: int) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Raises:
        OSError: It cannot be read.
        TaskError: As :func:`read_bytes`, or it is not UTF-8; the message names the line.
    """
    content = read_bytes(path, limit)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise TaskError(f"{path} is not UTF-8 text ({error.reason} in line {line})", "save it as UTF-8") from None


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Return what a TOML text holds.

    Raises:
        TaskError: It is not valid, nested too deep, or holds a number of thousands of digits or of more than 64 bits.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > DOTS and _TOML_TEXTS.sub("", line).count(".") > DOTS:
            raise TaskError(
                f"{path}, line {number}: a key of more than {DOTS} parts",
                "write fewer dots, or quote the text",
            )
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise TaskError(
            f"{path} is not valid TOML: it is nested too deep", "write it with fewer tables within tables"
        ) from None
    except ValueError as error:  # also of a number that is too long
        raise TaskError(
            f"{path} is not valid TOML: {str(error).partition('; use sys.')[0]}",
            "mend that line (texts stand in quotes)",
        ) from None
    waiting: list[Any] = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, int) and value.bit_length() > BITS:  # in base 16 of any length, which nothing can print
            raise TaskError(
                f"{path} is not valid TOML: it holds a whole number of more than {BITS} bits", "write fewer digits"
            )
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return found


def toml_value(value: str | float | Sequence[str | float]) -> str:
    r"""Return a text, a truth value, a number, or a list of such as TOML, in one line.

    Characters that do not print are escaped, so that a terminal shows the very text that a parser reads.

    >>> toml_value('say "a"\x7f'), toml_value((0.1, 1e-05)), toml_value(True)
    ('"say \\"a\\"\\u007f"', '[0.1, 1e-05]', 'true')

    Raises:
        TaskError: A text is not valid Unicode, as a name of a file may be.
    """
    if isinstance(value, str):
        return f'"{"".join(map(_toml_character, value))}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return f"[{', '.join(map(toml_value, value))}]"


def _toml_character(one: str) -> str:
    if one in '"\\':
        return f"\\{one}"
    if one.isprintable():
        return one
    number = ord(one)
    if 0xD800 <= number < 0xE000:
        raise TaskError(
            f"a text with the byte {number & 0xFF:#x} is not valid Unicode, and no TOML can hold it", "rename it"
        )
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def parse_json(text: str, path: Path, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Return what a JSON text holds; ``hook`` may replace the objects inside it.

    Raises:
        TaskError: It is not valid, nested too deep, or holds a number of thousands of digits.
    """
    try:
        return json.loads(text, object_hook=hook)
    except json.JSONDecodeError as error:
        raise TaskError(
            f"{path}, line {error.lineno}: not JSON ({error.msg}): is the file truncated?",
            "Get it again, or mend that line",
        ) from None
    except RecursionError:
        raise TaskError(f"{path} is not read: its JSON is nested too deep", "get the file again") from None
    except ValueError as error:
        raise TaskError(
            f"{path} is not read: {str(error).partition('; use sys.')[0]}",
            "mend that number, or get the file again",
        ) from None


def gunzip(content: bytes, path: Path) -> bytes:
    """Return what gzip has compressed, of one or several members.

    Raises:
        EOFError: It ends too early.
        zlib.error: It is damaged.
        TaskError: It would become far larger than an annotation file is.
    """
    limit = max(INFLATED_FREE, INFLATED * len(content))
    parts, room, rest = [], limit, content
    while rest:
        member = zlib.decompressobj(wbits=31)
        part = member.decompress(rest, room + 1)
        room -= len(part)
        if room < 0:
            raise TaskError(
                f"refusing {path}: {len(content):,} bytes that would become more than {limit:,} are a bomb",
                "get it again from where it was published",
            )
        if not member.eof:
            raise EOFError("it ends before its end-of-stream mark")
        parts.append(part)
        rest = member.unused_data.lstrip(b"\0")
    return b"".join(parts)


def check_npy(file: IO[bytes], size: int, what: str) -> None:
    """Check the header of an ``.npy`` file against its size, and go back to its beginning.

    Args:
        file: The file at its beginning; it can seek.
        size: Its bytes.
        what: Its name, for messages.

    Raises:
        TaskError: It is no such file, or claims more values than its bytes can hold.
    """
    try:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(file)  # 3.0 differs from 2.0 only in the names of fields, which plain arrays lack
    except OSError:
        raise
    except Exception as error:  # what NumPy's reader of Python's syntax raises is not written down
        raise TaskError(
            f"{what} is not a NumPy array of numbers or text ({str(error)[:200]})",
            "save it again with numpy.save, or get it again",
        ) from None
    held = size - file.tell()
    file.seek(0)
    if dtype.hasobject:
        raise TaskError(
            f"{what} is not a NumPy array of numbers or text (it holds Python objects, which are never loaded)",
            "convert them, for instance with array.astype(str) or array.astype('float32'), and save it again",
        )
    if any(side < 0 for side in shape) or math.prod(shape) * max(dtype.itemsize, 1) > held:
        raise TaskError(
            f"{what} is not a NumPy array of numbers or text (it says {shape} of {dtype}, and has {held:,} bytes)",
            "it is cut off, or changed: get it again",
        )


def load_npy(content: bytes, what: str) -> np.ndarray:
    """Return the array of the bytes of an ``.npy`` file.

    Raises:
        TaskError: It is no such file, is cut off, or holds Python objects.
    """
    file = io.BytesIO(content)
    check_npy(file, len(content), what)
    try:
        return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise TaskError(
            f"{what} is not a NumPy array of numbers or text ({error})",
            "save it again with numpy.save, or get it again",
        ) from None
