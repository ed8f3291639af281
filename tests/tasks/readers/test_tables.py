import gzip
import json

import numpy as np
import pytest

from tasks.card import TaskCard
from tasks.errors import TaskError
from tasks.readers.tables import (
    Ids,
    TableRow,
    check_ids,
    first_duplicate,
    label_indices,
    load_array,
    load_binary,
    read_bytes,
    read_json,
    read_lines,
    read_names,
    read_records,
    read_rows,
    read_table,
    read_text,
    refuse,
)


@pytest.fixture
def file(tmp_path):
    """Write a file."""

    def write(content, name="file.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def table(path, *columns, delimiter=","):
    return [dict(record.cells) for record in read_table(path, columns, delimiter)]


def test_a_text_is_read_with_and_without_a_byte_order_mark(file):
    assert read_text(file("Touré\n")) == "Touré\n"
    assert read_text(file("\ufeffTouré\n")) == "Touré\n"


def test_a_compressed_text_is_read_by_its_content_and_not_by_its_name(file):
    assert read_text(file(gzip.compress(b"{}"), "a.json.gz")) == "{}"
    assert read_text(file(gzip.compress(b"{}"), "a.json")) == "{}"
    assert read_text(file(b"{}", "a.json.gz")) == "{}"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"  \r\n", "is empty"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "line 1: this is a web page"),
        (b"\xef\xbb\xbf\n <HTML>\n", "line 1: this is a web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "line 1: this is a web page"),
        (b"<!-- moved -->\n<html>", "line 1: this is a web page"),
        (gzip.compress(b"<html>", mtime=0), "line 1: this is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        ("id\tkey\n".encode("utf-16"), "UTF-16"),
        (b"id\n1\nTour\xe9\n", "line 3: this is not UTF-8"),
        (b"id\n1\0\n", "line 2: this is binary data"),
        (gzip.compress(bytes(range(200)) * 90, mtime=0)[:-300], "is truncated or damaged"),
        (gzip.compress(b"{}", mtime=0)[:-6] + b"abcdef", "is truncated or damaged"),
    ],
)
def test_what_a_failed_download_leaves_behind_is_refused(file, content, complaint):
    path = file(content)
    with pytest.raises(TaskError) as error:
        read_text(path)
    assert str(error.value).startswith(str(path))
    assert complaint in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TaskError, match=r"there is no annotation file .*none\.csv"):
        read_text(tmp_path / "none.csv")
    with pytest.raises(TaskError, match="cannot read"):
        read_text(tmp_path)


def test_lines_keep_their_numbers_and_lose_their_endings_and_spaces(file):
    records = list(read_lines(file("a\r\n\r\n b \r\n")))
    assert [(record.where, record.text("line")) for record in records] == [("line 1", "a"), ("line 3", "b")]


def test_a_table_is_read_by_the_names_of_its_columns(file):
    path = file("\ufeffb , a,c\r\n 2 ,1,x\r\n\r\n4,3,y")
    assert table(path, "a", "b") == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_quoted_cells_may_hold_the_delimiter_and_line_breaks(file):
    records = list(read_table(file('a\tb\n"x\ty"\t"1\n2"\nz\t3\n'), ("a", "b"), "\t"))
    assert [record.text("a") for record in records] == ["x\ty", "z"]
    assert records[1].where == "line 4"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a;b\n1;2\n", "line 1: the column 'a' is missing; the header has 'a;b'"),
        ("a,b,a\n1,2,3\n", "line 1: the column 'a' is there twice"),
        ("a,b\n1,2\n3\n", "line 3: 1 cells where the header has 2: is the file truncated?"),
        ("a,b\n1,2\n3,4,5\n", "line 3: 3 cells where the header has 2"),
        ("a,b\n1," + "x" * 200_000 + "\n", "line 2: field larger than field limit"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_its_line(file, content, complaint):
    path = file(content)
    with pytest.raises(TaskError) as error:
        table(path, "a", "b")
    assert str(error.value).startswith(f"{path}, {complaint}")


def test_json_is_an_object_of_objects(file):
    path = file(gzip.compress(json.dumps({"1": {"a": {"b": " x "}}}).encode()))
    [(name, record)] = read_records(path)
    assert (name, record.where, record.text("a", "b")) == ("1", "record '1'", "x")
    with pytest.raises(TaskError, match=r"record '1': there is no 'a\.c'"):
        record.text("a", "c")
    with pytest.raises(TaskError, match=r"record '1': there is no 'a\.b\.c'"):
        record.text("a", "b", "c")
    with pytest.raises(TaskError, match=r"'a' is \{'b'.*not a text"):
        record.text("a")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"1": {},\n "2": {', r"line 2: not JSON .*: is the file truncated\?"),
        ("[1]", "line 1: a JSON object by id was expected, not list"),
        ('{"1": 2}', "record '1': an object was expected, not 2"),
    ],
)
def test_other_json_is_refused(file, content, complaint):
    with pytest.raises(TaskError, match=complaint):
        list(read_records(file(content)))


def test_a_hook_replaces_the_objects(file):
    assert read_json(file('{"1": {"a": 1}}'), lambda cells: cells.get("a", cells)) == {"1": 1}


@pytest.mark.parametrize("text", ["", "1.0", "-1", "x", "1 2", "²", "1_0"])
def test_a_whole_number_has_digits_only(tmp_path, text):
    assert TableRow(tmp_path, "line 2", {"id": " 007 "}).whole("id") == 7
    with pytest.raises(TaskError, match=r"line 2: 'id' is .*, not a whole number: are columns swapped"):
        TableRow(tmp_path, "line 2", {"id": text}).whole("id")


@pytest.mark.parametrize("text", ["", "nan", "inf", "3,5", "x"])
def test_a_number_is_finite(tmp_path, text):
    assert TableRow(tmp_path, "line 2", {"v": " 3.5 "}).number("v") == 3.5
    with pytest.raises(TaskError, match=r"line 2: 'v' is .*, not a finite number"):
        TableRow(tmp_path, "line 2", {"v": text}).number("v")


def test_an_id_is_taken_once(tmp_path):
    ids = Ids()
    ids.take("1", TableRow(tmp_path / "a.csv", "line 2", {}))
    with pytest.raises(TaskError, match=r"b\.csv, line 9: the id '1' is there twice, first in a\.csv, line 2"):
        ids.take("1", TableRow(tmp_path / "b.csv", "line 9", {}))


def test_labels_have_indices_and_must_be_named():
    card = TaskCard(id="t", title="T", kind="multiclass", metrics=("accuracy",), collection="c", outputs=("o",))
    assert label_indices(card.model_copy(update={"labels": ("x", "y")})) == {"x": 0, "y": 1}
    with pytest.raises(TaskError, match="'t' names no labels"):
        label_indices(card)


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_bytes_that_a_failed_download_left_behind_are_refused_with_the_callers_advice(file, content):
    path = file(content, "a.npy")
    for read in (read_bytes, load_array, read_text, read_names):
        with pytest.raises(TaskError, match=r"ask Ann$"):
            read(path, "ask Ann")
    with pytest.raises(TaskError, match=r"there is no annotation file .*none\.npy: ask Ann$"):
        read_bytes(path.with_name("none.npy"), "ask Ann")


def test_names_are_whole_lines(file):
    assert read_names(file("a b\r\nTouré\r\n")) == ["a b", "Touré"]
    assert read_names(file("a\nb")) == ["a", "b"]
    with pytest.raises(TaskError, match=r"(?s)line 2: '' is empty.*line 3: ' c' is empty, or has spaces"):
        read_names(file("a\n\n c\n"))


def test_rows_may_differ_in_length_and_have_line_numbers(file):
    assert list(read_rows(file('a\tb\r\n1\t"2\t3\r\n'), "\t")) == [(1, ["a", "b"]), (2, ["1", '"2', "3"])]
    assert list(read_rows(file('a,b\n"x\ny",1\nz\n'), ",")) == [(1, ["a", "b"]), (2, ["x\ny", "1"]), (4, ["z"])]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a,b\n1,2", "line 2: the file ends within a line"),
        ("a,b\n\n1,2\n", "line 2: an empty line"),
        ('a,b\n"1"x,2\n', "line 2: ',' expected after"),
    ],
)
def test_rows_that_were_cut_are_refused(file, content, complaint):
    with pytest.raises(TaskError, match=complaint):
        list(read_rows(file(content), ","))


def test_arrays_hold_numbers_or_text_and_never_objects(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0, 1], [1, 1]]))
    assert load_array(tmp_path / "a.npy").tolist() == [[0, 1], [1, 1]]
    values = load_binary(tmp_path / "a.npy", (None, 2))
    assert values.dtype == np.float32
    np.save(tmp_path / "objects.npy", np.array([{}, None]), allow_pickle=True)
    with pytest.raises(TaskError, match="Python objects, which are never loaded"):
        load_array(tmp_path / "objects.npy")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-3])
    with pytest.raises(TaskError, match=r"cut\.npy is not a NumPy array"):
        load_array(tmp_path / "cut.npy")
    with pytest.raises(TaskError, match=r"should be a any x 3 matrix, but has the shape \(2, 2\)"):
        load_binary(tmp_path / "a.npy", (None, 3))
    np.save(tmp_path / "two.npy", np.array([[0, 1], [2, 1]]))
    with pytest.raises(TaskError, match=r"two\.npy, row 1 .*other values than 0 and 1"):
        load_binary(tmp_path / "two.npy", (2, 2))
    np.save(tmp_path / "text.npy", np.array([["0", "1"]]))
    with pytest.raises(TaskError, match="should hold numbers"):
        load_binary(tmp_path / "text.npy", (1, 2))


def test_problems_are_named_the_first_ten_in_full(tmp_path):
    refuse(tmp_path / "x", [])
    with pytest.raises(TaskError) as error:
        refuse(tmp_path / "x", [(i, f"fault {i}") for i in range(1, 13)])
    assert str(error.value).splitlines()[1:3] == ["  line 1: fault 1", "  line 2: fault 2"]
    assert str(error.value).endswith("line 10: fault 10\n  … and 2 more")


def test_ids_have_a_form_and_stand_once(tmp_path):
    assert first_duplicate(["a", "b"]) is None
    assert first_duplicate(["a", "b", "c", "b", "a"]) == (1, 3)
    check_ids(tmp_path, ["a", "b"], str.isalpha, "a letter")
    with pytest.raises(TaskError, match="line 3: '1' is not a letter"):
        check_ids(tmp_path, ["a", "1"], str.isalpha, "a letter", line=2)
    with pytest.raises(TaskError, match="line 3: 'a' stands twice, first in line 1"):
        check_ids(tmp_path, ["a", "b", "a"], str.isalpha, "a letter")
