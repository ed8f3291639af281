import io

from rich.console import Console

from benchmark.system.progress import Silent, Terminal


def test_there_is_no_bar_where_stderr_is_not_a_terminal(capsys):
    report = Terminal()
    with report.stage("Working", 3, "tracks") as advance:
        advance(1, "fast")
        advance(3)
    report.say("done with [brackets] in 3 s")
    captured = capsys.readouterr()
    assert captured.err == "done with [brackets] in 3 s\n"
    assert captured.out == ""


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
