"""Records as a table in a terminal, as JSON and as CSV: what is shown at which width, and what is never hidden."""

import csv
import io
import json
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.reports import frame
from results.together import Together, place_of
from tests.results.conftest import build_record

TWO = {"weighted_accuracy": 0.7, "accuracy": 0.6}
POINT = {"fraction": 0.1, "repeat": 2, "seed": 5, "items": 92, "lost": []}


def together(*records):
    return Together(tuple(records), {place_of(record): Path("results") for record in records}, frozenset(), "results")


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


@pytest.mark.parametrize("width", [0, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width):
    records = [build_record(scores=TWO), build_record(encoder="other", trials=9)]
    text = frame.format_frame(rows_of(*records), width)
    assert max(map(len, text.splitlines())) <= max(width, 60)
    assert "0.700" in text
    assert ("0.650–0.750" in text) == (width >= 60)


def test_a_long_name_is_wrapped_and_nothing_of_it_is_lost():
    name = "hf:some-organisation/a-model-of-a-very-long-name-v1-330M?layer=7"
    lines = frame.format_frame(rows_of(build_record(encoder=name)), 80).splitlines()
    assert max(map(len, lines)) <= 80
    start = lines[0].index("encoder")
    column = [line[start : line.index("  ", start) if "  " in line[start:] else None] for line in lines[2:-2]]
    assert "".join(part.strip() for part in column).startswith("hf:some-organisation/a-model-of-a-very-long-name")


def test_what_is_of_a_part_of_its_task_says_so_at_any_width():
    point = build_record(encoder="third", curve=POINT)
    limited, partial = build_record(limit=40), build_record(encoder="some", damaged=2)
    found, _ = frame.select(together(build_record(), limited, partial), curves=[(point, Path("p.json"))])
    for width in (40, 200):
        text = frame.format_frame(found, width)
        for words in ("whole", "limit 40", "partial", "0.1 of train, repeat 2"):
            assert words in text
    assert "all of whole tasks" in " ".join(frame.format_frame(rows_of(build_record()), 80).split())


def test_columns_that_do_not_fit_are_named():
    text = " ".join(frame.format_frame(rows_of(build_record()), 80).split())
    assert "not shown for lack of room: " in text
    assert "created" in text.partition("lack of room")[2]
    assert "lack of room" not in frame.format_frame(rows_of(build_record()), 300)


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


def test_the_width_is_that_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "97")
    assert frame.terminal_width() == 97
