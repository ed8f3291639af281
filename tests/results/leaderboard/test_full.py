from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from results import leaderboard, paper_tables, store
from results.record import RecordError
from results.sections.inputs import LeftOut


@dataclass(frozen=True)
class Ranks:
    """Rank groups of a column, as the leaderboard takes them."""

    task: str
    metric: str
    ranks: Mapping[str, int]
    notes: tuple[str, ...] = ()


PAPER_COLUMNS = [column for name in paper_tables.TITLES for column in paper_tables.table(name).columns]


def full_page(records, rankings=()) -> str:
    """Return the page of all metrics."""
    return leaderboard.render(records, rankings=rankings).full


def tables(text: str) -> dict[str, list[list[str]]]:
    """Return the first table under each heading: lines of stripped cells, the header line first."""
    found: dict[str, list[list[str]]] = {}
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        title, _, body = section.partition("\n")
        block = re.search(r"(?:^\|.*\n?)+", body, flags=re.M)
        assert block is not None
        lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block[0].splitlines()]
        found[title] = [[cell.strip() for cell in line] for line in lines if not set("".join(line)) <= set("-:")]
    return found


def cell(text: str, title: str, row: str, column: str) -> str:
    (lines,) = [lines for found, lines in tables(text).items() if found.startswith(title)]
    (line,) = [line for line in lines[1:] if re.sub(r"[¹²³⁴⁵⁶⁷⁸⁹⁰]+$", "", line[0]) == row]
    return line[lines[0].index(column)]


# the paper's tables


def test_all_columns_of_the_paper_are_there() -> None:
    found = tables(full_page([]))
    headers = [name for lines in found.values() for name in lines[0] if name != "encoder"]
    assert headers == [f"{task} {metric}" for task, metric in PAPER_COLUMNS]
    assert len(headers) == 26


@pytest.mark.parametrize(
    ("title", "row", "column", "shown"),
    [
        ("Table 3", "musicset-sup", "gtzan accuracy", "**0.835**"),
        ("Table 3", "musicset-ularge", "mtt map", "**0.404**"),  # 0.414 - 0.404: exactly 0.01
        ("Table 3", "sf-nfnet-f0-prev", "mtt map", "0.395 [2]"),
        ("Table 3", "sota", "mtt map", "0.384 [37]"),
        ("Table 3", "sota", "mtt roc_auc", "**0.920** [12]"),
        ("Table 3", "sota", "gs_key weighted_accuracy", r"**0.796** [46\*]"),
        ("Table 3", "jukebox", "jam_all map", "-"),
        ("Table 4", "sota", "jam_mt map", "**0.161** [49†]"),
        ("Table 4", "audioset-usmall", "msd500 map", "0.110"),
    ],
)
def test_cells_of_the_paper(title: str, row: str, column: str, shown: str) -> None:
    assert cell(full_page([]), title, row, column) == shown


def test_our_row_follows_the_papers_with_its_interval(make_record) -> None:
    records = [make_record("gs_key", name, {"weighted_accuracy": 0.7124}) for name in ("zeta", "alpha")]
    text = full_page(records)
    lines = tables(text)["Table 3: tags, genre, pitch, instrument, emotion and key"]
    assert [line[0] for line in lines[-3:]] == ["sota", "◆ alpha", "◆ zeta"]
    assert cell(text, "Table 3", "◆ zeta", "gs_key weighted_accuracy") == "0.712 (0.662–0.762)"
    assert cell(text, "Table 3", "◆ zeta", "mtt map") == "-"
    assert cell(text, "Table 3", "musicset-ularge", "gs_key weighted_accuracy") == "0.667"


def test_a_cell_is_the_score_on_test_and_not_on_valid(make_record) -> None:
    record = make_record("gs_key", "new", {"weighted_accuracy": 0.7})
    valid, test = record.scores.valid["weighted_accuracy"], record.scores.test["weighted_accuracy"]
    assert (valid.value, test.value) == (0.6375, 0.7)
    text = full_page([record])
    assert cell(text, "Table 3", "◆ new", "gs_key weighted_accuracy") == "0.700 (0.650–0.750)"
    assert "0.637" not in text.partition("◆ new")[2]
    assert "0.638" not in text.partition("◆ new")[2]


def test_bold_is_by_test_and_not_by_valid(make_record) -> None:
    better, other = make_record("t", "a", {"accuracy": 0.5}), make_record("t", "b", {"accuracy": 0.52})
    high = {"accuracy": other.scores.valid["accuracy"].model_copy(update={"value": 0.9})}
    better = better.model_copy(update={"scores": better.scores.model_copy(update={"valid": high})})
    lines = tables(full_page([better, other]))["Group paper"]
    assert [line[:2] for line in lines[1:]] == [["◆ a", "0.500 (0.450–0.550)"], ["◆ b", "**0.520** (0.470–0.570)"]]


def test_our_best_takes_the_bold_from_the_paper(make_record) -> None:
    text = full_page([make_record("gs_key", "new", {"weighted_accuracy": 0.9})])
    assert cell(text, "Table 3", "◆ new", "gs_key weighted_accuracy") == "**0.900** (0.850–0.950)"
    assert cell(text, "Table 3", "sota", "gs_key weighted_accuracy") == r"0.796 [46\*]"


def test_a_metric_that_the_paper_does_not_print_gets_no_column(make_record) -> None:
    text = full_page([make_record("gs_key", "new", {"weighted_accuracy": 0.5, "accuracy": 0.4})])
    assert "gs_key accuracy" not in text


@pytest.mark.parametrize("column", PAPER_COLUMNS)
def test_every_column_takes_a_record(make_record, column: tuple[str, str]) -> None:
    task, metric = column
    text = full_page([make_record(task, "new", {metric: 0.5})])
    title = "Table 3" if column in paper_tables.table("table3").columns else "Table 4"
    assert "0.500" in cell(text, title, "◆ new", f"{task} {metric}")
    assert "## Group" not in text


# bold


@pytest.mark.parametrize(
    ("value", "bold"), [(0.5, True), (0.49, True), (0.49 - 1e-12, True), (0.489999, False), (0.4899, False)]
)
def test_bold_is_within_a_hundredth_of_the_best_as_measured(make_record, value: float, bold: bool) -> None:
    records = [make_record("t", "best", {"accuracy": 0.5}), make_record("t", "other", {"accuracy": value})]
    shown = cell(full_page(records), "Group", "◆ other", "t accuracy")
    assert shown.startswith("**") is bold


def test_negative_scores_and_zero(make_record) -> None:
    records = [make_record("t", "a", {"r2": -0.00001}), make_record("t", "b", {"r2": -0.3})]
    text = full_page(records)
    assert cell(text, "Group", "◆ a", "t r2") == "**0.000** (-0.050–0.050)"
    assert cell(text, "Group", "◆ b", "t r2") == "-0.300 (-0.350–-0.250)"


# groups


def test_other_tasks_stand_in_tables_by_group(make_record) -> None:
    records = [
        make_record("tones", "a", {"accuracy": 0.5, "map": 0.4}, group="demo"),
        make_record("chords", "a", {"accuracy": 0.5}, group="demo"),
        make_record("mine", "a", {"accuracy": 0.5}, group="custom"),
    ]
    found = tables(full_page(records))
    assert list(found)[2:] == ["Group custom", "Group demo"]
    assert found["Group demo"][0] == ["encoder", "chords accuracy", "tones accuracy", "tones map"]


def test_rows_are_in_order_of_their_mean_rank_or_of_their_names(make_record) -> None:
    """Not of their values: what no test separates is in no order."""
    values = [("a", 0.2), ("b", 0.9), ("c", 0.8), ("d", 0.85)]
    records = [make_record("t", name, {"accuracy": value}) for name, value in values]

    def order(records, *rankings) -> list[str]:
        return [line[0] for line in tables(full_page(records, rankings))["Group paper"][1:]]

    ranks = Ranks("t", "accuracy", {"b": 1, "c": 1, "d": 1, "a": 4})
    assert order(records) == ["◆ a", "◆ b", "◆ c", "◆ d"]
    assert order(records, ranks) == ["◆ b", "◆ c", "◆ d", "◆ a"]
    assert order(records, Ranks("t", "accuracy", {"b": 1, "c": 1, "a": 3})) == ["◆ a", "◆ b", "◆ c", "◆ d"]
    records += [make_record("u", name, {"accuracy": value}) for name, value in values]
    assert order(records, ranks) == ["◆ a", "◆ b", "◆ c", "◆ d"]
    assert order(records, ranks, Ranks("u", "accuracy", {"a": 1, "b": 2, "c": 2, "d": 2})) == [
        "◆ b",
        "◆ c",
        "◆ d",
        "◆ a",
    ]


def test_conditions_stand_below_our_rows(make_record) -> None:
    same = [make_record("t", name) for name in ("a", "b")]
    text = full_page(same)
    lines = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if line.startswith("| t ")]
    assert lines == [["t", "923", "236", "604", "3", "2", "7", "8 9", "all"]]
    text = full_page([*same, make_record("t", "c", trials=9)])
    lines = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if line.startswith("| t ")]
    assert [(line[5], line[-1]) for line in lines] == [("2", "a, b"), ("9", "c")]
    assert "Items, labels, trials" not in full_page([])


# what must not be mixed silently


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        ({"protocol": "other"}, ["protocol paper", "protocol other"]),
        ({"sampler": "grid"}, ["sampler tpe", "sampler grid"]),
        ({"pruner": "none"}, ["pruner halving", "pruner none"]),
        ({"trials": 1}, ["2 trials", "1 trial"]),
        ({"task_version": 2}, ["task version 1", "task version 2"]),
        ({"task_fingerprint": "0" * 64}, [f"task fingerprint {'f' * 12}", f"task fingerprint {'0' * 12}"]),
    ],
)
def test_records_that_differ_within_a_column_are_marked(make_record, change: dict, notes: list[str]) -> None:
    text = full_page([make_record("gs_key", "a"), make_record("gs_key", "b", **change)])
    assert cell(text, "Table 3", "◆ a", "gs_key weighted_accuracy").endswith(")¹")
    assert cell(text, "Table 3", "◆ b", "gs_key weighted_accuracy").endswith(")²")
    assert [line for line in text.splitlines() if re.match(r"- [¹²] not", line)] == [
        f"- {sign} not alike in this column, here: {note}" for sign, note in zip("¹²", notes, strict=True)
    ]


def apart(text: str) -> str:
    """Return the leaderboard with its tables of partial runs alone, as tables of their own."""
    blocks = re.split(r"^(?=#{2,3} )", text, flags=re.M)
    return "".join(block.removeprefix("#") for block in blocks if block.startswith("### Partial runs"))


def test_partial_runs_stand_apart_and_are_neither_bold_nor_ranked(make_record) -> None:
    """A record of 4 of 290 test tracks with the best score of all changes nothing for the others."""
    scores = {"r2_valence": 0.99, "r2_arousal": 0.99}
    partial, whole = make_record("emo", "a", scores, damaged=3), make_record("emo", "b", dict.fromkeys(scores, 0.5))
    text = full_page([partial, whole])
    alone = full_page([whole])
    assert (
        tables(text)["Table 3: tags, genre, pitch, instrument, emotion and key"]
        == (tables(alone)["Table 3: tags, genre, pitch, instrument, emotion and key"])
    )
    (title,) = tables(apart(text))
    assert title.startswith("Partial runs: Table 3")
    lines = tables(apart(text))[title]
    assert lines[0] == ["encoder", "emo r2_valence", "emo r2_arousal"]
    assert lines[1:] == [["◆ a", "0.990 (0.940–1.040)¹", "0.990 (0.940–1.040)¹"]]
    assert "\n- ¹ 3 damaged tracks left out\n" in text


def test_partial_runs_of_a_group_are_in_order_of_their_names(make_record) -> None:
    records = [make_record("t", name, {"accuracy": value}, damaged=1) for name, value in (("a", 0.1), ("b", 0.9))]
    text = full_page([*records, make_record("t", "c", {"accuracy": 0.5})])
    assert [line[0] for line in tables(text)["Group paper"][1:]] == ["◆ c"]
    assert [line[0] for line in tables(apart(text))["Partial runs: Group paper"][1:]] == ["◆ a", "◆ b"]
    assert "**" not in apart(text)


def test_an_encoder_may_have_full_and_partial_cells(make_record) -> None:
    text = full_page([make_record("gs_key", "a"), make_record("gtzan", "a", {"accuracy": 0.9}, damaged=1)])
    assert cell(text, "Table 3", "◆ a", "gtzan accuracy") == "-"
    assert cell(apart(text), "Partial runs: Table 3", "◆ a", "gtzan accuracy") == "0.900 (0.850–0.950)¹"


def test_what_is_missing_is_counted_by_split_and_class(make_record) -> None:
    record = make_record("gtzan", "a", {"accuracy": 0.9})
    left = LeftOut(
        of={"train": 443, "valid": 197, "test": 290},
        missing_by_split={"train": 0, "valid": 1, "test": 286},
        missing_by_class={"test": {"blues": 29, "rock": 257}, "valid": {"rock": 1}},
        damaged_by_split={"train": 2, "valid": 0, "test": 0},
        damaged_by_class={"train": {"jazz": 2}},
        emptied={"test": ["blues", "a|b"], "train": ["jazz"]},
    )
    data = record.data.model_copy(update={"missing": ["x"], "left_out": left})
    text = full_page([record.model_copy(update={"data": data})])
    assert (
        "- ¹ left out: 2 of 443 train items (2 damaged), 1 of 197 valid items (1 missing), 286 of 290 test items (286 "
        "missing); no train item is left of jazz; no test item is left of blues, a\\|b\n"
    ) in apart(text)


@pytest.mark.parametrize(
    ("missing", "partial"),
    [
        ([], False),
        (["a"], True),
        (["(2 fewer items of test than the card)"], True),
        (["(2 more items of test than the card)"], False),
    ],
)
def test_what_makes_a_record_partial(make_record, missing: list[str], partial: bool) -> None:
    record = make_record("gs_key", "a")
    record = record.model_copy(update={"data": record.data.model_copy(update={"missing": missing})})
    assert record.data.partial is partial
    assert ("### Partial runs" in full_page([record])) is partial
    assert ("counts differ from the card's" in full_page([record])) is bool(missing and missing[0][0] == "(")


def test_a_probe_that_loses_to_its_ridge_is_marked(make_record) -> None:
    scores = {"r2_valence": 0.5, "r2_arousal": 0.5}
    text = full_page([make_record("emo", "a", scores, loses=["r2_valence"])])
    assert cell(text, "Table 3", "◆ a", "emo r2_valence") == "0.500 (0.450–0.550)¹"
    assert "\n- ¹ below a ridge on the same embeddings in r2_valence\n" in text
    text = full_page([make_record("gs_key", "a", loses=["weighted_accuracy"])])
    assert "\n- ¹ below a ridge on the same embeddings\n" in text


def test_embeddings_that_were_given_are_marked_and_their_rows_are_not_taken_for_audio(make_record) -> None:
    ours, given_ones = make_record("gs_key", "a"), make_record("gs_key", "b", given=True)
    data = given_ones.data.model_copy(update={"fingerprint": "0" * 64})
    text = full_page([ours, given_ones.model_copy(update={"data": data})])
    assert cell(text, "Table 3", "◆ a", "gs_key weighted_accuracy").endswith(")")
    assert "not alike" not in text
    assert "\n- ¹ embeddings that were given: of which audio is not known\n" in text


def test_one_note_says_all_about_a_cell(make_record) -> None:
    records = [make_record("t", "a", damaged=1), make_record("t", "b", task_version=2, damaged=2)]
    text = full_page(records)
    assert "- ¹ not alike in this column, here: task version 1; 1 damaged track left out" in text
    assert "- ² not alike in this column, here: task version 2; 2 damaged tracks left out" in text


def test_two_states_of_an_encoder_in_one_row_are_marked(make_record) -> None:
    records = [make_record("mtt", "a", {"map": 0.3}), make_record("gs_key", "a", encoder_fingerprint="0" * 64)]
    text = full_page(records)
    assert "| ◆ a¹ " in text
    assert f"fingerprint {'0' * 12} on gs_key; version 1.0, fingerprint {'e' * 12} on mtt" in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([{"protocol_version": 2}, {"protocol_version": 3}], ["protocol version 2", "protocol version 3"]),
        ([{"layer": "7"}, {"layer": "mix"}], ["layer 7", "layer mix"]),
    ],
)
def test_versions_of_a_protocol_and_layers_that_differ_are_told(make_record, changes, told) -> None:
    records = [make_record("gs_key", name, **change) for name, change in zip("ab", changes, strict=True)]
    text = full_page(records)
    assert [f"not alike in this column, here: {each}" in text for each in told] == [True, True]
    others = [make_record("gs_key", "a", **changes[0]), make_record("gs_key", "b", layer=changes[0].get("layer"))]
    assert "not alike" not in full_page(others)


def test_a_layer_beside_an_encoder_without_layers_is_not_told(make_record) -> None:
    assert "not alike" not in full_page([make_record("gs_key", "a", layer="7"), make_record("gs_key", "b")])


def test_records_alike_have_no_notes(make_record) -> None:
    text = full_page([make_record("gs_key", name) for name in "abc"])
    assert "not alike" not in text


def test_many_notes_have_signs_of_two_digits(make_record) -> None:
    text = full_page([make_record("t", f"e{i:02}", damaged=i + 1) for i in range(11)])
    assert "\n- ¹¹ 11 damaged tracks left out\n" in text


def test_two_records_of_one_run_are_refused(make_record) -> None:
    with pytest.raises(RecordError, match="Two records of example on gs_key"):
        full_page([make_record(), make_record(run_key="a" * 64)])


# text


def test_limited_runs_change_nothing(make_record) -> None:
    full = [make_record("gs_key", "a")]
    limited = [make_record("gs_key", "b", limit=10), make_record("t", "b", limit=10, group="demo", damaged=2)]
    assert full_page([*full, *limited]) == full_page(full)


def test_points_of_a_curve_change_nothing(make_record, tmp_path: Path) -> None:
    full = [make_record("gs_key", "a")]
    points = [make_record("gs_key", "a", curve={"fraction": share, "repeat": 0}) for share in (0.1, 1.0)]
    assert full_page([*full, *points]) == full_page(full)
    for point in points:
        store.write(tmp_path, point)
    leaderboard.write(tmp_path, tmp_path / "board.md")
    assert (tmp_path / "board.md").read_text(encoding="utf-8") == leaderboard.render([]).compact.replace(
        "leaderboard-full.md", "board-full.md"
    )


NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1).filter(str.strip)


@settings(deadline=None)
@given(st.data())
def test_the_order_of_records_does_not_matter(make_record, data: st.DataObject) -> None:
    tasks, scores = st.sampled_from(["gs_key", "mtt", "own", "other"]), st.floats(-1, 1)
    runs = data.draw(st.dictionaries(st.tuples(tasks, st.sampled_from("abcd")), scores, max_size=8))
    records = [
        make_record(
            task,
            encoder,
            {"weighted_accuracy": value, "map": value / 2},
            group=data.draw(st.sampled_from(["x", "y"])),
            damaged=data.draw(st.integers(0, 1)),
            protocol=data.draw(st.sampled_from("pq")),
            encoder_fingerprint=data.draw(st.sampled_from("fg")),
        )
        for (task, encoder), value in runs.items()
    ]
    text = full_page(records)
    assert full_page(data.draw(st.permutations(records))) == text
    assert text.endswith("|\n")


@settings(deadline=None)
@given(NAMES, NAMES)
def test_any_name_stays_in_its_cell(make_record, encoder: str, group: str) -> None:
    text = full_page([make_record("t", encoder, group=group)])
    (lines,) = [lines for title, lines in tables(text).items() if title.startswith("Group ")]
    assert [len(line) for line in lines] == [2, 2]


def test_a_pipe_in_a_name_is_escaped(make_record) -> None:
    assert r"| ◆ a\|b " in full_page([make_record("gs_key", "a|b")])


def test_columns_line_up_in_the_raw_text(make_record) -> None:
    text = full_page([make_record("gs_key", "a"), make_record("t", "a", damaged=2, group="demo")])
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        lines = block.splitlines()
        assert len({len(line) for line in lines}) == 1
    assert "\n\n\n" not in text
    assert not re.search(r"[ \t]$", text, flags=re.M)


def test_the_text_says_what_it_is_and_who_makes_it() -> None:
    text = full_page([])
    assert text.startswith("# Leaderboard: all metrics\n")
    assert "`bench leaderboard`" in text
    assert "[leaderboard.md](leaderboard.md)" in text


# files


def test_write_says_whether_it_changed_the_file(tmp_path: Path, make_record) -> None:
    target = tmp_path / "leaderboard.md"
    assert leaderboard.write(tmp_path, target)
    assert not leaderboard.write(tmp_path, target)
    store.write(tmp_path, make_record())
    assert leaderboard.write(tmp_path, target)
    pages = leaderboard.render(store.read_all(tmp_path))
    assert target.read_bytes() == pages.compact.encode()
    assert (tmp_path / "leaderboard-full.md").read_bytes() == pages.full.encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["leaderboard-full.md", "leaderboard.md", "runs"]
    (tmp_path / "leaderboard-full.md").unlink()
    assert leaderboard.write(tmp_path, target)


def test_check_is_silent_when_the_file_is_as_it_should_be(tmp_path: Path, make_record) -> None:
    target = tmp_path / "leaderboard.md"
    store.write(tmp_path, make_record())
    leaderboard.write(tmp_path, target)
    assert leaderboard.check(tmp_path, target) == ""
    target.write_bytes(target.read_bytes().replace(b"\n", b"\r\n"))
    assert leaderboard.check(tmp_path, target) == ""


def test_check_shows_an_edit(tmp_path: Path) -> None:
    target = tmp_path / "leaderboard.md"
    leaderboard.write(tmp_path, target)
    text = target.read_text(encoding="utf-8")
    target.write_text(text.replace("0.835", "0.935"), encoding="utf-8")
    diff = leaderboard.check(tmp_path, target)
    assert diff.startswith(f"--- {target}\n+++ bench leaderboard\n@@ ")
    assert re.search(r"^-\| musicset-sup .*0\.935", diff, flags=re.M)
    assert re.search(r"^\+\| musicset-sup .*0\.835", diff, flags=re.M)


@pytest.mark.parametrize("edit", [lambda text: text[:-1], lambda text: text + "\n", lambda text: ""])
def test_check_sees_the_last_line_too(tmp_path: Path, edit) -> None:
    target = tmp_path / "leaderboard.md"
    leaderboard.write(tmp_path, target)
    target.write_text(edit(target.read_text(encoding="utf-8")), encoding="utf-8")
    assert leaderboard.check(tmp_path, target) != ""


def test_check_shows_a_record_that_the_file_lacks_and_a_missing_file(tmp_path: Path, make_record) -> None:
    target = tmp_path / "leaderboard.md"
    assert leaderboard.check(tmp_path, target).count("\n+") > 20
    leaderboard.write(tmp_path, target)
    store.write(tmp_path, make_record(encoder="new"))
    assert "+| ◆ new " in leaderboard.check(tmp_path, target)
