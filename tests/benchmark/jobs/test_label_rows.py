import csv

import numpy as np
import pytest

from benchmark.jobs.label_rows import Columns, CsvLines, JsonLines, LabelledFile, cell

COLUMNS = Columns(("calm", "=1+1", 'a "b", c', "path", "labels"), decided=True, made_by="abc f1")
ROW = LabelledFile("songs/a.wav", 2.5, "", ("calm", "wild"), 0.25, (0.1, 1e-9, 0.5, 0.25, 1.0), 12, 34)


def test_each_output_has_a_column_of_its_own_and_no_formula_stands_in_the_head():
    assert COLUMNS.names()[5:] == (
        "calm",
        "=1+1",
        'a "b", c',
        "label:path",
        "label:labels",
        "size",
        "mtime_ns",
        "probe",
    )
    (head,) = csv.reader([CsvLines(COLUMNS).head])
    assert head[5:8] == ["calm", "'=1+1", 'a "b", c']
    assert Columns(("labels",), decided=False, made_by="").names()[:4] == ("path", "seconds", "problem", "labels")


def test_names_that_csv_makes_equal_stay_apart():
    (head,) = csv.reader([CsvLines(Columns(("=a", "'=a"), decided=True, made_by="")).head])
    assert len(set(head)) == len(head)


def test_a_row_is_one_line_of_csv_that_gives_its_numbers_again():
    (cells,) = csv.reader([CsvLines(COLUMNS).line(ROW)])
    assert cells[:5] == ["songs/a.wav", "2.500", "", "calm|wild", "0.25"]
    assert np.float32(cells[5:10]).tolist() == np.float32(ROW.values).tolist()
    assert cells[10:] == ["12", "34", "abc f1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("=1+1", "'=1+1"),
        ("-a", "'-a"),
        ("@x", "'@x"),
        ("a\nb\tc\rd", "a\\u000ab\\u0009c\\u000dd"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("bad\udcff", "bad\\udcff"),
    ],
)
def test_texts_of_strangers_are_inert_cells_of_one_line(text, expected):
    assert cell(text) == expected


@pytest.mark.parametrize("kind", [CsvLines, JsonLines])
@pytest.mark.parametrize(
    "path", ["a.wav", 'q"u,o.wav', "new\nline.wav", "\x1b[2J.wav", "=1+1.wav", "\udcff.wav", "ü.wav"]
)
def test_a_line_says_whose_it_is_and_who_made_it(kind, path):
    lines = kind(COLUMNS)
    row = LabelledFile(path, 1.0, "it is damaged, \n truly", size=3, mtime_ns=10**18 + 1)
    line = lines.line(row)
    assert "\n" not in line
    line.encode()
    glance = lines.glance(line)
    assert glance.key == (lines.spelled(path), 3, 10**18 + 1)
    assert glance.problem.startswith("it is damaged, ")
    assert (glance.labels, glance.uncertainty) == ("", None)
    assert lines.maker(line) == "abc f1"
    assert lines.glance(lines.line(ROW)).labels == "calm|wild"


@pytest.mark.parametrize("kind", [CsvLines, JsonLines])
def test_what_a_killed_writer_left_of_a_line_says_nothing(kind):
    lines = kind(COLUMNS)
    whole = lines.line(ROW)
    for cut in range(len(whole) - len(",abc f1")):
        assert lines.glance(whole[:cut]) is None
    assert lines.glance("\0" * 40) is None
    assert lines.maker("{}") is None
