"""What the commands that work print of what they did."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.jobs.runner import Outcome, UnfinishedError
from benchmark.reports.scores import format_next, format_outcomes
from results import store

build_record = runpy.run_path(str(Path(__file__).parents[2] / "results" / "conftest.py"))["build_record"]
RESULTS = Path("results")


def outcome(*names, kept=False, **changes):
    record = build_record(*names, **changes)
    return Outcome(record, store.path_of(RESULTS, record), kept)


@pytest.fixture
def printed(capsys):
    """Print outcomes, and return the lines, split where columns end."""

    def printed(*outcomes):
        print(format_outcomes(outcomes))
        lines = capsys.readouterr().out.splitlines()
        return [re.split(r" {2,}", line.strip()) for line in lines], lines

    return printed


def test_a_score_stands_beside_its_ridge(printed):
    cells, lines = printed(outcome("t", "mine", {"accuracy": 0.7}), outcome("u", "mine", {"map": 0.5}, kept=True))
    assert cells[0][-3:] == ["ridge", "items", "record"]
    assert cells[2] == ["t", "mine", "accuracy", "0.700", "0.650–0.750", "0.010", "0.637", "0.600", "604", "new"]
    assert cells[3][-3:] == ["0.400", "604", "kept"]
    assert "Records in results/runs/<task>/<encoder>.json" in lines
    assert "!" not in "".join(lines)


@pytest.mark.parametrize(("columns", "lacking"), [(80, ["record", "std", "valid", "ridge"]), (120, [])])
def test_scores_fit_the_terminal(monkeypatch, columns, lacking):
    monkeypatch.setattr("benchmark.system.tables.page_width", lambda: columns)
    outcomes = [
        outcome("demo_instrument", "musicset-ularge", {"weighted_accuracy": 0.7}),
        outcome("t", "mine", {"map": 0.5}),
    ]
    head, *lines = format_outcomes(outcomes).split("\n\n")[0].splitlines()
    assert max(map(len, [head, *lines])) <= columns
    headers = ["task", "encoder", "metric", "test", "95 % int.", "std", "valid", "ridge", "items", "record"]
    assert re.split(r" {2,}", head) == [header for header in headers if header not in lacking]
    assert [line.split()[:2] for line in lines[1:3]] == [["demo_instrument", "musicset-ularge"], ["t", "mine"]]
    note = " ".join(lines[3:])
    assert all(header in note for header in lacking)
    assert "--json" not in note  # which bench run has not


def test_a_loss_to_the_ridge_is_marked_at_its_metric(printed):
    scores = {"r2_valence": 0.5, "r2_arousal": 0.6}
    cells, lines = printed(outcome("emo", "mine", scores, loses=["r2_arousal"]))
    assert [row[7] for row in cells[2:4]] == ["0.400", "0.700 !"]
    assert "! a ridge regression on the same embeddings does better, by more than the interval" in lines


def test_a_ridge_that_could_not_be_scored_is_a_dash(printed):
    def without_ridge(done):
        changed = done.record.floors.model_copy(update={"ridge": None, "ridge_penalty": None})
        return replace(done, record=done.record.model_copy(update={"floors": changed}))

    cells, _ = printed(without_ridge(outcome("t", "mine", {"accuracy": 0.7})))
    assert cells[2][7] == "-"
    curves = [outcome("t", "mine", {"accuracy": 0.7}, curve={"fraction": 0.1, "repeat": n}) for n in (0, 1)]
    cells, _ = printed(without_ridge(curves[0]), curves[1])
    assert cells[2][8] == "-"


def test_what_was_finished_is_printed_before_the_error(monkeypatch, tmp_path, capsys):
    def fail(*_args):
        raise UnfinishedError("1 of 2 jobs failed", "mend it", (), [outcome("t", "mine", {"accuracy": 0.7})])

    monkeypatch.setattr("benchmark.jobs.runner.run_many", fail)
    monkeypatch.setattr("benchmark.encoders.registry.resolve", lambda *_args: [])
    monkeypatch.setattr("tasks.registry.find", lambda *_args: [])
    with pytest.raises(SystemExit) as ended:
        main(["run", "-e", "mine", "-t", "t", "--home", str(tmp_path), "--results", str(tmp_path)])
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert "0.700" in shown.out
    assert "1 of 2 jobs failed" in shown.err


def test_a_curve_is_a_line_a_fraction(printed):
    def point(fraction, repeat, value, items, kept=False):
        curve = {"fraction": fraction, "repeat": repeat, "items": items}
        return outcome("t", "mine", {"accuracy": value, "map": value / 2}, curve=curve, kept=kept)

    cells, lines = printed(
        point(1.0, 0, 0.9, 1234, kept=True), point(0.1, 0, 0.5, 92, kept=True), point(0.1, 1, 0.7, 95)
    )
    assert cells[0] == ["task", "encoder", "metric", "train", "items", "repeats", "test", "min–max", "ridge", "records"]
    assert cells[2:6] == [
        ["t", "mine", "accuracy", "0.1", "92–95", "2", "0.600", "0.500–0.700", "0.500", "1 kept"],
        ["t", "mine", "accuracy", "1", "1,234", "1", "0.900", "-", "0.800", "kept"],
        ["t", "mine", "map", "0.1", "92–95", "2", "0.300", "0.250–0.350", "0.200", "1 kept"],
        ["t", "mine", "map", "1", "1,234", "1", "0.450", "-", "0.350", "kept"],
    ]
    assert "Records in results/curves/<task>/<encoder>/fraction-<train>.repeat-<number>.json" in lines


def test_what_was_left_out_is_told_once(printed):
    curves = [outcome("t", "mine", curve={"fraction": share, "repeat": 0}, damaged=2, limit=50) for share in (0.1, 0.2)]
    _, lines = printed(*curves)
    assert lines[-2:] == [
        "mine on t is partial, 2 damaged tracks left out. The record names them; the leaderboard keeps it apart",
        "mine on t: limited to 50 items; this record enters no leaderboard",
    ]


def test_a_score_stands_beside_the_published_one(printed):
    _, lines = printed(outcome("gs_key", "musicset-ularge", {"weighted_accuracy": 0.667}))
    assert lines[-1] == (
        "musicset-ularge on gs_key, weighted_accuracy: undecided (the interval is ±0.050, wider than ±0.03); ours "
        "0.667 (0.617–0.717), published 0.667 (McCallum et al. 2022, Table 3), difference +0.000"
    )
    _, lines = printed(outcome("gs_key", "mine", {"weighted_accuracy": 0.667}))
    assert not any("published" in line for line in lines)


@pytest.mark.parametrize("metric", ["accuracy", "weighted_accuracy_symmetric"])
def test_names_that_are_too_long_are_wrapped_and_whole(printed, metric):
    task, encoder = "mirdata:a_collection_of_some_length:pitch", "hf:m-a-p/MERT-v1-330M-and-more?layer=17&half=true"
    curve = {"fraction": 0.01, "repeat": 0}
    for changes in ({}, {"curve": curve}):
        _, lines = printed(outcome(task, encoder, {metric: -0.5}, loses=[metric], **changes))
        start = next(i for i, line in enumerate(lines) if line.startswith("---")) + 1
        end = next(i for i, line in enumerate(lines) if i > start and not line.strip())
        rows, edges = lines[start:end], [match.span() for match in re.finditer("-+", lines[start - 1])]
        assert ["".join(line[slice(*edge)].strip() for line in rows) for edge in edges[:3]] == [task, encoder, metric]


def test_the_next_command_is_one_that_a_shell_takes():
    assert format_next(None).startswith("Next: bench report   #")
    assert "bench report --results 'my results'" in format_next("my results")
    assert "bench leaderboard --print --results 'my results'" in format_next("my results")
