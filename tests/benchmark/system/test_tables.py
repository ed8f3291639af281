"""Tables: every cell as it is given; what a narrow terminal does without, and that it says so."""

import pytest

from benchmark.system import tables
from benchmark.system.tables import table
from benchmark.system.terminal import shown_width

HEADERS = ["task", "title", "test", "std"]
ROW = ["demo_key", "keys of rendered songs", "0.123", "0.456"]


def lines_of(*args, **chosen):
    return table(*args, **chosen).splitlines()


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes stdout a terminal of so many columns."""
    return lambda columns: monkeypatch.setattr(tables, "page_width", lambda: columns)


def test_a_cell_stands_as_it_is_given():
    assert lines_of([["1e5", 0.10, None], ["007", "1,234", "x"]], ["a", "b", "c"]) == [
        "a    b      c",
        "---  -----  ----",
        "1e5  0.1    None",
        "007  1,234  x",
    ]


def test_without_rows_the_headers_stand():
    assert lines_of([], ["task", "encoder"]) == ["task    encoder", "------  ---------"]


def test_a_pipe_gets_a_line_a_row_however_long():
    assert lines_of([["x " * 200, "y"]], ["a", "b"], texts=["a"], spare=["b"])[2:] == [("x " * 200).strip() + "  y"]


def test_a_pipe_gets_markdown_where_it_is_asked_for():
    assert lines_of([["demo", 1]], ["task", "n"], markdown=True)[0] == "| task   | n   |"


def test_a_terminal_gets_no_markdown(terminal):
    terminal(80)
    assert lines_of([["demo", 1]], ["task", "n"], markdown=True)[0] == "task    n"


def test_texts_are_folded_between_words_before_a_column_is_left_out(terminal):
    terminal(36)
    assert lines_of([ROW], HEADERS, texts=["title"], spare=["std"]) == [
        "task      title         test   std",
        "--------  ------------  -----  -----",
        "demo_key  keys of       0.123  0.456",
        "          rendered",
        "          songs",
    ]


def test_columns_are_left_out_in_their_order_and_named(terminal):
    terminal(27)
    shown = lines_of([ROW], HEADERS, texts=["title"], spare=["std", "test"])
    assert shown[0].split() == ["task", "title", "test"]
    assert "(no room for std:" in " ".join(" ".join(shown).split())
    terminal(20)
    shown = " ".join(lines_of([ROW], HEADERS, texts=["title"], spare=["std", "test"]))
    assert "(no room for test, std:" in " ".join(shown.split())
    terminal(80)
    assert "no room" not in table([ROW], HEADERS, texts=["title"], spare=["std", "test"])


def test_any_cell_is_folded_before_the_table_becomes_lines(terminal):
    terminal(34)
    assert lines_of([["Gb major", "keys of songs", "a b c d e f g h"]], ["task", "title", "more"])[2].startswith(
        "Gb major"
    )


def test_a_name_that_is_wider_than_the_page_makes_each_row_a_block(terminal):
    terminal(40)
    name = "hf:facebook/hubert-base-ls960?layer=7&precision=bf16"
    assert lines_of([[name, "0.5"], ["logmel", "0.4"]], ["encoder", "test"], spare=["test"]) == [
        "encoder:",
        "  " + name,
        "test: 0.5",
        "",
        "encoder: logmel",
        "test: 0.4",
    ]


@pytest.mark.parametrize("columns", range(20, 90, 3))
def test_no_line_is_wider_than_the_page_and_every_word_is_whole(terminal, columns):
    terminal(columns)
    rows = [ROW, ["demo_tags", "音楽 タグ付け and a few words more", "0.1", "-"]]
    shown = table(rows, HEADERS, texts=["title"], spare=["std", "test"])
    assert max(map(shown_width, shown.splitlines())) <= columns
    words = {word for row in rows for cell in (row[0], row[1]) for word in cell.split()}
    assert words <= set(shown.split())
