from pathlib import Path

from benchmark.jobs.options import Options
from benchmark.system.home import APPLICATION, examples_folder, home_folder, results_folder


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


class TestResultsFolder:
    def test_what_is_given_is_taken(self, tmp_path):
        assert results_folder(tmp_path) == tmp_path

    def test_elsewhere_it_is_results(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert (results_folder(), examples_folder()) == (Path("results"), None)

    def test_in_a_checkout_ones_own_lie_apart_from_the_examples(self, tmp_path, monkeypatch):
        monkeypatch.setattr("benchmark.system.home.ROOT", tmp_path)
        monkeypatch.chdir(tmp_path)
        assert results_folder() == Path("results")  # an installed package is no checkout
        (tmp_path / ".git").mkdir()
        assert (results_folder(), examples_folder()) == (Path("my-results"), Path("results"))
        assert Options().results_folder == Path("my-results")
        assert Options(results="results").results_folder == Path("results")
