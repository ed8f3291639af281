"""Which interpreter a text means, and what records call it."""

from pathlib import Path

import pytest

from benchmark.encoders.environment.interpreters import environments, find, label_of
from benchmark.errors import UserError


def make(folder, mark="pyvenv.cfg"):
    (folder / "bin").mkdir(parents=True)
    (folder / mark).touch()
    program = folder / "bin" / "python"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_a_name_of_the_data_home_comes_before_the_current_folder(tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    program, other = make(home / "environments" / "old"), make(here / "old")
    (home / "environments" / "empty").mkdir()
    monkeypatch.chdir(here)
    assert environments(home) == ["old"]
    assert (find("old", home).program, find("old", home).label) == (program, "old")
    assert (find("./old", home).program, find("./old", home).label) == (other, "old")
    assert find("old", tmp_path / "nowhere").program == other


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta"])
def test_a_folder_or_its_interpreter(tmp_path, mark):
    program = make(tmp_path / ".venv-old", mark)
    for text in (tmp_path / ".venv-old", program):
        found = find(str(text), tmp_path)
        assert (found.program, found.label) == (program, ".venv-old")
        assert label_of(str(text), tmp_path) == ".venv-old"


def test_a_link_is_not_followed(tmp_path):
    """The interpreter of a virtual environment is a link to the one that made it, which has other packages."""
    program = make(tmp_path / "real")
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python").symlink_to(program)
    assert find(str(tmp_path / "env"), tmp_path).program == tmp_path / "env" / "bin" / "python"


def test_a_program_of_the_path(tmp_path, monkeypatch):
    program = tmp_path / "python9"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir("/")
    assert find("python9", tmp_path).program == program
    assert find("python9", tmp_path).label == "python9"


@pytest.mark.parametrize("text", ["/opt/secret/place/bin/python", "~/python3", "secret/place/python3"])
def test_records_never_hold_a_path(tmp_path, text):
    assert "/" not in label_of(text, tmp_path)
    assert "~" not in label_of(text, tmp_path)


def test_what_is_not_there_names_what_is(tmp_path):
    with pytest.raises(UserError, match=r"no such environment in .*environments \(there is none yet\)"):
        find("nowhere", tmp_path)
    make(tmp_path / "environments" / "old")
    with pytest.raises(
        UserError, match=r"\(there are old\): check the path, or make one: bench encoders new mine.py --env"
    ):
        find("./nowhere", tmp_path)


def test_what_is_no_interpreter(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="holds no Python interpreter"):
        find(str(tmp_path / "folder"), tmp_path)
    (tmp_path / "text").write_text("no program")
    with pytest.raises(UserError, match="is no program that can be run"):
        find(str(tmp_path / "text"), tmp_path)


def test_a_home_of_an_unknown_user(tmp_path):
    from tasks.errors import TaskError

    with pytest.raises(TaskError, match="no home folder"):
        find("~nobodyhere/python", tmp_path)


def test_the_current_folder_is_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(make(tmp_path / "env").parent.parent)
    assert find(".", tmp_path).program == Path.cwd() / "bin" / "python"
