"""What became of a run: from its files alone."""

from __future__ import annotations

import json
from pathlib import Path

from benchmark.pretraining.comparison.training import last_values, state_of, stopped_runs

LOG = "step,name,value\n5,loss,0.75\n10,loss,0.5\n10,embedding/effective_rank,6.5\n10,seconds_per_step,3.0\n10,lo"


def run(folder: Path, steps: int | None, name: str = "mine-seed-1") -> Path:
    path = folder / "runs" / name
    path.mkdir(parents=True)
    (path / "metrics.csv").write_text(LOG, encoding="utf-8")
    if steps is not None:
        (path / "encoder.safetensors").write_bytes(b"")
        (path / "card.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
    return path


def test_a_finished_run_says_what_it_took(tmp_path: Path) -> None:
    run(tmp_path, 10)
    found = state_of(tmp_path, "mine", 1, 10)
    assert found is not None
    assert (found.name, found.seed, found.status, found.steps) == ("mine-seed-1", 1, "finished", 10)
    assert (found.minutes, found.effective_rank, found.loss) == (0.5, 6.5, 0.5)


def test_a_run_of_fewer_steps_or_without_weights_is_to_be_trained(tmp_path: Path) -> None:
    run(tmp_path, 8)
    assert state_of(tmp_path, "mine", 1, 10) is None
    run(tmp_path, None, "other-seed-0")
    assert state_of(tmp_path, "other", 0, 10) is None
    assert state_of(tmp_path, "never", 0, 10) is None


def test_a_stopped_run_says_why_until_its_folder_is_deleted(tmp_path: Path) -> None:
    path = run(tmp_path, None)
    (tmp_path / "stopped.json").write_text(json.dumps({path.name: "it collapsed", "odd": 3}), encoding="utf-8")
    assert stopped_runs(tmp_path) == {path.name: "it collapsed"}
    found = state_of(tmp_path, "mine", 1, 20)
    assert found is not None
    assert (found.status, found.why, found.steps) == ("stopped", "it collapsed", 10)
    path.rename(tmp_path / "elsewhere")
    assert state_of(tmp_path, "mine", 1, 20) is None


def test_a_damaged_log_costs_nothing_but_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    assert last_values(path) == {}
    path.write_bytes(b"\xff\xfe")
    assert last_values(path) == {}
    path.write_text("1,loss,nan\n1,loss,0.5\n2,loss,inf\nx,loss,1\n3,loss\n", encoding="utf-8")
    assert last_values(path) == {"loss": (1, 0.5)}
