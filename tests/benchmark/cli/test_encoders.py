"""``bench encoders`` and its commands, in this process."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli.main import main

BROKEN = """
import numpy as np
from benchmark import Encoder

print("imported")


class Broken(Encoder):
    name, version, sample_rate, dim, arrays, minimum_seconds = "broken", "1", 8000, 1, "numpy", 0.1

    def __init__(self, factor: float = 1.0):
        self.factor = factor

    def embed(self, waveforms):
        print("here I am")
        with np.errstate(invalid="ignore"):
            return self.factor * waveforms.mean((1, 2))[:, None] / waveforms.std((1, 2))[:, None]
"""


@pytest.fixture
def bench(capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["encoders", *map(str, arguments)])
        out, err = capfd.readouterr()
        return caught.value.code, out, err

    return run


def test_the_list_has_names_kinds_and_next_commands(bench):
    code, out, _ = bench()
    assert code == 0
    for word in ("logmel", "musicset-ularge", "./file.py:Class", "package.module:Class", "hf:", "emb:", "onnx:"):
        assert word in out
    assert "bench encoders check NAME" in out
    assert "bench encoders new my_encoder.py" in out


def test_an_entry_point_is_listed(bench, monkeypatch):
    from importlib.metadata import EntryPoint

    from benchmark.encoders import registry

    point = EntryPoint("theirs", "their.package:Encoder", "benchmark.encoders")
    monkeypatch.setattr(registry, "entry_points", lambda: {"theirs": point})
    _, out, _ = bench()
    assert "theirs" in out
    assert "of an installed package: their.package:Encoder" in out


def test_a_name_shows_one(bench):
    for arguments in (["chroma"], ["show", "chroma"]):
        code, out, _ = bench(*arguments)
        assert code == 0
        assert "11025 Hz, mono" in out


def test_a_card_is_shown_with_what_it_lacks_and_the_next_command(bench):
    code, out, _ = bench("mert-95m")
    assert code == 0
    for words in ("hub:          m-a-p/MERT-v1-95M at 12af15f", "(unverified)", "5 s every 5 s", "13 rows of 768"):
        assert words in out
    assert "Fetch them: bench encoders fetch mert-v1-95m. It comes with code" in out
    code, out, _ = bench("muq-large-msd")
    assert code == 0
    assert "collections here: msd" in out
    assert "It does not run in this environment: its package muq" in out
    assert "--encoder 'env:muq/bin/python::my_muq.py:MuQ'" in out


def test_a_card_stands_behind_what_a_built_in_encoder_declares(bench):
    code, out, _ = bench("musicnn-msd")
    assert code == 0
    assert "fingerprint: not without weights" in out
    assert "Card: MusiCNN (MSD)" in out
    assert "bench encoders fetch musicnn-msd" in out


def test_the_entry_to_cite(bench):
    code, out, _ = bench("muq", "--bibtex")
    assert code == 0
    assert out.startswith("@misc{zhu2025muq,")
    assert "Wei Tan\n" in out  # whole, as it is written
    code, _, err = bench("hubert-base", "--bibtex")
    assert (code, "has no BibTeX entry; it was published as Hsu et al." in err) == (2, True)
    assert "has no card" in bench("logmel", "--bibtex")[2]
    assert bench("muq", "--bibtex", "--json")[0] == 2


@pytest.mark.parametrize("arguments", [["--home", "HERE", "musicset-ularge"], ["musicset-ularge", "--home", "HERE"]])
def test_the_home_may_stand_before_or_after(bench, tmp_path, arguments):
    code, out, _ = bench(*[tmp_path if word == "HERE" else word for word in arguments])
    assert code == 0
    assert "bench encoders fetch musicset-ularge" in out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nothing"], "no encoder is called"),
        (["mfcc", "extra"], "one argument too many"),
        (["check"], "Missing argument"),
        (["check", "nothing"], "no encoder is called"),
        (["check", "logmel,mfcc"], "names 2 encoders"),
        (["check", "logmel", "--task", "no_such"], "no task, alias or group fits"),
        (["check", "logmel", "--batch-size", "0"], "Invalid value"),
        (["fetch"], "no encoder was named: give one of"),
        (["fetch", "logmel"], "nothing to fetch"),
        (["new"], "no file was named: give one: bench encoders new mine.py"),
        (["new", "mine.txt"], "no Python file"),
    ],
)
def test_mistakes(bench, arguments, problem):
    code, _, err = bench(*arguments)
    assert code == 2
    assert problem in err


class TestCheck:
    def test_a_sound_encoder(self, bench):
        code, out, _ = bench("check", "chroma")
        assert code == 0
        assert "pass  deterministic" in out
        assert "times real time" in out
        assert "FAIL" not in out

    def test_with_a_task(self, bench, make_task):
        code, out, _ = bench("check", "logmel", "-t", make_task())
        assert code == 0
        assert "hours of audio" in out
        assert "lengths of 60 tracks" in out

    def test_one_that_breaks_a_rule_and_prints(self, bench, tmp_path):
        file = tmp_path / "broken one.py"
        file.write_text(BROKEN)
        code, out, err = bench("check", file, "--encoder-arg", "factor=2")
        assert code == 2
        assert "FAIL  finite         1 of 1 not finite on silence" in out
        assert "1 of 16 rules are broken" in out
        assert "here I am" not in out
        assert "imported" not in out
        assert "here I am" in err

    def test_embeddings_that_are_given(self, bench, tmp_path):
        rows = np.random.default_rng(0).normal(size=(3, 4))
        np.savez(tmp_path / "good.npz", ids=np.array(["a", "b", "c"]), embeddings=rows)
        code, out, _ = bench("check", f"emb:{tmp_path / 'good.npz'}")
        assert code == 0
        assert "3 embeddings of dim 4" in out
        code, out, _ = bench(f"emb:{tmp_path / 'good.npz'}")
        assert (code, "3 embeddings of dim 4" in out) == (0, True)
        rows[1, 2] = np.nan
        np.savez(tmp_path / "bad.npz", ids=np.array(["a", "b", "c"]), embeddings=rows)
        code, _, err = bench("check", f"emb:{tmp_path / 'bad.npz'}")
        assert code == 2
        assert "not finite" in err


def test_new_writes_what_the_next_commands_take(bench, tmp_path):
    file = tmp_path / "my encoder.py"
    code, out, _ = bench("new", file)
    assert code == 0
    assert f"bench encoders check '{file}'" in out
    code, out, _ = bench("check", file)
    assert (code, "FAIL" in out) == (0, False)
    assert bench("new", file)[0] == 2


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom benchmark.cli.main import main\ntry:\n    main(['encoders', '--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "assert not {'torch', 'numpy', 'pyarrow', 'soundfile'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


class TestNewInAnEnvironment:
    """The three commands that are printed, run as a newcomer would: pip aside, which needs an index of packages."""

    def test_the_commands_work_as_they_are_printed(self, bench, tmp_path, monkeypatch):
        home = tmp_path / "a home"
        monkeypatch.setenv("BENCH_HOME", str(home))
        monkeypatch.chdir(tmp_path)
        code, out, _ = bench("new", "--env", "omar")
        assert code == 0
        make, install, check_it = [line[2:] for line in out.splitlines() if line.startswith("  ")]
        assert (tmp_path / "omar.py").is_file()
        folder = home / "environments" / "omar"
        subprocess.run([*shlex.split(make), "--without-pip"], check=True)
        assert shlex.split(install) == [str(folder / "bin" / "python"), "-m", "pip", "install", "numpy"]
        code, _, err = bench(*shlex.split(check_it)[2:])
        assert code == 2
        assert "the environment 'omar' has no module 'numpy', which" in err
        assert f"{folder}/bin/python -m pip install numpy" in err
        (site,) = folder.glob("lib/python*/site-packages")
        for name in ("numpy", "numpy.libs"):
            if (installed := Path(np.__file__).parents[1] / name).exists():
                (site / name).symlink_to(installed)
        code, out, _ = bench(*shlex.split(check_it)[2:])
        assert code == 0
        assert "pass  opened twice" in out
        assert "FAIL" not in out
        assert "environments: omar" in bench()[1]

    def test_a_path_and_a_file_of_ones_own(self, bench, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        code, out, _ = bench("new", "my file.py", "--env", "./venv")
        assert code == 0
        assert "-m venv venv\n" in out or "-m venv ./venv\n" in out
        assert "bench encoders check 'env:./venv::my file.py'" in out

    @pytest.mark.parametrize("words", [[], ["--env", ""], ["--env", "a::b"], ["mine.txt", "--env", "a"]])
    def test_what_cannot_be_is_refused_and_nothing_written(self, bench, tmp_path, monkeypatch, words):
        monkeypatch.chdir(tmp_path)
        assert bench("new", *words)[0] == 2
        assert list(tmp_path.glob("*.py")) == []
