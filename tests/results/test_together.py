"""Records of several folders are read as one; clashes are named, examples stand apart."""

import pytest

from results import leaderboard, store
from results.record import RecordError
from results.together import place_of, read_together


def test_records_of_two_folders_and_where_each_lies(make_record, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    store.write(one, make_record("x", "a"))
    store.write(two, make_record("x", "b"))
    together = read_together([one, two])
    assert [record.encoder.id for record in together.records] == ["a", "b"]
    assert [together.folder_of(record) for record in together.records] == [one, two]


def test_the_same_run_in_both_counts_once(make_record, tmp_path):
    for folder in ("one", "two"):
        store.write(tmp_path / folder, make_record("x", "a"))
    assert len(read_together([tmp_path / "one", tmp_path / "two"]).records) == 1


def test_clashes_are_all_named_with_both_files(make_record, tmp_path):
    for folder, key in (("one", "a" * 12), ("two", "b" * 12)):
        for task in ("x", "y"):
            store.write(tmp_path / folder, make_record(task, "a").model_copy(update={"run_key": key}))
    with pytest.raises(RecordError, match=r"2 record\(s\) clash.*leave one --results out") as refused:
        read_together([tmp_path / "one", tmp_path / "two"])
    for task in ("x", "y"):
        for folder in ("one", "two"):
            assert str(tmp_path / folder / "runs" / task / "a.json") in str(refused.value)


def test_examples_fill_what_is_not_ones_own_and_stand_below_it_marked(make_record, tmp_path):
    own, examples = tmp_path / "own", tmp_path / "examples"
    store.write(own, make_record("x", "zz").model_copy(update={"run_key": "a" * 12}))
    for encoder in ("aa", "zz"):
        store.write(examples, make_record("x", encoder).model_copy(update={"run_key": "b" * 12}))
    together = read_together([own], examples)
    assert {place_of(record) for record in together.records} == {("x", "aa", None), ("x", "zz", None)}
    assert together.examples == {("x", "aa", None)}
    page = leaderboard.render(together.records, together.examples).compact
    assert page.index("| ◆ zz") < page.index("| ◇ aa")
    assert "`◇` marks an example that came with the package" in page
    assert "◇" not in leaderboard.render(together.records).compact


def test_points_of_learning_curves_are_read_on_request_and_clash_by_point(make_record, tmp_path):
    point = {"fraction": 0.5, "repeat": 0}
    for folder, key in (("one", "a" * 12), ("two", "b" * 12)):
        store.write(tmp_path / folder, make_record("x", "a", run_key="c" * 12))
        record = make_record("x", "a", curve=point | {"repeat": 0 if folder == "one" else 1}, run_key=key)
        store.write(tmp_path / folder, record)
    folders = [tmp_path / "one", tmp_path / "two"]
    assert read_together(folders).curves == ()
    together = read_together(folders, curves=True)
    assert [record.curve.repeat for record in together.curves] == [0, 1]
    assert [record.curve for record in together.records] == [None]
    assert [together.folder_of(record) for record in together.curves] == folders
    store.write(tmp_path / "two", make_record("x", "a", curve=point, run_key="b" * 12))
    with pytest.raises(RecordError, match=r"1 record\(s\) clash"):
        read_together(folders, curves=True)
    assert len(read_together(folders).records) == 1
