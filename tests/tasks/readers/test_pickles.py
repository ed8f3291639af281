import contextlib
import copyreg
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
from tasks.readers import pickles
from tasks.readers.pickles import RefusedPickleError, _vector, parse, read_list, read_strings, read_vectors

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(TEXT | st.integers(-(2**63), 2**63), inner)
    ),
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


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\np1\n(cnumpy\nndarray\np2\n(I0\ntS'b'\ntR"
DTYPE = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
STATE = b"(I1\n(I1\nt" + DTYPE + b"I00\nS'" + b"\\x00" * 8 + b"'\ntb"


def test_the_array_of_the_next_tests_is_read():
    assert parse(ARRAY + STATE + b".").numbers().tolist() == [0.0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        # names
        (b"\x80\x02cos.path\nos.system\n.", "os.path.os.system"),
        (b"cnumpy\ndtype.__init__\n.", "plain data"),
        (b"cnumpy\nndarray.__class__\n.", "plain data"),
        (b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93.", "do not fit"),
        (b"c" + b"a" * 5000 + b"\nb\n.", "plain data"),
        (b"\x82\x01.", "do not fit"),  # an extension of copyreg
        (b"P0\n.", "do not fit"),  # a persistent id
        (b"K\x01Q.", "do not fit"),
        # calls
        (b"cnumpy\nndarray\n(K\x01tR.", "made by _reconstruct"),
        (b"cnumpy\nndarray\n)\x81.", "do not fit"),
        (b"(cnumpy\nndarray\no.", "do not fit"),
        (b"(K\x01inumpy\nndarray\n.", "do not fit"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(K\x01K\x02K\x03tR.", "does not make an array"),
        (b"cnumpy\ndtype\n(S'f8'\ntR.", "argument"),
        (b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.", "not numbers"),
        (b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR.", "not numbers"),
        (b"cnumpy\ndtype\n(]I0\nI1\ntR.", "else than text"),
        (b"c_codecs\nencode\n(Vx\nVrot13\ntR.", "bytes of an array"),
        (b"c_codecs\nencode\n(V\\u1234\nVlatin1\ntR.", "latin-1"),
        (b"K\x01K\x02\x85R.", "not callable"),
        (ARRAY + b")R.", "not callable"),
        # states
        (b"cnumpy\ndtype\n(NN}Vx\nK\x01stb.", "no array"),
        (b"c_codecs\nencode\n}V__code__\nNsb.", "no array"),
        (b"]}V__class__\nNsb.", "no array"),
        (ARRAY + b"}V__class__\nNsb.", "no array"),
        (ARRAY + b"(N}V__setstate__\nNstb.", "unpack"),
        (DTYPE + b"(I3\nS'!'\nNNNtb.", "not numbers"),
        (DTYPE + b"(I3\nS'<'\nN(S'f0'\nt}tb.", "not numbers"),
        (DTYPE + b"tb.", "do not fit"),
        (ARRAY + STATE.replace(b"(I1\nt", b"]I1\na"), "without a shape"),
        (ARRAY + STATE.replace(b"(I1\nt", b"(F1\nt"), "without a shape"),
        (ARRAY + STATE.replace(b"(I1\nt", b"(" + b"I1\n" * 33 + b"t"), "without a shape"),
        (ARRAY + b"(I1\n(I1\nt" + DTYPE + b"I00\n]tb.", "without type or bytes"),
        # keys, and what is filled
        (b"}(K\x01tK\x01s.", "neither text nor"),
        (b"}NNs.", "neither text nor"),
        (b"(G\x7f\xf8\x00\x00\x00\x00\x00\x00K\x01d.", "neither text nor"),
        (b"}I0x" + b"f" * 17 + b"\nNs.", "neither text nor"),
        (b"}(K\x01u.", "zip"),
        (b"]K\x00K\x01s.", "dictionary was expected"),
        (ARRAY + b"K\x00K\x01s.", "dictionary was expected"),
        (ARRAY + b"K\x00a.", "do not fit"),
        (b"(K\x00tK\x01a.", "do not fit"),
        # sizes and places
        (b"\x8e" + b"\xff" * 8 + b".", "do not fit"),
        (b"\x96" + b"\x00" * 4 + b"\x01\x00\x00\x00.", "do not fit"),
        (b"\x95" + b"\x00" * 7 + b"\x01.", "do not fit"),
        (b"\x8b\xff\xff\xff\x7f.", "do not fit"),
        (b"B\xff\xff\xff\xff.", "do not fit"),
        (b"T\xff\xff\xff\xff.", "negative"),
        (b"T\xff\xff\xff\x7fx.", "cut off"),
        (b"K\x01p-1\n.", "negative"),
        (b"g99999999\n.", "not found"),
        (b"j\xff\xff\xff\xff.", "not found"),
        (b"I" + b"9" * 5000 + b"\n.", "digits"),
        (b"\x80\xff.", "protocol"),
        (b".", "do not fit"),
        (b"t.", "do not fit"),
        (b"\x85.", "do not fit"),
        (b"N", "cut off"),
        (b"NN.", "wrong place"),
        (b"(N.", "wrong place"),
        (b"N.N", "wrong place"),
    ],
)
def test_a_pickle_that_was_made_up_is_refused_in_one_line(data, words):
    with pytest.raises(RefusedPickleError, match="byte ") as error:
        parse(data)
    assert words in str(error.value)
    assert len(str(error.value)) < 400


def test_what_stands_for_a_name_is_what_it_was_after_a_hostile_file():
    before = {name: dict(vars(function)) for name, function in vars(pickles).items() if hasattr(function, "__dict__")}
    for state in (b"}V__defaults__\n(K\x01tsb.", b"(N}V__code__\nNstb.", b"(}Vx\nK\x01s}Vx\nK\x01stb."):
        for name in (b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n", ARRAY):
            with pytest.raises(RefusedPickleError):
                parse(name + state)
    assert {name: dict(vars(pickles)[name].__dict__) for name in before} == before


def test_an_extension_that_something_else_has_registered_and_used_is_refused():
    copyreg.add_extension("os", "system", 240)
    try:
        assert pickle.loads(b"\x80\x02\x82\xf0.") is os.system  # it now lies in the cache of the unpickler in C
        with pytest.raises(RefusedPickleError):
            parse(b"\x80\x02\x82\xf0.")
    finally:
        copyreg.remove_extension("os", "system", 240)


@pytest.mark.parametrize(
    ("shape", "dtype", "data", "words"),
    [
        (b"I-1\n", "<f8", 8, "1 values for a vector of the shape"),
        (b"I0\n", "<f8", 0, "0 values, not 1"),
        (b"I9\n", "<f8", 8, "1 values for a vector of the shape"),
        (b"I1\nI1\n", "<f8", 8, ""),
        (b"I-1\nI-1\n", "<f8", 8, "shape"),
        (b"I1\n", "<f8", 7, "multiple"),
        (b"I1\n", "<f3", 3, "not understood"),
        (b"I1\n", "<f0", 0, ""),
        (b"I1\n", "<b9", 9, "not understood"),
        (b"I1\n", "<u8", 8, ""),
    ],
)
def test_the_shape_and_the_type_of_an_array_are_held_to_its_bytes(write, shape, dtype, data, words):
    code = dtype[1:].encode()
    state = b"(I1\n(" + shape + b"t" + DTYPE.replace(b"f8", code) + b"I00\nS'" + b"\\x00" * data + b"'\ntb"
    path = write(b"(dp0\nS'a'\n" + ARRAY + state + b"s.")
    if words or dtype == "<f0":
        with pytest.raises(TaskError, match="cannot be used") as error:
            read_vectors(path, 1)
        assert words in str(error.value)
    else:
        assert read_vectors(path, 1)[1].tolist() == [[0.0]]


@pytest.mark.parametrize("value", [2**1030, -(2**1030), 1e300, float("nan"), float("inf")])
def test_a_number_that_no_float32_holds_is_no_0_or_1(write, value):
    with pytest.raises(TaskError, match=r"cannot be used|other values than 0 and 1"):
        read_vectors(write(pickle.dumps({"a": [value, 0]}, protocol=2)), 2)
    with pytest.raises(TaskError, match="other values than 0 and 1"):
        read_vectors(
            write(pickle.dumps({"a": np.array([np.float64(max(min(value, 1e300), -1e300)), 0])}, protocol=2)), 2
        )


def test_a_number_that_is_no_name_is_refused(write):
    with pytest.raises(TaskError, match="dictionary from strings to strings"):
        read_strings(write(b"(dp0\nS'a'\nI0x" + b"f" * 10_000 + b"\ns."))


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

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"Nr\xff\xff\xff\x7f.", id="place in the memory"),
            pytest.param(b"Np2000000000\n.", id="place in the memory, as text"),
            pytest.param(b"X" + b"\xff\xff\xff\x7f" + b"x" * 10**6, id="length"),
            pytest.param(b"(" * 9_000_000 + b".", id="marks"),
            pytest.param(b"(" * 1_000_000 + b"t" * 1_000_000 + b".", id="deep tuple"),
            pytest.param(b"}" * 2_000_000 + b".", id="dictionaries"),
            pytest.param(b"]" * 1_000_000 + b"a" * 999_999 + b".", id="deep list"),
            pytest.param(b"}" + b")" + b"\x85" * 1_000_000 + b"Ns.", id="deep key"),
            pytest.param(b"})q\x00" + b"h\x00h\x00\x86q\x00" * 40 + b"Ns.", id="wide key"),
            pytest.param(b"cnumpy\ndtype\n(]q\x00" + b"(h\x00h\x00lq\x00" * 40 + b"NNtR.", id="type that is wide"),
            pytest.param(b"L" + b"9" * 9_000_000 + b"L\n.", id="digits"),
            pytest.param(b"F" + b"9" * 9_000_000 + b"\n.", id="digits of a fraction"),
            pytest.param(
                b"(X" + (5 * 10**6).to_bytes(4, "little") + b"x" * 5 * 10**6
                + b"q\x00Vlatin1\nq\x01c_codecs\nencode\nq\x02" + b"h\x02h\x00h\x01\x86R" * 500_000 + b"t.",
                id="text that is encoded again and again",
            ),
            pytest.param(
                ARRAY + b"q\x00(K\x01(" + (b"\x8a\xff" + b"\x7f" * 255) * 30_000 + b"t" + DTYPE + b"I00\nS''\ntb.",
                id="shape of large numbers",
            ),
            pytest.param(
                b"(dI0x" + b"f" * 4_000_000 + b"\np0\n" + b"h\x00Nsh\x00Ns" * 100_000 + b".",
                id="key that is a large number",
            ),
        ],
    )  # fmt: skip
    def test_of_under_ten_megabytes_take_bounded_memory_and_time(self, data):
        def read():
            with contextlib.suppress(RefusedPickleError):
                parse(data)

        assert len(data) < 10**7
        began = time.process_time()
        assert self.peak_of(read) < 10**9
        assert time.process_time() - began < 60
