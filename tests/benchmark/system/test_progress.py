import io

import pytest
from rich.console import Console

from benchmark.system import progress
from benchmark.system.progress import Silent, Terminal, told


def test_a_log_has_a_line_at_each_end_of_a_stage(capsys):
    report = Terminal()
    with report.stage("Working", 3, "tracks") as advance:
        advance(1, "fast")
        advance(3)
    report.say("done with [brackets] in 3 s")
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "Working: 3 tracks",
        "Working: 3 of 3 tracks (100%) in 0 s",
        "done with [brackets] in 3 s",
    ]
    assert captured.out == ""


def test_a_log_hears_nothing_of_a_stage_without_work(capsys):
    with Terminal().stage("Preparing", 1, "clips"):
        pass
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("level", "minutes"), [("normal", 5), ("verbose", 30)])
def test_a_log_has_a_line_a_minute_with_rate_and_time_left(capsys, monkeypatch, level, minutes):
    clock = iter(range(0, 10_000, 5))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with told(level), Terminal().stage("Working", 120, "tracks") as advance:
        for done in range(1, 61):  # a call every five seconds
            advance(done)
    first, *between, last = capsys.readouterr().err.splitlines()
    assert first == "Working: 120 tracks"
    assert last.startswith("Working: 60 of 120 tracks (50%) in 5 min")
    assert len(between) == pytest.approx(minutes, abs=1)
    if level == "normal":
        assert between[0] == (
            "Working: 12 of 120 tracks (10%) after 1 min 0 s, 0.2 tracks a second, about 9 min 0 s left"
        )


def test_quiet_tells_nothing(capsys):
    with told("quiet"):
        report = Terminal()
    with report.stage("Working", 3, "tracks") as advance:
        advance(1)
        advance(3)
    report.say("done")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("no_color", "marked"), [("1", False), ("", True)])
def test_no_color_means_no_bold_either(monkeypatch, no_color, marked):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    console, seen = Terminal()._console, io.StringIO()
    console.file = seen
    console.print("bold", style="bold")
    assert ("\x1b" in seen.getvalue()) is marked


def test_a_terminal_sees_a_bar_with_counts_and_rate():
    report, seen = Terminal(), io.StringIO()
    report._console = Console(file=seen, force_terminal=True, width=100)
    with report.stage("Working", 3, "tracks") as advance:
        advance(2, "12 s of audio a second")
        advance(3, total=6)
    text = seen.getvalue()
    assert "Working" in text
    assert "3/6" in text.replace(" ", "")


def test_a_name_with_brackets_is_shown_as_it_is():
    report, seen = Terminal(), io.StringIO()
    report._console = Console(file=seen, force_terminal=True, width=100)
    with report.stage("Embedding with x[/b]", 1, "tracks") as advance:
        advance(1, "[fast]")
    assert "x[/b]" in seen.getvalue()
    assert "[fast]" in seen.getvalue()


def test_silence_is_silent(capsys):
    report = Silent()
    with report.stage("Working", 3, "tracks") as advance:
        advance(1)
    report.say("done")
    assert capsys.readouterr() == ("", "")
