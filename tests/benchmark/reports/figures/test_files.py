"""bench plot: files of a width on paper, several of a kind, refusals."""

from __future__ import annotations

import builtins
import csv
import io
import json
import re
import struct

import pytest

from benchmark.cli.main import main
from benchmark.errors import UserError
from benchmark.reports.figures import figures_of
from benchmark.reports.figures.files import Look, pixels, rendered, table_of
from results import store


def run(capsys, *words):
    """Return the status and what was printed."""
    with pytest.raises(SystemExit) as ended:
        main([*words])
    out, error = capsys.readouterr()
    return ended.value.code, out, error


@pytest.fixture
def plot(results, capsys, tmp_path):
    def call(*words):
        return run(capsys, "plot", *words, "--results", str(results), "--home", str(tmp_path / "home"))

    return call


def test_a_pdf_and_an_svg_have_the_width_that_was_asked_for(plot, tmp_path):
    pytest.importorskip("vl_convert", reason="needs the extra report")
    for kind in ("forest", "search"):
        for form in ("pdf", "svg"):
            path = tmp_path / f"{kind}.{form}"
            assert plot(kind, "-t", "keys", "-e", "strong", "-o", str(path), "--width", "85mm")[0] == 0
            content = path.read_bytes().decode("latin-1")
            found = re.search(r"MediaBox ?\[0 0 ([\d.]+)" if form == "pdf" else r'width="([\d.]+)pt"', content)
            assert float(found[1]) == pytest.approx(85 / 25.4 * 72, abs=1.0)


def test_a_png_has_the_dots_that_were_asked_for(plot, tmp_path):
    pytest.importorskip("vl_convert", reason="needs the extra report")
    path = tmp_path / "f.png"
    code, out, error = plot("forest", "-t", "keys", "-o", str(path), "--width", "4in", "--dpi", "150")
    assert code == 0
    assert struct.unpack(">I", path.read_bytes()[16:20])[0] == pytest.approx(600, abs=2)
    assert out.startswith(f"{path}: weighted accuracy on test of 3 encoder(s) on keys")
    assert "keys: weighted_accuracy is drawn; for accuracy" in error


def test_several_pictures_have_a_file_each(plot, tmp_path):
    assert plot("forest", "-o", str(tmp_path / "out.json"), "--metric", "all")[0] == 0
    assert sorted(path.name for path in tmp_path.glob("out*")) == [
        "out-keys.accuracy.json", "out-keys.json", "out-mood.json", "out-mood.r2_arousal.json", "out-tags.json",
        "out-tags.roc_auc.json",
    ]  # fmt: skip
    spec = json.loads((tmp_path / "out-keys.json").read_text())
    assert spec["config"]["background"] == "#ffffff"


def test_the_numbers_as_a_table_are_those_of_the_record_and_no_formula(plot, board, results, tmp_path):
    path = tmp_path / "f.csv"
    assert plot("forest", "-t", "keys", "-o", str(path))[0] == 0
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    record = store.read(results / "runs" / "keys" / "strong.json")
    (row,) = [row for row in rows if row["encoder"] == "strong" and row["what"] == "measured"]
    assert float(row["score"]) == record.scores.test["weighted_accuracy"].value
    figure = figures_of("forest", board, tasks=["keys"]).figures[0]
    figure.rows.loc[0, "encoder"] = "=1+1"
    assert "'=1+1" in table_of(figure)


def test_records_are_named_by_their_files(plot, results, tmp_path):
    path = results / "runs" / "keys" / "fair.json"
    assert plot("confusion", str(path), "-o", str(tmp_path / "c.json"))[0] == 0
    assert sorted(each.name for each in tmp_path.glob("c*")) == [
        "c-keys.fair.circle.json", "c-keys.fair.json", "c-keys.fair.relations.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["forest"], "Missing option '-o'.*bench plot forest -o forest.pdf"),
        ([], "Missing argument 'WHAT'.*bench plot forest -o forest.pdf"),
        (["forest", "-o", "x.jpeg"], "its name says no format: end it in .pdf, .svg, .png, .json, .csv"),
        (["forest", "-o", "x"], "its name says no format"),
        (["forst", "-o", "x.pdf"], "no picture is called 'forst': did you mean forest"),
        (["forest", "-o", "x.pdf", "--width", "wide"], "--width 'wide' is no width"),
        (["forest", "-o", "x.pdf", "--width", "1mm"], "--width 1mm is out of range"),
        (["forest", "-o", "x.pdf", "--width", "9e9in"], "is no width"),
        (["curve", "-o", "x.pdf"], "there is nothing to draw for 'bench plot curve':.*--train-fraction"),
        (["layers", "-e", "fair", "-o", "x.pdf"], "nothing to draw.*No record is of an encoder with layers"),
        (["forest", "README.md", "-o", "x.pdf"], "README.md is not the JSON file of a record"),
        (["forest", "not-there.json", "-o", "x.pdf"], "not-there.json is not there"),
    ],
)
def test_mistakes_are_one_message_with_the_next_step(words, told, plot):
    code, out, error = plot(*words)
    assert code == 2
    assert out == ""
    assert re.search(told, error, re.DOTALL), error
    assert "Traceback" not in error


def test_nothing_is_written_among_the_records(plot, results):
    code, _, error = plot("forest", "-o", str(results / "runs" / "keys" / "strong.json"))
    assert code == 2
    assert "among the records" in error
    store.read(results / "runs" / "keys" / "strong.json")


def test_a_folder_in_place_of_the_file_and_one_that_cannot_be_written(plot, tmp_path):
    code, _, error = plot("forest", "-o", str(tmp_path))
    assert code == 2
    assert f"-o {tmp_path}/picture.pdf" in error
    (tmp_path / "file").write_text("")
    code, _, error = plot("forest", "-t", "keys", "-o", str(tmp_path / "file" / "x.csv"))
    assert code == 2
    assert "was not written" in error


def test_two_runs_of_one_place_are_refused(plot, results, tmp_path):
    path = results / "runs" / "keys" / "fair.json"
    record = store.read(path)
    other = tmp_path / "other"
    store.write(other, record.model_copy(update={"run_key": "b" * 64}))
    there = store.path_of(other, record)
    code, _, error = plot("forest", str(path), str(there), "-o", str(tmp_path / "x.csv"))
    assert code == 2
    assert "are two runs of fair on keys: draw one at a time" in error


def test_without_the_extra_the_command_that_installs_it_is_told(board, monkeypatch):
    real = builtins.__import__

    def refuse(name, *given, **more):
        if name == "vl_convert":
            raise ImportError("No module named 'vl_convert'")
        return real(name, *given, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    figure = figures_of("forest", board, tasks=["keys"]).figures[0]
    with pytest.raises(UserError, match=r"needs vl-convert .*\.json and \.csv do not: install it:\n  .*pip install.*"):
        rendered(figure, ".pdf", Look(300, 300, False, False))


def test_widths():
    assert [round(pixels(text), 1) for text in ("85mm", "8.5 cm", "6.5in", "300", "300px", "225pt")] == [
        321.3, 321.3, 624.0, 300.0, 300.0, 300.0,
    ]  # fmt: skip


def test_a_title_and_a_dark_ground_are_in_the_specification(plot, tmp_path):
    assert plot("forest", "-t", "keys", "-o", str(tmp_path / "d.json"), "--dark", "--title")[0] == 0
    spec = json.loads((tmp_path / "d.json").read_text())
    assert spec["title"] == "keys: weighted accuracy"
    assert spec["config"]["background"] == "#16181d"
