"""What is held inside the page ends no script, and Vega is bundled once."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.errors import UserError
from benchmark.reports.page import inline


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(max_size=20) | st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_json_reads_back_and_holds_nothing_that_html_knows(content):
    text = inline.as_json(content)
    assert json.loads(text) == content
    assert text.isascii()
    assert not set(text) & set("<>&")


def test_json_has_no_number_that_it_does_not_know():
    with pytest.raises(ValueError):
        inline.as_json([float("nan")])


def test_vega_is_kept_in_the_home_and_made_anew_where_it_is_damaged(page_home, monkeypatch):
    import vl_convert

    script = inline.vega(page_home)
    assert "</script" not in script
    assert "<!--" not in script
    kept = next((page_home / "report").glob("vega-*.js"))
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda *_: "another")
    assert inline.vega(page_home) == script
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-10])
    assert inline.vega(page_home) == "another"
    kept.write_bytes(whole)


def test_a_home_that_cannot_be_written_costs_time_alone(tmp_path, monkeypatch):
    import vl_convert

    (tmp_path / "report").write_text("a file where a folder would be")
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda *_: "script")
    assert inline.vega(tmp_path) == "script"


def test_without_the_extra_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)
    with pytest.raises(UserError, match=r"(?s)the extra 'report'.*\[report\]"):
        inline.vega(tmp_path)
