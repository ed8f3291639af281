"""Real recordings, where they are at hand: the probe against logistic regression, and the whole way through the CLI."""

import csv

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import benchmark
from benchmark.audio.index import AudioIndex
from benchmark.encoders.registry import resolve
from benchmark.jobs.items import select_items
from benchmark.jobs.options import Options
from benchmark.jobs.plan import plan_jobs
from tasks import registry


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("real-home")


@pytest.mark.parametrize(("encoder", "task"), [("mfcc", "instrument"), ("chroma", "pitch_class"), ("logmel", "pitch")])
def test_the_probe_is_not_behind_logistic_regression(reference_data, home, tmp_path, encoder, task, monkeypatch):
    card = reference_data / "real_audio" / "philharmonia" / f"{task}.toml"
    monkeypatch.undo()  # the true protocol, not the quick one of these tests
    record = benchmark.run(encoder, card, home=home, results=tmp_path, trials=1, seeds=1)
    with (card.parent / "manifest.csv").open(newline="", encoding="utf-8") as file:
        counts = [row["split"] for row in csv.DictReader(file)]
    assert record.data.counts == {split: counts.count(split) for split in ("train", "valid", "test")}
    options = Options(home=home, results=tmp_path)
    found = registry.find(str(card))[0]
    data = select_items(found, found.items(home), options)
    job = plan_jobs(resolve(encoder), [data], options)[0]
    index, items = AudioIndex(home), data.items
    x, y = job.store.read([str(index.key(path)) for path in items.audio]), items.targets
    train, valid, test = (items.rows(split) for split in ("train", "valid", "test"))
    models = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000)).fit(x[train], y[train])
        for c in np.logspace(-2, 1, 4)
    ]
    best = max(models, key=lambda model: model.score(x[valid], y[valid]))
    assert record.scores.test["accuracy"].value >= best.score(x[test], y[test]) - 0.02
