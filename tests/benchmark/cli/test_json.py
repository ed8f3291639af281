"""``--json`` of every command that lists or checks: JSON alone on stdout, with keys that stay, also of nothing."""

import json
import re
from pathlib import Path

import pytest
import typer

from benchmark.cli.main import app, main
from results import store
from tests.results.conftest import build_record

ROOT = Path(__file__).parents[3]
FINDINGS = {"findings", "errors"}
COLLECTION = {
    "collection", "title", "origin", "tasks", "folder", "annotations_folder", "named_by", "read_only", "audio_here",
    "audio_files", "gigabytes", "licence", "sources", "problem",
}  # fmt: skip
TASK = {
    "id", "title", "kind", "metrics", "sizes", "group", "aliases", "collection", "targets", "labels", "licence", "card",
}  # fmt: skip
#: The commands that need no audio, and the keys of what they print (of the first of a list).
COMMANDS = {
    "tasks": TASK,
    "tasks demo_key,gs_key": TASK,
    "encoders": {"name", "description", "kind", "ready", "licence", "aliases", "card"},
    "encoders logmel": {
        "name", "description", "version", "dim", "layers", "sample_rate", "channels", "window_seconds", "hop_seconds",
        "padding", "fingerprint", "ready", "notes", "card",
    },
    "encoders mert-v1-95m": {
        "name", "description", "version", "dim", "layers", "sample_rate", "channels", "window_seconds", "hop_seconds",
        "padding", "fingerprint", "ready", "notes", "card",
    },
    "data list": COLLECTION,
    "data where gtzan": COLLECTION,
    "data verify --annotations gtzan": FINDINGS,
    "data audit {card}": FINDINGS,
    "cache ls": {"folder", "encoder", "version", "width", "tracks", "size", "changed", "state", "described"},
    "cache verify": FINDINGS,
    "results --results {results}": {"task", "encoder", "metric", "split", "value", "low", "high", "limit", "partial"},
    "results verify --results {examples}": FINDINGS,
    "table --results {results} --format json": {"schema_version", "split", "bold", "columns", "rows", "notes"},
    "compare logmel mfcc -t demo_key --results {examples}": {"schema_version", "rows", "notes", "family"},
    "labels demo_key logmel --results {examples}": {"task", "encoder", "tables"},
    "leaderboard --results {examples}": {"task", "metric", "rows", "separations", "notes"},
    "doctor": {"bench", "python", "system", "hardware", "gigaflops", "packages", "extras", "slow", "accelerators"},
    "pretrain": {"name", "title", "batch", "steps"},
}  # fmt: skip
EMPTY = ["cache ls", "results --results {empty}", "leaderboard --results {empty}"]


@pytest.fixture
def places(tmp_path, monkeypatch, make_task):
    """A data home with one space, a results folder with one record, and an empty one."""
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    space = tmp_path / "home" / "embeddings" / "logmel-0123456789abcdef"
    space.mkdir(parents=True)
    (space / "space.json").write_text(json.dumps({"encoder": "logmel", "version": "1", "key": "0123456789abcdef"}))
    store.write(tmp_path / "results", build_record())
    (tmp_path / "empty").mkdir()
    names = {name: tmp_path / name for name in ("results", "empty")}
    return {**names, "examples": ROOT / "results", "card": make_task()}


def bench(capsys, text, places):
    with pytest.raises(SystemExit) as ended:
        main([part.format(**places) for part in text.split()])
    return ended.value.code, *capsys.readouterr()


@pytest.mark.parametrize("command", COMMANDS)
def test_stdout_is_json_alone_with_its_keys(command, places, capsys):
    words = command if "json" in command else f"{command} --json"
    code, out, err = bench(capsys, words, places)
    found = json.loads(out)
    first = found[0] if isinstance(found, list) else found
    expected = COMMANDS[command]
    assert set(first) >= expected
    assert "Traceback" not in err
    assert code == (1 if isinstance(found, dict) and found.get("errors") else 0)


@pytest.mark.parametrize("command", EMPTY)
def test_nothing_is_an_empty_list(command, places, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "new-home"))
    assert bench(capsys, f"{command} --json", places)[:2] == (0, "[]\n")


def test_errors_of_a_check_are_counted_and_set_the_status(places, capsys):
    code, out, err = bench(capsys, "data verify --annotations gtzan --json", places)
    found = json.loads(out)
    assert (code, found["errors"]) == (1, sum(finding["is_error"] for finding in found["findings"]))
    assert found["errors"] > 0
    assert "problem(s)" in err


def test_what_is_here_of_a_collection_is_in_numbers(places, capsys):
    (found,) = json.loads(bench(capsys, "data where gtzan --json", places)[1])
    assert (found["collection"], found["origin"], found["audio_here"]) == ("gtzan", "published", None)
    assert not any(source["is_here"] for source in found["sources"])
    (own,) = json.loads(bench(capsys, "data where {card} --json", places)[1])
    assert (own["origin"], own["folder"]) == ("own", str(Path(places["card"]).parent))
    (rendered,) = json.loads(bench(capsys, "data where demo_key --json", places)[1])
    assert rendered["origin"] == "rendered"


def test_a_space_says_when_it_was_changed(places, capsys):
    (space,) = json.loads(bench(capsys, "cache ls --json", places)[1])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", space["changed"])
    assert bench(capsys, "cache list --json", places)[1] == bench(capsys, "cache ls --json", places)[1]


def test_text_of_others_is_escaped_and_reads_back(places, capsys):
    name = "a\x1b[31m\x9b\u202eb"
    store.write(places["results"], build_record(encoder=name))
    _, out, _ = bench(capsys, "results --results {results} --json", places)
    assert not re.search("[\x1b\x9b\u202e]", out)
    assert name in [row["encoder"] for row in json.loads(out)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("tasks --json --markdown", "give one of them"),
        ("tasks no_such_task --json", "no_such_task"),
        ("encoders --json check logmel", "bench encoders check has options of its own"),
        ("tasks --json demo_key", "bench tasks show has options of its own"),
        ("encoders no_such --json", "no_such"),
    ],
)
def test_a_refusal_leaves_stdout_empty(words, said, places, capsys):
    code, out, err = bench(capsys, words, places)
    assert (code, out) == (2, "")
    assert said in err


def test_every_command_with_json_is_in_the_page_and_tested_here():
    """A new listing has its row in the table of docs/results.md."""

    def found(command, path):
        for name, each in getattr(command, "commands", {}).items():
            yield from found(each, f"{path} {name}")
        if any("--json" in getattr(option, "opts", ()) for option in command.params) and not command.hidden:
            yield path.strip().removesuffix(" show")

    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    commands = dict.fromkeys(found(typer.main.get_command(app), ""))
    assert len(commands) > 10
    assert [name for name in commands if f"`bench {name}" not in page] == []
    tested = [text.split(" -")[0] for text in COMMANDS]
    elsewhere = {"predict", "reproduce"}  # tests/benchmark/jobs/test_predict.py and test_reproduce.py
    assert [name for name in commands if name not in elsewhere and not any(t.startswith(name) for t in tested)] == []
