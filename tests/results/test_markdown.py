from __future__ import annotations

import csv
import io

import pytest

from results import leaderboard
from results.markdown import csv_cell, escaped, inert


@pytest.mark.parametrize("sign", [*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)])
def test_control_characters_are_numbers(sign: int) -> None:
    assert inert(f"a{chr(sign)}b") == f"a\\u{sign:04x}b"


@pytest.mark.parametrize(
    "sign", ["\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069", "\u2028", "\ufeff"]
)
def test_marks_of_direction_and_what_has_no_width_are_numbers(sign: str) -> None:
    assert inert(f"a{sign}b") == f"a\\u{ord(sign):04x}b"


def test_tags_beyond_the_first_plane_are_pairs_of_numbers() -> None:
    assert inert("\U000e0041") == "\\udb40\\udc41"


def test_other_text_is_left_alone() -> None:
    text = "Ünïcode, 音楽 🎵\n\tnaïve العربية क्\u200dष"
    assert inert(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", r"\<script\>alert(1)\</script\>"),
        ("a | b", r"a \| b"),
        ("a\n| b", r"a \| b"),
        ("[x](javascript:1)", r"\[x\](javascript:1)"),
        ("![x](y)", r"!\[x\](y)"),
        ("`a` *b*", r"\`a\` \*b\*"),
        ("\x1b[31m\u202e", r"\\u001b\[31m\\u202e"),
        ("<!-- ", r"\<!--"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", " =1", "\t=1", "\r=1", "=cmd|' /C calc'!A0"])
def test_a_spreadsheet_takes_no_text_for_a_formula(text: str) -> None:
    file = io.StringIO()
    csv.writer(file).writerow([csv_cell(text)])
    (row,) = csv.reader(io.StringIO(file.getvalue()))
    assert row[0].startswith("'")
    assert csv_cell("a=1") == "a=1"


def test_a_hostile_record_does_nothing_in_the_leaderboard(make_record) -> None:
    hostile = "x\x1b[31m\u202e<img src=x>|\nnew line\x9b"
    record = make_record("t", hostile, {"accuracy": 0.5}, group=hostile, protocol=hostile, damaged=1)
    text = leaderboard.render([record, make_record("t", "b", {"accuracy": 0.4}, group=hostile)]).compact
    assert not set("\x1b\x9b\u202e") & set(text)
    assert "<img" not in text.replace("\\<img", "")
    assert not any(line.startswith("new line") for line in text.splitlines())
