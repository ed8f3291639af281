"""``bench table`` on the command line: where it writes, what it prints, and what it refuses."""

import json

import pytest

from benchmark.cli.main import main
from results import store
from tests.results.conftest import build_record


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    store.write(folder, build_record(scores={"weighted_accuracy": 0.7, "accuracy": 0.6}))
    store.write(folder, build_record(limit=40))
    store.write(folder, build_record(curve={"fraction": 0.1, "repeat": 2, "seed": 5, "items": 92, "lost": []}))
    return folder


def bench(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(["table", *map(str, words)])
    return ended.value.code, *capsys.readouterr()


def test_markdown_is_printed(results, capsys):
    code, out, err = bench(capsys, "--results", results)
    assert (code, err) == (0, "")
    assert out.startswith("| encoder")
    assert "example (--limit 40)" in out
    assert "0.1 of train" not in out
    assert "0.1 of train, repeat 2" in bench(capsys, "--results", results, "--curves")[1]


def test_a_file_says_its_format_and_is_written_whole(results, tmp_path, capsys):
    target = tmp_path / "scores.tex"
    code, out, err = bench(capsys, "--results", results, "-o", target, "--digits", 2, "--bold", "none")
    assert (code, out, err) == (0, "", f"{target} written\n")
    assert "0.70 (0.65--0.75)" in target.read_text()
    assert bench(capsys, "--results", results, "-o", target, "--digits", 2, "--bold", "none")[2].endswith(
        "up to date\n"
    )


def test_json_is_json_alone(results, capsys):
    code, out, _ = bench(capsys, "--results", results, "--format", "json", "--all-metrics")
    assert code == 0
    assert [column["metric"] for column in json.loads(out)["columns"]] == ["weighted_accuracy", "accuracy"]


@pytest.mark.parametrize("name", ["runs/gs_key/example.json", "runs/new.json", "curves/x.csv", "studies/x.md"])
def test_no_record_is_written_over(results, name, capsys):
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    code, _, err = bench(capsys, "--results", results, "-o", results / name)
    assert code == 2
    assert "lies among the records of" in err
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "html"], "'latex', 'markdown', 'csv', 'json'"),
        (["--digits", "-1"], "--digits"),
        (["--format", "csv", "--transpose"], "leave --transpose out"),
        (["-e", "nobody"], "no record of an encoder 'nobody'"),
        (["-o", "table.docx"], "ends in .tex (latex)"),
        (["--metric", "map"], "no task here has the metric 'map'"),
    ],
)
def test_what_cannot_be_is_refused(results, words, said, capsys):
    code, out, err = bench(capsys, "--results", results, *words)
    assert (code, out) == (2, "")
    assert said in err
