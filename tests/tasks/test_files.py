import gzip
import io
import os
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from tasks import files
from tasks.errors import TaskError
from tasks.files import (
    check_npy,
    expanded,
    gunzip,
    load_npy,
    parse_json,
    parse_toml,
    read_bytes,
    read_text,
    resolved,
    toml_value,
)  # fmt: skip


def test_a_file_is_read_up_to_its_bound(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbf12345")
    assert read_bytes(path, 8) == b"\xef\xbb\xbf12345"
    assert read_text(path, 8) == "12345"
    with pytest.raises(TaskError, match=f"cannot read {path}: it has 8 bytes, and such a file may have 7"):
        read_bytes(path, 7)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "none", 7)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files on this system")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "socket"])
def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "it"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        import socket

        socket.socket(socket.AF_UNIX).bind(str(path))
    with pytest.raises(TaskError, match=f"cannot read {path}: it is a {kind}, not a file"):
        read_bytes(path, 10**9)


def test_a_file_of_ten_gigabytes_is_not_read(tmp_path):
    with (tmp_path / "big").open("wb") as file:
        file.truncate(10**10)
    tracemalloc.start()
    with pytest.raises(TaskError, match="10,000,000,000 bytes"):
        read_bytes(tmp_path / "big", files.TABLE)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_a_file_that_grows_while_it_is_read_is_bounded(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"x" * 100)
    monkeypatch.setattr(files, "refuse_no_file", lambda path, limit: 1)
    with pytest.raises(TaskError, match="more than the 10 bytes"):
        read_bytes(tmp_path / "a", 10)


def test_text_that_is_not_utf_8_is_named_with_its_line(tmp_path):
    (tmp_path / "a").write_bytes(b"one\ntwo\n\xff")
    with pytest.raises(TaskError, match=r"is not UTF-8 text \(invalid start byte in line 3\)"):
        read_text(tmp_path / "a", 100)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 100_000, "nested too deep"),
        ("a = " + "{b=" * 100_000, "nested too deep"),
        ("a = " + "9" * 10_000, "not valid TOML: .*digits"),
        ("a = [{b = 0x" + "f" * 10_000 + "}]", "not valid TOML: .*whole number of more than 64 bits"),
        (".".join("a" * 1000) + " = 1", "line 1: a key of more than 200 parts"),
        ("[" + ".".join(["'a b'"] * 1000) + "]", "line 1: a key of more than 200 parts"),
        ("a = ", "not valid TOML"),
    ],
)
def test_toml_that_would_take_the_machine_is_refused(tmp_path, text, words):
    with pytest.raises(TaskError, match=words):
        parse_toml(text, tmp_path)


def test_toml_is_read(tmp_path):
    assert parse_toml(f"a.b = 1\nc = '{'.' * 1000}'\n", tmp_path) == {"a": {"b": 1}, "c": "." * 1000}


@pytest.mark.parametrize(
    "value",
    [
        "",
        'a "b" \\ c',
        "x\ty\n\x00\x7f\x1b[31m",
        "Ödön 🎵 \u202e\U000e0001",
        True,
        False,
        -3,
        1e-05,
        1e16,
        [],
        ["a", "b"],
        [0.1, 1],
    ],
)
def test_values_read_back_from_toml_as_they_were_and_obey_no_terminal(tmp_path, value):
    text = toml_value(value)
    assert text.isprintable()
    found = parse_toml(f"a = {text}", tmp_path)["a"]
    assert found == value
    assert type(found) is type(value)


def test_a_name_that_is_no_unicode_is_not_written_as_toml():
    with pytest.raises(TaskError, match=r"the byte 0xff is not valid Unicode.*rename it"):
        toml_value("a\udcff")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("9" * 10_000, "not read: .*digits"),
        ("[1,\n2", "line 2: not JSON"),
    ],
)
def test_json_that_would_take_the_machine_is_refused(tmp_path, text, words):
    with pytest.raises(TaskError, match=words):
        parse_json(text, tmp_path)


def test_what_gzip_holds_is_bounded(tmp_path):
    assert gunzip(gzip.compress(b"one") + gzip.compress(b"two") + b"\0\0", tmp_path) == b"onetwo"
    bomb = gzip.compress(bytes(files.INFLATED_FREE + 1))
    assert len(bomb) < 10**6
    with pytest.raises(TaskError, match="are a bomb"):
        gunzip(bomb, tmp_path)
    with pytest.raises(TaskError, match="are a bomb"):
        gunzip(gzip.compress(bytes(files.INFLATED_FREE // 2 + 1)) * 2, tmp_path)
    with pytest.raises(EOFError):
        gunzip(gzip.compress(b"one" * 1000)[:-9], tmp_path)
    with pytest.raises(zlib.error):
        gunzip(b"\x1f\x8b rubbish that is no gzip", tmp_path)


def npy(shape="(2,)", descr="'<f4'", data=bytes(8), version=b"\x01\x00"):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    size = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + header + data


@pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x03\x00"])
def test_arrays_are_read(version):
    assert load_npy(npy(version=version), "x").tolist() == [0, 0]
    for array in (np.arange(6).reshape(2, 3), np.array(["a", "bé"]), np.float32(3), np.zeros((0, 5))):
        buffer = io.BytesIO()
        np.save(buffer, array)
        assert load_npy(buffer.getvalue(), "x").tolist() == array.tolist()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"\x80\x02]q\x00.",
        npy(shape="(10**12,)"),
        npy(shape="(1000000000000,)"),
        npy(shape="(1000000000000,)", descr="'<U0'"),
        npy(shape="(1000000000000,)", descr="'|V0'"),
        npy(shape="(-1,)"),
        npy(shape="(3,)"),
        npy(shape="(99999999999999999999, 99999999999999999999)"),
        npy(shape="(" * 5000),
        npy(descr="'|O'"),
        npy(descr="'nonsense'"),
        npy(version=b"\x09\x00"),
    ],
)
def test_arrays_that_claim_what_is_not_there_are_refused_before_memory_is_taken(content):
    tracemalloc.start()
    with pytest.raises(TaskError, match="x is not a NumPy array of numbers or text"):
        load_npy(content, "x")
    assert tracemalloc.get_traced_memory()[1] < 10**8
    tracemalloc.stop()


def test_a_checked_file_stands_at_its_beginning():
    file = io.BytesIO(npy())
    check_npy(file, len(npy()), "x")
    assert file.tell() == 0


def test_the_home_of_nobody_is_refused(monkeypatch):
    assert str(expanded("~/a")) == os.path.expanduser("~/a")  # noqa: PTH111
    with pytest.raises(TaskError, match="no home folder of '~nosuchuser' is known"):
        expanded("~nosuchuser/x")


def test_a_small_file_takes_little_memory_whatever_the_bound(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    tracemalloc.start()
    assert read_bytes(tmp_path / "a", files.ANNOTATIONS) == b"x"
    assert tracemalloc.get_traced_memory()[1] < 5 * 10**6
    tracemalloc.stop()


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no such files on this system")  # noqa: PTH110
def test_a_file_that_does_not_say_its_size_is_read():
    assert b"Name:" in read_bytes(Path("/proc/self/status"), 100_000)


def test_a_link_to_itself_is_said_to_be_one(tmp_path):
    (tmp_path / "a").symlink_to("a")
    if sys.version_info < (3, 13):  # which leaves such a link as it is
        with pytest.raises(TaskError, match="a link on the way leads to itself"):
            resolved(tmp_path / "a" / "b")
    (tmp_path / "c").symlink_to(".")
    assert resolved(tmp_path / "c") == resolved(tmp_path)
