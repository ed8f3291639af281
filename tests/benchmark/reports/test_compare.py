from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmark.errors import UserError
from benchmark.jobs.result_checks import recomputed
from benchmark.reports.compare import compare, compare_records, task_ids
from benchmark.system.progress import Silent
from probes.statistics.comparison import holm
from results import store
from results.record import RecordError

build_record = runpy.run_path(str(Path(__file__).parents[2] / "results" / "conftest.py"))["build_record"]


def honest(results, record):
    """Return the record with the test scores that its predictions give."""
    test = {
        metric: record.scores.test[metric].model_copy(update={"seeds": seeds, "value": sum(seeds) / len(seeds)})
        for metric, seeds in recomputed(results, record, "test").items()
    }
    return record.model_copy(update={"scores": record.scores.model_copy(update={"test": test})})


def save(
    results,
    task,
    encoder,
    skill,
    *,
    metrics=("accuracy",),
    kind="multiclass",
    items=60,
    groups=None,
    ids=None,
    probes=2,
    positives=None,
    **changes,
):
    """Write a record and its predictions: probes whose outputs hold the targets with the weight ``skill``."""
    rng = np.random.default_rng(0)
    if kind == "multiclass":
        targets = rng.integers(2, size=items)
        shown = np.eye(2)[targets]
    else:
        shown = targets = (rng.random((items, 2)) < 0.4).astype(np.float32)
        if positives is not None:
            targets[:] = 0
            targets[:positives, 0] = 1
    rng = np.random.default_rng(list(encoder.encode()))
    columns = {
        "split": ["test"] * items,
        "track_id": ids or [f"t{i}" for i in range(items)],
        "group": pa.array(groups or [None] * items, pa.string()),
        "target": list(targets) if targets.ndim > 1 else targets,
    }
    for i in range(probes):
        outputs = (skill * shown + rng.normal(size=shown.shape)).astype(np.float32)
        columns[f"outputs_{i}"] = pa.FixedSizeListArray.from_arrays(pa.array(outputs.ravel()), 2)
    record = build_record(task, encoder, dict.fromkeys(metrics, 0.5), **changes)
    table = pa.table(columns).replace_schema_metadata({"labels": "a\x1fb"})
    name = store.write_predictions(results, task, encoder, record.run_key, table, record.limit)
    section = record.task.model_copy(update={"kind": kind})
    record = store.signed(results, honest(results, record.model_copy(update={"predictions": name, "task": section})))
    store.write(results, record)
    return record


@pytest.fixture
def results(tmp_path):
    """Two encoders on a task of classes, on one with tags, and one of them on a third."""
    for encoder, skill in (("good", 4.0), ("poor", 0.2)):
        save(tmp_path, "keys", encoder, skill)
        save(tmp_path, "tags", encoder, skill, kind="multilabel", metrics=("map", "roc_auc"))
    save(tmp_path, "pitch", "good", 1.0)
    return tmp_path


def compared(results, tasks=(), *, first="good", second="poor", metric=None, permutations=200):
    return compare_records(first, second, tasks, results, metric, permutations, 0, Silent())


def test_every_task_that_both_have(results):
    found = compared(results)
    assert [(row.task, row.metric) for row in found.rows] == [
        ("keys", "accuracy"),
        ("tags", "map"),
        ("tags", "roc_auc"),
    ]
    for row in found.rows:
        assert row.difference == pytest.approx(row.first - row.second)
        assert 0 < row.low < row.difference < row.high
        assert row.low <= row.items_low < row.difference < row.items_high <= row.high
        assert row.items_p == 1 / 201
        assert row.p <= 0.05  # of two probes each
    assert found.notes == ["pitch is not compared: good has a record, poor has none."]


def test_holm_is_over_the_primary_metrics_and_says_so(results):
    found = compared(results)
    primary = [row for row in found.rows if row.metric in ("accuracy", "map")]
    assert [row.p_holm for row in primary] == holm([row.p for row in primary])
    assert [row.p_holm for row in found.rows if row.metric == "roc_auc"] == [None]
    assert "2 task(s) compared, on the primary metric of each task" in found.family


def test_one_metric_is_a_family_of_its_own(results):
    found = compared(results, metric="roc_auc")
    assert [(row.task, row.p_holm) for row in found.rows] == [("tags", found.rows[0].p)]
    assert "Not compared, having no roc_auc: keys." in found.notes
    assert "on roc_auc" in found.family


def test_groups_are_the_clusters(tmp_path):
    groups = [f"artist {i // 5}" for i in range(60)]
    for encoder, skill in (("good", 1.2), ("poor", 1.0)):
        save(tmp_path, "keys", encoder, skill, groups=groups)
    row = compared(tmp_path).rows[0]
    assert (row.clusters, row.clustered, row.items) == (12, True, 60)


def test_few_groups_are_said(tmp_path):
    for encoder, skill in (("good", 4.0), ("poor", 0.2)):
        save(tmp_path, "keys", encoder, skill, groups=[f"artist {i // 20}" for i in range(60)])
    found = compared(tmp_path)
    assert found.rows[0].items_p == 0.25
    assert "3 groups of test are few" in found.notes[0]
    assert "no p of these probes is smaller than 0.25" in found.notes[1]


def test_permutations_are_those_asked_for(results):
    assert {row.permutations for row in compared(results, permutations=None).rows} == {2000}
    assert {row.permutations for row in compared(results, ["tags"], permutations=300).rows} == {300}


def test_encoders_with_other_numbers_of_probes_are_compared_and_one_probe_is_said(results):
    save(results, "keys", "poor", 0.2, probes=4)
    found = compared(results, ["keys"])
    assert found.rows[0].probes == (2, 4)
    assert (found.rows[0].question, found.notes) == ("items and seeds", [])
    save(results, "keys", "poor", 0.2, probes=1)
    found = compared(results, ["keys"])
    assert (found.rows[0].question, found.rows[0].probes) == ("items", (2, 1))
    assert (found.rows[0].low, found.rows[0].high) == (found.rows[0].items_low, found.rows[0].items_high)
    assert "keys: an encoder has one probe" in found.notes[0]


def test_what_hangs_on_one_item_is_outside_the_family(tmp_path):
    for encoder, skill in (("good", 4.0), ("poor", 0.2)):
        save(tmp_path, "keys", encoder, skill)
        save(tmp_path, "tags", encoder, skill, kind="multilabel", metrics=("map",), positives=1)
    found = compared(tmp_path)
    keys, tags = found.rows
    assert (tags.p, tags.p_holm, tags.low) == (None, None, None)
    assert keys.p_holm == keys.p
    assert any("tags: no interval of map" in note for note in found.notes)


def test_other_conditions_and_limits_are_noted(tmp_path):
    save(tmp_path, "keys", "good", 2.0, limit=60)
    save(tmp_path, "keys", "poor", 1.0, limit=60, protocol="quick")
    notes = compared(tmp_path).notes
    assert "keys: the records differ in protocol paper and quick." in notes
    assert "keys: both runs are limited to 60 items (--limit)." in notes


class TestRefusals:
    @pytest.mark.parametrize(
        ("first", "second", "words"),
        [("godo", "poor", "did you mean good"), ("good", "pour", "did you mean poor"), ("good", "good", "with itself")],
    )
    def test_encoders(self, results, first, second, words):
        with pytest.raises(UserError, match=words):
            compared(results, first=first, second=second)

    def test_a_folder_without_records(self, tmp_path):
        with pytest.raises(UserError, match="there are no records in"):
            compared(tmp_path / "nowhere")

    @pytest.mark.parametrize(
        ("tasks", "words"), [(["kesy"], "keys"), (["pitch"], "poor has none"), (["gtzan"], "neither")]
    )
    def test_tasks(self, results, tasks, words):
        with pytest.raises(UserError, match=words):
            compared(results, tasks)

    def test_metrics(self, results):
        with pytest.raises(UserError, match="did you mean accuracy"):
            compared(results, metric="acuracy")

    def test_permutations(self, results):
        with pytest.raises(UserError, match="give 1 at least"):
            compared(results, permutations=0)

    def test_records_of_other_items_are_named_all_together(self, results):
        save(results, "keys", "poor", 1.0, task_fingerprint="0" * 64)
        save(
            results,
            "tags",
            "poor",
            1.0,
            kind="multilabel",
            metrics=("map", "roc_auc"),
            ids=[f"u{i}" for i in range(60)],
        )
        save(results, "pitch", "poor", 1.0)
        with pytest.raises(UserError) as caught:
            compared(results)
        assert "keys: the task is not the same" in str(caught.value)
        assert "tags: test items differ: 60 only of the first" in str(caught.value)
        assert "--task pitch" in str(caught.value)
        assert len(compared(results, ["pitch"]).rows) == 1

    def test_missing_predictions(self, results):
        for path in (results / "runs" / "keys").glob("poor*.parquet"):
            path.unlink()
        with pytest.raises(RecordError, match="--encoder poor --task keys --overwrite always"):
            compared(results)


def test_names_of_tasks(results):
    records = store.read_all(results)
    assert task_ids(["tags,keys", "keys"], records) == ["tags", "keys"]
    assert task_ids(["*"], records) == ["keys", "pitch", "tags"]
    assert task_ids(["paper"], records) == ["keys", "pitch", "tags"]  # the group of these records
    assert task_ids(["gtzan_ff"], records) == ["gtzan"]  # an alias of a task without records


def test_what_is_printed(results, capsys):
    print(compare("good", "poor", [], results=results, permutations=100))
    text = capsys.readouterr().out
    assert text.startswith("| task")
    assert "On 2 of 2 tasks the difference is significant" in text
    print(compare("good", "poor", ["keys"], results=results, permutations=100, as_json=True))
    content = json.loads(capsys.readouterr().out)
    assert (content["first"], content["rows"][0]["task"], content["rows"][0]["permutations"]) == ("good", "keys", 100)
