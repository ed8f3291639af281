"""``bench tasks`` and the three commands from a folder of labelled audio to a score."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from benchmark.cli.main import main

RATE = 8000


@pytest.fixture
def bench(capsys):
    def bench(*arguments):
        with pytest.raises(SystemExit) as done:
            main(list(arguments))
        said = capsys.readouterr()
        return done.value.code, said.out, said.err

    return bench


def test_tasks_are_listed_one_is_shown_and_options_stay(bench, tmp_path):
    code, out, _ = bench("tasks")
    assert (code, "demo_key" in out) == (0, True)
    code, out, _ = bench("tasks", "demo_key")
    assert (code, out.startswith("Demo: key")) == (0, True)
    assert (
        bench("tasks", "--home", str(tmp_path), "demo_key")[1] == bench("tasks", "demo_key", "--home", str(tmp_path))[1]
    )
    page = tmp_path / "page.md"
    assert bench("tasks", "--markdown", "-o", str(page))[0] == 0
    assert bench("tasks", "--markdown", "--check", "-o", str(page))[0] == 0
    page.write_text("other", encoding="utf-8")
    assert bench("tasks", "--markdown", "--check", "--output", str(page))[0] == 1
    code, _, err = bench("tasks", "demo_key", "demo_tags")
    assert (code, "one argument too many" in err) == (2, True)


def test_a_table_in_place_of_a_card_points_to_its_card_or_to_what_writes_one(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.csv").write_text("path,mood\na.wav,x\nb.wav,y\n", encoding="utf-8")
    code, _, err = bench("run", "-e", "logmel", "-t", "m.csv")
    assert (code, "m.csv is a table" in err, "bench tasks new m.csv" in err) == (2, True, True)
    assert bench("tasks", "new", "m.csv", "-o", "c.toml")[0] == 0
    code, _, err = bench("run", "-e", "logmel", "-t", "m.csv")
    assert (code, "a task is named by its card: give --task c.toml" in err) == (2, True)
    code, _, err = bench("run", "-e", "logmel", "-t", f"{tmp_path}")
    assert (code, f"--task {tmp_path}/c.toml" in err) == (2, True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "m.csv").rename(tmp_path / "elsewhere" / "m.csv")
    assert bench("tasks", "new", "elsewhere/m.csv", "-o", "c.toml", "--overwrite")[0] == 0
    assert "its card: give --task c.toml" in bench("run", "-e", "logmel", "-t", "elsewhere/m.csv")[2]
    code, _, err = bench("run", "-e", "logmel", "-t", "none.csv")
    assert (code, "there is no file none.csv" in err) == (2, True)


def test_three_commands_lead_from_a_folder_of_labelled_audio_to_a_score(tmp_path):
    rng = np.random.default_rng(0)
    for label, pitch in (("low", 220), ("high tone", 1760)):
        (tmp_path / "my sounds" / label).mkdir(parents=True)
        for i in range(15):
            wave = np.sin(2 * np.pi * pitch * rng.uniform(0.9, 1.1) * np.arange(2 * RATE) / RATE)
            soundfile.write(
                tmp_path / "my sounds" / label / f"{i}.wav", 0.3 * wave + 0.02 * rng.normal(size=len(wave)), RATE
            )

    def bench(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "benchmark", *arguments],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "BENCH_HOME": str(tmp_path / "home"), "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    told, _ = bench("tasks", "new", "my sounds")
    assert "Next: bench data split card.toml" in told
    counts, _ = bench("data", "split", "card.toml", "--shares", "0.6,0.2,0.2")
    assert re.search(r"^items +18 +6 +6$", counts, re.MULTILINE)
    assert "Next: bench run -e logmel -t card.toml" in counts
    _, progress = bench("run", "-e", "logmel", "-t", "card.toml", "--protocol", "quick")
    assert "Warning, my_sounds: test has 6 items" in progress
    (path,) = (tmp_path / "results" / "runs" / "my_sounds").glob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["data"]["counts"] == {"train": 18, "valid": 6, "test": 6}
    assert record["scores"]["test"]["accuracy"]["value"] > 0.8
