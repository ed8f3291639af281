"""Pieces of specifications: names that fit, ticks of wide scales, digits."""

import json

import pytest

from benchmark.reports.figures.specs import (
    beside_rows,
    broken,
    decades,
    rounded,
    rows_axis,
    sized,
    told_apart,
    wide_number,
)

vl_convert = pytest.importorskip("vl_convert", reason="needs the extra report")


def test_names_are_broken_without_loss():
    for name in ("short", "hf:m-a-p/MERT-v1-330M?layer=7", "x" * 70, "two words and many more of them in one name"):
        lines = broken(name)
        assert "".join(lines).replace(" ", "") == name.replace(" ", "")
        assert all(len(line) <= 22 for line in lines)


def test_long_names_keep_both_ends_and_differ():
    first, second = (f"{'a' * 40}{middle}{'b' * 40}" for middle in "12")
    shown = beside_rows([first, second, "c" * 80])
    assert len(shown["c" * 80]) == 2
    assert shown["c" * 80][0].endswith("…")
    assert shown[first] != shown[second], "names whose middle alone differs are given whole"


@pytest.mark.parametrize("name", ["it's \\ a 'quote'", "</script>", "ü" * 30, "a\nb", "}{;alert(1)//" * 3, "𝄞" * 25])
def test_names_in_an_axis_are_text_whatever_they_are(name):
    channel, height = rows_axis([name, "y" * 50], "name")
    values = [{"name": each, "v": 1} for each in channel["scale"]["domain"]]
    spec = {"data": {"values": values}, "mark": "point", "encoding": {"y": channel}, "height": height}
    assert "</script>" not in json.dumps(channel["axis"])
    vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (3, 700, [10, 100]),
        (0.5, 3, [1, 3]),
        (0.5, 2, [0.5, 1, 2]),
        (1e-6, 1e-3, [1e-6, 1e-5, 1e-4, 1e-3]),
        (5, 5, [5]),
        (7.1, 7.2, [7.1]),
        (80, 80, [80]),
    ],
)
def test_ticks_of_a_wide_scale(low, high, ticks):
    assert decades(low, high) == ticks


def test_a_wide_scale_without_a_positive_value():
    assert wide_number("x", "x", [0.0, 0.0])["scale"]["type"] == "symlog"
    assert wide_number("x", "x", [1.0, float("nan")])["scale"]["type"] == "log"


def test_values_of_data():
    assert [rounded(value) for value in (1.0, 0.123456789, 123456.7, float("inf"), None, True, "a\x1bb")] == [
        1, 0.12346, 123460, None, None, True, "a\\u001bb",
    ]  # fmt: skip


def test_encoders_have_the_same_colour_in_every_picture():
    first = told_apart("e", ["a", "c"], ["a", "b", "c"])["color"]
    assert first["scale"]["domain"] == ["a", "b", "c"]
    assert first["legend"]["values"] == ["a", "c"]
    assert told_apart("e", ["z"], ["a"])["color"]["scale"]["domain"] == ["z"]


def test_a_width_goes_to_every_panel():
    assert sized({"mark": "point"}, 300)["width"] == 300
    panels = sized({"vconcat": [{"height": 1}, {"height": 2}]}, 300)["vconcat"]
    assert [panel["width"] for panel in panels] == [230, 230]
