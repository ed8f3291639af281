from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results import store
from results.record import RecordError

A, B, C = "a" * 64, "b" * 64, "c" * 64
PREDICTIONS = pa.table({"track_id": ["1", "2"], "score": pa.array([0.25, 0.75], pa.float32())})


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.tmp"))


# names


@pytest.mark.parametrize("name", ["musicset-ularge", "mule.v2", "gs_key", "a"])
def test_a_plain_id_is_its_own_file_name(name: str) -> None:
    assert store.slug(name) == name


@pytest.mark.parametrize(
    "name", ["hf:a/b", "MERT", "a b", "x?layer=3", "../etc", "a.limit-5", "é", "x" * 300, "-a", "a."]
)
def test_any_other_id_is_marked_by_its_hash(name: str) -> None:
    stem, _, digest = store.slug(name).partition("~")
    assert len(digest) == 8
    assert int(digest, 16) >= 0
    assert not set(stem) & set('/\\:?*"<>| ')
    assert len(stem) <= 100


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=20, unique=True))
def test_different_ids_have_different_file_names(names: list[str]) -> None:
    assert len({store.slug(name).lower() for name in names}) == len(names)


@given(st.text(min_size=1).filter(str.strip))
def test_a_marked_name_taken_as_an_id_gets_another_name(name: str) -> None:
    once = store.slug(name)
    assert once == name or store.slug(once) != once


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip), st.integers(1, 999))
def test_a_limited_run_never_has_the_file_of_a_full_one(one: str, other: str, limit: int) -> None:
    root = Path("results")
    assert store.record_path(root, "t", one, limit) != store.record_path(root, "t", other)
    assert store.record_path(root, "t", f"{one}.limit-{limit}") != store.record_path(root, "t", one, limit)


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_id_is_refused(name: str) -> None:
    with pytest.raises(RecordError, match="empty"):
        store.slug(name)


# writing and reading


def test_what_is_written_is_read(tmp_path: Path, make_record) -> None:
    record = make_record(encoder="hf:m/Ä|B?layer=3", scores={"accuracy": 0.1 + 0.2})
    path = store.write(tmp_path, record)
    assert path == store.record_path(tmp_path, "gs_key", record.encoder.id)
    assert store.read(path) == record
    assert store.read_all(tmp_path) == [record]


def test_the_file_is_readable_json_with_the_permissions_of_any_new_file(tmp_path: Path, make_record) -> None:
    path = store.write(tmp_path, make_record())
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode
    text = path.read_text(encoding="utf-8")
    assert text.startswith('{\n  "schema_version": 3,')
    assert text.endswith("}\n")


def test_no_results_give_an_empty_list(tmp_path: Path) -> None:
    assert store.read_all(tmp_path) == []
    assert store.read_all(tmp_path / "absent") == []


def test_records_come_sorted_with_limited_runs_and_without_history(tmp_path: Path, make_record) -> None:
    for task, encoder, limit in [("mtt", "b", None), ("mtt", "a", 5), ("emo", "z", None), ("mtt", "a", None)]:
        store.write(tmp_path, make_record(task=task, encoder=encoder, limit=limit, run_key=A))
    store.write(tmp_path, make_record(task="mtt", encoder="b", run_key=B))
    found = [(record.task.id, record.encoder.id, record.limit) for record in store.read_all(tmp_path)]
    assert found == [("emo", "z", None), ("mtt", "a", None), ("mtt", "a", 5), ("mtt", "b", None)]


def test_a_record_in_the_place_of_another_is_refused(tmp_path: Path, make_record) -> None:
    path = store.write(tmp_path, make_record(encoder="right"))
    path.with_name("copy.json").write_bytes(path.read_bytes())
    with pytest.raises(RecordError, match=r"copy\.json holds the record of right on gs_key, which belongs in .*right"):
        store.read_all(tmp_path)


# history


def test_a_displaced_record_goes_into_the_history(tmp_path: Path, make_record) -> None:
    first, second = make_record(run_key=A), make_record(run_key=B)
    store.write(tmp_path, first)
    path = store.write(tmp_path, second)
    assert store.read(path) == second
    assert store.read(path.parent / "history" / f"example.{'a' * 12}.json") == first


def test_the_same_run_replaces_its_record(tmp_path: Path, make_record) -> None:
    store.write(tmp_path, make_record(run_key=A))
    path = store.write(tmp_path, make_record(run_key=A, scores={"accuracy": 0.5}))
    assert list(store.read(path).scores.test) == ["accuracy"]
    assert not (path.parent / "history").exists()


def test_a_limited_run_displaces_nothing(tmp_path: Path, make_record) -> None:
    full = make_record(run_key=A)
    store.write(tmp_path, full)
    store.write(tmp_path, make_record(run_key=B, limit=10))
    assert store.read(store.record_path(tmp_path, "gs_key", "example")) == full
    assert not (tmp_path / "runs" / "gs_key" / "history").exists()


@pytest.mark.parametrize("text", ["{ torn", "[]", '{"run_key": 5}', '{"run_key": "../../x"}', "\udcff"])
def test_an_unreadable_record_is_kept_too(tmp_path: Path, make_record, text: str) -> None:
    path = store.record_path(tmp_path, "gs_key", "example")
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    store.write(tmp_path, make_record())
    (kept,) = (path.parent / "history").iterdir()
    assert kept.name.startswith("example.unreadable-")
    assert kept.read_bytes() == text.encode("utf-8", "surrogateescape")


# learning curves


POINT = {"fraction": 0.05, "repeat": 1}


def test_a_point_of_a_curve_lies_in_a_folder_of_its_own(tmp_path: Path, make_record) -> None:
    record = make_record(curve=POINT)
    path = store.write(tmp_path, record)
    assert path == tmp_path / "curves" / "gs_key" / "example" / "fraction-0.05.repeat-1.json"
    assert path == store.record_path(tmp_path, "gs_key", "example", curve="fraction-0.05.repeat-1")
    assert store.read(path) == record
    assert store.read_all(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves"]
    limited = store.write(tmp_path, make_record(curve=POINT, limit=9))
    assert limited.parent.name == "example.limit-9"


def test_a_point_is_displaced_into_a_history_of_its_own_with_its_predictions(tmp_path: Path, make_record) -> None:
    for key, rows in ((A, 1), (B, 2)):
        table = PREDICTIONS.slice(0, rows)
        name = store.write_predictions(tmp_path, "gs_key", "example", key, table, curve="fraction-0.05.repeat-1")
        path = store.write(tmp_path, make_record(curve=POINT, run_key=key, predictions=name))
    assert store.read(path).run_key == B
    past = store.read(path.parent / "history" / f"fraction-0.05.repeat-1.{'a' * 12}.json")
    assert store.read_predictions(tmp_path, past).num_rows == 1
    assert store.read_predictions(tmp_path, store.read(path)).num_rows == 2


@pytest.mark.parametrize("displaced", [False, True])
def test_a_broken_point_is_named_with_the_command(tmp_path: Path, make_record, displaced: bool) -> None:
    path = store.write(tmp_path, make_record(curve=POINT, limit=7, run_key=A, protocol="quick"))
    if displaced:
        store.write(tmp_path, make_record(curve=POINT, limit=7, run_key=B))
        path = path.parent / "history" / f"fraction-0.05.repeat-1.{'a' * 12}.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"dim": 1728', '"dim": "x"'), encoding="utf-8")
    command = "bench run --encoder example --task gs_key --limit 7"
    with pytest.raises(RecordError, match=r"field encoder\.dim") as caught:
        store.read(path)
    assert str(caught.value).endswith(f"{command} --protocol quick --train-fraction 0.05 --repeats 2")
    path.write_text("{")
    with pytest.raises(RecordError, match="not whole JSON") as caught:
        store.read(path)
    assert str(caught.value).endswith(f"{command} --train-fraction 0.05 --repeats 2")


# crashes and rivals


@pytest.mark.parametrize("survives", [0, 1])
def test_a_crash_before_the_commit_leaves_the_old_record(
    tmp_path: Path, make_record, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    """The first rename keeps the old record in the history, the second puts the new one in place."""
    old, new = make_record(run_key=A), make_record(run_key=B)
    store.write(tmp_path, old)
    calls, replace = [], os.replace

    def crash(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) > survives:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            store.write(tmp_path, new)
    assert store.read_all(tmp_path) == [old]
    assert leftovers(tmp_path) == []
    store.write(tmp_path, new)
    assert store.read_all(tmp_path) == [new]


def test_a_run_cut_off_between_predictions_and_record_mixes_nothing(tmp_path: Path, make_record) -> None:
    name = store.write_predictions(tmp_path, "gs_key", "example", A, PREDICTIONS)
    old = make_record(run_key=A, predictions=name)
    store.write(tmp_path, old)
    other = store.write_predictions(tmp_path, "gs_key", "example", B, PREDICTIONS.slice(0, 1))
    (current,) = store.read_all(tmp_path)
    assert other != name
    assert store.read_predictions(tmp_path, current) == PREDICTIONS


def test_a_killed_writer_leaves_a_file_that_nobody_reads(tmp_path: Path, make_record) -> None:
    record = make_record()
    path = store.write(tmp_path, record)
    path.with_name(".example.json.01234567.tmp").write_text("{ torn")
    assert store.read_all(tmp_path) == [record]


def test_writers_of_one_record_lose_nothing(tmp_path: Path, make_record) -> None:
    records = [make_record(run_key=f"{i:064x}"[::-1]) for i in range(8)]
    start = threading.Barrier(len(records))

    def write(record) -> None:
        start.wait()
        store.write(tmp_path, record)

    threads = [threading.Thread(target=write, args=(record,)) for record in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (current,) = store.read_all(tmp_path)
    history = [store.read(path) for path in (tmp_path / "runs" / "gs_key" / "history").iterdir()]
    assert {record.run_key for record in [current, *history]} == {record.run_key for record in records}
    assert leftovers(tmp_path) == []


def test_a_lock_that_stays_is_named(tmp_path: Path, make_record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.05)
    (tmp_path / "runs").mkdir()
    with (
        store.FileLock(tmp_path / "runs" / ".lock"),
        pytest.raises(RecordError, match=r"another run has held .*\.lock"),
    ):
        store.write(tmp_path, make_record())
    assert store.read_all(tmp_path) == []


# predictions


def test_predictions_are_found_from_the_record_and_from_the_history(tmp_path: Path, make_record) -> None:
    for key, rows in [(A, 1), (B, 2)]:
        name = store.write_predictions(tmp_path, "gs_key", "hf:a/b", key, PREDICTIONS.slice(0, rows))
        store.write(tmp_path, make_record(encoder="hf:a/b", run_key=key, predictions=name))
    (current,) = store.read_all(tmp_path)
    (past,) = (tmp_path / "runs" / "gs_key" / "history").iterdir()
    assert store.read_predictions(tmp_path, current).num_rows == 2
    assert store.read_predictions(tmp_path, store.read(past)).num_rows == 1


def test_predictions_of_a_limited_run_are_named_by_the_limit(tmp_path: Path) -> None:
    name = store.write_predictions(tmp_path, "gs_key", "example", A, PREDICTIONS, limit=5)
    assert name == f"example.limit-5.{'a' * 12}.parquet"


@pytest.mark.parametrize(("damage", "problem"), [(Path.unlink, "is not there"), (Path.touch, "cannot be read")])
def test_lost_predictions_are_named_with_the_command(tmp_path: Path, make_record, damage, problem: str) -> None:
    name = store.write_predictions(tmp_path, "gs_key", "example", A, PREDICTIONS, limit=5)
    record = make_record(run_key=A, predictions=name, limit=5)
    path = store.predictions_path(tmp_path, record)
    path.write_bytes(path.read_bytes()[:-10])
    damage(path)
    with pytest.raises(RecordError, match=problem) as caught:
        store.read_predictions(tmp_path, record)
    assert str(caught.value).endswith("bench run --encoder example --task gs_key --limit 5 --overwrite always")


@pytest.mark.parametrize("name", ["../x.parquet", "/x.parquet", "a/b.parquet", "..", "a\\b", "C:x"])
def test_predictions_elsewhere_are_refused(tmp_path: Path, make_record, name: str) -> None:
    record = make_record()
    with pytest.raises(RecordError, match="not the name"):
        store.write(tmp_path, record.model_copy(update={"predictions": name}))
    path = store.write(tmp_path, record)
    content = json.loads(path.read_text(encoding="utf-8")) | {"predictions": name}
    for version in (2, 3):
        path.write_text(json.dumps(content | {"schema_version": version}), encoding="utf-8")
        with pytest.raises(RecordError, match=r"field predictions: .* is not the name of a file in"):
            store.read(path)


@pytest.mark.parametrize("key", ["", "abc", "../../../../x", "G" * 64])
def test_a_run_key_that_cannot_name_a_file_is_refused(tmp_path: Path, make_record, key: str) -> None:
    with pytest.raises(RecordError, match="run_key"):
        store.write(tmp_path, make_record().model_copy(update={"run_key": key}))
    with pytest.raises(RecordError, match="run_key"):
        store.write_predictions(tmp_path, "gs_key", "example", key, PREDICTIONS)


# what is refused


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_not_written(tmp_path: Path, make_record, value: float) -> None:
    record = make_record()
    score = record.scores.test["weighted_accuracy"]
    record.scores.test["weighted_accuracy"] = score.model_copy(update={"seeds": [0.5, value]})
    with pytest.raises(RecordError, match=r"field scores\.test\.weighted_accuracy\.seeds\.1 is NaN or infinite"):
        store.write(tmp_path, record)
    assert store.read_all(tmp_path) == []


def test_a_record_changed_into_an_invalid_one_is_not_written(tmp_path: Path, make_record) -> None:
    with pytest.raises(RecordError, match=r"field created"):
        store.write(tmp_path, make_record().model_copy(update={"created": 5}))
    assert store.read_all(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"std": 0.01', '"std": NaN', "NaN is not JSON"),
        ('"std": 0.01', '"std": 1e999', r"field scores\.valid\.accuracy\.std"),
        ('"std": 0.01', '"std": "wide"', r"field scores\.valid\.accuracy\.std"),
        ('"schema_version": 3', '"schema_version": 1', "field schema_version is 1.* reads 2 and 3"),
        ('"schema_version": 3', '"schema_version": true', "field schema_version is True"),
        ('"schema_version": 3', '"schema_version": [3]', "field schema_version is"),
        ('"schema_version": 3,', "", "field schema_version is None"),
        ('"limit": null', '"limit": null, "colour": 1', "field colour"),
        ('"dim": 1728', '"size": 1728', r"field encoder\.dim"),
        ('"run_key"', "run_key", "not whole JSON"),
    ],
)
def test_a_bad_file_is_named_with_its_field_and_the_command(
    tmp_path: Path, make_record, old: str, new: str, problem: str
) -> None:
    path = store.write(tmp_path, make_record(encoder="example", scores={"accuracy": 0.5}))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(RecordError, match=problem) as caught:
        store.read_all(tmp_path)
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith("bench run --encoder example --task gs_key")


def test_the_command_names_the_encoder_as_the_user_types_it(tmp_path: Path, make_record) -> None:
    path = store.write(tmp_path, make_record(encoder="hf:a/b c?layer=1", limit=7))
    path.write_text(path.read_text(encoding="utf-8").replace('"dim": 1728', '"dim": "x"'), encoding="utf-8")
    with pytest.raises(RecordError) as caught:
        store.read(path)
    command = str(caught.value).partition("again: ")[2]
    assert shlex.split(command) == [
        *["bench", "run", "--encoder", "hf:a/b c?layer=1", "--task", "gs_key", "--limit", "7"]
    ]


def test_a_protocol_of_another_version_is_not_in_the_command(tmp_path: Path, make_record) -> None:
    path = store.write(tmp_path, make_record(protocol="quick"))
    for version, ending in ((1, "--task gs_key"), (2, "--task gs_key --protocol quick")):
        content = {**json.loads(path.read_text(encoding="utf-8")), "schema_version": version, "colour": "red"}
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(RecordError) as caught:
            store.read(path)
        assert str(caught.value).endswith(ending)


@pytest.mark.parametrize("content", ["[]", "5", '"x"', "null", "", "[" * 20])
def test_json_that_is_no_record_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "runs" / "mtt" / "a.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(RecordError, match=r"a\.json"):
        store.read(path)


@settings(deadline=None)
@given(st.data())
def test_a_torn_file_is_refused(tmp_path_factory: pytest.TempPathFactory, make_record, data: st.DataObject) -> None:
    path = store.write(tmp_path_factory.mktemp("torn"), make_record())
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 3))])
    with pytest.raises(RecordError, match=r"example\.json is not whole JSON"):
        store.read(path)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "mtt" / "a.json"
    with pytest.raises(RecordError, match=r"a\.json is not there.*bench run --encoder a --task mtt"):
        store.read(path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecordError, match=r"a\.json cannot be read"):
        store.read(path)


def test_unknown_keys_inside_json_stay_unknown_at_any_depth(tmp_path: Path, make_record) -> None:
    path = store.write(tmp_path, make_record())
    content = json.loads(path.read_text(encoding="utf-8"))
    content["search"]["trials"][1]["colour"] = "red"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RecordError, match=r"field search\.trials\.1\.colour"):
        store.read(path)


def test_importing_the_store_is_light() -> None:
    code = "import sys, results.store; print(*{'pyarrow', 'pandas', 'torch', 'numpy', 'tabulate'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
