from __future__ import annotations

import pytest

from results.intervals import interval_notes, map_note, meaning, span


def changed(record, **changes):
    """Return the record with the score of its first metric on test changed."""
    (name, score), *rest = record.scores.test.items()
    test = {name: score.model_copy(update=changes), **dict(rest)}
    return record.model_copy(update={"scores": record.scores.model_copy(update={"test": test})})


def test_both_ends_or_a_dash():
    assert span(0.1, 0.25) == "0.100–0.250"
    assert span(-0.0001, 0.25) == "0.000–0.250"
    assert span(None, None) == "-"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"clusters": 29}, "29 test items are few"),
        ({"clusters": 12, "clustered": True}, "12 test groups are few"),
        ({"clusters": None}, ""),  # a record that does not say
        ({"question": "items"}, "other seeds are not in them"),
        ({"low": None, "high": None}, "no interval of accuracy"),
        ({"labels": {"a": 0.5}}, "all test items are of one class"),
        ({"labels": {"a": 0.5, "b": 0.7}}, ""),
    ],
)
def test_what_a_reader_must_know(make_record, changes, words):
    notes = interval_notes(changed(make_record(scores={"accuracy": 0.6}), **changes))
    assert len(notes) == bool(words)
    assert words in "".join(notes)


def test_one_probe_says_that_seeds_are_not_known(make_record):
    record = changed(make_record(scores={"accuracy": 0.6}), question="items")
    record = record.model_copy(update={"seeds": record.seeds.model_copy(update={"probes": [8]})})
    assert interval_notes(record) == [
        "one probe: its interval is over items alone, what other seeds would give is not known"
    ]


def test_a_probe_that_was_chosen_on_one_class_is_said(make_record):
    record = make_record(scores={"accuracy": 0.6})
    valid = {"accuracy": record.scores.valid["accuracy"].model_copy(update={"labels": {"a": 0.5}})}
    record = record.model_copy(update={"scores": record.scores.model_copy(update={"valid": valid})})
    assert interval_notes(record) == [
        "all valid items are of one class: the probe was chosen by how often that class is named"
    ]


def test_map_of_few_items_is_not_that_of_many(make_record):
    assert "map of so few items (604)" in map_note(make_record(scores={"map": 0.6}))[0]
    assert map_note(make_record(scores={"roc_auc": 0.6})) == []
    many = make_record(scores={"map": 0.6})
    data = many.data.model_copy(update={"counts": {"test": 1000}})
    assert map_note(many.model_copy(update={"data": data})) == []


def test_the_question_is_said(make_record):
    both = make_record().scores.test["weighted_accuracy"]
    items = both.model_copy(update={"question": "items"})
    assert "over seeds of the probe" in meaning([both, both])
    assert "for these very probes" in meaning([items])
    assert "unless a note says otherwise" in meaning([items, both])
