"""The view of a comparison of pre-training strategies: there where there is one, with every number of its tables."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from benchmark.reports.figures import figures_of
from benchmark.reports.page.charts import Charts
from benchmark.reports.page.strategies import strategies_view
from results.together import read_together

planted = runpy.run_path(str(Path(__file__).parents[1] / "figures" / "conftest.py"))
plant, plant_comparison, compared = planted["plant"], planted["plant_comparison"], planted["compared"]
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def results(tmp_path):
    """The results folder of a comparison's folder."""
    folder = tmp_path / "comparison" / "results"
    for name, skill in (("strong", 0.9), (HOSTILE, 0.4)):
        plant(folder, "keys", name, skill)
    plant_comparison(folder, ["strong", HOSTILE], ["keys"])
    (tmp_path / "comparison" / "comparison.json").write_text("{}", encoding="utf-8")
    (tmp_path / "comparison" / "runs" / "strong").mkdir(parents=True)
    (tmp_path / "comparison" / "runs" / "strong" / "card.json").write_text("{}", encoding="utf-8")
    return folder


def test_the_page_of_a_comparison_has_its_tables_and_charts(results, make_page):
    written, page = make_page(named=(results.parent,))
    assert (written.records, written.problems) == (2, ()), "cards of its runs are no records"
    assert "strategies" in page.ids
    rows = {row["strategy"].text: row for row in page.table("Scores on test")}
    assert list(rows) == ["strong", HOSTILE]
    cell = rows["strong"]["keys (weighted_accuracy)"]
    assert (cell.text, cell.small, cell.numbers["v"]) == ("0.512", "0.412–0.612", 0.512345678)
    assert rows["strong"]["effective rank"].text == "–"
    dots = page.table("Resampled test items, as in Figure 1 of the paper")
    assert [row["metric"].text for row in dots] == ["weighted_accuracy"] * 2 + ["accuracy"] * 2
    assert dots[0]["resampled items"].small == "0.472–0.552"
    assert "Pre-training" in page.text
    assert "What this can and cannot say" in page.text
    charts = [given for tag, given in page.tags if tag == "div" and "data-chart" in given]
    assert sum("of strategies" in (given["aria-label"] or "") for given in charts) == 2
    assert not any(tag == "img" for tag, _ in page.tags)


def test_its_results_folder_gives_the_same_view(results, make_page):
    _, page = make_page(results)
    assert "Limited data" in page.tables
    assert "strategies" in page.ids


def test_without_a_comparison_there_is_no_such_view(demo_runs, make_page):
    _, page = make_page(demo_runs)
    assert "strategies" not in page.ids
    assert strategies_view((), (), Charts()) is None


def test_a_damaged_comparison_is_told_and_costs_no_record(results, make_page):
    (results / "strategies.json").write_text("{", encoding="utf-8")
    written, page = make_page(results)
    assert written.records == 2
    assert "strategies.json" in page.text


def test_charts_stand_in_the_part_of_their_comparison(tmp_path):
    """Of two comparisons each has its own: by their tables both have parts of the same titles."""
    folders = [tmp_path / name for name in ("a", "b")]
    for folder, name in zip(folders, ("first", "second"), strict=True):
        plant(folder, "keys", name, 0.5)
        plant_comparison(folder, [name], ["keys"])
    board = read_together(folders)
    figures = [each for kind in ("strategies", "limited") for each in figures_of(kind, board).figures]
    assert [each.name for each in figures] == [
        "strategies-keys", "strategies-keys.2", "limited-keys", "limited-keys.2",
    ]  # fmt: skip
    found = [compared["build_summary"](store=name) for name in ("first", "second")]
    view = strategies_view(found, figures, Charts())
    assert view is not None
    shown = {part.anchor: [chart.figure.name for chart, _ in part.charts] for part in view.parts if part.charts}
    assert shown == {
        "strategies-5": ["limited-keys"], "strategies-6": ["strategies-keys"],
        "strategies-5-2": ["limited-keys.2"], "strategies-6-2": ["strategies-keys.2"],
    }  # fmt: skip
    assert len({part.anchor for part in view.parts}) == len(view.parts)
    captions = [table.caption for part in view.parts for table in part.tables]
    assert len(set(captions)) == len(captions)
