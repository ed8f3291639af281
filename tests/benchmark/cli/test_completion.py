"""Shells complete names of tasks, encoders and records: the protocol that they speak is run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.cli import completion
from benchmark.encoders.cards.listing import encoder_cards
from benchmark.encoders.registry import BUILTIN, PUBLISHED
from tasks import registry


def complete(shell: str, line: str, folder: Path) -> list[str]:
    """Return what a shell is told at the end of a line."""
    words = line.split(" ")
    spoken = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "_TYPER_COMPLETE_WORD_TO_COMPLETE": words[-1],
        },
    }[shell]
    environment = {**os.environ, **spoken, "_BENCH_COMPLETE": f"complete_{shell}", "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", "benchmark"], capture_output=True, text=True, env=environment, cwd=folder, timeout=120
    )
    assert done.stderr == ""
    return done.stdout.replace('"', " ").split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_encoders_and_tasks(shell, tmp_path):
    assert "logmel" in complete(shell, "bench run -e logm", tmp_path)
    assert "demo_key" in complete(shell, "bench run -e logmel -t demo_k", tmp_path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bench encoders check musicset", "musicset-ularge"),
        ("bench run -e logmel,chr", "logmel,chroma"),
        ("bench data fetch gtz", "gtzan"),
        ("bench reproduce results/runs/demo_key/lo", "results/runs/demo_key/logmel.json"),
        ("bench compare log", "logmel"),
        ("bench run -e logmel -t demo_key --track tensor", "tensorboard"),
        ("bench pretrain train tiny-simclr --data s --out r --track wan", "wandb"),
        ("bench plot conf", "confusion"),
    ],
)
def test_names_where_they_are_wanted(tmp_path, line, expected):
    record = tmp_path / "results" / "runs" / "demo_key" / "logmel.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    assert expected in complete("bash", line, tmp_path)


def test_names_are_those_of_the_tables(tmp_path):
    names = completion.encoder_names()
    assert names[: len(BUILTIN) + len(PUBLISHED)] == [*BUILTIN, *PUBLISHED]
    assert sorted(names) == sorted({*BUILTIN, *PUBLISHED, *encoder_cards(tmp_path)})
    names = completion.task_names()
    assert set(registry.builtin_tasks()) <= set(names)
    assert set(registry.groups()) <= set(names)
    for name in names:
        assert registry.find(name)


def test_a_name_is_not_offered_twice():
    assert "logmel,logmel" not in completion.encoders("logmel,")
    assert completion.encoders("logmel,mf") == ["logmel,mfcc"]


def test_environments_and_the_plug_ins_for_them(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert completion.encoders("env:") == []
    program = tmp_path / "home" / "environments" / "old" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.touch()
    for name in ("mine.py", "[other].py", "notes.txt"):
        (tmp_path / name).touch()
    assert completion.encoders("env:") == ["env:old::"]
    assert completion.encoders("logmel,env:o") == ["logmel,env:old::"]
    assert completion.encoders("env:old::") == ["env:old::[other].py", "env:old::mine.py"]
    assert completion.encoders("env:old::[") == ["env:old::[other].py"]


def test_records_without_a_word_are_those_of_the_results_folder(tmp_path, monkeypatch):
    for name in ("runs/a/x.json", "runs/a/history/old.json", "runs/b/y.limit-5.json"):
        (tmp_path / "results" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "results" / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert completion.records("") == ["results/runs/a/x.json", "results/runs/b/y.limit-5.json"]
    assert completion.records("results/runs/a/") == ["results/runs/a/x.json"]
    assert completion.recorded("") == ["x"]


def test_completion_imports_nothing_heavy(tmp_path):
    code = (
        "import sys\nfrom benchmark.cli import completion\nimport benchmark.cli.main\n"
        "completion.encoders('l'), completion.tasks('d'), completion.records('')\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
