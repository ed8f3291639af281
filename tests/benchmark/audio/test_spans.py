"""Pieces of a file and bytes, read as one file."""

import io
import os

import numpy as np
import pytest

from benchmark.audio.spans import Spans, patched


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(100)))
    return tmp_path / "a"


def test_it_reads_like_the_bytes_that_it_stands_for(path):
    pieces = [b"head", (10, 20), b"", b"middle", (50, 90)]
    whole = b"head" + bytes(range(10, 20)) + b"middle" + bytes(range(50, 90))
    same = io.BytesIO(whole)
    rng = np.random.default_rng(0)
    with Spans(path, pieces) as spans:
        assert spans.seek(0, os.SEEK_END) == same.seek(0, os.SEEK_END) == len(whole)
        for _ in range(200):
            at, size = int(rng.integers(len(whole) + 5)), int(rng.integers(1, 40))
            assert spans.seek(at) == same.seek(at)
            assert spans.read(size) == same.read(size)
            assert spans.tell() == max(same.tell(), at)


def test_bytes_are_put_over_a_file(path):
    with patched(path, [(40, b"XY"), (4, b"ab")], 60) as spans:
        wanted = bytearray(range(60))
        wanted[4:6], wanted[40:42] = b"ab", b"XY"
        assert spans.read() == bytes(wanted)


def test_it_has_no_name(path):
    assert not hasattr(Spans(path, [(0, 10)]), "name")
