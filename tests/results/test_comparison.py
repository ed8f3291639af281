from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from results.comparison import (
    Comparison,
    MetricDifference,
    RecordPair,
    align,
    condition_notes,
    pair_records,
    refusal,
    render,
    row_notes,
)
from results.predictions import Predictions


def with_seeds(record, *seeds):
    return record.model_copy(update={"seeds": record.seeds.model_copy(update={"probes": list(seeds)})})


class TestPairs:
    def test_tasks_that_both_have_are_paired_and_the_others_named(self, make_record):
        records = [make_record(task, encoder) for task, encoder in (("x", "a"), ("x", "b"), ("y", "a"), ("z", "c"))]
        pairs, notes = pair_records(records, "a", "b", None)
        assert [(pair.first.encoder.id, pair.second.encoder.id, pair.first.task.id) for pair in pairs] == [
            ("a", "b", "x")
        ]
        assert notes == ["y is not compared: a has a record, b has none."]

    def test_only_tasks_that_were_asked_for(self, make_record):
        records = [make_record(task, encoder) for task in ("x", "y") for encoder in ("a", "b")]
        pairs, notes = pair_records(records, "a", "b", ["y", "w"])
        assert [pair.first.task.id for pair in pairs] == ["y"]
        assert notes == ["w is not compared: neither encoder has a record."]

    @pytest.mark.parametrize(
        ("first", "second", "chosen"),
        [([None, 40], [None, 40], None), ([None, 40], [40], 40), ([40, 80], [40, 80, 90], 80)],
    )
    def test_limits_are_the_same_and_full_runs_come_first(self, make_record, first, second, chosen):
        records = [make_record("x", "a", limit=limit) for limit in first]
        records += [make_record("x", "b", limit=limit) for limit in second]
        pairs, notes = pair_records(records, "a", "b", None)
        assert [(pair.first.limit, pair.second.limit) for pair in pairs] == [(chosen, chosen)]
        assert notes == []

    def test_runs_with_other_limits_are_not_paired(self, make_record):
        records = [make_record("x", "a"), make_record("x", "b", limit=40), make_record("x", "b", limit=50)]
        pairs, notes = pair_records(records, "a", "b", None)
        assert pairs == []
        assert "a has full, b has --limit 40, --limit 50" in notes[0]


class TestPartial:
    def test_a_partial_run_is_not_compared_with_other_items(self, make_record):
        first, second = make_record(encoder="a", damaged=2), make_record(encoder="b", task_fingerprint="0" * 64)
        assert refusal(RecordPair(first, second)) == (
            "the items are not the same, as a run is partial (a: 2 damaged tracks left out; b: all items were scored)"
        )

    def test_partial_runs_of_the_same_items_are_compared_and_marked(self, make_record):
        pair = RecordPair(make_record(encoder="a", damaged=2), make_record(encoder="b", damaged=2))
        assert refusal(pair) == ""
        assert condition_notes(pair) == [
            f"gs_key: the run of {name} is partial, 2 damaged tracks left out." for name in ("a", "b")
        ]


class TestRefusals:
    def test_alike_records_are_comparable(self, make_record):
        assert refusal(RecordPair(make_record(encoder="a"), make_record(encoder="b"))) == ""

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"task_fingerprint": "0" * 64}, "other items"),
            ({"task_fingerprint": "0" * 64, "task_version": 2}, "versions 1 and 2"),
            ({"scores": {"accuracy": 0.5}}, "metrics differ: weighted_accuracy and accuracy"),
        ],
    )
    def test_another_task_is_not(self, make_record, change, words):
        assert words in refusal(RecordPair(make_record(encoder="a"), make_record(encoder="b", **change)))

    def test_other_numbers_of_probes_are_comparable(self, make_record):
        first, second = make_record(encoder="a"), with_seeds(make_record(encoder="b"), 0, 1, 2)
        assert refusal(RecordPair(first, second)) == ""
        assert "probe seeds 8 9 and 0 1 2" in condition_notes(RecordPair(first, second))[0]


class TestAlign:
    ITEMS = Predictions(
        ("t0", "t1", "t2"), ("g", "g", "h"), np.array([0, 1, 1]), (np.eye(3, 2, dtype=np.float32),), ("a", "b")
    )

    def test_another_order_is_put_right(self):
        found = align(self.ITEMS, self.ITEMS.take(np.array([2, 0, 1])))
        assert isinstance(found, Predictions)
        assert found.track_ids == self.ITEMS.track_ids
        assert np.array_equal(found.outputs[0], self.ITEMS.outputs[0])

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"track_ids": ("t0", "t1", "t9")}, r"1 only of the first \(t2\); 1 only of the second \(t9\)"),
            ({"targets": np.array([0, 1, 0])}, r"targets differ on 1 test items \(t2\)"),
            ({"groups": ("g", "h", "h")}, "groups"),
            ({"groups": None}, "groups"),
            ({"labels": ("b", "a")}, "labels differ"),
        ],
    )
    def test_what_differs_is_said(self, change, words):
        import re

        found = align(self.ITEMS, replace(self.ITEMS, **change))
        assert isinstance(found, str)
        assert re.search(words, found)

    def test_targets_with_columns(self):
        items = replace(self.ITEMS, targets=np.eye(3, 2))
        assert isinstance(align(items, items), Predictions)
        assert "3 test items (t0, t1, t2)" in align(items, replace(items, targets=1 - np.eye(3, 2)))


def test_other_conditions_are_one_sentence(make_record):
    first = make_record(encoder="a")
    assert condition_notes(RecordPair(first, make_record(encoder="b"))) == []
    second = make_record(encoder="b", protocol="quick", trials=5)
    assert condition_notes(RecordPair(first, second)) == [
        "gs_key: the records differ in protocol paper and quick, trials 2 and 5."
    ]


def row(task, metric="accuracy", difference=0.1, p_holm=None, **changes):
    return MetricDifference(
        task=task, metric=metric, first=0.7, second=0.7 - difference, difference=difference, low=difference - 0.05,
        high=difference + 0.05, p=0.01, p_holm=p_holm, permutations=2000, exact=False, items=100, clusters=50,
        clustered=True, limit=None, question="items and seeds", items_low=difference - 0.03,
        items_high=difference + 0.03, items_p=0.003, probes=(3, 5),
    ).model_copy(update=changes)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"question": "items", "probes": (1, 5)}, ["an encoder has one probe"]),
        ({"clusters": 29}, ["29 groups of test are few"]),
        ({"clusters": 29, "clustered": False}, ["29 items of test are few"]),
        ({"clusters": 5, "exact": True, "permutations": 16}, ["5 groups of test", "no p of these probes is smaller"]),
        ({"p": None, "low": None, "high": None, "question": "items"}, ["no interval of accuracy, undefined without"]),
    ],
)  # fmt: skip
def test_what_to_know_of_a_difference_is_said(change, words):
    notes = row_notes([row("x", **change)])
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True))


def test_a_small_p_is_never_printed_as_nothing():
    text = render(Comparison(first="a", second="c", family="", seed=0, rows=[row("x", p=2e-9, p_holm=4e-9)], notes=[]))
    assert [cell.strip() for cell in text.splitlines()[2].split("|")[7:9]] == ["<0.0001", "<0.0001 *"]


def test_a_difference_without_an_interval_is_a_dash():
    none = {"p": None, "low": None, "high": None, "items_low": None, "items_high": None, "items_p": None}
    text = render(Comparison(first="a", second="c", family="", seed=0, rows=[row("x", **none)], notes=[]))
    assert [cell.strip() for cell in text.splitlines()[2].split("|")[6:11]] == ["-", "-", "-", "-", "-"]
    assert "On 0 of 0 tasks" in text


def test_the_table_and_its_verdict():
    rows = [row("x", p_holm=0.02), row("x", "map"), row("y", difference=-0.1, p_holm=0.02), row("z", p_holm=0.05)]
    text = render(Comparison(first="a|b", second="c", family="Of two.", seed=0, rows=rows, notes=["A note."]))
    lines = text.splitlines()
    assert "a\\|b" in lines[0]
    assert "+0.100" in lines[2]
    assert "+0.050 to +0.150" in lines[2]
    cells = [[cell.strip() for cell in line.split("|")[-5:-1]] for line in lines[2:6]]
    assert cells[0] == ["0.0100", "0.0200 *", "+0.070 to +0.130", "0.0030"]
    assert cells[1][1] == "-"
    assert cells[3][1] == "0.0500"
    assert "On 2 of 3 tasks the difference is significant" in text
    assert "a\\|b is ahead on 1, c on 1" in text
    assert text.endswith("- Of two.\n- A note.")
