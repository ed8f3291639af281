"""Summaries: written and read, and refused where they are damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.pretraining.comparison.folder import results_in
from benchmark.pretraining.comparison.summary import Summary, read, write
from results.record import RecordError


def test_a_summary_is_read_as_it_was_written(tmp_path: Path, make_summary: Callable[..., Summary]) -> None:
    assert read(tmp_path) is None
    summary = make_summary()
    assert write(tmp_path, summary) == tmp_path / "strategies.json"
    assert read(tmp_path) == summary
    assert summary.score("mine", "tags", "roc_auc") is not None
    assert summary.score("mine", "tags", "accuracy") is None


@pytest.mark.parametrize("content", ["", "[1]", '{"budget": 3}', '{"schema_version": 9}'])
def test_a_damaged_summary_is_refused_with_what_writes_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "strategies.json").write_text(content, encoding="utf-8")
    with pytest.raises(RecordError, match=r"strategies\.json.*bench pretrain compare"):
        read(tmp_path)


def test_the_folder_of_a_comparison_means_its_results(tmp_path: Path) -> None:
    assert results_in(tmp_path) == tmp_path
    (tmp_path / "results").mkdir()
    assert results_in(tmp_path) == tmp_path, "any folder may have one of this name"
    (tmp_path / "comparison.json").write_text("{}", encoding="utf-8")
    assert results_in(tmp_path) == tmp_path / "results"
