"""The leaderboard that can be read: one column a task, ranks, intervals below scores, statuses."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from results import leaderboard, paper_tables
from results.leaderboard.compact import WIDEST, interval, metrics_line, parts_of, short_names
from results.record import RecordError

shared = runpy.run_path(str(Path(__file__).with_name("test_full.py")))
Ranks, tables = shared["Ranks"], shared["tables"]


def page(records, rankings=(), **options) -> str:
    return leaderboard.render(records, rankings=rankings, **options).compact


def rows(text: str, title: str) -> list[list[str]]:
    """Return the lines of all tables of a section, cells stripped."""
    (section,) = [part for part in re.split(r"^## ", text, flags=re.M)[1:] if part.startswith(title)]
    lines = [re.split(r" *(?<!\\)\| *", line)[1:-1] for line in section.splitlines() if line.startswith("|")]
    return [line for line in lines if not set("".join(line)) <= set("-:")]


def test_one_column_a_task_with_its_primary_metric_and_the_interval_below(make_record) -> None:
    records = [
        make_record("demo_key", "a", {"weighted_accuracy": 0.7124, "accuracy": 0.6}, group="demo"),
        make_record("demo_tags", "a", {"map": 0.31, "roc_auc": 0.9}, group="demo"),
    ]
    found = rows(page(records), "Group demo")
    assert found == [
        ["encoder", "key", "tags"],
        ["◆ a", "**0.712**<br>.66–.76", "**0.310**<br>.26–.36"],
    ]
    assert "Metrics: weighted\\_accuracy" not in page(records)
    assert "\nMetrics: weighted_accuracy (key), map (tags).\n" in page(records)


def test_ranks_stand_beside_the_scores_of_our_runs_alone(make_record) -> None:
    records = [make_record("gs_key", name, {"weighted_accuracy": value}) for name, value in (("a", 0.9), ("b", 0.89))]
    ranks = Ranks("gs_key", "weighted_accuracy", {"a": 1, "b": 1}, ("no rank: c (partial).",))
    text = page(records, [ranks])
    lines = rows(text, "Table 3")
    header = next(row for row in lines if "gs_key" in row)
    column, found = header.index("gs_key"), {row[0]: row for row in lines[lines.index(header) :][::-1]}
    assert found["◆ a"][column] == "**0.900** #1<br>.85–.95"
    assert found["◆ b"][column] == "**0.890** #1<br>.84–.94"
    assert found["sota"][column] == r"0.796 [46\*]"
    assert "\n- gs_key: no rank: c (partial).\n" in text


def test_a_rank_among_one_says_nothing(make_record) -> None:
    text = page([make_record("t", "a", {"accuracy": 0.5})], [Ranks("t", "accuracy", {"a": 1})])
    assert rows(text, "Group paper")[1] == ["◆ a", "**0.500**<br>.45–.55"]


def test_ranks_of_another_metric_are_not_shown(make_record) -> None:
    records = [make_record("t", name, {"accuracy": 0.5, "map": 0.4}) for name in "ab"]
    text = page(records, [Ranks("t", "map", {"a": 1, "b": 2})])
    assert "#" not in text.partition("## Group paper")[2].partition("## ")[0]


def test_bold_follows_the_best_of_the_column_and_not_the_ranks(make_record) -> None:
    records = [make_record("t", name, {"accuracy": value}) for name, value in (("a", 0.9), ("b", 0.8))]
    found = rows(page(records, [Ranks("t", "accuracy", {"a": 1, "b": 1})]), "Group paper")
    assert [row[1] for row in found[1:]] == ["**0.900** #1<br>.85–.95", "0.800 #1<br>.75–.85"]


def test_tables_are_narrow_and_hold_every_task_of_the_paper(make_record) -> None:
    text = page([make_record(f"t{i}", "a", {"accuracy": 0.5}) for i in range(11)])
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        assert table.splitlines()[0].count("|") - 2 <= WIDEST
        for line in table.splitlines():
            shown = [re.sub(r"\*\*|<br>.*", "", cell).strip() for cell in line.split("|")[2:-1]]
            assert all(len(cell) <= 16 or set(cell) == {"-"} for cell in shown)
    names = {
        cell for title in ("Table 3", "Table 4") for row in rows(text, title) if row[0] == "encoder" for cell in row
    }
    assert names - {"encoder"} == {task for name in paper_tables.TITLES for task, _ in paper_tables.table(name).columns}
    assert [row[1:] for row in rows(text, "Group paper") if row[0] == "encoder"] == [
        ["t0", "t1", "t10"], ["t2", "t3", "t4"], ["t5", "t6", "t7"], ["t8", "t9"]
    ]  # fmt: skip


def test_sections_with_runs_of_ours_come_first(make_record) -> None:
    text = page([make_record("mine", "a", {"accuracy": 0.5})])
    titles = re.findall(r"^## (.*)", text, flags=re.M)
    assert [title.split(":")[0] for title in titles] == [
        "Group paper",
        "Table 3",
        "Table 4",
        "Other protocol",
        "How to read it",
    ]


def test_scores_by_another_protocol_stand_by_themselves_and_say_so() -> None:
    text = page([])
    section = text.partition("## Other protocol: MARBLE")[2].partition("\n## ")[0]
    assert "No row here is to be compared with one above." in section
    assert "| MERT-v2-30s  | 0.413 | 0.670    | 0.917   |" in section
    assert "**" not in section
    assert "MERT-v2" not in text.partition("## Other protocol")[0]


def test_scores_beside_what_was_published(make_record) -> None:
    records = [
        make_record("gs_key", "musicset-ularge", {"weighted_accuracy": 0.667}),
        make_record("emo", "musicset-ularge", {"r2_valence": 0.3, "r2_arousal": 0.71}, damaged=1),
        make_record("gs_key", "logmel", {"weighted_accuracy": 0.667}),
    ]
    assert rows(page(records), "Beside what was published")[1:] == [
        ["emo<br>r2_valence", "musicset-ularge", "0.300<br>.25–.35", "0.577<br>McCallum et al. 2022, Table 3",
         "-0.277<br>**not comparable**: data missing: 1 damaged track left out"],
        ["emo<br>r2_arousal", "musicset-ularge", "0.710<br>.66–.76", "0.700<br>McCallum et al. 2022, Table 3",
         "+0.010<br>**not comparable**: data missing: 1 damaged track left out"],
        ["gs_key<br>weighted_accuracy", "musicset-ularge", "0.667<br>.62–.72", "0.667<br>McCallum et al. 2022, Table 3",
         "+0.000<br>**undecided**: the interval is ±0.050, wider than ±0.03"],
    ]  # fmt: skip
    assert "Beside what was published" not in page(records[2:])


def test_partial_runs_stand_apart_without_ranks(make_record) -> None:
    records = [make_record("t", "a", {"accuracy": 0.9}, damaged=1), make_record("t", "b", {"accuracy": 0.5})]
    text = page(records, [Ranks("t", "accuracy", {"a": 1, "b": 2})])
    assert "### Partial runs: Group paper\n\n| encoder   | t" in text
    assert "| ◆ a       | 0.900¹<br>.85–.95 |" in text
    assert "| ◆ b       | **0.500** #2<br>.45–.55 |" in text
    assert "\n- ¹ 1 damaged track left out\n" in text


def test_examples_are_marked(make_record) -> None:
    records = [make_record("t", "a", {"accuracy": 0.5}), make_record("t", "b", {"accuracy": 0.9})]
    text = page(records, examples=frozenset({("t", "b", None)}))
    assert [row[0] for row in rows(text, "Group paper")[1:]] == ["◆ a", "◇ b"]
    assert "`◇` marks an example" in text
    assert "◇" not in page(records)


def test_records_of_an_older_schema_are_said_to_be_unchecked(make_record) -> None:
    old = make_record("t", "a").model_copy(update={"schema_version": 2})
    text = page([old, make_record("t", "b")])
    assert text.endswith("1 of 2 records are of an older schema, without digests: they were not checked for damage.\n")
    assert "older schema" not in page([make_record("t", "b")])


def test_limited_runs_curves_and_two_records_of_one_run(make_record) -> None:
    full = [make_record("gs_key", "musicset-ularge")]
    others = [
        make_record("gs_key", "musicset-ularge", limit=10),
        make_record("gs_key", "a", curve={"fraction": 0.1, "repeat": 0}),
    ]
    assert page([*full, *others]) == page(full)
    with pytest.raises(RecordError, match="Two records of musicset-ularge on gs_key"):
        page([*full, make_record("gs_key", "musicset-ularge", run_key="a" * 64)])


@pytest.mark.parametrize(
    ("tasks", "names"),
    [
        (["demo_key", "demo_pitch"], ["key", "pitch"]),
        (["demo_key", "demo_key_2"], ["key", "key_2"]),
        (["demo_key"], ["demo_key"]),
        (["demo_key", "gs_key"], ["demo_key", "gs_key"]),
        (["key", "key_2"], ["key", "key_2"]),
        (["_a", "_b"], ["_a", "_b"]),
        (["a_", "a_b"], ["a_", "a_b"]),
        ([], []),
    ],
)
def test_short_names_of_tasks(tasks: list[str], names: list[str]) -> None:
    assert list(short_names(tasks).values()) == names


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(0.709, 0.863, ".71–.86"), (-0.068, 0.371, "-.07–.37"), (0.999, 1.0, "1.00–1.00"), (-0.001, 0.002, ".00–.00"),
     (-1.2, -1.0, "-1.20–-1.00"), (None, None, "-")],
)  # fmt: skip
def test_intervals_in_hundredths(low: float | None, high: float | None, shown: str) -> None:
    assert interval(low, high) == shown


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (1, [1]), (3, [3]), (4, [2, 2]), (5, [3, 2]), (8, [3, 3, 2])])
def test_parts_are_of_about_equal_size(count: int, sizes: list[int]) -> None:
    columns = [(f"t{i}", "accuracy") for i in range(count)]
    parts = parts_of(columns)
    assert [len(part) for part in parts] == sizes
    assert [column for part in parts for column in part] == columns


def test_one_metric_needs_no_list() -> None:
    assert metrics_line([("a", "map"), ("b", "map")], {"a": "a", "b": "b"}) == "Metric: map."
