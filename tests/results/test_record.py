from __future__ import annotations

import pytest
from pydantic import ValidationError

from results.record import SCHEMA_VERSION, Record, RecordError


def test_a_record_survives_json(make_record) -> None:
    record = make_record()
    assert Record.model_validate_json(record.model_dump_json()) == record


def test_the_schema_version_is_written(make_record) -> None:
    assert make_record().model_dump()["schema_version"] == SCHEMA_VERSION == 2


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
