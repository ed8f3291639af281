import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.items import Items

ITEMS = Items(
    track_ids=("a", "b", "c", "d", "e"),
    splits=("test", "train", "valid", "train", "train"),
    audio=tuple(Path("audio") / f"{name}.wav" for name in "abcde"),
    groups=("x", "y", "x", "z", "z"),
    targets=np.array([2, 0, 1, 1, 0]),
    labels=("zero", "one", "two"),
)


def test_rows_are_those_of_a_split_in_order():
    assert len(ITEMS) == 5
    assert [ITEMS.rows(split).tolist() for split in ("train", "valid", "test")] == [[1, 3, 4], [2], [0]]
    assert ITEMS.rows("train").dtype == np.int64
    assert ITEMS.rows("dev").tolist() == []


def test_counts_name_every_split_empty_ones_too():
    assert ITEMS.counts() == {"train": 3, "valid": 1, "test": 1}
    assert ITEMS.take(ITEMS.rows("valid")).counts() == {"train": 0, "valid": 1, "test": 0}


def test_each_fold_is_test_once_and_the_next_one_validation():
    items = dataclasses.replace(ITEMS, splits=("1", "2", "3", "2", "1"))
    assert items.of_fold("1").splits == ("test", "valid", "train", "valid", "test")
    assert items.of_fold("3").splits == ("valid", "train", "test", "train", "valid")


@pytest.mark.parametrize("groups", [ITEMS.groups, None])
def test_take_keeps_what_belongs_together_in_the_order_asked(groups):
    taken = dataclasses.replace(ITEMS, groups=groups).take(np.array([4, 0]))
    assert taken.track_ids == ("e", "a")
    assert taken.splits == ("train", "test")
    assert taken.audio == (Path("audio/e.wav"), Path("audio/a.wav"))
    assert taken.groups == (None if groups is None else ("z", "x"))
    assert taken.targets.tolist() == [0, 2]
    assert taken.labels == ITEMS.labels  # a label does not go with the last item that has it


def test_take_keeps_the_rows_of_targets_of_several_columns():
    targets = np.arange(10, dtype=np.float32).reshape(5, 2)
    taken = dataclasses.replace(ITEMS, targets=targets, labels=("p", "q")).take(np.array([1, 3]))
    assert taken.targets.tolist() == [[2, 3], [6, 7]]
    assert ITEMS.take(np.array([], np.int64)).track_ids == ()


CHANGES = {
    "an id": {"track_ids": ("a", "b", "c", "d", "f")},
    "the order of ids": {"track_ids": ("b", "a", "c", "d", "e")},
    "a split": {"splits": ("test", "train", "valid", "train", "valid")},
    "a group": {"groups": ("x", "y", "x", "z", "y")},
    "no groups": {"groups": None},
    "a target": {"targets": np.array([2, 0, 1, 1, 1])},
    "a label": {"labels": ("zero", "one", "three")},
    "the order of labels": {"labels": ("one", "zero", "two")},
    "one more label": {"labels": ("zero", "one", "two", "three")},
    # Joined as plain text these would be the same.
    "where an id ends": {"track_ids": ("ab", "", "c", "d", "e")},
    "a separator in ids": {"track_ids": ("a\x1fb", "c", "d", "e")},
    "a group that moved to the labels": {"groups": (), "labels": ("x", "y", "x", "z", "z", *ITEMS.labels)},
}


def test_the_digest_changes_with_all_that_it_covers():
    digests = {name: dataclasses.replace(ITEMS, **change).digest() for name, change in CHANGES.items()}
    assert ITEMS.digest() not in digests.values()
    assert len(set(digests.values())) == len(CHANGES)


def test_the_digest_does_not_change_when_the_data_moves():
    moved = dataclasses.replace(ITEMS, audio=tuple(Path("/elsewhere") / path.name for path in ITEMS.audio))
    assert moved.digest() == ITEMS.digest()
    assert len(ITEMS.digest()) == 64


def test_the_digest_does_not_depend_on_how_targets_lie_in_memory():
    targets = np.arange(10, dtype=np.float32).reshape(5, 2)
    flat, turned = (dataclasses.replace(ITEMS, targets=array) for array in (targets, np.asfortranarray(targets)))
    assert flat.digest() == turned.digest()


@given(st.lists(st.tuples(*[st.text(max_size=2)] * 3), min_size=1, max_size=3), st.data())
def test_items_have_equal_digests_just_if_their_names_are_equal(rows, data):
    def items(rows):
        ids, groups, labels = zip(*rows, strict=True)
        return Items(ids, ("train",) * len(rows), (Path("a"),) * len(rows), groups, np.zeros(0), labels)

    others = data.draw(st.lists(st.tuples(*[st.text(max_size=2)] * 3), min_size=1, max_size=3))
    assert items(rows).digest() == items(list(rows)).digest()
    assert (items(rows).digest() == items(others).digest()) == (rows == others)


def test_a_frame_has_one_row_an_item():
    frame = ITEMS.frame()
    assert list(frame.columns) == ["track_id", "split", "audio", "group", "target"]
    assert frame.iloc[0].tolist() == ["a", "test", str(Path("audio/a.wav")), "x", 2]
    assert frame["target"].tolist() == [2, 0, 1, 1, 0]
    several = dataclasses.replace(ITEMS, groups=None, targets=np.eye(5, 3, dtype=np.float32)).frame()
    assert several["group"].isna().all()
    assert several["target"][1].tolist() == [0, 1, 0]


def test_items_cannot_be_reassigned():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ITEMS.labels = ()
