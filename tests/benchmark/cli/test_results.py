"""``bench results`` on the command line: the listing, its formats, and the commands behind it."""

import csv
import io
import json

import pytest

from benchmark.cli.main import main
from results import store
from tests.results.conftest import build_record


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    store.write(folder, build_record(scores={"weighted_accuracy": 0.7, "accuracy": 0.6}))
    store.write(folder, build_record(curve={"fraction": 0.1, "repeat": 2, "seed": 5, "items": 92, "lost": []}))
    return folder


def bench(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(["results", *map(str, words)])
    return ended.value.code, *capsys.readouterr()


def test_a_table(results, capsys):
    code, out, err = bench(capsys, "--results", results)
    assert (code, err) == (0, "")
    assert "0.650–0.750" in out
    assert "2 row(s); split test; all of whole tasks" in out


def test_json_and_csv_alone(results, capsys):
    code, out, _ = bench(capsys, "--results", results, "--json")
    assert code == 0
    assert [row["metric"] for row in json.loads(out)] == ["weighted_accuracy", "accuracy"]
    rows = list(csv.DictReader(io.StringIO(bench(capsys, "--results", results, "--csv", "--curves")[1])))
    assert [row["fraction"] for row in rows] == ["", "", "0.1"]
    assert rows[2]["path"] == str(results / "curves" / "gs_key" / "example" / "fraction-0.1.repeat-2.json")


def test_no_records_are_an_empty_list(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bench(capsys, "--json")[:2] == (0, "[]\n")
    assert bench(capsys, "--csv")[1].startswith("task,")
    assert "bench run -e logmel -t demo_key" in bench(capsys)[1]
    (tmp_path / "empty").mkdir()
    assert bench(capsys, "--json", "--results", "empty")[:2] == (0, "[]\n")


def test_a_task_without_a_record_is_told_on_stderr(results, capsys):
    code, out, err = bench(capsys, "--results", results, "--json", "-t", "gs_key,gtzan")
    assert (code, err) == (0, "tasks without a record: gtzan\n")
    assert len(json.loads(out)) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--json", "--csv"], "give one of them"),
        (["--split", "train"], "'test', 'valid', 'all'"),
        (["-e", "exampel"], "did you mean example?"),
        (["--metric", "map"], "no record here has the metric 'map'"),
        (["--json", "verify"], "bench results verify has options of its own"),
    ],
)
def test_what_cannot_be_is_refused(results, words, said, capsys):
    words = words if "verify" in words else ["--results", results, *words]
    code, out, err = bench(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err


def test_a_folder_that_is_not_there_is_refused(tmp_path, capsys):
    code, out, err = bench(capsys, "--results", tmp_path / "resluts", "--json")
    assert (code, out) == (2, "")
    assert "there is no results folder" in err


def test_the_commands_behind_it_are_there(results, capsys):
    code, out, _ = bench(capsys, "keys")
    assert code == 0
    assert out.startswith("# Records")
