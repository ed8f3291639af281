from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from results import leaderboard, store
from results.predictions import read_split
from results.record import SCHEMA_VERSION, Record, RecordError

#: Records and predictions as the version of the package before schema 3 wrote them.
SCHEMA_2 = Path(__file__).parent / "schema_2"


def test_a_record_survives_json(make_record) -> None:
    record = make_record()
    assert Record.model_validate_json(record.model_dump_json()) == record


def test_the_schema_version_is_written(make_record) -> None:
    assert make_record().model_dump()["schema_version"] == SCHEMA_VERSION == 3


def test_a_record_cannot_be_changed(make_record) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_record().run_key = "0" * 64


@pytest.mark.parametrize(
    "section", [None, "task", "encoder", "floors", "probe", "search", "data", "seeds", "hardware", "seconds"]
)
def test_keys_that_the_schema_does_not_know_are_refused(make_record, section: str | None) -> None:
    content = make_record().model_dump()
    (content if section is None else content[section])["colour"] = "red"
    with pytest.raises(ValidationError, match="colour"):
        Record.model_validate(content)


@pytest.mark.parametrize("key", ["run_key", "task", "scores", "floors", "seeds", "predictions"])
def test_no_section_may_be_missing(make_record, key: str) -> None:
    content = make_record().model_dump()
    del content[key]
    with pytest.raises(ValidationError, match=key):
        Record.model_validate(content)


def test_another_schema_version_is_refused(make_record) -> None:
    with pytest.raises(ValidationError, match="schema_version"):
        Record.model_validate({**make_record().model_dump(), "schema_version": 1})


def test_a_record_error_is_a_value_error() -> None:
    assert issubclass(RecordError, ValueError)


def test_records_of_schema_2_are_read_with_what_they_do_not_say_left_open() -> None:
    records = store.read_all(SCHEMA_2)
    assert [record.name for record in records] == ["chroma", "logmel"]
    for record in records:
        assert record.schema_version == 2
        assert record.variant == ""
        assert record.encoder.precision is None
        assert record.hardware.instructions is None
        assert record.search.runner_up is None
        assert record.predictions_sha256 is None
        assert not record.checked
    assert records[0].scores.test["r2_arousal"].value == 0.026801224846361937


def test_predictions_and_tables_of_schema_2_are_read() -> None:
    for record in store.read_all(SCHEMA_2):
        assert len(read_split(SCHEMA_2, record).track_ids) == record.data.counts["test"]
    assert "0.027" in leaderboard.render(store.read_all(SCHEMA_2)).full
