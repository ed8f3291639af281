from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from results import store
from results.predictions import read_split
from results.record import Record, RecordError
from results.rerun import rerun


def table(targets, outputs, labels=("a", "b"), groups=None) -> pa.Table:
    """Return predictions as a run writes them: two items of valid, then those of test."""
    n = len(targets)
    columns = {
        "split": ["valid"] * 2 + ["test"] * (n - 2),
        "track_id": [f"t{i}" for i in range(n)],
        "group": pa.array(groups or [None] * n, pa.string()),
        "target": list(targets) if targets.ndim > 1 else targets,
    }
    for i, output in enumerate(outputs):
        columns[f"outputs_{i}"] = pa.FixedSizeListArray.from_arrays(pa.array(output.ravel()), output.shape[1])
    return pa.table(columns).replace_schema_metadata({"labels": "\x1f".join(labels)})


def save(results: Path, record: Record, predictions: pa.Table) -> Record:
    name = store.write_predictions(
        results, record.task.id, record.encoder.id, record.run_key, predictions, record.limit
    )
    record = record.model_copy(update={"predictions": name})
    store.write(results, record)
    return record


def of_kind(record: Record, kind: str) -> Record:
    return record.model_copy(update={"task": record.task.model_copy(update={"kind": kind})})


OUTPUTS = [np.arange(12, dtype=np.float32).reshape(6, 2) + i for i in range(2)]


def test_a_split_of_classes_comes_back_as_it_was_written(tmp_path, make_record):
    targets = np.array([0, 1, 1, 0, 1, 0])
    record = save(tmp_path, make_record(), table(targets, OUTPUTS, groups=list("aabbcc")))
    found = read_split(tmp_path, record)
    assert found.track_ids == ("t2", "t3", "t4", "t5")
    assert found.groups == ("b", "b", "c", "c")
    assert found.labels == ("a", "b")
    assert found.targets.dtype == np.int64
    assert found.targets.tolist() == [1, 0, 1, 0]
    assert all(np.array_equal(a, b[2:]) for a, b in zip(found.outputs, OUTPUTS, strict=True))
    assert read_split(tmp_path, record, "valid").track_ids == ("t0", "t1")


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_targets_with_columns_and_no_groups(tmp_path, make_record, kind):
    targets = np.eye(2, dtype=np.float32)[[0, 1, 1, 0, 1, 0]]
    found = read_split(tmp_path, save(tmp_path, of_kind(make_record(), kind), table(targets, OUTPUTS)))
    assert found.groups is None
    assert np.array_equal(found.targets, targets[2:])


def test_items_are_taken_in_the_order_asked(tmp_path, make_record):
    record = save(tmp_path, make_record(), table(np.array([0, 1, 1, 0, 1, 0]), OUTPUTS, groups=list("aabbcd")))
    taken = read_split(tmp_path, record).take(np.array([3, 0]))
    assert (taken.track_ids, taken.groups, taken.targets.tolist()) == (("t5", "t2"), ("d", "b"), [0, 1])
    assert taken.outputs[1].tolist() == OUTPUTS[1][[5, 2]].tolist()


def test_missing_predictions_name_the_command_that_makes_them_again(tmp_path, make_record):
    with pytest.raises(RecordError, match=r"is not there.*bench run --encoder mine --task gs_key --overwrite always$"):
        read_split(tmp_path, make_record(encoder="mine"))


def test_the_command_keeps_the_limit_and_quotes_names(make_record):
    assert rerun(make_record(encoder="a b", limit=40)) == (
        "bench run --encoder 'a b' --task gs_key --limit 40 --overwrite always"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found: found.drop_columns(["target"]), "target"),
        (lambda found: found.drop_columns(["outputs_0", "outputs_1"]), "no outputs"),
        (lambda found: found.replace_schema_metadata({}), "labels"),
        (lambda found: found.slice(0, 2), "no items of test"),
        (lambda found: pa.concat_tables([found, found]), "twice"),
    ],
)
def test_a_file_that_is_something_else_is_refused_by_name(tmp_path, make_record, change, words):
    record = save(tmp_path, make_record(), change(table(np.array([0, 1, 1, 0, 1, 0]), OUTPUTS)))
    with pytest.raises(RecordError, match=words) as caught:
        read_split(tmp_path, record)
    assert record.predictions in str(caught.value)
    assert "--overwrite always" in str(caught.value)
