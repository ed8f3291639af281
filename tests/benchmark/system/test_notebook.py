"""Progress in a notebook: one display that is replaced, and what it shows of hostile text."""

import sys
from types import SimpleNamespace

import pytest

import benchmark.api as api
from benchmark.system import notebook
from benchmark.system.progress import Silent, Terminal


class Displays:
    """What a notebook was asked to show: how many displays, and every state of them."""

    def __init__(self):
        self.made, self.states = 0, []

    def display(self, shown, *, display_id):
        assert display_id
        self.made += 1
        self.update(shown)
        return self

    def update(self, shown):
        self.states.append(shown._repr_mimebundle_(include=None, exclude=None))


@pytest.fixture
def displays(monkeypatch):
    from IPython import display

    found = Displays()
    monkeypatch.setattr(display, "display", found.display)
    return found


@pytest.fixture
def kernel(monkeypatch):
    import IPython

    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))


def test_all_stages_share_one_display(displays):
    report = notebook.Notebook()
    for number in range(3):
        with report.stage(f"Stage {number}", 1000, "tracks") as advance:
            for done in range(1000):
                advance(done + 1)
    report.close()
    assert displays.made == 1
    assert len(displays.states) < 40  # 3,000 steps
    assert displays.states[1]["text/plain"] == "Stage 0: 0 of 1,000 tracks (0%)"
    assert displays.states[-1]["text/plain"].startswith("Done in ")
    assert "progress" not in displays.states[-1]["text/html"]


def test_a_long_stage_is_drawn_again(displays, monkeypatch):
    monkeypatch.setattr(notebook, "EVERY", 0.0)
    report = notebook.Notebook()
    with report.stage("Embedding", 10, "tracks") as advance:
        advance(4, "two a second")
        assert displays.states[-1]["text/plain"] == "Embedding: 4 of 10 tracks (40%), two a second"
        assert '<progress max="10" value="4" aria-label="Embedding">' in displays.states[-1]["text/html"]
        advance(4, total=20)
        assert displays.states[-1]["text/plain"] == "Embedding: 4 of 20 tracks (20%)"


def test_the_last_lines_stay_and_are_few(displays):
    report = notebook.Notebook()
    for number in range(30):
        report.say(f"line {number}")
    assert displays.states[-1]["text/plain"].splitlines() == [f"line {number}" for number in range(25, 30)]


def test_an_error_closes_the_bar(displays):
    report = notebook.Notebook()
    with pytest.raises(ZeroDivisionError), report.stage("Embedding", 10, "tracks"):
        raise ZeroDivisionError
    assert displays.states[-1]["text/plain"] == ""


def test_texts_of_others_stay_text(displays):
    report = notebook.Notebook()
    report.say("</script><img onerror=x>\x1b[2J")
    with report.stage('"><b>', 1, "<i>"):
        shown = displays.states[-1]["text/html"]
    assert "<img" not in shown
    assert "<b>" not in shown
    assert "<i>" not in shown
    assert "\x1b" not in shown + displays.states[-1]["text/plain"]


def test_what_is_no_kernel_is_no_notebook(monkeypatch):
    assert not notebook.in_notebook()
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.in_notebook()


def test_progress_is_shown_in_a_notebook_by_default_and_elsewhere_when_asked(displays, kernel):
    assert isinstance(api._reporter(None), notebook.Notebook)
    assert isinstance(api._reporter(True), notebook.Notebook)
    assert isinstance(api._reporter(False), Silent)
    assert isinstance(api._reporter(lambda *step: None), api._Calls)


def test_outside_of_a_notebook_it_is_shown_when_asked():
    assert isinstance(api._reporter(None), Silent)
    assert isinstance(api._reporter(True), Terminal)
    assert isinstance(api._reporter(False), Silent)
