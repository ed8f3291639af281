"""Frames: what is sent comes whole, and nothing else is taken for it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.encoders.environment import frames


def sent(number, message, array=b""):
    beginning, data = frames.packed(number, message, array)
    return beginning[: frames.HEAD.size], beginning[frames.HEAD.size :], bytes(data)


@given(st.integers(0, 2**32 - 1), st.dictionaries(st.text(), st.text() | st.integers()), st.binary())
def test_what_is_sent_comes(number, message, array):
    head, text, data = sent(number, message, array)
    told, of_text, of_array, checksum = frames.lengths(head)
    assert (told, of_text, of_array) == (number, len(text), len(array))
    assert frames.opened(text, data, checksum) == message


def test_arrays_of_any_shape_and_none():
    for array in (np.zeros(0, np.uint8), np.arange(8, dtype=np.uint8)):
        assert sent(1, {}, array)[2] == array.tobytes()


@given(st.binary(min_size=frames.HEAD.size, max_size=frames.HEAD.size).filter(lambda b: not b.startswith(frames.MARK)))
def test_other_bytes_begin_no_message(head):
    with pytest.raises(frames.FrameError, match="begins no message"):
        frames.lengths(head)


@pytest.mark.parametrize("sizes", [(frames.LARGEST_OBJECT + 1, 0), (0, frames.LARGEST_ARRAY + 1)])
def test_a_length_that_cannot_be_is_refused_before_anything_is_read(sizes):
    with pytest.raises(frames.FrameError, match="a message of"):
        frames.lengths(frames.HEAD.pack(frames.MARK, 1, *sizes, 0))


@pytest.mark.parametrize("part", [1, 2])
def test_one_flipped_bit_is_noticed(part):
    parts = list(sent(1, {"ok": {}}, np.ones(4, np.float32)))
    checksum = frames.lengths(parts[0])[3]
    damaged = bytearray(parts[part])
    damaged[3] ^= 4
    parts[part] = bytes(damaged)
    with pytest.raises(frames.FrameError, match="not its own"):
        frames.opened(parts[1], parts[2], checksum)


@pytest.mark.parametrize("text", [b"[1]", b"not json", b"1"])
def test_what_is_no_object_is_refused(text):
    import zlib

    with pytest.raises(frames.FrameError, match=r"no JSON|no object"):
        frames.opened(text, b"", zlib.crc32(text))


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("float32", [2, 3], 23), ("float32", [2, -3], 24), ("float32", [2, 3.0], 24), ("float32", [True, 6], 24),
        ("float32", "23", 24), ("int32", [6], 24), (None, [6], 24), ("float32", [1] * 9, 4), ("float16", [2, 3], 24),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_their_bytes(dtype, shape, size):
    with pytest.raises(frames.FrameError):
        frames.checked(dtype, shape, size)


def test_arrays_that_do():
    assert frames.checked("float32", [2, 3], 24) == (2, 3)
    assert frames.checked("float64", [], 8) == ()
    assert frames.checked("float16", [0, 5], 0) == (0, 5)
