"""benchmark.compare and benchmark.plot: what a notebook shows of records, and what is refused."""

import sys
from pathlib import Path

import pytest

import benchmark
from benchmark.reports.figures.figure import Figure
from benchmark.reports.interactive import Pictures

RECORDS = Path(__file__).parents[3] / "results"


def test_a_comparison_is_that_of_the_command_line():
    found = benchmark.compare("logmel", "chroma", "demo_key", results=RECORDS)
    assert [row.metric for row in found.rows] == ["weighted_accuracy", "accuracy"]
    assert found.rows[0].difference == pytest.approx(found.rows[0].first - found.rows[0].second)
    assert "<table>" in found._repr_html_()


def test_a_picture_is_drawn_with_its_description():
    found = benchmark.plot("forest", results=RECORDS, tasks="demo_key")
    (figure,) = found.figures
    html = found._repr_html_()
    assert html.count("<svg") == html.count("<figcaption>") == 1
    assert figure.title in repr(found)
    assert found.specs[0]["width"] == 640
    assert "config" in found.specs[0]


def test_what_cannot_be_drawn_is_told(tmp_path):
    found = benchmark.plot("forest", results=tmp_path)
    assert found.figures == ()
    assert "There are no records in" in repr(found)
    assert "There are no records in" in found._repr_html_()


def test_without_the_extra_the_numbers_are_shown(monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    html = benchmark.plot("forest", results=[RECORDS], tasks=["demo_key"])._repr_html_()
    assert "<svg" not in html
    assert "chroma" in html
    assert "vl-convert" in html


def test_texts_of_others_stay_text():
    import pandas as pd

    hostile = "</script><img src=x onerror=alert(1)>"
    figure = Figure("hardest", "hardest-x", hostile, hostile, pd.DataFrame({hostile: [hostile]}), {})
    html = Pictures((figure,), (hostile,))._repr_html_()
    assert "<img" not in html
    assert html.count("&lt;/script&gt;") == 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: benchmark.plot("forrest", results=RECORDS), "did you mean forest"),
        (lambda: benchmark.compare("logmel", "chrom", results=RECORDS), "chroma"),
        (lambda: benchmark.compare("logmel", "logmel", results=RECORDS), "itself"),
    ],
)
def test_what_is_not_there_is_refused(call, message):
    with pytest.raises(benchmark.UserError, match=message):
        call()
