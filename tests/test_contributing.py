"""The example of CONTRIBUTING.md, as printed."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.metrics import balanced_accuracy_score

import benchmark
from results.predictions import read_split
from tasks.metrics import table

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
CARD = """
id = "tones"
title = "Tones"
kind = "multiclass"
metrics = ["balanced_accuracy", "accuracy"]
manifest = "manifest.csv"
columns = { id = "id", audio = "path", split = "split", target = "pitch" }
"""


@pytest.fixture
def folder(tmp_path):
    """Eighteen tones of three pitches, of which one has more items than the others."""
    rows = ["id,path,split,pitch"]
    for split in ("train", "valid", "test"):
        for i, pitch in enumerate(["low", "low", "low", "low", "mid", "mid", "high", "high"]):
            frequency = {"low": 0.02, "mid": 0.021, "high": 0.5}[pitch] * (1 + 0.01 * i)
            soundfile.write(tmp_path / f"{split}{i}.wav", 0.3 * np.sin(np.arange(16000 * 3) * frequency), 16000)
            rows.append(f"{split}{i},{split}{i}.wav,{split},{pitch}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "card.toml").write_text(CARD, encoding="utf-8")
    return tmp_path


def test_the_metric_of_the_page_is_scored_with_an_interval(folder, monkeypatch, capsys):
    monkeypatch.setattr(table, "METRICS", dict(table.METRICS))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    assert "value=0.83" in capsys.readouterr().out
    record = benchmark.run(
        "mfcc", folder / "card.toml", home=folder / "home", results=folder / "results", trials=1, seeds=2, workers=0
    )
    score = record.scores.test["balanced_accuracy"]
    assert 0 <= score.low <= score.value <= score.high <= 1
    assert score.low < score.high
    held = read_split(folder / "results", record)
    expected = [balanced_accuracy_score(held.targets, outputs.argmax(1)) for outputs in held.outputs]
    assert score.seeds == pytest.approx(expected)
    assert score.value == pytest.approx(np.mean(list(score.labels.values())))
