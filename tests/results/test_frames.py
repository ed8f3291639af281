"""The table of records: what its rows hold, that none is left out, and what is refused."""

import json

import pandas as pd
import pytest

from results import store
from results.frames import COLUMNS, load_results
from results.record import RecordError
from tests.results.conftest import build_record


@pytest.fixture
def folder(tmp_path):
    results = tmp_path / "results"
    store.write(results, build_record(scores={"weighted_accuracy": 0.7, "accuracy": 0.6}))
    store.write(results, build_record(encoder="other", damaged=2, layer="high"))
    store.write(results, build_record(limit=40))
    point = {"fraction": 0.1, "repeat": 2, "seed": 5, "items": 92, "lost": []}
    store.write(results, build_record(curve=point))
    return results


def test_a_row_is_a_split_and_a_metric_of_a_record(folder):
    frame = load_results(folder)
    full = frame[(frame.encoder == "example") & frame.limit.isna()]
    assert list(zip(full.split, full.metric, full.primary, strict=True)) == [
        ("valid", "weighted_accuracy", True),
        ("valid", "accuracy", False),
        ("test", "weighted_accuracy", True),
        ("test", "accuracy", False),
    ]
    record = store.read(folder / "runs" / "gs_key" / "example.json")
    for _, row in full.iterrows():
        score = getattr(record.scores, row.split)[row.metric]
        assert (row.value, row.low, row.high, row["std"]) == (score.value, score.low, score.high, score.std)
        assert (row.items_low, row.items_high, row.question) == (score.items_low, score.items_high, score.question)
        assert (row.seeds, row.seed_values) == (2, tuple(score.seeds))
        assert row["items"] == record.data.counts[row.split]
        assert (row.trials, row.dim, row.run_key) == (2, record.encoder.dim, record.run_key)
        assert row.path == str(folder / "runs" / "gs_key" / "example.json")


def test_floors_stand_beside_the_test_scores_alone(folder):
    frame = load_results(folder)
    floors = store.read(folder / "runs" / "gs_key" / "example.json").floors
    (row,) = frame[(frame.metric == "accuracy") & (frame.split == "test")].itertuples()
    assert row.constant == floors.constant["accuracy"].value
    assert row.permuted == floors.permuted["accuracy"].value
    assert row.ridge == floors.ridge["accuracy"].value
    valid = frame[frame.split == "valid"]
    assert valid[["constant", "permuted", "ridge"]].isna().all(axis=None)


def test_no_record_is_left_out_silently(folder):
    frame = load_results(folder)
    test = frame[(frame.split == "test") & frame.primary].set_index(["encoder", "limit"])
    assert len(test) == 3
    assert test.partial.to_list() == [False, False, True]
    assert test.reset_index().limit.to_list() == [pd.NA, 40, pd.NA]
    assert frame.layer.dropna().unique().tolist() == ["high"]


def test_points_of_learning_curves_are_read_on_request(folder):
    assert load_results(folder).fraction.isna().all()
    frame = load_results(folder, curves=True)
    points = frame[frame.fraction.notna()]
    assert len(frame) == len(load_results(folder)) + len(points)
    assert set(zip(points.fraction, points.repeat, strict=True)) == {(0.1, 2)}


def test_one_split_gives_a_row_a_record_and_metric(folder):
    frame = load_results(folder, split="test")
    assert frame.split.unique().tolist() == ["test"]
    assert not frame.duplicated(["path", "metric"]).any()
    assert len(frame) == len(load_results(folder, split="valid")) == len(load_results(folder)) / 2
    with pytest.raises(ValueError, match="split 'train' is none of valid, test, all"):
        load_results(folder, split="train")


def test_the_published_score_and_the_status_stand_beside_those_of_test(tmp_path):
    store.write(tmp_path, build_record(encoder="musicset-ularge", scores={"weighted_accuracy": 0.7}))
    store.write(tmp_path, build_record(encoder="other"))
    frame = load_results(tmp_path).set_index(["encoder", "split"])
    assert frame.loc[("musicset-ularge", "test"), "published"] == 0.667
    assert frame.loc[("musicset-ularge", "test"), "status"] in ("reproduced", "undecided", "off", "not comparable")
    rest = frame.drop(("musicset-ularge", "test"))
    assert rest[["published", "status"]].isna().all(axis=None)


def test_several_folders_are_one_table(folder, tmp_path):
    second = tmp_path / "second"
    store.write(second, build_record(encoder="third"))
    frame = load_results([folder, str(second)])
    assert frame.encoder.unique().tolist() == ["example", "other", "third"]
    assert frame.iloc[-1].path == str(second / "runs" / "gs_key" / "third.json")


def test_the_types_do_not_depend_on_the_records(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    empty = load_results(tmp_path / "empty")
    assert len(empty) == 0
    assert list(empty.columns) == list(COLUMNS)
    assert load_results(folder).dtypes.equals(empty.dtypes)


def test_an_undefined_interval_is_missing(tmp_path):
    record = build_record()
    score = record.scores.test["weighted_accuracy"].model_copy(update={"low": None, "high": None, "std": None})
    scores = record.scores.model_copy(update={"test": {"weighted_accuracy": score}})
    floors = record.floors.model_copy(update={"permuted": None, "ridge": None})
    store.write(tmp_path, record.model_copy(update={"scores": scores, "floors": floors}))
    frame = load_results(tmp_path)
    assert frame[frame.split == "test"][["low", "high", "std", "permuted", "ridge"]].isna().all(axis=None)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RecordError, match=r"no results folder .*resluts.*bench run"):
        load_results(tmp_path / "resluts")


def test_a_record_that_was_changed_is_refused(folder):
    path = folder / "runs" / "gs_key" / "other.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["scores"]["test"]["weighted_accuracy"]["value"] = 0.99
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RecordError, match=r"other\.json is not as it was written"):
        load_results(folder)
