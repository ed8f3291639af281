"""The verdict on scores of a probe that was trained once more, and what is named beside it."""

import runpy
from pathlib import Path

import pytest

from benchmark.jobs import provenance
from benchmark.jobs import verdicts as same_again
from benchmark.jobs.provenance import versions
from benchmark.jobs.verdicts import judge, machine_differences, seeds_noise, version_differences, worst
from benchmark.system.machine import hardware

build_record = runpy.run_path(str(Path(__file__).parents[2] / "results" / "conftest.py"))["build_record"]


def recorded(*seeds, low=0.4, high=0.8):
    record = build_record(scores={"accuracy": 0.0})
    score = {"value": sum(seeds) / len(seeds), "low": low, "high": high, "std": 0.0, "seeds": list(seeds)}
    content = record.model_dump()
    content["scores"] = {"valid": {"accuracy": score}, "test": {"accuracy": score}}
    return type(record).model_validate(content)


def verdicts(record, valid, test=None):
    found = {"valid": {"accuracy": valid}, "test": {"accuracy": valid if test is None else test}}
    return [each.verdict for each in judge(record, found)]


def test_rounding_is_the_same():
    assert verdicts(recorded(0.6, 0.62), [0.60005, 0.62]) == ["same", "same"]


def test_a_difference_within_the_seeds_deviation_is_named_so():
    assert verdicts(recorded(0.6, 0.65, 0.55), [0.62, 0.66, 0.56]) == ["same within seeds"] * 2


def test_a_difference_beyond_it_is_another_score():
    assert verdicts(recorded(0.600, 0.601, 0.602), [0.62, 0.621, 0.622]) == ["other"] * 2


def test_the_interval_must_hold_the_new_value_too():
    record = recorded(0.5, 0.7, low=0.59, high=0.61)
    assert verdicts(record, [0.55, 0.7]) == ["other"] * 2


def test_each_split_has_its_verdict():
    assert verdicts(recorded(0.6, 0.62), [0.6, 0.62], [0.9, 0.9]) == ["same", "other"]


def test_one_seed_alone_is_judged_by_what_an_item_does():
    assert verdicts(recorded(0.6), [0.6005]) == ["same within seeds"] * 2
    assert verdicts(recorded(0.6), [0.61]) == ["other"] * 2


def test_the_noise_of_means_follows_the_deviation_and_the_number_of_seeds():
    few, many = seeds_noise([0.5, 0.6], [0.5, 0.6], 10**6), seeds_noise([0.5, 0.6] * 8, [0.5, 0.6] * 8, 10**6)
    assert many < few / 5
    assert seeds_noise([0.5] * 3, [0.5] * 3, 100) == pytest.approx(0.0155)


def test_the_worst_verdict_counts():
    assert worst(["same", "other", "same within seeds"]) == "other"
    assert worst(["same", "same within seeds"]) == "same within seeds"


def here(**changes):
    record = build_record()
    content = record.model_dump()
    content["hardware"] = {**hardware("cpu"), **changes}
    content["versions"] = versions()
    return type(record).model_validate(content)


def test_the_same_machine_differs_in_nothing():
    assert machine_differences(here(), "cpu") == []
    assert version_differences(here()) == []


def test_an_instruction_set_is_named_with_what_repeats_it():
    record = here(instructions="DEFAULT", onednn="3.7 (SSE41)")
    found = machine_differences(record, "cpu")
    assert any(line.startswith("instructions DEFAULT there, ") for line in found)
    assert found[-1].endswith("ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41")


def test_versions_that_differ_are_named(monkeypatch):
    record = here()
    monkeypatch.setattr(provenance, "versions", lambda: {**versions(), "torch": "9.9"})
    assert same_again.version_differences(record) == [f"torch {record.versions['torch']} there, 9.9 here"]


@pytest.mark.parametrize("field", ["instructions", "onednn", "blas", "threads", "limits"])
def test_a_record_of_schema_2_says_nothing_of_what_it_does_not_know(field):
    older = here(instructions=None, onednn=None, blas=[], threads=None)
    assert not any(line.startswith(field) for line in machine_differences(older, "cpu"))
