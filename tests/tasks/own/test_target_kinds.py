"""What cells say of the kind of a task."""

import pytest

from tasks.own.target_kinds import kind_of, labels_of, number, separator_of, words


@pytest.mark.parametrize(
    ("name", "cells", "kind", "separator"),
    [
        ("mood", ["calm", "wild", "calm"], "multiclass", ""),
        ("name", ["rock|pop", "jazz", ""], "multilabel", "|"),
        ("tags", ["rock, pop", "pop", "rock", "jazz, pop", "jazz"], "multilabel", ","),
        ("tags", ["rock; pop", "pop", "rock"], "multilabel", ";"),
        ("tags", ["['rock', 'pop']", '["jazz"]', "[]"], "multilabel", "[]"),
        ("city", ["Paris, France", "Rome, Italy", "Oslo, Norway"], "multiclass", ""),
        ("genre", ["Hip-Hop/Rap", "Rock", "Pop"], "multiclass", ""),
        ("x", ["0.5", "1", "2"], "regression", ""),
        ("x", ["0,5", "1", "2"], "regression", ""),
        ("x", ["1e-3", "-2"], "regression", ""),
        ("tempo", ["90", "120", "120"], "regression", ""),
        ("label", ["0", "1", "2"] * 4, "multiclass", ""),
        ("vocal", ["0", "1", "1"], "multiclass", ""),
        ("x", [str(i) for i in range(60)], "regression", ""),
        ("x", ["1", "2", "3"] * 5, None, ""),
        ("class rating", ["1", "2", "3"] * 5, None, ""),
    ],
)
def test_the_kind_of_a_column(name, cells, kind, separator):
    found = kind_of(name, cells)
    assert (found.kind, found.separator) == (kind, separator)
    assert found.why


def test_what_is_unclear_says_which_options_there_are():
    assert "--kind multiclass" in kind_of("x", ["1", "2", "3"] * 5).why
    assert "--kind regression" in kind_of("x", ["1", "2", "3"] * 5).why


def test_a_decimal_comma_is_told_with_what_it_is_read_as():
    found = kind_of("x", ["0,5", "1"])
    assert found.decimal_comma
    assert "0,5 is read as 0.5" in found.why


@pytest.mark.parametrize(
    ("cell", "value"),
    [("1", 1), ("-0.5", -0.5), ("1e400", None), ("nan", None), ("inf", None), ("1_0", None), ("", None)],
)
def test_numbers(cell, value):
    assert number(cell) == value


def test_labels_of_a_cell():
    assert labels_of("['it\\'s', \"b\"]", "[]") == ["it\\'s", "b"]
    assert labels_of("[a, b]", "[]") == ["a", "b"]
    assert labels_of(" a | b||", "|") == ["a", "b"]
    assert labels_of("", "") == []


def test_words_of_names():
    assert words("track_ID") == ["track", "id"]
    assert words("artistName") == ["artist", "name"]
    assert words("Größe 2") == ["grösse", "2"]


def test_a_separator_parts_what_recurs():
    assert separator_of(["a,b", "c,d", "e,f"]) == ""
    assert separator_of(["a,b", "b,c", "c,a"]) == ","
