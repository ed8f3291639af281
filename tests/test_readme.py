"""The README's own card, manifest and encoder, as printed."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

import benchmark
from benchmark.encoders.registry import resolve, resolve_one
from benchmark.jobs.configuration import read_configuration
from results import store
from tasks import registry

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(kind: str, first: str = "") -> str:
    return re.search(rf"```{kind}\n({first}.*?)```", README, re.DOTALL).group(1)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "audio").mkdir()
    for i in range(1, 7):
        tone = np.sin(np.arange(16000 * 4) * (0.05 if i % 2 else 0.5))
        soundfile.write(tmp_path / "audio" / f"{i:04d}.mp3", 0.3 * tone, 16000)
    (tmp_path / "card.toml").write_text(block("toml", "# card.toml"), encoding="utf-8")
    (tmp_path / "manifest.csv").write_text(block("csv"), encoding="utf-8")
    (tmp_path / "mine.py").write_text(block("python", "# mine.py"), encoding="utf-8")
    return tmp_path


def test_the_card_manifest_and_encoder_of_the_readme_run_as_they_stand(folder):
    record = benchmark.run(
        resolve_one(str(folder / "mine.py")), folder / "card.toml", home=folder / "home", results=folder / "results",
        trials=1, seeds=1, workers=0,
    )  # fmt: skip
    assert record.task.id == "my_moods"
    assert record.data.counts == {"train": 2, "valid": 2, "test": 2}


def test_the_table_of_the_readme_is_printed_as_it_stands(monkeypatch, capsys):
    monkeypatch.chdir(Path(__file__).parents[1])
    exec(compile(block("python", "# table.py"), "table.py", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["task", "encoder", "metric", "value", "low", "high"]
    assert any(line.split()[1:4] == ["demo_key", "chroma", "weighted_accuracy"] for line in lines)


def test_the_options_of_the_readme_are_read_as_they_stand(tmp_path):
    (tmp_path / "run.toml").write_text(block("toml", "# run.toml"), encoding="utf-8")
    found = read_configuration(tmp_path / "run.toml")
    assert [encoder.name for encoder in resolve(found.encoders)] == list(found.encoders)
    assert [task.card.id for task in registry.find(found.tasks)] == list(found.tasks)
    assert found.chosen == {"protocol": "quick", "seeds": 3}


def test_the_scores_of_the_readme_are_those_of_the_example_records():
    runs = Path(__file__).parents[1] / "results" / "runs"
    header, _, *lines = re.findall(r"^\|(.*)\|$", README.partition("## Install")[0], re.MULTILINE)
    tasks = [cell.strip() for cell in header.split("|")][1:]
    assert len(lines) == len(tasks) == 3
    for line in lines:
        encoder, *cells = (cell.strip(" *") for cell in line.split("|"))
        for task, cell in zip(tasks, cells, strict=True):
            record = store.read(runs / task / f"{encoder}.json")
            score = record.scores.test[record.task.metrics[0]]
            assert cell.replace("*", "") == f"{score.value:.3f} ({score.low:.3f}–{score.high:.3f})"


def test_the_first_screen_of_the_readme_is_read_aloud_in_a_minute():
    """At 150 words a minute; the picture and the table are looked at."""
    screen = README.partition("## Install")[0]
    spoken = [line for line in screen.splitlines() if line[:1] not in ("|", "$", "<", "`", "[")]
    assert 40 < len(" ".join(spoken).split()) < 150


def test_every_task_and_encoder_that_the_readme_names_exists():
    for line in re.findall(r"^\$ bench run (.*)$", README, re.MULTILINE):
        words = line.split("#")[0].split()
        for option, value in itertools.pairwise(words):
            if option in ("-t", "--task"):
                assert registry.find(value.strip("'"))
