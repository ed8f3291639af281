"""Charts of a page share what is alike, and hold their numbers as columns."""

import json
import math

import numpy as np
import pandas as pd

from benchmark.reports.figures.figure import Figure
from benchmark.reports.page.charts import Charts


def figure(rows, **more):
    spec = {"description": "words", "data": {"values": rows}, "mark": "point", **more}
    return Figure("forest", "forest-a", "A title", "Some words.", pd.DataFrame(rows), spec)


def test_specifications_that_differ_in_numbers_alone_are_held_once():
    charts = Charts()
    first = charts.add(figure([{"x": 1, "y": "a"}, {"x": 2}]))
    second = charts.add(figure([{"x": 3, "y": "b"}]))
    third = charts.add(figure([{"x": 3}], mark="rule"))
    assert [first.number, second.number, third.number] == [0, 1, 2]
    data = charts.as_data()
    assert len(data["specs"]) == 2
    assert [each["s"] for each in data["charts"]] == [0, 0, 1]
    assert data["specs"][0]["data"] == {"rows": 0}
    assert data["charts"][0]["d"] == [{"x": [1, 2], "y": ["a", None]}]
    assert "description" not in data["specs"][0]


def test_rows_of_each_layer_and_of_named_data_are_taken_out():
    charts = Charts()
    charts.add(figure([{"x": 1}], layer=[{"data": {"values": [{"z": 1}, {"z": 2}]}}], datasets={"n": [{"q": 5}]}))
    data = charts.as_data()
    assert data["charts"][0]["d"] == [{"x": [1]}, {"z": [1, 2]}, {"q": [5]}]
    assert data["specs"][0]["datasets"] == {"n": {"rows": 2}}


def test_names_and_titles_of_one_chart_are_held_beside_its_numbers():
    charts = Charts()
    for names in (["a", "b"], ["c", "d"]):
        scale = {"domain": names, "range": [1, 2]}
        charts.add(figure([{"x": 1}], encoding={"color": {"scale": scale, "title": names[0], "sort": names}}))
    data = charts.as_data()
    assert len(data["specs"]) == 1
    colour = data["specs"][0]["encoding"]["color"]
    assert colour == {"scale": {"domain": {"held": 1}, "range": [1, 2]}, "title": {"held": 2}, "sort": {"held": 1}}
    assert data["charts"][1]["d"] == [{"x": [1]}, ["c", "d"], "c"]


def test_numbers_are_rounded_and_finite():
    charts = Charts()
    charts.add(figure([{"x": 0.123456789, "y": np.float32(2.5)}, {"x": math.nan, "y": np.int64(3)}]))
    held = charts.as_data()["charts"][0]["d"][0]
    assert held == {"x": [0.12346, None], "y": [2.5, 3]}
    json.dumps(held, allow_nan=False)


def test_texts_that_repeat_are_held_once():
    charts = Charts()
    charts.add(figure([{"x": name, "y": place} for place, name in enumerate("aabba")]))
    assert charts.as_data()["charts"][0]["d"] == [
        {"x": {"names": ["a", "b"], "at": [0, 0, 1, 1, 0]}, "y": [0, 1, 2, 3, 4]}
    ]
