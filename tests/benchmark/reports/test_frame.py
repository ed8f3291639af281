"""Records as a table in a terminal, as JSON and as CSV: what is shown at which width, and what is never hidden."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.reports import frame
from benchmark.system import tables
from results.together import Together, _key, place_of
from tests.results.conftest import build_record

TWO = {"weighted_accuracy": 0.7, "accuracy": 0.6}
POINT = {"fraction": 0.1, "repeat": 2, "seed": 5, "items": 92, "lost": []}


def together(*records):
    """Return records as if they were read from a folder."""
    points = [record for record in records if record.curve is not None]
    whole = [record for record in records if record.curve is None]
    places = {place_of(record): Path("results") for record in whole}
    folders = {_key(record): Path("results") for record in points}
    return Together(tuple(whole), places, frozenset(), "results", tuple(points), folders)


def rows_of(*records, **asked):
    return frame.select(together(*records), **asked)[0]


def test_a_row_is_a_record_and_a_metric():
    found = rows_of(build_record(scores=TWO), build_record(encoder="other"))
    assert list(zip(found.name, found.metric, found.split, strict=True)) == [
        ("example", "weighted_accuracy", "test"),
        ("example", "accuracy", "test"),
        ("other", "weighted_accuracy", "test"),
    ]


def test_rows_that_are_asked_for():
    records = [build_record(scores=TWO), build_record("mtt", "other", {"map": 0.4})]
    assert rows_of(*records, metric="accuracy").value.tolist() == [0.6]
    assert rows_of(*records, tasks=["mtt"], split="all").split.tolist() == ["valid", "test"]
    found, absent = frame.select(together(*records), tasks=["mtt", "gtzan"])
    assert (found.task.tolist(), absent) == (["mtt"], ["gtzan"])
    with pytest.raises(UserError, match=r"no record here has the metric 'acuracy': did you mean 'accuracy'\?"):
        rows_of(*records, metric="acuracy")


@pytest.fixture
def page(monkeypatch):
    """Return a function that sets the width of the terminal; a pipe has none."""
    return lambda width: monkeypatch.setattr(tables, "page_width", lambda: width)


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200, None])
def test_no_line_is_wider_than_the_terminal(page, width):
    page(width)
    records = [build_record(scores=TWO), build_record(encoder="other", trials=9)]
    table, _, told = frame.format_frame(rows_of(*records)).rpartition("\n\n")
    assert max(map(len, table.splitlines())) <= (width or 200)
    assert "0.700" in table
    assert "0.650–0.750" in table
    assert ("created" in table.splitlines()[0]) == (width in (120, 200, None))
    assert "2 record(s), 3 row(s); split test; all of whole tasks" in told


def test_columns_that_do_not_fit_are_named(page):
    page(80)
    text = " ".join(frame.format_frame(rows_of(build_record())).split())
    assert re.search(r"\(no room for [^)]*created", text)


@pytest.mark.parametrize("width", [40, 80, 200, None])
def test_what_is_of_a_part_of_its_task_says_so_at_any_width(page, width):
    page(width)
    point = build_record(encoder="third", curve=POINT)
    limited, partial = build_record(limit=40), build_record(encoder="some", damaged=2)
    text = " ".join(frame.format_frame(rows_of(build_record(), limited, partial, point)).split())
    for words in ("whole", "limit 40", "partial", "0.1 of", "train,", "repeat 2"):
        assert words in text
    assert "all of whole tasks" not in text


def test_json_is_plain():
    record = build_record(scores={"accuracy": 0.6})
    score = record.scores.test["accuracy"].model_copy(update={"low": None, "std": None})
    record = record.model_copy(update={"scores": record.scores.model_copy(update={"test": {"accuracy": score}})})
    (row,) = json.loads(frame.as_json(rows_of(record)))
    assert (row["value"], row["low"], row["std"], row["limit"], row["partial"]) == (0.6, None, None, None, False)
    assert row["seed_values"] == [0.6 - 0.007, 0.607]
    (limited,) = json.loads(frame.as_json(rows_of(build_record(limit=40))))
    assert limited["limit"] == 40
    assert json.loads(frame.as_json(rows_of())) == []


@pytest.mark.parametrize("name", ["=1+1", "@x", "a,b", "a\x1b[31mb"])
def test_csv_holds_no_formula(name):
    (row,) = csv.DictReader(io.StringIO(frame.as_csv(rows_of(build_record(encoder=name)))))
    expected = f"'{name}" if name[0] in "=@" else name.replace("\x1b", "\\u001b")
    assert (row["encoder"], row["name"]) == (expected, expected)
    assert float(row["value"]) == 0.7
    assert row["seed_values"] == "0.693 0.707"


def test_a_point_of_a_curve_has_its_file():
    (row,) = json.loads(frame.as_json(rows_of(build_record(curve=POINT))))
    assert (row["fraction"], row["repeat"]) == (0.1, 2)
    assert row["path"] == "results/curves/gs_key/example/fraction-0.1.repeat-2.json"
