"""Tables: every cell as it is given, names wrapped and whole."""

import pytest

from benchmark.system.tables import LEAST, WIDTH, table


def lines_of(*args):
    return table(*args).splitlines()


def test_a_cell_stands_as_it_is_given():
    assert lines_of([["1e5", 0.10, None], ["007", "1,234", "x"]], ["a", "b", "c"]) == [
        "a    b      c",
        "---  -----  ----",
        "1e5  0.1    None",
        "007  1,234  x",
    ]


def test_without_rows_the_headers_stand():
    assert lines_of([], ["task", "encoder"], 2) == ["task    encoder", "------  ---------"]


def test_as_wide_as_it_is_where_no_names_are_told():
    assert lines_of([["x" * 200, "y"]], ["a", "b"])[2] == "x" * 200 + "  y"


@pytest.mark.parametrize("widths", [(30, 30, 30), (200, 5, 5), (100, 100, 100)])
def test_names_are_wrapped_to_the_width_and_whole(widths):
    row = [letter * width for letter, width in zip("abc", widths, strict=True)]
    rule, *lines = lines_of([[*row, "0.500"]], ["task", "encoder", "metric", "test"], 3)[1:]
    assert max(map(len, [rule, *lines])) <= WIDTH
    for name in row:
        assert sum(line.count(name[0]) for line in lines) == len(name)


def test_numbers_are_never_wrapped():
    first, *_ = lines_of([["name" * 10, "9" * 150]], ["task", "test"], 1)[2:]
    assert first.endswith("9" * 150)
    assert first.startswith(("name" * 10)[:LEAST] + " ")
