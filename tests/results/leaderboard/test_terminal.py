"""The leaderboard on a terminal: no line is wider than it, and nothing is cut."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from results import leaderboard

Ranks = runpy.run_path(str(Path(__file__).with_name("test_full.py")))["Ranks"]


def printed(records, width: int, rankings=()) -> str:
    return leaderboard.render(records, rankings=rankings).printed(width)


@pytest.fixture
def records(make_record):
    names = [
        "logmel",
        "musicset-ularge",
        "hf:someone/a-model-with-a-very-long-name-indeed?layer=7",
        "logmel+bf16+quick",
    ]
    tasks = ["demo_emotion", "demo_a_task_with_a_name_longer_than_a_third", "demo_key", "demo_pitch", "demo_tags"]
    found = [make_record(task, name, {"accuracy": 0.5}, group="demo") for name in names for task in tasks]
    return [*found, make_record("gs_key", "musicset-ularge"), make_record("gs_key", "b", damaged=3)]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_every_cell_is_there(records, width: int) -> None:
    text = printed(records, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert text.count("0.500*") == 20
    first = "".join(line.split("  ")[0] for line in text.splitlines())
    assert "hf:someone/a-model-with-a-very-long-name-indeed?layer=7" in first
    assert "logmel+bf16+quick" in first
    assert "Partial runs: Table 3" in text


def test_a_wider_terminal_has_fewer_tables(records) -> None:
    counts = [printed(records, width).count("\nencoder ") for width in (40, 80, 120, 200)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_scores_ranks_intervals_and_notes(make_record) -> None:
    found = [make_record("t", name, {"accuracy": value}, trials=trials)
             for name, value, trials in (("a", 0.9, 2), ("b", 0.7, 3))]  # fmt: skip
    text = printed(found, 80, [Ranks("t", "accuracy", {"a": 1, "b": 2}, ("no rank: c (partial).",))])
    assert re.search(r"^◆ a +0\.900\*¹ #1\n +\.85–\.95\n◆ b +0\.700² #2\n +\.65–\.75$", text, flags=re.M)
    assert "\n¹ not alike in this column, here: 2 trials\n" in text
    assert "\nt: no rank: c (partial).\n" in text
    assert "\nMetric: accuracy.\n" in text


def test_rows_of_the_paper_stand_beside_ours(make_record) -> None:
    text = printed([make_record("gs_key", "musicset-ularge", {"weighted_accuracy": 0.667})], 100)
    assert "0.796* [46*]" in text
    told = (
        "musicset-ularge on gs_key, weighted_accuracy: undecided (the interval is ±0.050, wider than ±0.03); ours "
        "0.667 (0.617–0.717), published 0.667 (McCallum et al. 2022, Table 3), difference +0.000"
    )
    assert told in text.replace("\n", " ")
    assert "1 table of the paper is without a run of yours: see leaderboard.md." in text
    assert "Table 4" not in text


def test_no_records_at_all() -> None:
    assert printed([], 80).startswith("There is no run of yours: bench run makes one.")


def test_what_others_wrote_is_inert(make_record) -> None:
    hostile = "a\x1b[31m|`<b>\nc"
    found = [make_record("t", hostile, {"accuracy": 0.5}, group=hostile, damaged=1)]
    text = printed(found, 80)
    assert "\x1b" not in text
    assert "a\\u001b[31m|`<b> c" in text


def test_a_note_is_shown_without_the_marks_of_markdown(make_record) -> None:
    found = [make_record("t", name, layer=layer) for name, layer in (("a", "x_[1]\\"), ("b", "y"))]
    assert "here: layer x_[1]\\\n" in printed(found, 80)
