"""The runs of a comparison: each recipe with each seed, trained, continued, kept, or reported as stopped."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmark.pretraining.comparison.budget import (
    LEFT_OUT,
    MEASURED,
    Pace,
    parse,
    steps_of,
    warmup_of,
)
from benchmark.pretraining.comparison.folder import PACE, RECIPES, RUNS, STOPPED, run_name
from benchmark.pretraining.comparison.plan import Plan, write_plan
from benchmark.pretraining.comparison.summary import Run
from benchmark.pretraining.runs import CARD, WEIGHTS
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.training import recipes
from benchmark.pretraining.training.collapse import TrainingStopped
from benchmark.pretraining.training.logs import CSV_NAME
from benchmark.system.descriptions import read_description
from benchmark.system.progress import Reporter
from results.files import replace_file

Clock = Callable[[], float]
#: Trains the recipe of a file into a folder, with ``key=value`` texts in place of what it says, or goes on with it.
Train = Callable[[Path, Path, tuple[str, ...], Reporter], Path]


@dataclass(frozen=True)
class Place:
    """Where a comparison lies, and what trains its runs.

    Attributes:
        folder: The comparison's folder.
        train: Trains a run on the comparison's store.
    """

    folder: Path
    train: Train

    def run(self, name: str) -> Path:
        """Return the folder of a run."""
        return self.folder / RUNS / name


def with_steps(plan: Plan, found: Mapping[str, Recipe], place: Place, report: Reporter, clock: Clock) -> Plan:
    """Return a plan that says how many steps each recipe has, and write it; what is measured is measured once.

    Raises:
        UserError: A recipe cannot be trained, or no step fits into the budget.
    """
    budget = parse(plan.budget)
    for name, recipe in found.items():
        if name in plan.steps:
            continue
        pace = None
        if budget.unit == "minutes":
            pace = measured_pace(recipe, place, report, clock)
            report.say(f"{name}: {pace:.3g} steps a second, of {MEASURED} steps after {LEFT_OUT} that are left out")
        steps = steps_of(budget, pace)
        paces = plan.paces if pace is None else {**plan.paces, name: pace}
        plan = plan.model_copy(update={"steps": {**plan.steps, name: steps}, "paces": paces})
        write_plan(place.folder, plan)
    for name, recipe in found.items():
        _write_recipe(place.folder, name, recipe, plan.steps[name])
    return plan


def measured_pace(recipe: Recipe, place: Place, report: Reporter, clock: Clock = time.monotonic) -> float:
    """Return how many steps a second a recipe takes, from its first steps, which nothing is kept of.

    Raises:
        UserError: It cannot be trained, or was stopped before its second step.
    """
    folder, steps = place.folder / PACE, LEFT_OUT + MEASURED
    shutil.rmtree(folder, ignore_errors=True)
    pace = Pace(report, clock)
    folder.mkdir(parents=True)
    path = folder / "recipe.toml"
    short = recipe.model_copy(
        update={
            "steps": steps, "warmup_steps": 0, "log_every": steps, "checkpoint_every": steps,
            "peak_learning_rate": 1e-6 * recipe.peak_learning_rate,  # without its warm-up it might diverge
        }
    )  # fmt: skip
    path.write_text(recipes.as_toml(short), encoding="utf-8")
    try:
        with suppress(TrainingStopped):  # its steps until then are measured, and its runs will say what stops them
            place.train(path, folder / "run", (), pace)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return pace.steps_per_second()


def _write_recipe(folder: Path, name: str, recipe: Recipe, steps: int) -> None:
    """Write the recipe of all runs of a name; what they are resumed from, whatever becomes of the user's file."""
    path = recipe_path(folder, name)
    warmup = warmup_of(recipe.warmup_steps, recipe.steps, steps)
    content = recipes.as_toml(recipe.model_copy(update={"steps": steps, "warmup_steps": warmup})).encode()
    if not path.is_file() or path.read_bytes() != content:
        replace_file(path, content)


def recipe_path(folder: Path, name: str) -> Path:
    """Return the file of a recipe with the steps that the budget gives it."""
    return folder / RECIPES / f"{name}.toml"


def trained(plan: Plan, name: str, seed: int, place: Place, report: Reporter) -> Run:
    """Train a recipe with a seed, or continue with it; what is finished, or was stopped, is kept.

    Returns:
        What became of it; a run that collapsed or diverged is ``stopped``.

    Raises:
        UserError: The store, the disk or the machine does not do.
        KeyboardInterrupt: Somebody interrupted; a checkpoint is written.
    """
    run = place.run(run_name(name, seed))
    known = state_of(place.folder, name, seed, plan.steps[name])
    if known is not None:
        return known
    report.say(f"{run.name}: {plan.steps[name]} steps")
    try:
        place.train(recipe_path(place.folder, name), run, (f"seed={seed}",), report)
    except TrainingStopped as stop:
        why = why_of(stop)
        report.say(f"{run.name} was stopped, the others go on: {why}")
        _add_stopped(place.folder, run.name, why)
    state = state_of(place.folder, name, seed, plan.steps[name])
    assert state is not None
    return state


def why_of(stop: TrainingStopped) -> str:
    """Return what stopped a training, without the folder that its message names."""
    inner = stop.__context__
    return inner.what if isinstance(inner, TrainingStopped) else stop.what


def state_of(folder: Path, name: str, seed: int, steps: int) -> Run | None:
    """Return what became of a run that is finished or was stopped; ``None`` where it is to be trained."""
    run = folder / RUNS / run_name(name, seed)
    last = last_values(run / CSV_NAME)
    rank, pace, loss = (last.get(key) for key in ("embedding/effective_rank", "seconds_per_step", "loss"))
    with suppress(OSError, ValueError):
        if (run / WEIGHTS).is_file() and read_description(run / CARD).get("steps") == steps:
            minutes = None if pace is None else pace[1] * steps / 60
            return Run(
                name=run.name, seed=seed, status="finished", steps=steps, minutes=minutes,
                effective_rank=None if rank is None else rank[1], loss=None if loss is None else loss[1],
            )  # fmt: skip
    why = stopped_runs(folder).get(run.name)
    if why is None or not run.is_dir():
        return None
    done = 0 if loss is None else loss[0]
    return Run(name=run.name, seed=seed, status="stopped", why=why, steps=done)


def stopped_runs(folder: Path) -> dict[str, str]:
    """Return the runs that collapsed or diverged, and why; who deletes a run's folder has it trained again."""
    try:
        found = read_description(folder / STOPPED)
    except (OSError, ValueError):
        return {}
    return {name: why for name, why in found.items() if isinstance(why, str)}


def _add_stopped(folder: Path, run: str, why: str) -> None:
    content = {**stopped_runs(folder), run: why}
    replace_file(folder / STOPPED, (json.dumps(content, indent=1) + "\n").encode())


def last_values(path: Path) -> dict[str, tuple[int, float]]:
    """Return the step and value that a run's log has last of each name; lines that are no such are passed over."""
    found: dict[str, tuple[int, float]] = {}
    with suppress(OSError, UnicodeDecodeError), path.open(newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            with suppress(ValueError):  # the head, or a line that was cut off
                if len(row) == 3 and float(row[2]) - float(row[2]) == 0:  # a finite number
                    found[row[1]] = int(row[0]), float(row[2])
    return found
