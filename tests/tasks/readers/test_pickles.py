import contextlib
import os
import pickle
import subprocess
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import TaskError
from tasks.readers.pickles import RefusedPickleError, _vector, parse, read_list, read_strings, read_vectors

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(TEXT | st.integers(), inner),
    max_leaves=20,
)


def python2_list(texts):
    lines = "".join(f"S'{text}'\np{i}\na" for i, text in enumerate(texts, start=2))
    return f"(lp1\n{lines}.".encode()


def python2_dict(pairs):
    lines = "".join(f"S'{k}'\np{2 * i + 2}\nS'{v}'\np{2 * i + 3}\ns" for i, (k, v) in enumerate(pairs.items()))
    return f"(dp1\n{lines}.".encode()


def python2_vectors(vectors):
    """A dictionary of boolean arrays [50, 1] as Python 2 and NumPy 1 wrote it, with protocol 0."""
    head = (
        "cnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntp5\nS'b'\np6\ntp7\nRp8\n(I1\n(I%d\nI1\n"
        "tp9\ncnumpy\ndtype\np10\n(S'b1'\np11\nI0\nI1\ntp12\nRp13\n(I3\nS'|'\np14\nNNNI-1\nI-1\nI0\ntp15\nb"
    )
    again = "g3\n(g4\n(I0\ntp{0}1\ng6\ntp{0}2\nRp{0}3\n(I1\n(I%d\nI1\ntp{0}4\ng13\n"
    out = ["(dp1\n"]
    for i, (key, vector) in enumerate(vectors.items(), start=2):
        raw = "".join("\\x01" if value else "\\x00" for value in vector)
        array = (again.format(i) if len(out) > 1 else head) % len(vector)
        out.append(f"S'{key}'\np{i}0\n{array}I00\nS'{raw}'\np{i}5\ntp{i}6\nbs")
    return ("".join(out) + ".").encode()


@pytest.fixture
def write(tmp_path):
    def write(data):
        (tmp_path / "data.pkl").write_bytes(data)
        return tmp_path / "data.pkl"

    return write


@given(PLAIN, st.integers(0, 2))
def test_plain_data_are_what_pickle_made_of_them(value, protocol):
    assert parse(pickle.dumps(value, protocol=protocol)) == value


@given(st.lists(TEXT), st.integers(0, 2))
@settings(max_examples=50)
def test_lists_of_texts(tmp_path_factory, texts, protocol):
    path = tmp_path_factory.getbasetemp() / "list.pkl"
    path.write_bytes(pickle.dumps(texts, protocol=protocol))
    assert read_list(path) == texts


@given(st.dictionaries(TEXT, TEXT), st.integers(0, 2))
@settings(max_examples=50)
def test_dictionaries_of_texts(tmp_path_factory, texts, protocol):
    path = tmp_path_factory.getbasetemp() / "dict.pkl"
    path.write_bytes(pickle.dumps(texts, protocol=protocol))
    assert read_strings(path) == texts


@given(st.binary(max_size=40))
@settings(max_examples=300)
def test_any_bytes_are_read_or_refused(data):
    for damaged in (data, b"(lp1\n" + data, b"\x80\x02" + data):
        with contextlib.suppress(RefusedPickleError):
            parse(damaged)


@given(st.lists(TEXT, min_size=1), st.data())
def test_a_file_that_is_cut_off_is_refused(texts, data):
    whole = pickle.dumps(texts, protocol=0)
    with pytest.raises(RefusedPickleError):
        parse(whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_the_texts_of_python_2(write):
    assert read_list(write(python2_list(["TRAADIN128F931D672", r"it\'s", r"\xc3\xa9"]))) == [
        "TRAADIN128F931D672",
        "it's",
        "é",
    ]
    assert read_list(write(b'(lp1\nS"it\'s"\np2\na.')) == ["it's"]
    assert read_strings(write(python2_dict({"a": "8/9/1.mp3", "b": "2"}))) == {"a": "8/9/1.mp3", "b": "2"}
    assert read_strings(write(b"(dp1\nS'a'\np2\nI5\nsS'b'\np3\ng2\ns.")) == {"a": "5", "b": "a"}


def test_only_the_wanted_keys_are_kept(write):
    assert read_strings(write(python2_dict({"a": "1", "b": "2"})), {"b"}) == {"b": "2"}
    assert read_strings(write(pickle.dumps({"a": "1", "b": "2"}, protocol=0)), {"b"}) == {"b": "2"}


@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, ">f8"])
@pytest.mark.parametrize("shape", [(50,), (50, 1), (1, 50)])
def test_vectors_of_numpy(write, protocol, dtype, shape):
    values = np.random.default_rng(0).random((7, 50)) > 0.8
    path = write(
        pickle.dumps({f"t{i}": v.astype(dtype).reshape(shape) for i, v in enumerate(values)}, protocol=protocol)
    )
    keys, vectors = read_vectors(path, 50)
    assert keys == [f"t{i}" for i in range(7)]
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, values)


def test_vectors_of_numpy_under_python_2(write):
    values = np.random.default_rng(0).random((7, 50)) > 0.8
    keys, vectors = read_vectors(write(python2_vectors({f"t{i}": v for i, v in enumerate(values)})), 50)
    assert keys == [f"t{i}" for i in range(7)]
    np.testing.assert_array_equal(vectors, values)


def test_the_fixture_of_python_2_is_a_pickle(write):
    values = np.random.default_rng(0).random((3, 50)) > 0.8
    found = pickle.loads(
        python2_vectors({f"t{i}": v for i, v in enumerate(values)}), encoding="latin1"
    )  # our own bytes
    np.testing.assert_array_equal(np.stack([v[:, 0] for v in found.values()]), values)


def test_vectors_as_lists(write):
    keys, vectors = read_vectors(write(pickle.dumps({"a": [0, 1, 1], "b": [0.0, 0.0, 1.0]}, protocol=0)), 3)
    assert keys == ["a", "b"]
    assert vectors.tolist() == [[0, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([0, 1], "'a' cannot be used: 2 values, not 3"),
        ([0, 1, 2], "'a' holds other values than 0 and 1"),
        ([0, 1, "x"], "'a' cannot be used"),
        (np.zeros((3, 3)), "'a' cannot be used: 9 values for a vector of the shape"),
        ({"x": 1}, "'a' cannot be used"),
    ],
)
def test_vectors_that_are_none(write, value, words):
    path = write(pickle.dumps({"a": value}, protocol=0))
    with pytest.raises(TaskError) as error:
        read_vectors(path, 3)
    assert str(path) in str(error.value)
    assert words in str(error.value)


class Calls:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function", [os.system, subprocess.getoutput, eval, exec, open, pickle.loads, getattr])
def test_a_hostile_pickle_is_refused_and_not_run(write, tmp_path, protocol, function):
    mark = tmp_path / "was_here"
    command = {eval: f"open({str(mark)!r}, 'w')", exec: f"open({str(mark)!r}, 'w')", open: str(mark)}
    arguments = (command.get(function, f"touch {mark}"), *(["w"] if function is open else []))
    for payload in (Calls(function, *arguments), [Calls(function, *arguments)], {"a": Calls(function, *arguments)}):
        path = write(pickle.dumps(payload, protocol=protocol))
        for read in (read_list, read_strings, lambda path: read_vectors(path, 50)):
            with pytest.raises(TaskError, match="is not read"):
                read(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cnumpy\nndarray\n(tR.",
        b"c_codecs\nencode\n(S'eval'\nS'rot13'\ntR.",
        b"cnumpy\ndtype\n(S'O'\nI0\nI1\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
        b"(S'x'\nios\nsystem\n.",
        b"\x80\x02\x8c\x02os\x8c\x06system\x93.",
        b"(lp1\n(S'a'\ntb.",
        b"}(((lp1\ntp2\nS'a'\nu.",
        b"]" * 3 + b".",
        b"I" + b"9" * 5000 + b"\n.",
        b"X\xff\xff\xff\x7fabc.",
        b"(" * 1000,
    ],
)
def test_other_instructions_are_refused(data):
    with pytest.raises(RefusedPickleError, match="byte "):
        parse(data)


def test_a_web_page_and_a_pointer_are_told_apart(write):
    with pytest.raises(TaskError, match="line 1: this is a web page"):
        read_list(write(b"\n<!DOCTYPE html>\n<html></html>"))
    with pytest.raises(TaskError, match="Git LFS pointer"):
        read_list(write(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"))
    with pytest.raises(TaskError, match="is empty"):
        read_list(write(b""))


def test_another_kind_of_data_is_refused(write):
    with pytest.raises(TaskError, match="list of strings"):
        read_list(write(pickle.dumps({"a": "b"}, protocol=0)))
    with pytest.raises(TaskError, match="list of strings"):
        read_list(write(pickle.dumps(["a", 1], protocol=0)))
    with pytest.raises(TaskError, match="dictionary from strings to strings"):
        read_strings(write(pickle.dumps({"a": ["b"]}, protocol=0)))
    with pytest.raises(TaskError, match="dictionary from strings to vectors"):
        read_vectors(write(pickle.dumps(["a"], protocol=0)), 50)
    with pytest.raises(TaskError, match="not UTF-8"):
        read_list(write(rb"(lp1" + b"\n" + rb"S'\xff'" + b"\np2\na."))


def test_a_million_pairs_are_read_in_seconds(write):
    path = write(python2_dict({f"TR{i:016d}": f"8/9/{i}.clip.mp3" for i in range(1_000_000)}))
    begin = time.perf_counter()
    found = read_strings(path, {"TR0000000000000007"})
    assert time.perf_counter() - begin < 10
    assert found == {"TR0000000000000007": "8/9/7.clip.mp3"}


class TestBombs:
    """A pickle repeats what it holds once in two bytes a time."""

    def peak_of(self, call):
        tracemalloc.start()
        try:
            call()
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return peak

    def test_one_long_text_a_hundred_thousand_times(self, write):
        text = b"x" * 100_000
        path = write(b"]q\x00(X" + len(text).to_bytes(4, "little") + text + b"q\x01" + b"h\x01" * 100_000 + b"e.")
        assert self.peak_of(lambda: len(read_list(path))) < 10**8
        raw = write(b"]q\x00(T" + len(text).to_bytes(4, "little") + text + b"q\x01" + b"h\x01" * 100_000 + b"e.")
        found = []
        assert self.peak_of(lambda: found.extend(read_list(raw))) < 10**8
        assert len(found) == 100_001

    def test_a_vector_of_lists_is_refused_before_it_is_spread_out(self):
        value = [1.0]
        for _ in range(40):
            value = [value, value]
        with pytest.raises(TypeError, match="neither an array nor a list of numbers"):
            _vector(value, 2)

    def test_a_message_does_not_repeat_a_long_text(self, write):
        path = write(b"]q\x00(T" + (10**6).to_bytes(4, "little") + b"\xff" * 10**6 + b"e.")
        with pytest.raises(TaskError, match="is not UTF-8 text") as error:
            read_list(path)
        assert len(str(error.value)) < 2000
