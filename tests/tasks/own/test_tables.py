"""Tables of any separator, and what is no table."""

import pytest

from tasks.errors import TaskError
from tasks.own.tables import read_table


@pytest.fixture
def table(tmp_path):
    def table(content, name="t.csv"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(tmp_path / name)

    return table


@pytest.fixture
def refusal(table):
    def refusal(content, name="t.csv"):
        with pytest.raises(TaskError) as error:
            table(content, name)
        return str(error.value)

    return refusal


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_any_separator_is_read(table, sign):
    found = table(f'path{sign}label\na b.wav{sign}"x{sign}y"\n\nü.wav{sign} z \n')
    assert (found.header, found.separator, found.plain) == (("path", "label"), sign, sign == ",")
    assert found.rows == (("a b.wav", f"x{sign}y"), ("ü.wav", "z"))
    assert found.numbers == (2, 4)
    assert found.column("label") == [f"x{sign}y", "z"]


def test_commas_in_cells_do_not_hide_semicolons(table):
    found = table("path;tags\na.wav;x, y, z\nb.wav;y, z\n")
    assert found.header == ("path", "tags")


def test_byte_order_marks_utf16_and_excels_hint_are_understood(table):
    assert table("\ufeffpath,label\na.wav,x\n").plain
    wide = table("path\tlabel\na.wav\tx\n".encode("utf-16"))
    assert (wide.rows, wide.plain) == ((("a.wav", "x"),), False)
    hinted = table("sep=;\npath;label\na.wav;x\n")
    assert (hinted.rows, hinted.numbers, hinted.plain) == ((("a.wav", "x"),), (3,), False)


def test_a_column_without_a_name_gets_one(table):
    assert table(",path,label\n0,a.wav,x\n").header == ("(column 1)", "path", "label")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no header"),
        (",,\n", "has no header"),
        ("path\na.wav\n", "has one column (path)"),
        ("path,label\n", "has a header and no rows"),
        ("path,label,label\na.wav,x,y\n", "the column(s) label more than once: give each"),
        ("a.wav,x\nb.wav,y\n", "its first row is data (a.wav, x). Write a row of names above it"),
        ("path,label\na.wav,x\nb.wav\nc.wav,x,y\n", "row 3: 1 cells where the header has 2"),
        ('path,label\na.wav,"x\n', "row 2: "),
        ('{"path": "a.wav"}', "is JSON, not a table"),
        ("path,label\né.wav,x\n".encode("latin-1"), "is not UTF-8 text (invalid continuation byte in line 2)"),
    ],
)
def test_what_is_no_table_is_refused_with_what_to_do(refusal, content, words):
    assert words in refusal(content)


@pytest.mark.parametrize(
    ("start", "words"),
    [(b"PK\x03\x04", "a workbook of a spreadsheet"), (b"\xd0\xcf\x11\xe0", "an old workbook"), (b"PAR1", "Parquet")],
)
def test_a_workbook_is_told_how_to_become_text(refusal, start, words):
    message = refusal(start + b"\0" * 100, "my table.xlsx")
    assert words in message
    assert "save it as CSV UTF-8" in message
    assert "bench tasks new my table.csv" in message


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TaskError, match=r"there is no file or folder .*none"):
        read_table(tmp_path / "none.csv")
