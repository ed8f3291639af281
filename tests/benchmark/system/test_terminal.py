"""What is printed obeys nobody but us."""

import ast
import json
from pathlib import Path

import pytest

import benchmark
from benchmark.system import terminal
from benchmark.system.progress import Terminal
from benchmark.system.tables import table
from benchmark.system.terminal import display, fold_line, one_line, shown_width

HOSTILE = "a\x1b]0;owned\x07\x9b31m\u202etxt.exe\u2066\rb\x00\u200b\ud800"
SHOWN = r"a\u001b]0;owned\u0007\u009b31m\u202etxt.exe\u2066\u000db\u0000\u200b\ud800"


@pytest.mark.parametrize("error", [False, True])
def test_escape_sequences_and_marks_of_direction_are_shown_as_numbers(capsys, error):
    display(f"{HOSTILE}\n\tcafé 音楽 🎵", error=error)
    streams = capsys.readouterr()
    assert streams[error] == f"{SHOWN}\n\tcafé 音楽 🎵\n"
    assert streams[not error] == ""


def test_json_stays_json(capsys):
    display(json.dumps({HOSTILE: 1}, ensure_ascii=False))
    text = capsys.readouterr().out
    assert json.loads(text) == {HOSTILE: 1}
    assert "\x9b" not in text


def test_a_cell_and_a_title_are_one_line():
    assert one_line("a\n b\x1b[2J") == r"a b\u001b[2J"
    lines = table([["x\n\x1b[31m", 1]], ["na\nme", "n"]).splitlines()
    assert lines[0].split() == ["na", "me", "n"]
    assert lines[2].split() == ["x", r"\u001b[31m", "1"]


def test_progress_is_told_inert(capsys):
    Terminal().say(HOSTILE.replace("\ud800", ""))
    assert "\x1b" not in capsys.readouterr().err


def test_what_is_told_is_one_line(capsys):
    Terminal().say("left out: a\nbench: all is well\x1b[2J")
    assert capsys.readouterr().err == "left out: a bench: all is well\\u001b[2J\n"


#: Child processes, whose output our own code reads or passes on.
PROTOCOLS = {"reopening.py", "terminal.py"}


def test_nothing_is_printed_by_another_way():
    root = Path(benchmark.__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        if path.name in PROTOCOLS:
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name in ("print", "sys.stdout.write", "sys.stderr.write", "typer.echo", "click.echo"):
                    found.append(f"{path.relative_to(root)}:{node.lineno}")
    assert found == []


class TestFolding:
    @pytest.mark.parametrize("width", range(20, 60, 7))
    @pytest.mark.parametrize(
        "line",
        ["one two  three four five six seven eight nine ten", "  - a point of many words that goes on", "音楽 " * 20],
    )
    def test_no_word_is_broken_and_none_is_lost(self, line, width):
        lines = fold_line(line, width)
        assert " ".join(lines).split() == line.split()
        assert max(map(shown_width, lines)) <= width

    def test_what_fits_stays_as_it_is(self):
        assert fold_line("  a  b ", 7) == ["  a  b "]
        assert fold_line(" " * 30, 20) == [" " * 30]

    def test_a_longer_word_stands_whole(self):
        assert fold_line("see /a/path/that/is/longer/than/that now", 20) == [
            "see", "  /a/path/that/is/longer/than/that", "  now",
        ]  # fmt: skip

    def test_later_lines_stand_below_the_last_column(self):
        assert fold_line("  name   what it is and does", 20) == ["  name   what it is", "         and does"]

    def test_a_terminal_is_folded_for_and_a_pipe_is_not(self, monkeypatch, capsys):
        display("word " * 30)
        assert capsys.readouterr().out.count("\n") == 1
        monkeypatch.setattr(terminal, "page_width", lambda: 40)
        display("word " * 30)
        assert capsys.readouterr().out.count("\n") == 5
        display("word " * 30, whole=True)
        display("Next: " + "word " * 30)  # a command is copied whole
        assert capsys.readouterr().out.count("\n") == 2
