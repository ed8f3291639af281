"""Our scores beside published ones, by the command."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from benchmark.cli.reading import compare as command
from benchmark.errors import UserError
from benchmark.reports.published import beside_published
from results import store
from results.together import read_together

build_record = runpy.run_path(str(Path(__file__).parents[2] / "results" / "conftest.py"))["build_record"]


@pytest.fixture
def results(tmp_path):
    """Records of a published encoder near the paper and far from it, of a partial run, and of another encoder."""
    for record in (
        build_record("gs_key", "musicset-ularge", {"weighted_accuracy": 0.66}),
        build_record("gtzan", "musicset-ularge", {"accuracy": 0.5}),
        build_record("mtt", "musicset-ularge", {"map": 0.404, "roc_auc": 0.914}, damaged=2),
        build_record("mtt", "hf:m-a-p/MERT-v1-330M", {"map": 0.379, "roc_auc": 0.906}),
        build_record("gs_key", "logmel", {"weighted_accuracy": 0.66}),
        build_record("gs_key", "musicset-sup", {"weighted_accuracy": 0.286}, limit=40),
    ):
        store.write(tmp_path, record)
    return tmp_path


def beside(results, *named, tasks=(), **options):
    return beside_published(named, tasks, together=read_together([results]), **options)


def content(results, *named, **options):
    return json.loads(beside(results, *named, as_json=True, **options))


def test_all_records_of_published_encoders(results):
    found = {(each["task"], each["encoder"], each["metric"]): each for each in content(results)["scores"]}
    assert {key: each["word"] for key, each in found.items()} == {
        ("gs_key", "musicset-sup", "weighted_accuracy"): "not comparable",
        ("gs_key", "musicset-ularge", "weighted_accuracy"): "undecided",
        ("gtzan", "musicset-ularge", "accuracy"): "off",
        ("mtt", "musicset-ularge", "map"): "not comparable",
        ("mtt", "musicset-ularge", "roc_auc"): "not comparable",
        ("mtt", "hf:m-a-p/MERT-v1-330M", "map"): "not comparable",
        ("mtt", "hf:m-a-p/MERT-v1-330M", "roc_auc"): "not comparable",
    }
    gtzan = found["gtzan", "musicset-ularge", "accuracy"]
    assert (gtzan["measured"], gtzan["published"], gtzan["reason"]) == (0.5, 0.735, "0.235 below what was published")


def test_encoders_tasks_and_metrics_of_choice(results):
    assert {each["encoder"] for each in content(results, "musicset-ularge")["scores"]} == {"musicset-ularge"}
    assert {each["task"] for each in content(results, tasks=["mtt"])["scores"]} == {"mtt"}
    assert {each["metric"] for each in content(results, metric="map")["scores"]} == {"map"}
    file = results / "runs" / "gtzan" / "musicset-ularge.json"
    assert [each["task"] for each in content(results, str(file))["scores"]] == ["gtzan"]


def test_what_is_published_and_was_not_measured_is_named(results):
    absent = content(results, "musicset-ularge", tasks=["gs_key", "gtzan", "mtt"])["without_record"]
    assert absent == []
    absent = content(results, "musicset-ularge")["without_record"]
    assert {"encoder": "musicset-ularge", "task": "emo", "metric": "r2_valence"} in absent
    assert not [each for each in absent if each["task"] in ("gs_key", "gtzan", "mtt")]
    assert "Published, and not measured here: musicset-ularge on nsynth_p" in beside(results, "musicset-ularge")


def test_what_is_printed(results):
    text = beside(results)
    assert "| gtzan  | musicset-ularge" in text
    assert "0 reproduced, 1 undecided, 1 off, 5 not comparable" in text
    assert "other protocol: MARBLE" in text
    assert "limited to 40 items" in text
    assert "data missing: 2 damaged tracks left out" in text


def test_nothing_published(results):
    with pytest.raises(
        UserError, match=r"nothing is published of what was measured .logmel in .*musicset-ularge"
    ) as said:
        beside(results, "logmel")
    assert "sota" not in str(said.value)
    with pytest.raises(UserError, match="no record of an encoder 'musicset'"):
        beside(results, "musicset")
    assert content(results, "logmel") == {"schema_version": 1, "scores": [], "without_record": []}


def test_no_records_at_all(tmp_path):
    with pytest.raises(UserError, match=r"nothing is published of what was measured .no record in"):
        beside(tmp_path)


def test_the_command(results, capsys):
    command(None, published=True, results=[results])
    assert "undecided" in capsys.readouterr().out
    command(["musicset-ularge"], published=True, results=[results], as_json=True)
    assert len(json.loads(capsys.readouterr().out)["scores"]) == 4
