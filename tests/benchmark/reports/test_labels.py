from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, precision_score, recall_score

from benchmark.errors import UserError
from benchmark.jobs.result_checks import recomputed
from benchmark.reports import labels as label_scores
from benchmark.reports.labels import ALL, find_record, label_tables, labels, render
from benchmark.reports.published_labels import PublishedLabels
from results import store
from results.predictions import read_split
from results.record import RecordError

build_record = runpy.run_path(str(Path(__file__).parents[2] / "results" / "conftest.py"))["build_record"]
NAMES = ("calm", "wild", "odd")


def honest(results, record):
    """Return the record with the test scores that its predictions give."""
    test = {
        metric: record.scores.test[metric].model_copy(update={"seeds": seeds, "value": sum(seeds) / len(seeds)})
        for metric, seeds in recomputed(results, record, "test").items()
    }
    return record.model_copy(update={"scores": record.scores.model_copy(update={"test": test})})


def save(results, task="moods", encoder="mine", kind="multilabel", metrics=("map", "roc_auc"), **changes):
    """Write a record and predictions of two probes; of the three labels the last has no positive in test."""
    rng = np.random.default_rng(0)
    n = 40
    if kind == "multilabel":
        targets = np.c_[rng.random((n, 2)) < 0.4, np.zeros(n)].astype(np.float32)
        shown, names = targets, NAMES
    elif kind == "multiclass":
        targets = rng.integers(2, size=n)
        shown, names = np.eye(3)[targets] - [0, 0, 9], NAMES
    else:
        shown = targets = rng.normal(size=(n, 2)).astype(np.float32)
        names = ("valence", "arousal")
    columns = {
        "split": ["test"] * n,
        "track_id": [f"t{i}" for i in range(n)],
        "group": pa.array([f"g{i // 2}" for i in range(n)], pa.string()),
        "target": list(targets) if targets.ndim > 1 else targets,
    }
    for i in range(2):
        outputs = (1.5 * shown + rng.normal(size=shown.shape)).astype(np.float32)
        columns[f"outputs_{i}"] = pa.FixedSizeListArray.from_arrays(pa.array(outputs.ravel()), outputs.shape[1])
    record = build_record(task, encoder, dict.fromkeys(metrics, 0.5), **changes)
    table = pa.table(columns).replace_schema_metadata({"labels": "\x1f".join(names)})
    name = store.write_predictions(results, task, encoder, record.run_key, table, record.limit)
    section = record.task.model_copy(update={"kind": kind})
    record = store.signed(results, honest(results, record.model_copy(update={"predictions": name, "task": section})))
    store.write(results, record)
    return record


def by_label(table):
    return {row.label: row for row in table.rows}


def test_values_are_means_over_probes_and_lie_in_their_intervals(tmp_path):
    record = save(tmp_path)
    predictions = read_split(tmp_path, record)
    table = label_tables(record, predictions, {}, "map")[0]
    rows = by_label(table)
    assert list(rows) == [ALL, *NAMES]
    for i, name in enumerate(NAMES[:2]):
        expected = [average_precision_score(predictions.targets[:, i], o[:, i]) for o in predictions.outputs]
        assert rows[name].value == pytest.approx(np.mean(expected), abs=1e-12)
        assert 0 < rows[name].low < rows[name].value < rows[name].high <= 1
        assert rows[name].items == predictions.targets[:, i].sum()
    assert (rows["odd"].items, rows["odd"].value, rows["odd"].low) == (0, None, None)
    assert (rows[ALL].value, rows[ALL].low, rows[ALL].items) == (record.scores.test["map"].value, 0.45, 40)


def test_intervals_are_clustered(tmp_path):
    record = save(tmp_path)
    predictions = read_split(tmp_path, record)
    pairs = [
        by_label(label_tables(record, which, {}, "map")[0])["calm"]
        for which in (
            predictions,
            type(predictions)(predictions.track_ids, None, *list(vars(predictions).values())[2:]),
        )
    ]
    assert (pairs[0].low, pairs[0].high) != (pairs[1].low, pairs[1].high)


def test_a_class_has_its_accuracy_and_on_request_its_precision(tmp_path):
    record = save(tmp_path, kind="multiclass", metrics=("accuracy",))
    predictions = read_split(tmp_path, record)
    named = [outputs.argmax(1) for outputs in predictions.outputs]
    for metric, scorer in (("accuracy", recall_score), ("precision", precision_score)):
        rows = by_label(label_tables(record, predictions, {}, metric)[0])
        for i, name in enumerate(NAMES[:2]):
            expected = [scorer(predictions.targets == i, p == i) for p in named]
            assert rows[name].value == pytest.approx(np.mean(expected), abs=1e-12)
        assert rows["odd"].value is None  # no item is of it, and none was called so
        assert rows[ALL].value == record.scores.test["accuracy"].value
    assert [table.metric for table in label_tables(record, predictions, {})] == ["accuracy"]
    published = {"precision": PublishedLabels({"musicset-ularge": {"calm": 0.8}}, {"musicset-ularge": 0.7})}
    tables = label_tables(record, predictions, published)
    assert [table.metric for table in tables] == ["accuracy", "precision"]
    rows = by_label(tables[1])
    assert (rows["calm"].published, rows[ALL].published) == ({"musicset-ularge": 0.8}, {"musicset-ularge": 0.7})


def test_a_target_of_a_regression_is_the_whole(tmp_path):
    record = save(tmp_path, kind="regression", metrics=("r2_valence", "r2_arousal"))
    published = {"r2_arousal": PublishedLabels({"musicset-ularge": {}}, {"musicset-ularge": 0.7})}
    tables = label_tables(record, read_split(tmp_path, record), published)
    assert [[row.label for row in table.rows] for table in tables] == [[ALL], [ALL]]
    assert tables[1].rows[0].published == {"musicset-ularge": 0.7}


def test_without_an_overall_value_the_mean_of_the_published_labels_stands_there(tmp_path):
    record = save(tmp_path)
    published = {"map": PublishedLabels({"audioset-sup": {"calm": 0.2, "wild": 0.4}})}
    tables = label_tables(record, read_split(tmp_path, record), published)
    assert tables[0].rows[0].published == {"audioset-sup": pytest.approx(0.3)}
    text = render(record, tables, hint=False)
    assert "the mean over their 2 labels" in text
    assert "Not published for 1 label(s): odd." in text
    assert "cannot be scored on this test split: odd" in text
    assert "audioset-sup are of another run" in text
    assert "CC BY-NC" in text


def test_a_metric_that_the_task_lacks_is_refused(tmp_path):
    record = save(tmp_path)
    for metric in ("accuracy", "precision"):
        with pytest.raises(UserError, match="name one that it has: map, roc_auc"):
            label_tables(record, read_split(tmp_path, record), {}, metric)


def test_a_record_of_the_examples_is_told(tmp_path, monkeypatch):
    record, note = save(tmp_path), "The record of mine is an example, no run of yours."
    path = store.record_path(tmp_path, "moods", "mine")
    for named in (("moods", "mine"), (str(path), None)):
        monkeypatch.setattr("benchmark.reports.labels.examples_folder", lambda: tmp_path)
        assert note in labels(*named, results=tmp_path, home=tmp_path)
        for other in (None, tmp_path / "others"):
            monkeypatch.setattr("benchmark.reports.labels.examples_folder", lambda other=other: other)
            assert note not in labels(*named, results=tmp_path, home=tmp_path)
    assert record.name == "mine"


class TestFinding:
    def test_by_path_and_by_names(self, tmp_path):
        record = save(tmp_path)
        path = store.record_path(tmp_path, "moods", "mine")
        assert find_record(str(path), None, Path("elsewhere")) == (record, tmp_path)
        assert find_record("moods", "mine", tmp_path) == (record, tmp_path)

    def test_a_record_of_the_history(self, tmp_path):
        old = save(tmp_path)
        save(tmp_path, run_key="a" * 64)
        path = next((tmp_path / "runs" / "moods" / "history").glob("*.json"))
        found, results = find_record(str(path), None, tmp_path)
        assert (found.run_key, results) == (old.run_key, tmp_path)
        assert len(read_split(results, found).track_ids) == 40

    def test_the_full_run_comes_before_limited_ones(self, tmp_path):
        for limit in (40, 50):
            save(tmp_path, limit=limit)
        assert find_record("moods", "mine", tmp_path)[0].limit == 50
        save(tmp_path)
        assert find_record("moods", "mine", tmp_path)[0].limit is None

    @pytest.mark.parametrize(
        ("asked", "encoder", "words"),
        [
            ("moods", None, "records of mine: name the encoder too"),
            ("moods", "mien", "did you mean mine"),
            ("mods", "mine", "Recorded tasks with such a name: moods"),
            ("*", "mine", "names 2 tasks"),
            ("gtzan", "mine", "no record of gtzan"),
            ("x.json", "mine", "is one record"),
        ],
    )
    def test_what_cannot_be_found(self, tmp_path, asked, encoder, words):
        save(tmp_path)
        save(tmp_path, task="genres")
        with pytest.raises(UserError, match=words):
            find_record(asked, encoder, tmp_path)

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(RecordError, match="is not there"):
            find_record(str(tmp_path / "runs" / "moods" / "mine.json"), None, tmp_path)


class TestCommand:
    def test_it_prints_a_table_a_metric(self, tmp_path, capsys):
        save(tmp_path)
        print(labels("moods", "mine", results=tmp_path, home=tmp_path))
        text = capsys.readouterr().out
        assert text.startswith("mine on moods, test")
        assert "| calm" in text
        assert "roc_auc" in text
        assert "--fetch" not in text  # nothing was published for this task

    def test_a_task_of_the_paper_says_how_to_fetch_what_was_published(self, tmp_path, capsys):
        save(tmp_path, task="mtt")
        print(labels("mtt", "mine", results=tmp_path, home=tmp_path))
        assert "bench labels mtt mine --fetch" in capsys.readouterr().out

    def test_the_whole_score_stands_beside_the_published_one(self, tmp_path):
        save(tmp_path, task="mtt", encoder="musicset-ularge")
        text = labels("mtt", "musicset-ularge", results=tmp_path, home=tmp_path, metric="map")
        assert "musicset-ularge on mtt, map: undecided" in text or "musicset-ularge on mtt, map: off" in text
        assert "published 0.404 (McCallum et al. 2022, Table 3)" in text
        assert "roc_auc" not in text

    def test_published_scores_from_a_file(self, tmp_path, capsys):
        save(tmp_path, task="mtt")
        path = tmp_path / "published.csv"
        path.write_text("task,metric,model,tag,value,column\nMTT,map,Musicset ULarge,calm,0.123,c\n")
        print(labels("mtt", "mine", results=tmp_path, home=tmp_path, metric="map", published=path, as_json=True))
        tables = json.loads(capsys.readouterr().out)["tables"]
        assert [row["published"] for row in tables[0]["rows"]][:2] == [
            {"musicset-ularge": 0.123},
            {"musicset-ularge": 0.123},
        ]

    def test_fetching_shows_the_licence_first(self, tmp_path, capsys, monkeypatch):
        save(tmp_path, task="mtt")
        asked = []
        monkeypatch.setattr(label_scores, "fetch_published", lambda task, home: asked.append((task, home)))
        print(labels("mtt", "mine", results=tmp_path, home=tmp_path, fetch=True))
        assert asked == [("mtt", tmp_path)]
        assert "CC BY-NC 4.0" in capsys.readouterr().err
