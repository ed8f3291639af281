"""Audits of small splits with known leaks."""

from pathlib import Path

import numpy as np
import pytest

from tasks.audit import Audit, audit, duplicates, findings, shared_between
from tasks.errors import TaskError
from tasks.items import Items

SPLITS = ("train", "train", "train", "valid", "valid", "test", "test")


def items(splits=SPLITS, groups=None, audio=None, targets=None, labels=("a", "b", "c")):
    n = len(splits)
    return Items(
        tuple(f"t{i}" for i in range(n)),
        tuple(splits),
        tuple(Path("/audio") / name for name in (audio or [f"{i}.wav" for i in range(n)])),
        None if groups is None else tuple(groups),
        np.array([0, 1, 2, 0, 1, 0, 1]) if targets is None else targets,
        tuple(labels),
    )


def texts(found, documented=None, errors=True):
    return [finding.text for finding in findings(found, documented) if finding.is_error == errors]


class TestAudit:
    def test_nothing_is_shared(self):
        found = audit(items(groups="abcdefg"), "multiclass", {})
        assert found.counts == {"train": 3, "valid": 2, "test": 2}
        assert set(found.shared) == {"groups", "files", "content"}
        assert not any(both for pairs in found.shared.values() for both in pairs.values())
        assert findings(found)[0].text == "1 label(s) without an item in valid (c)"
        assert texts(found) == []

    def test_groups(self):
        found = audit(items(groups="abcabaz"), "multiclass")
        assert found.shared["groups"] == {"train/valid": ("a", "b"), "train/test": ("a",), "valid/test": ("a",)}
        assert len(texts(found)) == 3
        assert texts(found)[0] == "2 group(s) in both train and valid (a, b): an undocumented leak"

    def test_without_groups_or_content_these_are_not_said_to_be_sound(self):
        assert set(audit(items(), "multiclass").shared) == {"files"}

    def test_one_file_in_two_splits(self):
        found = audit(items(audio=["x", "b", "c", "d", "e", "x", "g"]), "multiclass", {Path("/audio/x"): "h"})
        assert found.shared["files"]["train/test"] == ("/audio/x",)
        assert not any(found.shared["content"].values())

    def test_one_content_in_two_splits(self):
        content = {Path(f"/audio/{i}.wav"): key for i, key in enumerate("pqrpqpp")}
        found = audit(items(), "multiclass", content)
        assert found.shared["content"] == {
            "train/valid": ("t0=t3", "t1=t4"),
            "train/test": ("t0=t5=t6",),
            "valid/test": ("t3=t5=t6",),
        }

    def test_one_content_within_a_split_is_no_leak(self):
        content = {Path("/audio/0.wav"): "h", Path("/audio/1.wav"): "h"}
        assert not any(audit(items(), "multiclass", content).shared["content"].values())

    def test_prevalence_of_classes(self):
        found = audit(items(), "multiclass")
        assert found.prevalence["train"] == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
        assert found.prevalence["test"] == {"a": 0.5, "b": 0.5, "c": 0.0}
        assert found.absent == {"train": (), "valid": ("c",), "test": ("c",)}

    def test_prevalence_of_tags(self):
        targets = np.zeros((7, 2), np.float32)
        targets[:2, 0] = targets[5, 1] = 1
        found = audit(items(targets=targets, labels=("x", "y")), "multilabel")
        assert found.prevalence["train"] == pytest.approx({"x": 2 / 3, "y": 0.0})
        assert found.absent == {"train": ("y",), "valid": ("x", "y"), "test": ("x",)}

    def test_regression_has_no_labels(self):
        found = audit(items(targets=np.zeros((7, 2), np.float32), labels=("v", "a")), "regression")
        assert found.prevalence == found.absent == {}

    def test_an_empty_split(self):
        found = audit(items(splits=["train"] * 7), "multiclass")
        assert found.absent["test"] == ("a", "b", "c")
        assert found.prevalence["test"] == {"a": 0.0, "b": 0.0, "c": 0.0}


class TestFindings:
    @pytest.fixture
    def leaky(self) -> Audit:
        return audit(items(groups="abcdeaz"), "multiclass")

    def test_an_undocumented_leak_is_an_error(self, leaky):
        assert texts(leaky) == ["1 group(s) in both train and test (a): an undocumented leak"]

    def test_a_documented_leak_is_a_note(self, leaky):
        assert texts(leaky, {"groups train/test": 1}) == []
        assert "1 group(s) in both train and test (a) (documented)" in texts(leaky, {"groups train/test": 1}, False)

    @pytest.mark.parametrize("number", [0, 2])
    def test_another_number_than_documented_is_an_error(self, leaky, number):
        assert texts(leaky, {"groups train/test": number}) == [
            f"1 group(s) in both train and test (a), but {number} are documented"
        ]

    def test_a_documented_leak_that_is_not_there(self):
        found = audit(items(groups="abcdefg"), "multiclass")
        assert texts(found, {"groups train/test": 2}) == ["0 group(s) in both train and test, but 2 are documented"]

    def test_what_was_not_looked_at_is_not_compared(self):
        assert texts(audit(items(), "multiclass"), {"content train/test": 2, "groups train/test": 1}) == []

    def test_an_absent_label(self, leaky):
        assert texts(leaky, {"groups train/test": 1, "absent test": 0})[0].endswith("but 0 are documented")
        assert any("without an item in test (c)" in text for text in texts(leaky, errors=False))

    def test_errors_come_first(self, leaky):
        order = [finding.is_error for finding in findings(leaky)]
        assert order == sorted(order, reverse=True)

    def test_a_fact_that_does_not_exist(self, leaky):
        with pytest.raises(TaskError, match="did you mean 'groups train/test'"):
            findings(leaky, {"group train/test": 1})
        with pytest.raises(TaskError, match="name one of"):
            findings(leaky, {"?": 1})


def test_shared_between():
    assert shared_between(("train", "valid", "test", "test"), ("a", "a", "b", "a")) == {
        "train/valid": ("a",),
        "train/test": ("a",),
        "valid/test": ("a",),
    }


def test_duplicates():
    assert duplicates("abcab") == [(0, 3), (1, 4)]
    assert duplicates("") == []


def items_of(splits, targets, labels=("x", "y")):
    from pathlib import Path

    import numpy as np

    from tasks.items import Items

    ids = tuple(f"t{i}" for i in range(len(splits)))
    return Items(ids, tuple(splits), tuple(map(Path, ids)), None, np.array(targets), tuple(labels))


def test_splits_of_few_items_or_of_one_class_are_thin():
    from tasks.audit import absent_labels, thin_splits

    items = items_of(["train", "train", *["valid"] * 10, "test", "test"], [0, 1, *[0, 1] * 5, 1, 1])
    assert thin_splits(items, "multiclass") == [
        "test has 2 items: a score of so few says little, whatever its interval",
        "all 2 items of test are of one class, 'y': who always says that scores best",
    ]
    assert absent_labels(items, "multiclass") == ["test has no item of 1 label(s): x"]
    enough = items_of(["train", "train", *["valid"] * 10, *["test"] * 10], [0, 1, *[0, 1] * 10])
    assert thin_splits(enough, "multiclass") == absent_labels(enough, "multiclass") == []
    tags = items_of(
        ["train", "train", *["valid"] * 10, *["test"] * 10], [[1, 0], [0, 1], *[[1, 0], [0, 1]] * 5, *[[1, 1]] * 10]
    )
    assert thin_splits(tags, "multilabel") == [
        "all 10 items of test are of the same labels: who always says that scores best"
    ]
    numbers = items_of(["train", *["valid"] * 10, "test"], [[0.5]] * 12, ["v"])
    assert thin_splits(numbers, "regression") == [
        "test has 1 item: a score of so few says little, whatever its interval"
    ]
    assert absent_labels(numbers, "regression") == []
