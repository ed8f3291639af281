"""What a file must be to count as the journal of a search."""

import json

import pytest

from probes.search.journal import problem_of


@pytest.mark.parametrize(
    "content",
    [b"x", bytes(100), b"<!DOCTYPE html>\n", b"[1, 2]\n", b'{"a": 1}\n', b"[" * 100_000 + b"\n", b'{"op_code"'],
)
def test_what_is_no_journal_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "a.journal"
    path.write_bytes(content)
    assert problem_of(path) == "it is no journal of a search: delete it, and the search starts again"


def test_an_older_one_has_no_digests_and_an_empty_one_nothing_wrong(tmp_path):
    path = tmp_path / "a.journal"
    path.write_text(json.dumps({"op_code": 0, "worker_id": "a"}) + "\n")
    assert problem_of(path) is None
    path.write_bytes(b"")
    assert problem_of(path) == ""


def test_a_deep_line_is_not_as_it_was_written(tmp_path):
    path = tmp_path / "a.journal"
    path.write_bytes(b'{"sha256":' + b"[" * 100_000 + b"\n")
    assert problem_of(path)
