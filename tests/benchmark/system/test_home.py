from pathlib import Path

from benchmark.system.home import APPLICATION, home_folder


def test_what_is_given_comes_before_the_environment_and_that_before_the_platform(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "environment"))
    assert home_folder(tmp_path / "given") == tmp_path / "given"
    assert home_folder() == tmp_path / "environment"
    monkeypatch.setenv("BENCH_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert home_folder().name == APPLICATION


def test_is_absolute_and_knows_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert home_folder("here") == tmp_path / "here"
    assert home_folder("~/there") == Path.home() / "there"
