"""Scores of encoders that were trained on the collection of the task are marked, and no others."""

import re

import pytest

from benchmark.cli.main import main
from benchmark.reports.seen import base_name, seen_of
from results import store
from results.leaderboard import render
from results.notes import SEEN
from tests.results.conftest import build_record


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def records(*pairs):
    return [build_record(task, encoder, {"map": 0.9}) for task, encoder in pairs]


PAIRS = [
    ("mtt", "musicnn-mtt"), ("mtt", "musicnn-mtt?layer=pool"), ("mtt", "musicnn-msd"), ("msd50", "musicnn-msd"),
    ("mtt", "logmel"), ("own-task", "musicnn-mtt"), ("nsynth_p", "torchcrepe"),
    ("msds", "hf:OpenMuQ/MuQ-large-msd-iter"), ("msds", "muq-large-msd"), ("mtt", "muq-large-msd"),
]  # fmt: skip


def test_only_what_a_card_says_is_seen():
    assert seen_of(records(*PAIRS)) == {
        ("mtt", "musicnn-mtt"), ("mtt", "musicnn-mtt?layer=pool"), ("msd50", "musicnn-msd"), ("nsynth_p", "torchcrepe"),
        ("msds", "hf:OpenMuQ/MuQ-large-msd-iter"), ("msds", "muq-large-msd"),
    }  # fmt: skip


def test_a_card_of_the_user_counts(home):
    found = records(("mtt", "mine"))
    assert seen_of(found) == frozenset()
    (home / "encoders").mkdir(parents=True)
    (home / "encoders" / "mine.toml").write_text(
        'id = "mine"\ntitle = "Mine"\nfamily = "x"\ndescription = "x"\nopens = "mine.py"\nsample_rate = 16000\n'
        'dim = 4\ntrained_on = ["mtt"]\n'
    )
    assert seen_of(found) == {("mtt", "mine")}


@pytest.mark.parametrize(
    ("name", "base"),
    [("hf:a/b@0e10b04?layer=7", "hf:a/b"), ("mert-v1-95m?layer=7", "mert-v1-95m"), ("logmel", "logmel")],
)
def test_options_and_revisions_do_not_hide_an_encoder(name, base):
    assert base_name(name) == base


def test_the_leaderboard_has_a_note_of_it_and_no_other_number():
    found = records(("mtt", "musicnn-mtt"), ("mtt", "logmel"))
    plain, marked = render(found).compact, render(found, seen=seen_of(found)).compact
    assert SEEN not in plain
    assert marked.count(SEEN) == 1
    assert marked.count("0.900") == plain.count("0.900") == 2
    assert re.search(r"0\.900\S* ?¹", marked)
    assert render(found[1:], seen=seen_of(found[1:])).compact == render(found[1:]).compact


@pytest.fixture
def printed(tmp_path, capsys):
    for record in records(("mtt", "musicnn-mtt"), ("mtt", "logmel")):
        store.write(tmp_path / "results", record)

    def run(*words):
        with pytest.raises(SystemExit):
            main([*words, "--results", str(tmp_path / "results")])
        return capsys.readouterr().out

    return run


def test_commands_mark_it(printed, tmp_path):
    shown = printed("results")
    assert "seen: the encoder was trained on the task's collection, says its card" in shown
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith("mtt ")] == ["-", "yes"]
    assert "seen" not in printed("results", "-e", "logmel")
    assert SEEN in printed("table", "--format", "markdown")
    printed("leaderboard", "-o", str(tmp_path / "board.md"))
    assert SEEN in (tmp_path / "board.md").read_text()
