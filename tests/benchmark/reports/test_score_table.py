"""A table of scores: which rows and columns it has, what is bold, and what must be said beside it."""

import pytest

from benchmark.errors import UserError
from benchmark.reports.score_table import chosen_records, interval_sentence, score_table
from results.sections.inputs import LeftOut
from results.together import Together, place_of
from tests.results.conftest import build_record

CURVE = {"fraction": 0.1, "repeat": 2, "seed": 5, "items": 92, "lost": []}
TWO = {"weighted_accuracy": 0.7, "accuracy": 0.6}


def together(*records, examples=()):
    points = tuple(record for record in records if record.curve is not None)
    whole = tuple(record for record in records if record.curve is None)
    return Together(whole, {}, frozenset(map(place_of, examples)), "results", points)


def of(task="gs_key", encoder="example", scores=None, **changes):
    return build_record(task, encoder, TWO if scores is None else scores, **changes)


def test_the_primary_metric_of_each_task_is_a_column():
    table = score_table(together(of(), of("mtt", scores={"map": 0.4, "roc_auc": 0.9})))
    assert table.columns == (("gs_key", "weighted_accuracy"), ("mtt", "map"))
    (row,) = table.rows
    assert {column: cell.value for column, cell in row.cells.items()} == {
        ("gs_key", "weighted_accuracy"): 0.7,
        ("mtt", "map"): 0.4,
    }
    assert row.label == "example"


def test_all_metrics_or_one():
    records = [of(), of("mtt", scores={"map": 0.4})]
    every = score_table(together(*records), all_metrics=True)
    assert every.columns == (("gs_key", "weighted_accuracy"), ("gs_key", "accuracy"), ("mtt", "map"))
    one = score_table(together(*records), metric="accuracy")
    assert one.columns == (("gs_key", "accuracy"),)
    assert "Tasks without accuracy: mtt." in one.said
    with pytest.raises(UserError, match=r"no task here has the metric 'acuracy': did you mean 'accuracy'\?"):
        score_table(together(*records), metric="acuracy")
    with pytest.raises(UserError, match="give one of them"):
        score_table(together(*records), metric="map", all_metrics=True)


def test_runs_of_a_part_stand_in_rows_of_their_own_and_are_never_bold():
    partial = of(encoder="some", damaged=2, scores={"weighted_accuracy": 0.99, "accuracy": 0.9})
    limited = of(limit=40, scores={"weighted_accuracy": 0.98, "accuracy": 0.9})
    point = of(curve=CURVE, scores={"weighted_accuracy": 0.97, "accuracy": 0.9})
    table = score_table(together(of(), partial, limited, point))
    assert [(row.label, row.kind) for row in table.rows] == [
        ("example", "run"),
        ("some (partial)", "partial"),
        ("example (--limit 40)", "limited"),
        ("example (0.1 of train, repeat 2)", "curve"),
    ]
    column = table.columns[0]
    assert [table.is_bold(row, column) for row in table.rows] == [True, False, False, False]
    assert "2 damaged tracks left out" in table.rows[1].cells[column].notes
    assert any("compare with no other row" in said for said in table.said)


def test_a_limited_run_of_what_is_partial_says_both():
    (row,) = score_table(together(of(limit=40, damaged=1))).rows
    assert row.label == "example (--limit 40, partial)"


def test_examples_are_marked():
    mine, theirs = of(encoder="mine"), of()
    table = score_table(together(mine, theirs, examples=[theirs]))
    assert [row.label for row in table.rows] == ["mine", "example (example)"]
    assert "Rows marked (example) came with the package." in table.said


def test_published_rows_stand_above_and_count_for_bold():
    table = score_table(together(of()), published=True)
    labels = [row.label for row in table.rows]
    column = table.columns[0]
    by_name = {row.label: row for row in table.rows}
    ours = labels.index("example")
    paper = "musicset-ularge (published, McCallum et al. 2022)"
    assert labels.index(paper) < ours
    assert by_name[paper].cells[column].value == 0.667
    assert by_name[paper].cells[column].low is None
    same = [row for row in table.rows if row.kind in ("published", "run")]
    best = max(row.cells[column].value for row in same)
    bold = [row.label for row in table.rows if table.is_bold(row, column)]
    assert bold == [row.label for row in same if best - row.cells[column].value < 0.0101]
    assert any("are copied from that source, without intervals" in said for said in table.said)
    assert "None of these columns was published." in score_table(together(of("own")), published=True).said


def test_rows_of_another_protocol_say_so_and_are_never_bold():
    table = score_table(together(of(scores={"weighted_accuracy": 0.1})), published=True)
    others = [row for row in table.rows if row.kind == "other protocol"]
    assert others
    assert table.rows.index(others[0]) > [row.label for row in table.rows].index("example")
    assert all(", other protocol: MARBLE)" in row.label for row in others)
    assert not any(table.is_bold(row, column) for row in others for column in row.cells)
    assert "Rows of another protocol were not measured as ours are, and are not bold." in table.said


@pytest.mark.parametrize(
    ("rule", "digits", "expected"),
    [
        ("paper", 3, ["a", "b"]),  # 0.70 and 0.69: within 0.01, also in binary
        ("best", 3, ["a"]),
        ("best", 1, ["a", "b", "c"]),  # 0.7, 0.7, 0.7: what is printed alike is bold alike
        ("none", 3, []),
    ],
)
def test_bold(rule, digits, expected):
    values = {"a": 0.7, "b": 0.69, "c": 0.66}
    table = score_table(
        together(*(of(encoder=name, scores={"accuracy": value}) for name, value in values.items())), bold=rule
    )
    column = table.columns[0]
    assert [row.encoder for row in table.rows if table.is_bold(row, column, digits)] == expected
    assert any(said.startswith("Bold") for said in table.said) == (rule != "none")


def test_records_that_are_not_alike_say_so():
    table = score_table(together(of(), of(encoder="other", trials=9, protocol_version=3)))
    notes = [row.cells[table.columns[0]].notes for row in table.rows]
    assert notes[0] == ("not alike in this column, here: protocol version 2, 2 trials",)
    assert notes[1] == ("not alike in this column, here: protocol version 3, 9 trials",)
    assert (
        "Each probe was chosen on the valid split among 2 to 9 settings (protocol paper, search seed 7)." in table.said
    )


def test_other_numbers_of_probes_and_older_schemas_say_so():
    first, other = of(), of(encoder="other")
    other = other.model_copy(
        update={
            "seeds": other.seeds.model_copy(update={"probes": [8]}),
            "schema_version": 2,
            "predictions_sha256": None,
        }
    )
    table = score_table(together(first, other))
    notes = [row.cells[table.columns[0]].notes for row in table.rows]
    assert "2 probes" in notes[0]
    assert {"1 probe", "of an older schema, without digests: not checked for damage"} <= set(notes[1])
    assert "means over 1 to 2 retrained probes" in table.said[0]


def test_two_states_of_an_encoder_in_a_row_are_told():
    table = score_table(together(of(), of("mtt", scores={"map": 0.4}, encoder_fingerprint="b" * 64)))
    (row,) = table.rows
    assert row.notes[0].startswith("more than one state of this encoder in its row: version 1.0, fingerprint bbbb")


def test_seeds_and_intervals_are_told():
    table = score_table(together(of()))
    assert table.said[0] == "Scores on the test split, higher is better: means over 2 retrained probes (seeds 8, 9)."
    assert interval_sentence(table, "range").startswith("In round brackets the 95 % interval: of the score that")
    assert interval_sentence(table, "plus-minus").startswith("Behind ± half the width of the interval")
    assert interval_sentence(table, "none") == "Intervals are not shown."


def test_what_is_asked_for_alone():
    records = [of(), of(encoder="other"), of("mtt", scores={"map": 0.4})]
    assert [r.encoder.id for r in chosen_records(records, ["oth*"], [], "results")[0]] == ["other"]
    assert [r.task.id for r in chosen_records(records, ["example,other"], ["mtt"], "results")[0]] == ["mtt"]
    found, absent = chosen_records(records, [], ["mtt,gtzan"], "results")
    assert ([r.task.id for r in found], absent) == (["mtt"], ["gtzan"])
    assert "Tasks without a record: gtzan." in score_table(together(*records), tasks=["mtt", "gtzan"]).said


@pytest.mark.parametrize(
    ("encoders", "tasks", "message"),
    [
        (["exampel"], [], r"no record of an encoder 'exampel' in results: did you mean example\?"),
        (["x*"], [], r"no record of an encoder 'x\*'"),
        ([], ["gtzan"], r"no record of gtzan in results, but of gs_key, mtt\. Make one: bench run -e ENCODER -t gtzan"),
        ([], ["gs_keyy"], "gs_keyy"),
        (["other"], ["mtt"], "no record of other on mtt in results: name those that there are: example"),
    ],
)
def test_what_is_not_there_is_refused(encoders, tasks, message):
    records = [of(), of(encoder="other"), of("mtt", scores={"map": 0.4})]
    with pytest.raises(UserError, match=message):
        chosen_records(records, encoders, tasks, "results")


def test_without_records_the_next_command_is_named():
    with pytest.raises(UserError, match=r"no records in results: .*bench run -e ENCODER -t TASK"):
        score_table(together())


def test_what_was_left_out_is_told():
    left = LeftOut(
        of={"train": 923, "valid": 236, "test": 604}, missing_by_split={"test": 4}, missing_by_class={},
        damaged_by_split={}, damaged_by_class={}, emptied={},
    )  # fmt: skip
    record = of(damaged=1)
    record = record.model_copy(update={"data": record.data.model_copy(update={"left_out": left})})
    (row,) = score_table(together(record)).rows
    assert "left out: 4 of 604 test items (4 missing)" in row.cells["gs_key", "weighted_accuracy"].notes
