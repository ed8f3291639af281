"""``bench run --config``: options under their names, what the command line says first, paths relative to the file."""

import os
from pathlib import Path

import pytest

import benchmark
from benchmark.cli.main import main
from benchmark.errors import UserError
from benchmark.jobs.configuration import read_configuration
from benchmark.jobs.options import Options, option_list

FAST = 'protocol = "quick"\ntrials = 2\nseeds = 2\nworkers = 0\n'


@pytest.fixture
def write(tmp_path):
    def to_file(text, name="run.toml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def refused(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    assert ended.value.code == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in errors
    return errors


#: A value of each option, as the file has it, and as the option gets it; "{}" is the folder of the file.
VALUES = {
    "home": ('"h"', "{}/h"),
    "data_roots": ('["gtzan=a/b", "mtt=/c"]', ["gtzan={}/a/b", "mtt=/c"]),
    "limit": ("40", 40),
    "allow_missing": ("3", 3),
    "allow_damaged": ("4", 4),
    "deform": ('"gain=-20"', "gain=-20"),
    "encoder_args": ('{ layer = 7, fast = true, name = "x" }', ["layer=7", "fast=true", "name=x"]),
    "precision": ('"bf16"', "bf16"),
    "own_windows": ("true", True),
    "layer": ('"mix"', "mix"),
    "protocol": ('"open"', "open"),
    "trials": ("7", 7),
    "seed": ("5", 5),
    "seeds": ("6", 6),
    "sampler": ('"random"', "random"),
    "pruner": ('"none"', "none"),
    "storage": ('"sqlite:///s.db"', "sqlite:///{}/s.db"),
    "probe_precision": ('"bf16"', "bf16"),
    "train_fraction": ("[0.1, 1]", "0.1,1"),
    "repeats": ("2", 2),
    "results": ('"r"', "{}/r"),
    "overwrite": ('"never"', "never"),
    "export": ('"e"', "{}/e"),
    "track": ('["wandb", "mlflow"]', ["wandb", "mlflow"]),
    "track_project": ('"thesis"', "thesis"),
    "device": ('"cpu"', "cpu"),
    "batch_size": ("8", 8),
    "workers": ("0", 0),
}


def in_folder(value, folder):
    if isinstance(value, list):
        return [in_folder(each, folder) for each in value]
    return value.replace("{}", str(folder)) if isinstance(value, str) else value


class TestValues:
    @pytest.mark.parametrize("option", option_list(), ids=lambda option: option.name)
    def test_every_option_is_a_key(self, write, tmp_path, option):
        text, expected = VALUES[option.name]
        more = "train_fraction = [0.1]\n" if option.name == "repeats" else ""
        found = read_configuration(write(f"{option.name} = {text}\n{more}"))
        assert found.chosen[option.name] == in_folder(expected, tmp_path)
        Options(**found.chosen)
        for wrong in {"[{}]", "1979-05-27", "{ a = [1] }", "[[1]]"} - {text}:
            with pytest.raises(UserError, match=rf"run.toml: {option.name} takes .*, not .*: write {option.name} = "):
                read_configuration(write(f"{option.name} = {wrong}\n"))

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('trials = "many"', "trials takes a whole number, not 'many'"),
            ("trials = true", "trials takes a whole number, not true"),
            ("trials = 2.0", "trials takes a whole number, not 2.0"),
            ("own_windows = 1", "own_windows takes true or false, not 1"),
            ("layer = 7", 'layer takes a text, not 7: write layer = "7"'),
            ('sampler = "bayes"', "--sampler has no choice 'bayes': give one of tpe, random, grid"),
            ("sampler = 3", 'sampler takes one of tpe, random, grid, not 3: write sampler = "tpe"'),
            ("trials = 0", "--trials is 0: give 1 at least"),
            ("seed = 2147483649", "--seed is 2147483649: give 2147483648 at most"),
            (
                'train_fraction = ["0.1"]',
                "takes a list of numbers, not ['0.1']: write train_fraction = [0.1, 1]",
            ),
            ("train_fraction = [nan]", "--train-fraction"),
            ("repeats = 3", "--repeats draws several samples of a fraction"),
            ('track = "neptune"', "--track 'neptune' is no tracker: choose among tensorboard, wandb, trackio, mlflow"),
            ('device = "gpu"', "did you mean --device cuda?"),
            ('data_roots = "gtzan"', "give COLLECTION=DIR"),
            ("encoder_args = { a = [1] }", "write encoder_args = { layer = 7 }"),
            ('trails = "many"', "there is no option 'trails': did you mean 'trials'?"),
            ("train-fraction = 1", "there is no option 'train-fraction': did you mean 'train_fraction'?"),
            ("data-root = 1", "did you mean 'data_roots'?"),
            ("[run]\ntrials = 3", "there is no option 'run': "),
            ("zzzz = 1", "the keys are encoder, encoders, task, tasks, home, "),
            ("encoder = 3", 'encoder takes a name, or a list of names, not 3: write encoder = "logmel"'),
            ("tasks = []", 'tasks takes a name, or a list of names, not []: write tasks = "demo_key"'),
            ('encoder = "a"\nencoders = ["b"]', "encoder says again what encoders says: leave one out"),
        ],
    )
    def test_what_is_none_is_refused_with_file_key_and_what_it_takes(self, write, capsys, text, words):
        path = write(text)
        errors = refused(capsys, "run", "--config", path)
        assert errors.startswith(f"bench: {path}: ")
        assert words in errors

    def test_all_problems_are_named_at_once(self, write, capsys):
        errors = refused(capsys, "run", "--config", write("trails = 1\nseeds = 0\nlayer = 2\n"))
        first, *lines = errors.splitlines()
        assert first.endswith("run.toml has 3 keys or values that are none: mend these:")
        for line, word in zip(lines, ("did you mean 'trials'", "--seeds is 0", 'write layer = "2"'), strict=True):
            assert word in line


def test_the_file_of_the_docs_is_read_as_it_stands(write):
    page = (Path(benchmark.__file__).parents[1] / "docs" / "runs.md").read_text(encoding="utf-8")
    found = read_configuration(write(page.partition("```toml\n")[2].partition("```")[0]))
    assert (len(found.encoders), len(found.tasks), found.chosen["trials"]) == (3, 2, 20)


class TestHostile:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a = " + "[" * 100_000, "nested too deep"),
            (".".join("a" * 1000) + " = 1", "a key of more than 200 parts"),
            ("trials = " + "9" * 10_000, "digits"),
            ("trials = 0x" + "f" * 10_000, "more than 64 bits"),
            ("trials = ", "not valid TOML"),
            ("trials = 1\ntrials = 2", "not valid TOML"),
            ("x" * 500_000 + " = 1", "there is no option"),
            ('layer = ["' + "x" * 500_000 + '"]', "layer takes a text"),
            ('"\\u001b[31m\\nbench: all is well" = 1', "there is no option"),
            ('home = "a\\u0000b"\nlimit = "x"', "limit takes a whole number, not 'x'"),
        ],
    )
    def test_a_text_is_refused_in_a_short_message(self, write, capsys, text, words):
        errors = refused(capsys, "run", "--config", write(text))
        assert words in errors
        assert len(errors) < 1500
        assert "\x1b" not in errors
        assert ": ." not in errors
        assert errors.startswith("bench: ")
        assert all(line.startswith("  ") for line in errors.splitlines()[1:])

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files on this system")
    @pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing", "bytes", "large"])
    def test_what_is_no_text_file_is_refused_at_once(self, tmp_path, capsys, kind):
        path = tmp_path / "run.toml"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "folder":
            path.mkdir()
        elif kind == "bytes":
            path.write_bytes(b"\xff\xfe")
        elif kind == "large":
            path.write_bytes(b"#" * 2_000_000)
        errors = refused(capsys, "run", "--config", path)
        assert str(path) in errors
        assert "A configuration is a TOML file with lines such as trials = 20" in errors


class TestNames:
    def test_one_or_several_of_each(self, write):
        found = read_configuration(write('encoders = ["logmel", "mfcc"]\ntask = "demo_key,demo_tags"\n'))
        assert (found.encoders, found.tasks) == (("logmel", "mfcc"), ("demo_key", "demo_tags"))
        assert found.chosen == {}

    def test_paths_are_relative_to_the_file(self, write, tmp_path, monkeypatch):
        (tmp_path / "f").mkdir()
        (tmp_path / "f" / "venv" / "bin").mkdir(parents=True)
        for name in ("mine.py", "w.pt", "a,b.npz", "venv/bin/python"):
            (tmp_path / "f" / name).touch()
        monkeypatch.chdir(tmp_path)
        found = read_configuration(
            write(
                'encoders = ["mine.py:Mean?x=1", "emb:../v.npz", "hear:m@w.pt", "hf:org/model", "pretrained:run@5",\n'
                '"onnx:onnx", "emb:a,b.npz", "logmel", "a.b:C", "/abs/m.py",\n'
                '"env:venv/bin/python::mine.py:Mean?x=1", "env:old::a.b:C"]\n'
                'tasks = ["card.toml", "demo_*", "mirdata:tinysol:pitch", "/abs/c.toml"]\n',
                "f/run.toml",
            ).relative_to(tmp_path)
        )
        folder = tmp_path / "f"
        assert list(found.encoders) == [
            f"{folder}/mine.py:Mean?x=1", f"emb:{folder}/../v.npz", f"hear:m@{folder}/w.pt", "hf:org/model",
            "pretrained:run@5", f"onnx:{folder}/onnx", f"emb:{folder}/a,b.npz", "logmel", "a.b:C", "/abs/m.py",
            f"env:{folder}/venv/bin/python::{folder}/mine.py:Mean?x=1", "env:old::a.b:C",
        ]  # fmt: skip
        assert list(found.tasks) == [f"{folder}/card.toml", "demo_*", "mirdata:tinysol:pitch", "/abs/c.toml"]


class TestCommandLine:
    def test_several_are_run_and_the_command_line_wins(self, make_vectors, write, tmp_path, capsys, monkeypatch):
        make_vectors("one")
        make_vectors("two")
        path = write(
            'encoder = "emb:one/given.npz"\ntasks = ["one/card.toml", "two/card.toml"]\nresults = "r"\n'
            f'home = "h"\n{FAST}'
        )
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        with pytest.raises(SystemExit) as ended:
            main(["run", "--config", str(path), "--trials", "1", "--overwrite", "always"])
        assert ended.value.code == 0
        capsys.readouterr()
        for name in ("one", "two"):
            record = benchmark.run(config=path, task=tmp_path / name / "card.toml", trials=1)
            assert len(record.search.trials) == 1  # the command line's, not the file's
            assert len(record.seeds.probes) == 2
            assert record.protocol == "quick"
            assert (tmp_path / "r" / "runs" / name / "given+quick.json").is_file()
        assert list(elsewhere.iterdir()) == []

    def test_what_the_file_does_not_name_is_asked_for(self, write, capsys):
        errors = refused(capsys, "run", "--config", write('encoder = "logmel"\n'))
        assert "Missing option '-t'" in errors
        assert "bench run -e logmel -t demo_key" in errors
        with pytest.raises(UserError, match="no task is named: give one such as 'demo_key', or a config that names"):
            benchmark.run(config=write('encoder = "logmel"\n'))
        with pytest.raises(UserError, match="no encoder is named"):
            benchmark.run_many(tasks="demo_key")

    def test_embed_takes_the_same_file(self, make_task, write, tmp_path, capsys):
        make_task()
        path = write(f'encoder = "logmel"\ntask = "tones/card.toml"\nhome = "h"\n{FAST}')
        with pytest.raises(SystemExit) as ended:
            main(["embed", "--config", str(path)])
        assert ended.value.code == 0
        assert "logmel" in capsys.readouterr().out
        assert (tmp_path / "h" / "embeddings").is_dir()

    def test_the_same_option_twice_is_the_last_one_as_ever(self, make_vectors, write, capsys):
        make_vectors("one")
        path = write(f'encoder = "emb:one/given.npz"\ntask = "one/card.toml"\nhome = "h"\nresults = "r"\n{FAST}')
        with pytest.raises(SystemExit):
            main(["run", "--trials", "3", "--config", str(path), "--trials", "1", "--dry-run"])
        assert "3 probes" in capsys.readouterr().out  # one trial, two seeds
