"""The command: pages with ranks, made the same on every machine, and what is printed."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from benchmark.cli.reading import leaderboard
from benchmark.reports.leaderboard import pages_of, printed
from benchmark.system.progress import Silent
from results import store
from results.together import read_together

save = runpy.run_path(str(Path(__file__).with_name("test_compare.py")))["save"]


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for encoder, skill in (("best", 4.0), ("good", 4.0), ("poor", 0.1)):
        save(tmp_path / "results", "keys", encoder, skill, items=100, probes=3)
    return tmp_path


def written(places, home="home", **options):
    leaderboard(
        [places / "results"], places / "board.md", **{"check": False, "show": False, "home": places / home, **options}
    )
    return (places / "board.md").read_bytes(), (places / "board-full.md").read_bytes()


def test_pages_hold_the_ranks_and_are_the_same_with_and_without_kept_pairs(places):
    first = written(places)
    compact = first[0].decode()
    assert compact.count(" #1<br>") == 2
    assert compact.count(" #3<br>") == 1
    assert "[board-full.md](board-full.md)" in compact
    assert written(places) == first
    assert written(places, "another home") == first


def test_a_home_that_holds_nonsense_or_cannot_be_written_changes_nothing(places):
    first = written(places)
    for file in (places / "home" / "pairs").iterdir():
        file.write_text("{nonsense")
    assert written(places) == first
    (places / "file").write_text("")
    assert written(places, "file") == first


def test_check_sees_a_page_of_all_metrics_that_is_out_of_date(places, capsys):
    import typer

    written(places)
    written(places, check=True)
    (places / "board-full.md").write_text("changed")
    with pytest.raises(typer.Exit):
        written(places, check=True)
    assert f"{places / 'board-full.md'} is not what the records" in capsys.readouterr().err
    assert (places / "board-full.md").read_text() == "changed"


def test_a_record_without_predictions_has_no_rank_and_the_page_says_so(places):
    (places / "results" / "runs" / "keys" / store.read_all(places / "results")[1].predictions).unlink()
    compact = written(places)[0].decode()
    assert "- keys: no rank: good (its predictions are missing)." in compact
    assert compact.count("<br>") == 3
    assert compact.count(" #") == 2


@pytest.mark.parametrize("width", [120, 80, 50])
def test_what_is_printed_is_as_wide_as_the_terminal(places, monkeypatch, width):
    monkeypatch.setattr("benchmark.reports.leaderboard.page_width", lambda: width)
    pages = pages_of(read_together([places / "results"]), places / "home", places / "board.md", Silent())
    assert printed(pages) == pages.printed(width)
    assert "|" not in printed(pages)


def test_a_pipe_gets_the_compact_page(places, capsys):
    compact = written(places, show=True)[0].decode()
    assert capsys.readouterr().out == compact


def test_nothing_is_told_of_pairs_that_are_kept(places):
    told = []

    class Told(Silent):
        def stage(self, title, total, unit):
            told.append((title, total, unit))
            return super().stage(title, total, unit)

    together = read_together([places / "results"])
    for _ in range(2):
        pages_of(together, places / "home", places / "board.md", Told())
    assert told == [("Comparing runs", 3, "pairs")]
