"""Three encoders or more, and records, beside each other."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from benchmark.cli.reading import compare as command
from benchmark.errors import UserError
from benchmark.jobs.ranking import rankings
from benchmark.reports.compare import compare as two
from benchmark.reports.rank_groups import compare_all
from benchmark.system.progress import Silent
from results import store
from results.record import RecordError
from results.together import read_together

save = runpy.run_path(str(Path(__file__).with_name("test_compare.py")))["save"]


@pytest.fixture
def places(tmp_path):
    for encoder, skill in (("best", 4.0), ("good", 4.0), ("poor", 0.1)):
        save(tmp_path / "results", "keys", encoder, skill, items=100, probes=3)
        save(tmp_path / "results", "tags", encoder, skill, kind="multilabel", metrics=("map", "roc_auc"), probes=3)
    save(tmp_path / "results", "pitch", "best", 1.0)
    return tmp_path


def compared(places, *named, tasks=(), **options):
    together = read_together([places / "results"])
    return compare_all(named, tasks, together=together, report=Silent(), home=places / "home", **options)


def content(places, *named, **options):
    return json.loads(compared(places, *named, as_json=True, **options))


def test_any_number_of_encoders_with_who_is_separated_from_whom(places):
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in compared(places, "poor", "good", "best", tasks=["keys"]).splitlines()
        if line.startswith("|")
    ]
    assert lines[0] == ["rank", "encoder", "score", "95 % interval", "better than", "not separated from"]
    assert sorted([line[0], line[1], line[4], line[5]] for line in lines[2:]) == [
        ["1", "best", "poor", "good"], ["1", "good", "poor", "best"], ["3", "poor", "-", "-"]
    ]  # fmt: skip
    record = store.read(places / "results" / "runs" / "keys" / "poor.json")
    assert [line[2] for line in lines if line[1] == "poor"] == [f"{record.scores.test['accuracy'].value:.3f}"]


def test_json_is_what_the_ranking_is(places):
    found = content(places, "best", "good", "poor")
    assert found["encoders"] == ["best", "good", "poor"]
    (keys, tags) = found["columns"]
    (expected,) = rankings(read_together([places / "results"]), places / "home", ["keys"])
    assert keys["ranks"] == expected.ranks
    assert [each["p_holm"] for each in keys["separations"]] == [each.p_holm for each in expected.separations]
    assert (tags["task"], tags["metric"]) == ("tags", "map")
    assert found["notes"] == ["pitch: best is not compared, no other has a record."]


def test_the_family_is_those_that_are_named(places):
    """Holm's correction is over the pairs of the encoders that are compared, not over the whole column."""
    save(places / "results", "keys", "fair", 1.0, items=100, probes=3)
    all_four = content(places, "best", "good", "poor", "fair", tasks=["keys"])["columns"][0]["separations"]
    three = content(places, "best", "good", "poor", tasks=["keys"])["columns"][0]["separations"]
    assert (len(all_four), len(three)) == (6, 3)

    def smallest(pairs):
        return min(pairs, key=lambda each: each["p"])

    assert smallest(three)["p_holm"] == pytest.approx(3 * smallest(three)["p"])
    assert smallest(all_four)["p_holm"] == pytest.approx(6 * smallest(all_four)["p"])


def test_a_metric_of_choice(places):
    found = content(places, "best", "good", "poor", metric="roc_auc")
    assert [(each["task"], each["metric"]) for each in found["columns"]] == [("tags", "roc_auc")]
    assert "keys is not compared: it has no roc_auc, but accuracy." in found["notes"]


def test_records_by_their_files(places):
    folder = places / "results" / "runs" / "keys"
    found = content(places, *(str(folder / f"{name}.json") for name in ("best", "poor")))
    assert [each["task"] for each in found["columns"]] == ["keys"]
    assert found["columns"][0]["ranks"] == {"best": 1, "poor": 2}
    mixed = content(places, str(folder / "best.json"), "good", "poor")
    assert [each["task"] for each in mixed["columns"]] == ["keys"]
    assert sorted(mixed["columns"][0]["ranks"]) == ["best", "good", "poor"]


def test_two_runs_of_one_encoder_are_told_apart_by_their_keys(places):
    save(places / "elsewhere", "keys", "best", 0.1, items=100, probes=3, run_key="d" * 64)
    first = store.read(places / "results" / "runs" / "keys" / "best.json")
    files = [str(places / folder / "runs" / "keys" / "best.json") for folder in ("results", "elsewhere")]
    (column,) = content(places, *files)["columns"]
    assert column["ranks"] == {"best": 1, "best~dddddddd": 2}
    (column,) = content(places, files[1], "best")["columns"]
    assert sorted(column["ranks"].values()) == [1, 2]
    assert column["separations"][0]["difference"] == pytest.approx(
        first.scores.test["accuracy"].value - store.read(Path(files[1])).scores.test["accuracy"].value
    )


def test_limited_runs_are_compared_with_their_like(places):
    for encoder in ("best", "new"):
        save(places / "results", "limited", encoder, 1.0, limit=40)
    save(places / "results", "limited", "good", 1.0, limit=50)
    found = content(places, "best", "new", "good", tasks=["limited"])
    assert sorted(found["columns"][0]["ranks"]) == ["best", "new"]
    assert found["notes"] == [
        "limited: good is not compared, only runs with the same limit are comparable.",
        "limited: all runs are limited to 40 items (--limit).",
    ]


def test_what_must_not_be_compared_has_no_rank_and_is_shown(places):
    save(places / "results", "keys", "other", 4.0, items=100, task_fingerprint="0" * 64)
    text = compared(places, "best", "good", "other", tasks=["keys"])
    assert "- no rank: other (the task is not the same" in text


def test_conditions_that_differ_are_told(places):
    save(places / "results", "keys", "more", 1.0, items=100, probes=3, trials=9)
    text = compared(places, "best", "good", "more", tasks=["keys"])
    assert "- keys, more: not alike in this column, here: 9 trials.\n" in text + "\n"


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (("best", "goood", "poor"), "no record of an encoder 'goood'.*did you mean good"),
        (("best", "good", "best"), "best is named twice"),
    ],
)
def test_names_that_cannot_be_compared(places, named, words):
    with pytest.raises(UserError, match=words):
        compared(places, *named)


def test_files_that_cannot_be_compared(places):
    file = places / "results" / "runs" / "keys" / "best.json"
    with pytest.raises(RecordError):
        compared(places, "best", "good", str(places / "none.json"))
    (places / "loose.json").write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="lies in no results folder: name a record below runs/"):
        compared(places, "good", "poor", str(places / "loose.json"))
    save(places / "elsewhere", "keys", "best", 4.0, items=100, probes=3)
    with pytest.raises(UserError, match="is a run that is named twice"):
        compared(places, str(file), str(places / "elsewhere" / "runs" / "keys" / "best.json"))
    with pytest.raises(UserError, match="is a run that is named twice"):
        compared(places, str(file), "best", "good")


def test_no_task_of_two(places):
    with pytest.raises(UserError, match="no two of them have a task to be compared on"):
        compared(places, "best", "good", "poor", tasks=["pitch"])
    with pytest.raises(
        UserError, match="no task to be compared has a metric 'mapp': name one of accuracy, map, roc_auc"
    ):
        compared(places, "best", "good", "poor", metric="mapp")


# the command


def test_two_encoders_are_compared_as_ever(places, capsys):
    command(["best", "poor"], results=[places / "results"], permutations=100)
    assert capsys.readouterr().out == two("best", "poor", [], results=places / "results", permutations=100) + "\n"
    command(["best", "poor"], results=[places / "results"], permutations=100, as_json=True)
    assert json.loads(capsys.readouterr().out)["schema_version"] == 2


def test_more_than_two_and_what_is_refused(places, capsys):
    command(["best", "good", "poor"], results=[places / "results"], home=places / "home")
    assert "| rank" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"compare takes two encoders or more, 1 given\. For example: bench compare"):
        command(["best"], results=[places / "results"])
    with pytest.raises(UserError, match="--permutations and --seed are of a comparison of two"):
        command(["best", "good", "poor"], results=[places / "results"], permutations=10)
