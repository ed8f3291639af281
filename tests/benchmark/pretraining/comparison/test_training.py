"""What became of a run: from its files alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.pretraining.comparison.training import Place, last_values, measured_pace, state_of, stopped_runs
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.training import recipes
from benchmark.pretraining.training.collapse import TrainingStopped
from benchmark.system.progress import Reporter, Silent

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


def readings(*values: float) -> Callable[[], float]:
    return iter(values).__next__


def place_that(folder: Path, steps: int, seen: list[Recipe]) -> Place:
    """Return a place whose trainings make so many steps and then collapse."""

    def train(recipe: Path, out: Path, overrides: tuple[str, ...], report: Reporter) -> Path:
        seen.append(recipes.load(str(recipe)))
        with report.stage("training", 25, "steps") as advance:
            for step in range(1, steps + 1):
                advance(step)
        raise TrainingStopped("the loss of a step is nan", "begin again")

    return Place(folder, train)


def test_a_recipe_that_collapses_while_it_is_measured_has_the_pace_until_then(tmp_path: Path) -> None:
    seen: list[Recipe] = []
    recipe = recipes.load("tiny-simclr")
    pace = measured_pace(recipe, place_that(tmp_path, 3, seen), Silent(), readings(1.0, 1.5, 2.0))
    assert pace == 2.0
    assert not (tmp_path / "pace").exists()
    assert (seen[0].steps, seen[0].warmup_steps, seen[0].batch) == (25, 0, recipe.batch)
    assert seen[0].peak_learning_rate < 1e-8, "it is not to diverge for the lack of its warm-up"
    with pytest.raises(UserError, match="could not be measured: give --budget steps=N"):
        measured_pace(recipe, place_that(tmp_path, 1, seen), Silent(), readings(1.0))
