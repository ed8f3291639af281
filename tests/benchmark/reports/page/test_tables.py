"""Tables of the page: what is shown, and the number behind it."""

import numpy as np
import pandas as pd
import pytest

from benchmark.reports.page.tables import NONE, digits, interval, number, of_frame, score


@pytest.mark.parametrize(
    ("value", "text"),
    [(12, "12"), (12345, "12,345"), (0.32551, "0.326"), (-0.5, "-0.500"), (-0.0001, "-0.0001"), (2.0018e-05, "2e-05"),
     (12345.6, "12,346"), (0.0, "0.000"), (-0.0, "0.000"), (float("nan"), NONE), (float("inf"), "inf")],
)  # fmt: skip
def test_digits(value, text):
    assert digits(value) == text


def test_a_score_keeps_all_of_its_digits():
    cell = score(0.32551234567, 0.25, 0.40517902459705807)
    assert (cell.text, cell.value, cell.low, cell.high) == ("0.326", 0.32551234567, 0.25, 0.40517902459705807)
    assert cell.detail == "0.250–0.405"
    assert score(None).text == NONE
    assert score(0.5).detail == score(0.5, None, 0.6).detail == ""


def test_an_interval_below_zero_is_not_read_as_a_dash():
    assert interval(-0.4591, -0.03) == "-0.459 to -0.030"
    assert interval(-0.0001, 0.1) == "0.000 to 0.100"


def test_what_is_not_known_is_no_number():
    assert number(None).value is None
    assert number(float("nan")).text == NONE


def test_a_frame_of_everything_becomes_a_table():
    frame = pd.DataFrame(
        {
            "name": ["a", None], "count": [3, 4], "score": [0.5, np.nan], "known": [True, False],
            "several": [["x", "y"], []], "whole": pd.array([1, None], dtype="Int64"),
        }
    )  # fmt: skip
    table = of_frame(frame, "All")
    assert [column.numeric for column in table.columns] == [False, True, True, False, False, True]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "3", "0.500", "yes", "x, y", "1"], [NONE, "4", NONE, "no", "", NONE],
    ]  # fmt: skip
    assert table.rows[0][2].value == 0.5
    assert table.notes == ()


def test_columns_without_any_value_are_left_out():
    table = of_frame(pd.DataFrame({"a": [1.0, 2.0], "none": [None, np.nan]}), "Some")
    assert [column.name for column in table.columns] == ["a"]
    assert len(of_frame(pd.DataFrame({"a": []}), "No rows").columns) == 1


def test_rows_that_are_not_shown_are_counted():
    table = of_frame(pd.DataFrame({"n": range(1500)}), "Many", 100)
    assert len(table.rows) == 100
    assert table.notes == ("The first 100 of 1,500 rows.",)
