"""A record made with one instruction set is reproduced with another, in processes of their own."""

import os
import subprocess
import sys

import pytest
import torch

from results import store

OLDER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
VERDICTS = ("same", "same within seeds")

pytestmark = pytest.mark.timeout(1800)  # the oldest instruction set is slow


def bench(words, limits, code=0):
    environment = {name: value for name, value in os.environ.items() if name not in OLDER} | limits
    script = "import sys; from benchmark.cli.main import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def given(tmp_path_factory, write_vectors):
    """Embeddings and their task, which has the budget of the demo tasks."""
    folder = tmp_path_factory.mktemp("two-processors")
    return write_vectors(folder / "vectors", items=200, apart=1.0, groups='groups = ["demo"]\n')


@pytest.fixture(scope="module")
def recorded(given, tmp_path_factory):
    """Return the record that was made within limits, its file, and what names its parts; each is made once."""
    encoder, card = given
    made = {}

    def record_of(limits):
        name = "older" if limits else "this"
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            names = ["-e", encoder, "-t", card, "--home", folder / "home"]
            bench(["run", *names, "--trials", "3", "--seeds", "3", "--results", folder / "results"], limits)
            (record,) = store.read_all(folder / "results")
            made[name] = record, store.path_of(folder / "results", record), names
        return made[name]

    return record_of


@pytest.mark.parametrize(("first", "second"), [(OLDER, {}), ({}, OLDER)])
def test_the_verdict_is_same_or_same_within_seeds_and_the_instruction_set_is_named(recorded, first, second):
    record, path, names = recorded(first)
    out = bench(["reproduce", path, *names], second)
    assert out.rpartition(": ")[2].strip() in VERDICTS
    if torch.backends.cpu.get_cpu_capability() != "DEFAULT":  # else there is no older set than this machine's
        differ = next(line for line in out.splitlines() if line.startswith("Differs, machine: "))
        assert f"instructions {record.hardware.instructions} there" in differ
    assert "Alike: versions" in out
    if first == OLDER:
        assert record.hardware.limits == OLDER


def test_a_search_of_one_round_asks_for_the_same_settings(recorded):
    records = [recorded(limits)[0] for limits in ({}, OLDER)]
    asked = [
        [(trial.learning_rate, trial.l2, trial.steps, trial.standardise) for trial in record.search.trials]
        for record in records
    ]
    assert asked[0] == asked[1]
    assert records[0].run_key == records[1].run_key  # the machine is in the record, not in the key


def test_with_search_it_is_told_which_trial_would_be_chosen(recorded):
    record, path, names = recorded({})
    out = bench(["reproduce", path, *names, "--search"], {})
    assert f"Choice of trial: {record.search.trials[record.search.selected].number}, as in the record" in out
