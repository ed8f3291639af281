"""A comparison as a page of Markdown, and what it says that it cannot say."""

from __future__ import annotations

from collections.abc import Callable

from benchmark.pretraining.comparison.markdown import limits, page
from benchmark.pretraining.comparison.summary import Summary

Make = Callable[..., Summary]


def test_every_table_has_as_many_cells_in_each_row(make_summary: Make) -> None:
    text = page(make_summary(notes=["tags has no point at 1% of train: too few."]))
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 7
    for block in blocks:
        assert len({line.count(" | ") for line in block}) == 1
    assert "| mine | 0.500 (0.400–0.600) <sup>1</sup> | 2 |" in text
    assert text.count("\n## ") == 9
    assert "- tags has no point at 1% of train: too few." in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_names_of_others_stay_text(make_summary: Make) -> None:
    bad = "a|b<img>\x1b[31m"
    names = {bad: "simclr", "clusters": "clustering", "boots": "byol", "random-net": ""}
    text = page(make_summary(names, store=bad, notes=[bad]))
    assert "<img>" not in text.replace("\\<img\\>", "")
    assert "\x1b" not in text
    assert "| a\\|b" in text


def test_the_size_and_what_no_test_could_see_are_said(make_summary: Make) -> None:
    lines = limits(make_summary())
    assert "after at most 10 steps on 135 tracks (12.1 h), in networks of at most 1,234 parameters" in lines[0]
    assert "about 4 million tracks" in lines[0]
    assert any("On tags (60 test items in 20 groups) half of the paired intervals reach more than 0.100" in line
               for line in lines)  # fmt: skip
    assert "2 seeds are few: what they change is known to 1 degree(s) of freedom" in " ".join(lines)
    assert not any("looks better than it is" in line for line in lines)
    assert not any("not equal data" in line for line in lines)


def test_one_seed_gives_no_order(make_summary: Make) -> None:
    assert any(line.startswith("One seed each") for line in limits(make_summary(seeds=1)))
    assert not any("degrees of freedom" in line for line in limits(make_summary(seeds=5)))
