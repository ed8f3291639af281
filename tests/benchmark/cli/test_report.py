"""``bench report`` on the command line."""

import shutil
from pathlib import Path

import pytest

from benchmark.cli.main import main

RUNS = Path(__file__).resolve().parents[3] / "results" / "runs"


@pytest.fixture
def runs(tmp_path):
    shutil.copytree(RUNS / "demo_key", tmp_path / "results" / "runs" / "demo_key")
    return tmp_path / "results"


def bench(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    told = capsys.readouterr()
    return ended.value.code, told.out, told.err


def test_the_page_is_written_and_what_was_left_out_is_told(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    broken = runs / "runs" / "demo_key" / "mfcc.json"
    broken.write_text("{\x1b[31m", encoding="utf-8")
    code, out, err = bench(capsys, "report", "--results", runs)
    assert (code, out) == (0, "")
    assert "left out: " in err
    assert "mfcc.json is not whole JSON" in err
    assert "report.html written: 2 records" in err
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    code, _, err = bench(capsys, "report", "--results", runs)
    assert (code, "report.html is up to date" in err) == (0, True)


def test_a_name_of_another_format_is_refused_before_anything_is_read(tmp_path, capsys):
    code, _, err = bench(capsys, "report", "--results", tmp_path / "nothing", "-o", tmp_path / "page.pdf")
    assert code == 2
    assert "give a name that ends in .html" in err


def test_no_results_at_all_says_what_to_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = bench(capsys, "report")
    assert code == 2
    assert "there is no results folder results" in err
    assert "bench run -e logmel -t demo_key" in err


def test_one_record_without_a_script(runs, tmp_path, capsys):
    target = tmp_path / "one.html"
    code, _, err = bench(capsys, "report", runs / "runs" / "demo_key" / "mfcc.json", "--no-js", "-o", target)
    assert code == 0
    assert "written: 1 record, " in err
    assert "<script" not in target.read_text(encoding="utf-8")
