"""Messages between this program and an encoder in another interpreter, each in one frame over a pipe.

A frame is a head (a mark, the number of the question, two lengths, a checksum), a JSON object, and raw bytes: an array
whose type and shape the object tells. The checksum is over both, so that what else writes into the pipe is noticed and
never taken for numbers. Both processes run this file, the other one from Python 3.9 on.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

HEAD = struct.Struct("<4sIIQI")
MARK = b"BeNc"
#: Bytes of a message that there may be: of its object, and of its array.
LARGEST_OBJECT, LARGEST_ARRAY = 50_000_000, 2**36
DTYPES = ("float16", "float32", "float64")
MOST_AXES = 8


class FrameError(ValueError):
    """Bytes that are no frame, or no array. The message ends a sentence: 'it sent ...'."""


def packed(number: int, message: dict[str, Any], array: Any = b"") -> tuple[bytes, memoryview]:
    """Return a frame as its beginning and the bytes of its array.

    Args:
        number: Of the question that it asks or answers.
        message: What JSON can hold.
        array: Anything contiguous that has a buffer.
    """
    text = json.dumps(message).encode()
    data = memoryview(array).cast("B") if len(memoryview(array)) else memoryview(b"")
    checksum = zlib.crc32(data, zlib.crc32(text))
    return HEAD.pack(MARK, number, len(text), len(data), checksum) + text, data


def lengths(head: bytes) -> tuple[int, int, int, int]:
    """Return what a head says: the number of the question, bytes of the object, bytes of the array, the checksum.

    Raises:
        FrameError: It is no head.
    """
    mark, number, of_text, of_array, checksum = HEAD.unpack(head)
    if mark != MARK:
        raise FrameError(f"{head[:12]!r}, which begins no message")
    if of_text > LARGEST_OBJECT or of_array > LARGEST_ARRAY:
        raise FrameError(f"a message of {of_text:,} and {of_array:,} bytes")
    return number, of_text, of_array, checksum


def opened(text: bytes, array: Any, checksum: int) -> dict[str, Any]:
    """Return the object of a frame.

    Raises:
        FrameError: The bytes are not those that were sent.
    """
    if zlib.crc32(array, zlib.crc32(text)) != checksum:
        raise FrameError("a message with bytes that are not its own: something else writes into its pipe")
    try:
        message = json.loads(text)
    except ValueError as error:
        raise FrameError(f"a message that is no JSON ({error})") from None
    if not isinstance(message, dict):
        raise FrameError("a message that is no object")
    return message


def checked(dtype: Any, shape: Any, size: int) -> tuple[int, ...]:
    """Return the shape of an array of ``size`` bytes that a message tells.

    Raises:
        FrameError: It does not fit the bytes, or is none.
    """
    whole = isinstance(shape, list) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape)
    if dtype not in DTYPES or not whole or len(shape) > MOST_AXES:
        raise FrameError(f"an array of type {dtype!r} and shape {shape!r}")
    expected = int(dtype[5:]) // 8
    for length in shape:
        expected *= length
    if expected != size:
        raise FrameError(f"{size:,} bytes for {dtype} of shape {shape}")
    return tuple(shape)
