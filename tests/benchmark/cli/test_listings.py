"""Every command that lists something, as a person sees it in terminals of 80 and 120 columns, and as a pipe gets it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.system.terminal import shown_width
from tests.pseudo_terminal import seen

RECORDS = Path(__file__).parents[3] / "results"
LISTINGS = {
    "tasks": "tasks",
    "one task": "tasks gs_key",
    "encoders": "encoders",
    "one encoder": "encoders logmel",
    "one card": "encoders mert-v1-95m",
    "one card of another environment": "encoders muq-large-msd",
    "data list": "data list",
    "data where": "data where gtzan",
    "data verify": "data verify demo_key",
    "data audit": "data audit demo_key",
    "cache": "cache ls",
    "plan": "run -e logmel,mfcc,chroma -t demo --results {results} --dry-run",
    "plan of work": "run -e logmel,mfcc -t demo --results {empty} --dry-run",
    "labels": "labels demo_key logmel --results {results}",
    "compare": "compare logmel mfcc --results {results}",
    "compare several": "compare logmel mfcc chroma --results {results}",
    "doctor": "doctor",
    "results": "results --results {results}",
}


@pytest.fixture(scope="module")
def words_of(demo_home, tmp_path_factory):
    """Return the words of a command; the demo tasks of its home are rendered, and logmel's spaces are there."""
    home, empty = demo_home, tmp_path_factory.mktemp("empty")
    for name in ("logmel-0123456789abcdef", "musicset-ularge-0123456789abcdef"):
        folder = home / "embeddings" / name
        folder.mkdir(parents=True, exist_ok=True)
        encoder, _, key = name.rpartition("-")
        (folder / "space.json").write_text(json.dumps({"encoder": encoder, "version": "1", "key": key, "width": 4}))

    def words(listing):
        text = LISTINGS[listing].format(results=RECORDS, empty=empty)
        return [sys.executable, "-m", "benchmark", *text.split()], {"BENCH_HOME": str(home), "NO_COLOR": "1"}

    return words


def piped(command, environment):
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "40", **environment}, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("listing", LISTINGS)
def test_no_line_is_wider_than_the_terminal_and_no_word_is_broken(words_of, listing):
    command, environment = words_of(listing)
    whole = piped(command, environment)
    words = set(whole.split())
    for columns in (80, 120):
        shown = seen(command, columns, environment)
        long = [line for line in shown.splitlines() if shown_width(line) > columns]
        assert [line for line in long if len(line.split()) > 1 and not line.startswith("Next:")] == []
        lines = [line for line in _without_notes(shown).splitlines() if not re.fullmatch(r"[- |:]+", line)]
        broken = {word for line in lines for word in line.split()} - words
        assert {word for word in broken if not re.fullmatch(r"\d[\d.,]*", word)} == set()
        left_out = re.findall(r"\(no room for ([^:]+):", " ".join(shown.split()))
        if not left_out:  # every word of the whole table is there
            rules = {word for word in words if set(word) <= set("-|:")}
            assert {word for word in words - rules if not re.search(r"\d", word)} - set(shown.split()) == set()


def _without_notes(shown):
    """Return what is shown without the lines that say what was left out."""
    return re.sub(r"\(no room for .*?has\s+every\s+column\)", "", shown, flags=re.DOTALL)


@pytest.mark.parametrize("listing", ["tasks", "plan", "cache"])
def test_a_pipe_gets_every_column_in_one_line_a_row(words_of, listing):
    whole = piped(*words_of(listing))
    assert "no room" not in whole
    head = whole.splitlines()[0]
    assert [name for name in ("group", "then", "folder") if name in head]


def test_at_80_columns_the_table_of_tasks_says_what_it_lacks(words_of):
    shown = seen(*words_of("tasks")[:1], 80, words_of("tasks")[1])
    assert "(no room for train / valid / test, group:" in " ".join(shown.split())
    assert re.findall(r"^(\w+)", shown, re.M).count("demo_key") == 1


def test_a_run_ends_with_the_command_that_shows_its_results_to_a_person_alone(demo_home, tmp_path):
    folder = tmp_path / "results"
    words = [sys.executable, "-m", "benchmark", "run", "-e", "logmel", "-t", "demo_key", "--limit", "40"]
    words += ["--trials", "1", "--seeds", "1", "--results", str(folder)]
    environment = {"BENCH_HOME": str(demo_home), "NO_COLOR": "1"}
    assert "Next:" not in piped(words, environment)
    shown = seen(words, 80, environment)  # the record is kept
    assert shown.splitlines()[-1].startswith(f"Next: bench report --results {folder}")


def test_the_leaderboard_is_as_wide_as_the_terminal(tmp_path):
    """In a pipe it is Markdown, so that it is no listing like the others."""
    command = [sys.executable, "-m", "benchmark", "leaderboard", "--results", str(RECORDS), "--print"]
    for columns in (80, 50):
        shown = seen([*command, "-o", str(tmp_path / "board.md")], columns, {"BENCH_HOME": str(tmp_path / "home")})
        assert max(map(shown_width, shown.splitlines())) <= columns
        assert "0.797* #1" in shown
    assert shown.count("\nencoder ") > 2  # of two groups, one in parts
