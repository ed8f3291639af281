"""What a run leaves out, counted by split and class."""

from pathlib import Path

import numpy as np
import pytest

import benchmark
from benchmark.errors import UserError
from benchmark.jobs.left_out import left_out, place_of, tell
from tasks.card import TaskCard
from tasks.items import Items

SPLITS = ("train", "train", "train", "valid", "valid", "test", "test", "test")
IDS = tuple("abcdefgh")
CLASSES = np.array([0, 1, 2, 0, 1, 0, 1, 1])


def items(targets=CLASSES, labels=("x", "y", "z")):
    return Items(IDS, SPLITS, (Path("a.wav"),) * 8, None, targets, labels)


def card(kind="multiclass", metric="accuracy", **more):
    labels = {} if kind == "regression" else {"outputs": ("o",)}
    return TaskCard(
        id="t", title="T", kind=kind, metrics=(metric,), collection="c", **({"outputs": ("o",)} | labels | more)
    )


def test_items_are_counted_by_split_and_class_and_emptied_classes_are_named():
    found = left_out(card(), items(), ["c", "f", "(1 more items of test than the card)"], {"a", "g"})
    assert found.of == {"train": 3, "valid": 2, "test": 3}
    assert found.missing_by_split == {"train": 1, "valid": 0, "test": 1}
    assert found.missing_by_class == {"train": {"z": 1}, "test": {"x": 1}}
    assert found.damaged_by_split == {"train": 1, "valid": 0, "test": 1}
    assert found.damaged_by_class == {"train": {"x": 1}, "test": {"y": 1}}
    assert found.emptied == {"train": ["x", "z"], "test": ["x"]}  # y has a test item left, and z never had one


def test_of_several_classes_each_counts():
    targets = np.eye(3, dtype=np.float32)[CLASSES]
    targets[5] = 1
    found = left_out(card("multilabel", "map"), items(targets), ["f"], ())
    assert found.missing_by_class == {"test": {"x": 1, "y": 1, "z": 1}}
    assert found.emptied == {"test": ["x", "z"]}


def test_numbers_have_no_classes():
    found = left_out(card("regression", "r2_o"), items(np.zeros((8, 1), np.float32), ("o",)), ["f"], ())
    assert (found.missing_by_split["test"], found.missing_by_class, found.emptied) == (1, {}, {})


def test_items_that_the_annotations_lack_are_missing_and_of_no_class():
    found = left_out(card(sizes={"train": 5, "valid": 2, "test": 2}), items(), [], ())
    assert found.of == {"train": 5, "valid": 2, "test": 3}
    assert found.missing_by_split == {"train": 2, "valid": 0, "test": 0}
    assert found.missing_by_class == found.emptied == {}


@pytest.mark.parametrize("missing", [[], ["(1 more items of test than the card)"], ["stranger"]])
def test_nothing_left_out_is_none(missing):
    assert left_out(card(), items(), missing, ()) is None


def test_format_left_out(reports):
    tell(card(), items(), ["f"], ["g", "h"], reports)
    tell(card(), items(), [], [], reports)
    assert reports.said == [
        "t is partial, left out: 3 of 3 test items (1 missing, 2 damaged); no test item is left of x, y. Its record "
        "says so, and the leaderboard keeps it apart.",
        "Damaged in t: a.wav ('g', test, class 'y'); a.wav ('h', test, class 'y'). 'bench data verify t' says what is "
        "the matter; mend or replace them and run again to score all of it.",
    ]


def test_of_many_damaged_files_the_first_are_told(reports):
    tell(card(), items(), [], IDS, reports)
    assert reports.said[1].count("a.wav") == 5
    assert " and 3 more, which the record names. " in reports.said[1]


def test_which_item_a_row_is():
    several = np.zeros((8, 3), np.float32)
    several[0, 1:] = 1
    assert place_of(card("multilabel", "map"), items(several), 0) == "'a', train, classes 'y', 'z'"
    assert place_of(card("multilabel", "map"), items(several), 5) == "'f', test, no class"
    numbers = items(np.zeros((8, 1), np.float32), ("o",))
    assert place_of(card("regression", "r2_o"), numbers, 3) == "'d', valid"
    hostile = items(labels=("x\nbench: \x1b[2J", "y", "z"))
    assert place_of(card(), hostile, 0) == r"'a', train, class 'x\nbench: \x1b[2J'"


def test_classes_that_hold_lines_are_told_in_one(reports):
    tell(card(), items(labels=("x\nbench: all is well\x1b[2J", "y", "z")), ["f"], [], reports)
    assert "\n" not in reports.said[0]
    assert r"no test item is left of x bench: all is well\u001b[2J." in reports.said[0]


@pytest.fixture
def reports():
    class Reports:
        def __init__(self):
            self.said = []

        def say(self, text):
            self.said.append(text)

    return Reports()


def test_missing_audio_of_a_card_of_ones_own_is_left_out_where_that_is_allowed(make_task, bands, tmp_path, capsys):
    card = make_task(per_class=10)
    places = {"home": tmp_path / "home", "results": tmp_path / "results", "trials": 1, "seeds": 1, "workers": 0}
    gone = card.parent / "audio" / "t004.flac"
    gone.unlink()
    (card.parent / "audio" / "t005.flac").write_bytes(b"")
    with pytest.raises(UserError) as error:
        benchmark.run(bands, card, **places)
    message = str(error.value)
    assert "lacks 1 of 30 audio files, and --allow-missing is 0: see 'bench data verify " in message
    assert f"\n  t004: {gone}" in message
    assert f"with 0 bytes, which counts as damaged: {card.parent / 'audio' / 't005.flac'}" in message
    assert "'bench data verify " in message
    with pytest.raises(UserError, match=r"1 damaged track\(s\), and --allow-damaged is 0(.|\n)*t005") as error:
        benchmark.run(bands, card, **places, allow_missing=1)
    assert "\nMissing in tones, as --allow-missing allows: 't004'\n" in str(error.value)
    record = benchmark.run(bands, card, **places, allow_missing=1, allow_damaged=1)
    assert record.data.missing == ["t004"]
    assert record.data.left_out.missing_by_split == {"train": 1, "valid": 0, "test": 0}
    assert record.data.left_out.damaged_by_split == {"train": 1, "valid": 0, "test": 0}
    assert sum(record.data.counts.values()) == 28


def test_thin_splits_of_a_card_of_ones_own_are_warned_about(make_task, capsys):
    from benchmark.jobs.items import prepare
    from benchmark.jobs.options import Options
    from benchmark.system.progress import Silent
    from tasks import registry

    told = []

    class Telling(Silent):
        def say(self, text):
            told.append(text)

    tasks = registry.find(str(make_task(per_class=10)))
    prepare(tasks, Options(), Telling(), audio=False)
    assert [text for text in told if text.startswith("Warning, tones: test has 6 items")]
    told.clear()
    prepare(tasks, Options(limit=20), Telling(), audio=False)
    assert told == []
